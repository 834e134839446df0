//! The conformance kit and the provider that misbehaves, against the real server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fake;
mod server;

use clap::Parser;
use fake::{Behaviour, FakeServer};
use loadtest::{
    args::Arguments,
    execute,
    identity::{corpus, provider},
};
use server::{TestServer, free_address};

fn run(line: &str) -> Result<bool, String> {
    execute(&Arguments::try_parse_from(line.split(' ')).unwrap())
}

#[test]
fn a_server_that_verifies_rightly_passes_every_case_of_the_corpus() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/identity");
    let server = TestServer::trusting(&corpus::trust(folder));
    assert!(run(&format!("loadtest identity check --quiet --base http://{}", server.address)).unwrap());
    let one_entry = format!("loadtest identity check --quiet --entry kit-id --base http://{}", server.address);
    assert!(run(&one_entry).unwrap());
}

#[test]
fn servers_that_take_every_token_or_none_fail() {
    for behaviour in [Behaviour::Right, Behaviour::Refuses] {
        let server = FakeServer::start(behaviour);
        assert!(!run(&format!("loadtest identity check --quiet --base http://{}", server.address)).unwrap());
    }
}

#[test]
fn a_kit_without_the_entry_that_is_asked_for_is_no_success() {
    run("loadtest identity check --entry elsewhere").unwrap_err();
}

#[test]
fn whatever_the_provider_does_known_keys_count_and_no_others() {
    let address = free_address();
    let server = TestServer::trusting(&provider::trust(address));
    let line = format!("loadtest identity check --quiet --only-provider --provider {address} --key-wait 0");
    assert!(run(&format!("{line} --base http://{}", server.address)).unwrap());
}

#[test]
fn a_provider_that_signs_in_anybody_listens_on_loopback_alone() {
    run("loadtest identity provider --listen 0.0.0.0:0").unwrap_err();
}
