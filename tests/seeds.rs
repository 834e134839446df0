//! The seeds of the fuzz targets of the server, without a fuzzer. Those of the wire are in `protocol/tests/seeds.rs`.

#[path = "../fuzz/src/replay.rs"]
#[expect(unreachable_pub, reason = "public in the crate that it is borrowed from")]
mod replay;
#[path = "../fuzz/src/server.rs"]
#[expect(unreachable_pub, reason = "public in the crate that it is borrowed from")]
mod targets;

use std::path::Path;

fn replay(name: &str, target: fn(&[u8])) {
    replay::replay(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name), target);
}

#[test]
fn identity_tokens_do_not_break_their_parser() {
    replay("identity_token", targets::identity_token);
}

#[test]
fn signed_claims_do_not_break_their_judgement() {
    replay("identity_claims", targets::identity_claims);
}

#[test]
fn key_sets_do_not_break_their_reader() {
    replay("key_set", targets::key_set);
}

#[test]
fn session_tokens_do_not_break_their_reader() {
    replay("session_token", targets::session_token);
}

#[test]
fn snapshots_do_not_break_their_reader() {
    replay("snapshot", targets::snapshot);
}

#[test]
fn queries_do_not_break_their_reader() {
    replay("http_query", targets::http_query);
}

#[test]
fn queries_for_tickets_and_labels_find_what_they_say() {
    replay("search_query", targets::search_query);
}

#[test]
fn stored_json_does_not_break_its_writer() {
    replay("stored_json", targets::stored_json);
}
