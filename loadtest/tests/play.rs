//! Parties, the matchmaker and churn, against the real server and against one that has faults.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fake;
mod server;

use clap::Parser;
use fake::{Behaviour, FakeServer};
use loadtest::{args::Arguments, execute, report::Report};
use server::TestServer;
use std::net::SocketAddr;
use tempfile::TempDir;

/// One run and its figures.
fn run(address: SocketAddr, line: &str) -> (bool, Report) {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out.json");
    let line = format!("loadtest {line} --quiet --base http://{address} --out {}", out.display());
    let clean = execute(&Arguments::try_parse_from(line.split(' ')).unwrap()).unwrap();
    (clean, Report::read(&out).unwrap())
}

#[test]
fn parties_form_talk_and_dissolve() {
    let server = TestServer::start("");
    let line = "party --parties 3 --members 3 --rate 20 --duration 0.5 --format mixed";
    let (clean, report) = run(server.address, line);
    assert!(clean, "{report}");
    let [form, talk, leave] = report.phases.as_slice() else { panic!("{report}") };
    assert_eq!((form.operations["create"].count, form.operations["join"].count), (3, 6));
    let delivery = talk.delivery.unwrap();
    assert!(delivery.sent > 60 && delivery.expected == 2 * delivery.sent, "{report}");
    assert_eq!(delivery.received, delivery.expected);
    assert_eq!((leave.operations["leave"].count, leave.counts["parties"]), (9, 3));
}

#[test]
fn a_server_without_parties_is_found_out() {
    let server = FakeServer::start(Behaviour::Right);
    let (clean, report) = run(server.address, "party --parties 2 --members 2");
    assert!(!clean);
    assert_eq!(report.phases[0].errors["create: answered by another message"], 2);
}

#[test]
fn players_are_matched_meet_and_part() {
    let server = TestServer::start("[matchmaker]\ninterval_sec = 1\n");
    let line = "matchmaker --players 12 --group 2 --regions 2 --range 100 --messages 5 --duration 2.5";
    let (clean, report) = run(server.address, line);
    assert!(clean, "{report}");
    let phase = &report.phases[0];
    assert!(phase.counts["matches"] >= 6, "{report}");
    assert_eq!(phase.operations["matched"].count, 2 * phase.counts["matches"]);
    let delivery = phase.delivery.unwrap();
    assert_eq!((delivery.received, delivery.sent), (delivery.expected, 10 * phase.counts["matches"]));
}

#[test]
fn whoever_waits_too_long_for_company_is_a_fault() {
    let server = TestServer::start("[matchmaker]\ninterval_sec = 60\n");
    let line = "matchmaker --players 2 --regions 1 --duration 1 --patience 0.2";
    let (clean, report) = run(server.address, line);
    assert!(!clean);
    assert_eq!(report.phases[0].errors["matched: waited longer than 200ms"], 2, "{report}");
}

const CHURN: &str = "churn --matches 2 --players 3 --rate 20 --duration 3 --stay 0.4 --away 0.3 --growth 1";

#[test]
fn players_come_and_go_and_nothing_is_lost() {
    let server = TestServer::start("");
    let (clean, report) = run(server.address, &format!("{CHURN} --pid {} --format mixed", std::process::id()));
    assert!(clean, "{report}");
    let phase = &report.phases[0];
    let counts = &phase.counts;
    assert!(counts["departures without"] > 0 && counts["departures with goodbye"] > 6, "{report}");
    assert_eq!(counts["returns to the same session"], 0, "sessions are not kept by default");
    assert!(phase.delivery.unwrap().expected > 50, "{report}");
    let memory = counts.keys().filter(|name| name.starts_with("resident KiB")).count();
    assert_eq!(memory, 10, "{report}");
}

#[test]
fn a_run_by_visits_ends_after_so_many() {
    let server = TestServer::start("");
    let line = "churn --matches 2 --players 3 --rate 20 --visits 60 --stay 0.1 --away 0.05 --growth 1";
    let (clean, report) = run(server.address, &format!("{line} --pid {}", std::process::id()));
    assert!(clean, "{report}");
    let counts = &report.phases[0].counts;
    assert_eq!(counts["visits"], 60, "{report}");
    assert_eq!(counts["departures with goodbye"] + counts["departures without"], 60, "{report}");
}

#[test]
fn players_who_are_cut_off_get_their_sessions_back_with_what_they_missed() {
    let server = TestServer::start("[realtime]\nresume_window_ms = 20000\n");
    let (clean, report) = run(server.address, &format!("{CHURN} --resume --drops 1"));
    assert!(clean, "{report}");
    let (phase, counts) = (&report.phases[0], &report.phases[0].counts);
    assert!(counts["returns to the same session"] > 6, "{report}");
    assert_eq!(counts["returns to a new session"], 0);
    assert!(phase.operations["delivered after a gap"].count > 0, "{report}");
}

#[test]
fn a_server_that_keeps_no_session_fails_those_who_count_on_it() {
    let server = TestServer::start("");
    let (clean, report) = run(server.address, &format!("{CHURN} --resume --drops 1"));
    assert!(!clean);
    assert!(report.phases[0].errors["resume: came back to a new session"] > 0, "{report}");
}

#[test]
fn messages_lost_in_the_coming_and_going_are_found() {
    let server = FakeServer::start(Behaviour::LosesEveryTenth);
    let (clean, report) = run(server.address, &format!("{CHURN} --drain 0.1"));
    assert!(!clean);
    assert!(report.phases[0].delivery.unwrap().lost > 0, "{report}");
}

#[test]
fn matches_lose_nothing_to_hostile_clients() {
    let server = TestServer::start("");
    let line = "hostile --matches 2 --players 3 --rate 20 --duration 1 --warmup 0.1 --hostile-rate 50";
    let (clean, report) = run(server.address, line);
    assert!(clean, "{report}");
    let [_, attacked, _] = report.phases.as_slice() else { panic!("{report}") };
    assert!(attacked.counts["hostile attempts"] >= 7, "{report}");
    assert!(attacked.counts.contains_key("p99 in percent of that without the attack"), "{report}");
    assert!(report.phases.iter().all(|phase| phase.delivery.unwrap().sent >= 120), "{report}");
}

#[test]
fn matches_lose_nothing_beside_logins() {
    let server = TestServer::start("");
    let line = "beside --matches 2 --players 3 --rate 20 --duration 1 --warmup 0.1 --connections 2 --logging-in 5";
    let (clean, report) = run(server.address, line);
    assert!(clean, "{report}");
    let [_, beside, _] = report.phases.as_slice() else { panic!("{report}") };
    assert!(beside.operations["login"].count > 0 && beside.operations.contains_key("sent (how late)"), "{report}");
    assert!(beside.counts.contains_key("p99 in percent of that without logins"), "{report}");
    assert!(report.phases.iter().all(|phase| phase.delivery.unwrap().sent >= 120), "{report}");
}

#[test]
fn players_who_cannot_sign_in_are_counted_by_kind() {
    let server = FakeServer::start(Behaviour::Refuses);
    let (clean, report) = run(server.address, CHURN);
    assert!(!clean);
    assert!(report.phases[0].errors["login: http 401 Server key invalid"] >= 6, "{report}");
}
