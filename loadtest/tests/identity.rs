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
    report::Report,
};
use server::TestServer;
use std::net::SocketAddr;
use tempfile::TempDir;

/// A port of the loopback interface that was free a moment ago.
fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn run(line: &str) -> Result<bool, String> {
    execute(&Arguments::try_parse_from(line.split(' ')).unwrap())
}

#[test]
fn a_server_that_verifies_rightly_passes_every_case_of_the_corpus() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/identity");
    let server = TestServer::start(&corpus::trust(folder));
    assert!(run(&format!("loadtest identity check --quiet --base http://{}", server.address)).unwrap());
    let one_entry = format!("loadtest identity check --quiet --entry kit-id --base http://{}", server.address);
    assert!(run(&one_entry).unwrap());
}

#[test]
fn the_kit_and_the_provider_fit_into_one_configuration_and_tokens_that_are_put_off_are_presented_again() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/identity");
    let server = TestServer::start(&(provider::trust(free_address()) + &corpus::entries(folder)));
    assert!(run(&format!("loadtest identity check --quiet --base http://{}", server.address)).unwrap());
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
    let server = TestServer::start(&provider::trust(address));
    let line = format!("loadtest identity check --quiet --only-provider --provider {address} --key-wait 0");
    assert!(run(&format!("{line} --base http://{}", server.address)).unwrap());
}

/// A run against a server that trusts the run's own provider: whether it was clean, and its figures.
fn figures(line: &str) -> (bool, Report) {
    let address = free_address();
    let server = TestServer::start(&provider::trust(address));
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out.json");
    let line = format!("loadtest {line} --provider {address} --base http://{} --quiet --out ", server.address);
    (run(&(line + &out.display().to_string())).unwrap(), Report::read(&out).unwrap())
}

#[test]
fn no_honest_login_fails_while_keys_rotate() {
    let (clean, report) = figures("rotate --rate 30 --duration 2 --every 0.4 --lead 0.2 --connections 4");
    assert!(clean, "{report}");
    for phase in &report.phases {
        assert_eq!((phase.counts["rotations"], phase.operations["login"].count), (4, 60), "{report}");
        assert!(phase.counts["key set reads"] >= 1, "new keys were fetched: {report}");
    }
}

#[test]
fn in_a_flood_every_bad_token_is_refused_and_every_honest_one_accepted() {
    let line = "flood --players 5 --connections 2 --flood-connections 2 --bad-tokens 20 --duration 0.5 --keep 0";
    let (clean, report) = figures(line);
    assert!(clean, "{report}");
    assert!(report.phases.iter().all(|phase| phase.operations["login"].count > 0), "{report}");
    assert!(report.phases[1].counts["bad tokens refused"] > 0, "{report}");
}

#[test]
fn a_provider_that_signs_in_anybody_listens_on_loopback_alone() {
    run("loadtest identity provider --listen 0.0.0.0:0").unwrap_err();
}
