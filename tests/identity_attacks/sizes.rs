//! The lengths that docs/tokens.md tells of, measured.

use crate::support::*;
use kizuna::{
    clock::{Clock, Entropy},
    config,
    identity::{
        ScopeKey, ScopeKind,
        session::{Origin, SessionTokens},
    },
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::Path};

const MARKS: [&str; 2] = ["<!-- sizes:begin -->\n", "<!-- sizes:end -->"];
const GROUP: usize = 20;

fn groups(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{number:0>GROUP$}")).collect()
}

fn identity_token(change: &Value) -> usize {
    let header = json!({ "kid": "Zk".repeat(22), "alg": "RS256" });
    let cognito = json!({
        "origin_jti": SUBJECT, "event_id": SUBJECT, "jti": SUBJECT, "version": 2, "scope": "aws.cognito.signin.user.admin openid",
        "client_id": "1example23456789abcdefghij",
    });
    seal(header.to_string(), with(with(claims(), &cognito), change).to_string(), By::Rsa(&RSA)).len()
}

fn session_token(vars: &[(&str, String)], origin: bool) -> usize {
    let tokens = SessionTokens::new(&config::Config::default(), Clock::manual(NOW), Entropy::seeded(1));
    let vars: BTreeMap<_, _> = vars.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let origin = origin.then(|| Origin {
        entry: "cognito".into(),
        issuer: ScopeKey::new(ScopeKind::Issuer, ISSUER),
        family: Some(ScopeKey::family(ISSUER, SUBJECT)),
        player: None,
        tenant: None,
        proven_unix: NOW,
        mapping_version: if vars.is_empty() { 0 } else { u32::MAX },
    });
    let user = Entropy::seeded(2).uuid();
    tokens.issue(tokens.new_token_id(), user, "abcdefghij", &vars, origin.as_ref()).token.len()
}

fn table() -> String {
    let three = json!({ "tenant_id": "acme", "https://game.example/role": "player", "tier": "gold" });
    let mut rows = vec![
        ("access token".to_owned(), identity_token(&json!({}))),
        ("with tenant, role and tier".to_owned(), identity_token(&three)),
    ];
    for count in [10, 50, 100] {
        let with_groups = identity_token(&json!({ "cognito:groups": groups(count) }));
        rows.push((format!("with {count} groups"), with_groups));
    }
    let three = [("idp.role", "player".to_owned()), ("idp.tenant", "acme".to_owned()), ("idp.tier", "gold".to_owned())];
    rows.push(("session token, no identity".to_owned(), session_token(&[], false)));
    rows.push(("session token, with an identity".to_owned(), session_token(&[], true)));
    rows.push(("and with tenant, role and tier".to_owned(), session_token(&three, true)));
    for count in [10, 50] {
        let joined = [("idp.groups", groups(count).join(","))];
        rows.push((format!("and with {count} groups in a variable"), session_token(&joined, true)));
    }
    let lines: String = rows.iter().map(|(what, bytes)| format!("| {what} | {bytes} |\n")).collect();
    format!("| token | bytes |\n| --- | --- |\n{lines}")
}

#[test]
fn the_sizes_in_the_documents_are_measured() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tokens.md");
    let text = std::fs::read_to_string(&path).expect("the page");
    let (before, rest) = text.split_once(MARKS[0]).expect("the first mark");
    let (told, after) = rest.split_once(MARKS[1]).expect("the second mark");
    let measured = table();
    if std::env::var_os("KIZUNA_BLESS").is_some() {
        std::fs::write(&path, [before, MARKS[0], &measured, MARKS[1], after].concat()).expect("written");
    } else {
        assert_eq!(told, measured, "run this test with KIZUNA_BLESS=1 to write the table anew");
    }
}
