//! The conformance kit of `tests/identity/` against our own verifier, step by step, and over the wire.

mod common;

use common::{SERVER_KEY, TestServer, text};
use kizuna::{
    clock::Clock,
    config::{Identity, KeySource},
    identity::{Metrics, Verifier},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, path::PathBuf, sync::Arc};

#[derive(Deserialize)]
struct Corpus {
    marker: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    says: String,
    entry: String,
    rows: Vec<String>,
    expected: String,
    #[serde(default)]
    subject: String,
    token: String,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/identity")
}

fn corpus() -> Corpus {
    let text = fs::read_to_string(folder().join("corpus.json")).expect("readable");
    serde_json::from_str(&text).expect("the corpus")
}

/// What `trust.toml` says; its paths are seen from the root of the repository.
fn trust() -> Identity {
    #[derive(Deserialize)]
    struct File {
        identity: Identity,
    }
    let text = fs::read_to_string(folder().join("trust.toml")).expect("readable");
    let mut file: File = toml::from_str(&text).expect("a configuration");
    for entry in &mut file.identity.trust {
        if let KeySource::File(path) = &mut entry.jwks {
            *path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(&*path);
        }
    }
    file.identity
}

#[tokio::test]
async fn every_case_ends_at_the_step_that_the_kit_names() {
    let verifier: Arc<Verifier> =
        Verifier::new(&trust(), &[], Clock::manual(1_790_000_000), Metrics::default()).expect("starts");
    let mut faults = Vec::new();
    for case in corpus().cases {
        let (found, subject) = match verifier.verify(&case.token).await {
            Ok(identity) => ("accepted", identity.subject),
            Err(refusal) => (refusal.step().as_str(), String::new()),
        };
        if (found, &subject) != (case.expected.as_str(), &case.subject) {
            faults.push(format!("{}: want {}, got {found} {subject}. {}", case.name, case.expected, case.says));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test]
async fn over_the_wire_good_tokens_sign_their_subject_in_and_all_others_get_one_answer() {
    let server = TestServer::start_with(|config| config.identity = trust()).await;
    let corpus = corpus();
    let mut faults = Vec::new();
    for case in &corpus.cases {
        let id = json!({ "id": case.token });
        let (status, body) = server.call("POST", "/v2/account/authenticate/custom", SERVER_KEY, id).await;
        if case.expected == "accepted" {
            assert_eq!(status, 200, "{}: {body}", case.name);
            let account = account(&server, text(&body["token"])).await;
            let custom_id = text(&account["custom_id"]);
            let own = custom_id.strip_prefix(case.entry.as_str()).and_then(|rest| rest.strip_prefix(':'));
            if own != Some(case.subject.as_str()) || account.to_string().contains(&corpus.marker) {
                faults.push(format!("{}: {account}", case.name));
            }
        } else if (status, &body) != (401, &json!({ "code": 16, "message": "Identity token refused." })) {
            faults.push(format!("{}: {status} {body}", case.name));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

async fn account(server: &TestServer, token: &str) -> Value {
    let (status, account) = server.call("GET", "/v2/account", &format!("Bearer {token}"), Value::Null).await;
    assert_eq!(status, 200, "{account}");
    account
}

/// The kit's README.md lists the rows; what no token can show, it says so.
#[test]
fn every_row_of_the_tables_has_a_case_or_another_test() {
    let readme = fs::read_to_string(folder().join("README.md")).expect("readable");
    let listed: BTreeSet<String> = readme.lines().filter_map(row).collect();
    let shown: BTreeSet<String> = corpus().cases.into_iter().flat_map(|case| case.rows).collect();
    let unlisted: Vec<_> = shown.difference(&listed).collect();
    assert!(unlisted.is_empty(), "rows that the tables do not have: {unlisted:?}");
    for line in readme.lines() {
        let Some(row) = row(line) else { continue };
        let elsewhere = line.trim_end().trim_end_matches('|').rsplit('|').next().unwrap_or_default().trim();
        assert_eq!(elsewhere == "corpus", shown.contains(&row), "{line}");
    }
}

/// `attack 7` of `| attack 7 | ...`.
fn row(line: &str) -> Option<String> {
    let cell = line.strip_prefix("| ")?.split(" |").next()?.trim();
    let number = cell.strip_prefix("attack ").or_else(|| cell.strip_prefix("case "))?;
    number.parse::<u8>().ok().map(|_| cell.to_owned())
}
