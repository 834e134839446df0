//! Small runs against a server that knows just enough.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fake;

use clap::Parser;
use fake::{Behaviour, FakeServer};
use loadtest::{args::Arguments, execute, report::Report};
use tempfile::TempDir;

/// One run and its figures.
struct Outcome {
    clean: bool,
    report: Report,
}

fn run(behaviour: Behaviour, line: &str) -> Result<Outcome, String> {
    let server = FakeServer::start(behaviour);
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out.json");
    let line = line.replace("{address}", &server.address.to_string());
    let line = format!("loadtest {line} --quiet --base http://{} --out {}", server.address, out.display());
    let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
    let clean = execute(&arguments)?;
    Ok(Outcome { clean, report: Report::read(&out).unwrap() })
}

#[test]
fn players_sign_in_for_the_first_time_and_then_again() {
    let Outcome { clean, report } = run(Behaviour::Right, "login --count 40 --connections 3").unwrap();
    assert!(clean);
    let names: Vec<_> = report.phases.iter().map(|phase| phase.name.as_str()).collect();
    assert_eq!(names, ["login, new players", "login, returning players"]);
    assert!(report.phases.iter().all(|phase| phase.operations["login"].count == 40));
}

#[test]
fn players_read_their_accounts_in_turn() {
    let Outcome { clean, report } = run(Behaviour::Right, "account --count 40 --players 7 --connections 3").unwrap();
    assert!(clean, "{report}");
    assert_eq!(report.phases[0].operations["account"].count, 40);
    let why = run(Behaviour::Refuses, "account --count 40").err().unwrap();
    assert_eq!(why, "signing in: http 401 Server key invalid");
}

#[test]
fn a_paced_match_delivers_every_message_once() {
    let line = "match --matches 3 --players 3 --rate 50 --duration 0.5 --warmup 0.1";
    let Outcome { clean, report } = run(Behaviour::Right, line).unwrap();
    let delivery = report.phases[0].delivery.unwrap();
    assert!(clean, "{report}");
    assert_eq!((delivery.expected, delivery.received, delivery.lost), (delivery.sent * 2, delivery.sent * 2, 0));
    assert_eq!(delivery.sent, 9 * 30);
}

#[test]
fn a_windowed_match_delivers_every_message_once() {
    let line = "match --matches 2 --players 2 --window 4 --duration 0.3 --warmup 0.1";
    let Outcome { clean, report } = run(Behaviour::Right, line).unwrap();
    assert!(clean, "{report}");
    assert!(report.phases[0].delivery.unwrap().sent > 100, "{report}");
}

#[test]
fn lost_messages_are_found() {
    let line = "match --matches 1 --players 2 --rate 100 --duration 0.3 --warmup 0 --drain 0.2";
    let Outcome { clean, report } = run(Behaviour::LosesEveryTenth, line).unwrap();
    let delivery = report.phases[0].delivery.unwrap();
    assert!(!clean);
    assert_eq!((delivery.sent, delivery.lost), (60, 6), "{report}");
}

#[test]
fn sockets_are_opened_and_held() {
    let Outcome { clean, report } = run(Behaviour::Right, "connect --count 30 --hold 0.2 --sources 3").unwrap();
    assert!(clean, "{report}");
    assert_eq!(report.phases[0].operations["connect"].count, 30);
    assert_eq!(report.phases[1].counts["sockets open at the end"], 30);
}

#[test]
fn those_who_wait_enter_matches_and_wait_on() {
    let line = format!("connect --count 10 --hold 0.1 --matches-of 4 --pid {}", std::process::id());
    let Outcome { clean, report } = run(Behaviour::Right, &line).unwrap();
    assert!(clean, "{report}");
    let [_, _, playing, _] = report.phases.as_slice() else { panic!("{report}") };
    assert_eq!((playing.operations["join"].count, playing.counts["sockets open at the end"]), (10, 10), "{report}");
    assert!(playing.detail == "3 of 4" && playing.counts.contains_key("bytes of a match"), "{report}");
}

#[test]
fn everything_runs_at_once() {
    let line =
        "mix --logins 50 --accounts 50 --idle 5 --connections 2 --matches 1 --players 2 --duration 0.4 --warmup 0.1";
    let Outcome { clean, report } = run(Behaviour::Right, line).unwrap();
    assert!(clean, "{report}");
    let operations = &report.phases[0].operations;
    assert_eq!((operations["login"].count, operations["account"].count), (20, 20));
    assert!(operations["delivered"].count > 0);
}

#[test]
fn identity_tokens_are_signed_here_or_taken_from_a_provider() {
    for source in ["--jwt-key generate", "--mint http://{address}/token"] {
        let Outcome { clean, report } = run(Behaviour::Right, &format!("login --count 5 --new {source}")).unwrap();
        assert!(clean, "{report}");
    }
}

#[test]
fn written_keys_sign() {
    let folder = TempDir::new().unwrap();
    let line = format!("loadtest keys {}", folder.path().display());
    assert!(execute(&Arguments::try_parse_from(line.split(' ')).unwrap()).unwrap());
    let set = std::fs::read_to_string(folder.path().join("jwks.json")).unwrap();
    assert!(set.contains("RS256") && !set.contains("\"d\""));
    let line = format!("login --count 5 --new --jwt-key {}/private.pem", folder.path().display());
    assert!(run(Behaviour::Right, &line).unwrap().clean);
}

#[test]
fn refusals_are_counted_by_kind() {
    let Outcome { clean, report } = run(Behaviour::Refuses, "login --count 5 --new").unwrap();
    assert!(!clean);
    assert_eq!(report.phases[0].errors["login: http 401 Server key invalid"], 5);
}

#[test]
fn a_run_that_cannot_be_set_up_says_why() {
    let why = run(Behaviour::Refuses, "match --matches 1").err().unwrap();
    assert_eq!(why, "signing in: http 401 Server key invalid");
}
