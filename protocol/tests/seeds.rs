//! The seeds of the fuzz targets, without a fuzzer.

#[path = "../../fuzz/src/replay.rs"]
#[expect(unreachable_pub, reason = "public in the crate that it is borrowed from")]
mod replay;
#[path = "../../fuzz/src/wire.rs"]
#[expect(unreachable_pub, reason = "public in the crate that it is borrowed from")]
mod targets;

use std::path::Path;

fn replay(name: &str, target: fn(&[u8])) {
    replay::replay(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(name), target);
}

#[test]
fn http_bodies_do_not_break_the_lenient_json_reader() {
    replay("json_lenient", targets::json_lenient);
}

#[test]
fn text_frames_do_not_break_the_strict_json_reader() {
    replay("json_strict", targets::json_strict);
}

#[test]
fn binary_frames_do_not_break_the_protobuf_reader() {
    replay("protobuf", targets::protobuf);
}

#[test]
fn query_values_do_not_break_their_reader() {
    replay("query", targets::query);
}

#[test]
fn identifiers_do_not_break_their_readers() {
    replay("ids", targets::ids);
}
