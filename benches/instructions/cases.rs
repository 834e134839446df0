//! How many instructions the hot functions take, counted by callgrind: `scripts/instructions` runs this and compares with
//! benches/instructions/limits.toml. Counts repeat where times do not (docs/decisions/0030-instruction-counts.md), so each case is made
//! of the same bytes in every run: the clock stands still and randomness is seeded.
//!
//! What a case takes is made and dropped outside of what is counted, and each has run before, so that caches and allocator are warm.
#![expect(missing_docs, reason = "the macros make public items of the cases")]

mod envelopes;
mod matches;
mod passes;
mod server;
mod sign_ins;

use envelopes::Frame;
use gungraun::{Callgrind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use kizuna::{features::matchmaker, identity::session::SessionClaims};
use kizuna_protocol::{
    api,
    envelope::{self, Format},
    realtime::Envelope,
};
use matches::Fan;
use passes::Waiting;
use sign_ins::{Check, SignIn};

/// The server's own, of which every allocation's cost is part.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[library_benchmark(setup = envelopes::match_data_send)]
#[bench::json_64_bytes(Format::Json, 64)]
#[bench::json_1024_bytes(Format::Json, 1_024)]
#[bench::protobuf_64_bytes(Format::Protobuf, 64)]
#[bench::protobuf_1024_bytes(Format::Protobuf, 1_024)]
fn decode(frame: Frame) -> (Frame, Envelope) {
    let envelope = envelope::decode(frame.format, &frame.bytes).expect("an envelope");
    (frame, envelope)
}

#[library_benchmark(setup = envelopes::match_data)]
#[bench::json_64_bytes(Format::Json, 64)]
#[bench::json_1024_bytes(Format::Json, 1_024)]
#[bench::protobuf_64_bytes(Format::Protobuf, 64)]
#[bench::protobuf_1024_bytes(Format::Protobuf, 1_024)]
fn encode((format, envelope): (Format, Envelope)) -> (Frame, Envelope) {
    let bytes = envelope::encode(format, &envelope);
    (Frame { format, bytes }, envelope)
}

// From the decoded message to the receivers' queues.
#[library_benchmark(setup = Fan::new)]
#[bench::json_8_receivers(Format::Json, 8)]
#[bench::json_64_receivers(Format::Json, 64)]
#[bench::protobuf_8_receivers(Format::Protobuf, 8)]
#[bench::protobuf_64_receivers(Format::Protobuf, 64)]
fn fan_out(mut fan: Fan) -> Fan {
    fan.send();
    fan
}

// Of a player who has an account: the store is read, on the same thread.
#[library_benchmark]
#[bench::identity_token(setup = SignIn::by_identity_token)]
#[bench::plain_custom_id(setup = SignIn::by_plain_id)]
fn login(mut sign_in: SignIn) -> (SignIn, api::Session) {
    let session = sign_in.run();
    (sign_in, session)
}

#[library_benchmark]
#[bench::of_identity_token(setup = Check::of_identity_token)]
#[bench::of_plain_custom_id(setup = Check::of_plain_id)]
fn session_check(check: Check) -> (Check, SessionClaims) {
    let claims = check.run();
    (check, claims)
}

// Over 1,000 tickets.
#[library_benchmark]
#[bench::one_against_one(setup = Waiting::one_against_one)]
#[bench::two_to_four(setup = Waiting::two_to_four)]
#[bench::nobody_fits(setup = Waiting::nobody_fits)]
fn pass(mut waiting: Waiting) -> (Waiting, matchmaker::Outcome) {
    let outcome = waiting.pass();
    (waiting, outcome)
}

library_benchmark_group!(name = protocol, benchmarks = [decode, encode]);
library_benchmark_group!(name = realtime, benchmarks = [fan_out]);
library_benchmark_group!(name = identity, benchmarks = [login, session_check]);
library_benchmark_group!(name = matchmaking, benchmarks = [pass]);

/// jemalloc tidies up a thread's cache every so many bytes, unless it has done so a moment ago, and gives back pages by the time:
/// whether a call that is counted meets either is luck.
const UNTIMED: &str = "tcache_gc_incr_bytes:1073741824,dirty_decay_ms:-1,muzzy_decay_ms:-1";

main!(
    // Caches are not simulated: their model is of no machine that is in use.
    config = LibraryBenchmarkConfig::default()
        .tool(Callgrind::with_args(["--cache-sim=no"]))
        .env("_RJEM_MALLOC_CONF", UNTIMED),
    library_benchmark_groups = [protocol, realtime, identity, matchmaking]
);
