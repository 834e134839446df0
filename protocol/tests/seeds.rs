//! The seeds of the fuzz targets, without a fuzzer.

#[path = "../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "public in the crate that it is borrowed from")]
mod targets;

use std::{fs, path::Path};

fn replay(name: &str, target: fn(&[u8])) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(name);
    let files = fs::read_dir(&seeds).expect("every target has seeds").map(|entry| entry.expect("readable").path());
    let mut count = 0;
    for file in files {
        let data = fs::read(&file).expect("readable");
        // Cut short anywhere, it must not break anything either.
        for end in 0..=data.len().min(512) {
            target(&data[..end]);
        }
        target(&data);
        count += 1;
    }
    assert!(count > 0, "no seeds in {}", seeds.display());
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
