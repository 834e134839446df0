//! The cases of the corpus, one after the other.

use super::{Answer, Check};
use crate::identity::{
    args::CheckOptions,
    corpus::{Case, Corpus, Expected},
    keys::encode,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use hyper::{StatusCode, header::HeaderValue};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Replays the cases, then looks at all refusals together.
///
/// # Errors
/// The kit cannot be read, or has none of the entries.
pub(super) async fn run(check: &mut Check, options: &CheckOptions) -> Result<(), String> {
    let corpus = Corpus::open(options.corpus.as_deref())?;
    let wanted = |case: &&Case| options.entry.is_empty() || options.entry.contains(&case.entry);
    let cases: Vec<_> = corpus.cases.iter().filter(wanted).collect();
    if cases.is_empty() {
        return Err("the kit has no such trust entry".into());
    }
    let mut refusals: BTreeMap<(u16, Bytes), &str> = BTreeMap::new();
    for case in &cases {
        let answer = check.present_until_judged(&case.token, options.key_wait).await;
        if let Answer::Refused(status, body) = &answer {
            refusals.entry((status.as_u16(), body.clone())).or_insert(&case.name);
        }
        let found = match case.expected {
            Expected::Accepted => signs_in(check, case, &corpus.marker, answer).await,
            _ => answer.refused(),
        };
        check.note(&case.name, &case.expected.to_string(), found);
    }
    let told_apart: Vec<_> = refusals.iter().map(|((status, _), name)| format!("{status} for {name}")).collect();
    let one = if told_apart.len() > 1 { Err(told_apart.join(", ")) } else { Ok(()) };
    check.note("refusals-tell-no-fault", "one answer for all", one);
    links_nothing(check, &cases).await;
    Ok(())
}

/// The session is that of the subject, and holds nothing that nobody mapped.
async fn signs_in(check: &mut Check, case: &Case, marker: &str, answer: Answer) -> Result<(), String> {
    let session = answer.accepted()?;
    let account = check.api.account(&mut check.http, &session).await.map_err(|fault| fault.to_string())?;
    let account: Value = serde_json::from_slice(&account).unwrap_or_default();
    let id = account["custom_id"].as_str().unwrap_or_default();
    // The bare subject, or the subject behind a prefix: both are in use.
    if id != case.subject && !id.ends_with(&format!(":{}", case.subject)) {
        return Err("a session of another account".into());
    }
    let claims = session.split('.').nth(1).and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok()).unwrap_or_default();
    let shown = format!("{account}{}", String::from_utf8_lossy(&claims));
    if shown.contains(marker) {
        return Err("a session with claims that nobody mapped".into());
    }
    Ok(())
}

/// A player who signed in by a device cannot take a subject's id before its owner comes.
async fn links_nothing(check: &mut Check, cases: &[&Case]) {
    let Some(case) = cases.iter().find(|case| case.expected == Expected::Accepted) else { return };
    let found = link(check, &case.subject).await;
    check.note("link-of-a-raw-id", "refused", found);
}

async fn link(check: &mut Check, subject: &str) -> Result<(), String> {
    let mut device = [0; 16];
    aws_lc_rs::rand::fill(&mut device).map_err(|_| "the system gave no randomness".to_owned())?;
    let device = json!({ "id": format!("kit-{}", encode(device)) }).to_string().into();
    let key = check.api.server_key().clone();
    let (status, body) = post(check, "/v2/account/authenticate/device?create=true", &key, device).await?;
    // A server without this way in has nothing to link.
    if status != StatusCode::OK {
        return Ok(());
    }
    let session = crate::nakama::text_field(&body, "token").ok_or("a session without a token")?;
    let bearer = HeaderValue::from_str(&format!("Bearer {session}")).map_err(|error| error.to_string())?;
    let raw = json!({ "id": subject }).to_string().into();
    let (status, _) = post(check, "/v2/account/link/custom", &bearer, raw).await?;
    if status.is_client_error() { Ok(()) } else { Err(format!("status {}", status.as_u16())) }
}

async fn post(
    check: &mut Check,
    path: &str,
    authorization: &HeaderValue,
    body: Bytes,
) -> Result<(StatusCode, Bytes), String> {
    check.api.post(&mut check.http, path, authorization, body).await.map_err(|fault| fault.to_string())
}
