//! What a trust entry must say before the server starts: nothing is checked less strictly than its words, and no two
//! entries can give two people one account.

use super::{
    load::ConfigError,
    trust::{AccountId, AudienceClaim, KeySource, TokenType, TrustEntry},
    trust_mapping::{at_entry, judge_mapping},
    trust_presets::{TENANT_PLACEHOLDER, judge_preset},
};
use std::net::IpAddr;

/// The most seconds by which a trust entry may let clocks differ.
pub const MAX_SKEW_SEC: u64 = 300;
/// Longest issuer name in bytes.
const MAX_ISSUER_BYTES: usize = 1_024;

/// Judges all trust entries together, their presets written out.
///
/// # Errors
/// The first key that is missing, contradicts another, or makes two people one account.
pub fn judge_trust(entries: &[TrustEntry], allow_loopback_http: bool) -> Result<(), ConfigError> {
    for (index, entry) in entries.iter().enumerate() {
        judge_name(entries, index)?;
        judge_preset(entry, index)?;
        judge_entry(&entry.with_preset(), index, allow_loopback_http)?;
    }
    let written_out: Vec<_> = entries.iter().map(TrustEntry::with_preset).collect();
    judge_shared_issuers(&written_out)?;
    judge_account_ids(&written_out)
}

/// For each entry (preset written out) the index of the first entry whose subjects are the same people: entries are of one
/// subject namespace when they share an issuer, directly or through a third.
pub fn subject_namespaces(entries: &[TrustEntry]) -> Vec<usize> {
    let mut first: Vec<usize> = (0..entries.len()).collect();
    let issuers: Vec<_> = entries.iter().map(TrustEntry::exact_issuers).collect();
    let shares =
        |a: usize, b: usize| issuers[a].iter().any(|one| issuers[b].iter().any(|other| one.name == other.name));
    // Each round carries the smallest index one entry further, so as many rounds as entries are enough.
    for _ in 0..entries.len() {
        for a in 0..entries.len() {
            for b in 0..entries.len() {
                if shares(a, b) {
                    first[a] = first[a].min(first[b]);
                }
            }
        }
    }
    first
}

fn judge_name(entries: &[TrustEntry], index: usize) -> Result<(), ConfigError> {
    let name = &entries[index].name;
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
    let named = (1..=32).contains(&name.len()) && name.bytes().all(plain);
    check(named, index, "name", "1 to 32 of a-z, 0-9, - and _")?;
    check(entries[..index].iter().all(|other| other.name != *name), index, "name", "a name of its own")
}

fn judge_entry(entry: &TrustEntry, index: usize, allow_loopback_http: bool) -> Result<(), ConfigError> {
    check(!entry.issuers.is_empty(), index, "issuers", "at least one exact value of `iss`")?;
    for (position, issuer) in entry.issuers.iter().enumerate() {
        let written = (1..=MAX_ISSUER_BYTES).contains(&issuer.len()) && !issuer.chars().any(char::is_control);
        check(written, index, "issuers", "1 to 1024 bytes without control characters")?;
        check(!entry.issuers[..position].contains(issuer), index, "issuers", "each issuer once")?;
    }
    judge_tenants(entry, index)?;
    judge_keys(entry, index, allow_loopback_http)?;
    check(!entry.algorithms.is_empty(), index, "algorithms", "at least one of RS256, ES256, EdDSA")?;
    judge_audience(entry, index)?;
    judge_token_type(&entry.token_type, index)?;
    let parties = entry.authorized_parties.iter().all(|party| !party.is_empty());
    check(parties, index, "authorized_parties", "client ids")?;
    judge_mapping(entry).map_err(|fault| at_entry(index, fault))?;
    check(entry.skew_sec <= MAX_SKEW_SEC, index, "skew_sec", "0 to 300")?;
    check(entry.max_lifetime_sec >= 1, index, "max_lifetime_sec", "1 or more")
}

fn judge_tenants(entry: &TrustEntry, index: usize) -> Result<(), ConfigError> {
    let templated = entry.issuers.iter().any(|issuer| issuer.contains(TENANT_PLACEHOLDER));
    let plain = |tenant: &String| {
        !tenant.is_empty() && tenant.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
    };
    check(
        templated != entry.tenants.is_empty() && entry.tenants.iter().all(plain),
        index,
        "tenants",
        "a list of tenants where `issuers` has {tenantid}, and only there",
    )?;
    let twice = |(position, tenant)| entry.tenants[..position].contains(tenant);
    check(!entry.tenants.iter().enumerate().any(twice), index, "tenants", "each tenant once")
}

fn judge_keys(entry: &TrustEntry, index: usize, allow_loopback_http: bool) -> Result<(), ConfigError> {
    let allowed = "an https address without user name or fragment (http on loopback with identity.jwks_allow_loopback_http); \
                   an issuer that is no such address needs a `jwks` of its own";
    match &entry.jwks {
        KeySource::Url(url) if url.is_empty() => {
            let good = |issuer: &str| may_fetch(&key_set_address(issuer), allow_loopback_http);
            check(entry.exact_issuers().iter().all(|issuer| good(&issuer.name)), index, "jwks.url", allowed)
        }
        KeySource::Discovery => {
            let good = |issuer: &str| may_fetch(issuer, allow_loopback_http) && !issuer.contains('?');
            check(entry.exact_issuers().iter().all(|issuer| good(&issuer.name)), index, "issuers", allowed)
        }
        KeySource::Url(url) => check(may_fetch(url, allow_loopback_http), index, "jwks.url", allowed),
        KeySource::File(path) => check(!path.as_os_str().is_empty(), index, "jwks.file", "a file's path"),
        KeySource::Inline(text) => check(!text.is_empty(), index, "jwks.inline", "a JSON Web Key Set"),
    }
}

/// Where an issuer's keys are when the entry does not say otherwise.
pub fn key_set_address(issuer: &str) -> String {
    format!("{}/.well-known/jwks.json", issuer.trim_end_matches('/'))
}

/// Whether keys, or what leads to them, may be fetched from `url` at all.
pub fn may_fetch(url: &str, allow_loopback_http: bool) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    let plain =
        url.username().is_empty() && url.password().is_none() && url.fragment().is_none() && url.host_str().is_some();
    plain && (url.scheme() == "https" || (allow_loopback_http && url.scheme() == "http" && is_loopback(&url)))
}

/// Whether `url` names this machine. `localhost` does: the fetcher never asks a name server for it.
pub fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn judge_audience(entry: &TrustEntry, index: usize) -> Result<(), ConfigError> {
    let values = &entry.audience.any_of;
    match entry.audience.claim {
        AudienceClaim::Any => {
            check(values.is_empty(), index, "audience.any_of", "empty, since `claim = \"any\"` checks none")
        }
        AudienceClaim::Aud | AudienceClaim::ClientId | AudienceClaim::Azp | AudienceClaim::Cid => check(
            !values.is_empty() && values.iter().all(|value| !value.is_empty()),
            index,
            "audience.any_of",
            "at least one client id or audience; to check none, say `claim = \"any\"`",
        ),
    }
}

fn judge_token_type(wanted: &TokenType, index: usize) -> Result<(), ConfigError> {
    let ways = [!wanted.claim.is_empty(), !wanted.header.is_empty(), wanted.any];
    check(
        ways.iter().filter(|way| **way).count() == 1 && wanted.any == wanted.equals.is_empty(),
        index,
        "token_type",
        "exactly one of { claim, equals }, { header, equals } and { any = true }: other tokens of the issuer must not pass for this kind",
    )
}

/// Entries of one issuer must look for different values in one place, so that every token belongs to at most one of them; and
/// must agree on what names a player.
fn judge_shared_issuers(entries: &[TrustEntry]) -> Result<(), ConfigError> {
    let issuers: Vec<_> = entries.iter().map(TrustEntry::exact_issuers).collect();
    for (index, entry) in entries.iter().enumerate() {
        for (position, other) in entries[..index].iter().enumerate() {
            if !issuers[index].iter().any(|issuer| issuers[position].iter().any(|known| known.name == issuer.name)) {
                continue;
            }
            let (a, b) = (&entry.token_type, &other.token_type);
            let told_apart = !a.any && (&a.claim, &a.header) == (&b.claim, &b.header) && a.equals != b.equals;
            check(
                told_apart,
                index,
                "token_type",
                "another value in the same claim or header parameter as in the other entry of this issuer",
            )?;
            check(entry.subject == other.subject, index, "subject", "what the other entry of this issuer says")?;
        }
    }
    Ok(())
}

/// Bare subjects only where all entries are of one subject namespace. A bare subject beside a prefix is refused too: the
/// subject could begin with it.
fn judge_account_ids(entries: &[TrustEntry]) -> Result<(), ConfigError> {
    let one_namespace = subject_namespaces(entries).iter().all(|first| *first == 0);
    let bare = entries.iter().filter(|entry| entry.account_id == AccountId::Sub).count();
    if bare == 0 || (one_namespace && bare == entries.len()) {
        return Ok(());
    }
    Err(ConfigError::new(
        "identity.trust.account_id",
        "allowed is \"prefixed\" for every entry when there are several issuers: bare subjects of two issuers could be one account id",
    ))
}

fn check(holds: bool, index: usize, key: &str, allowed: &str) -> Result<(), ConfigError> {
    if holds {
        Ok(())
    } else {
        Err(ConfigError::new(format!("identity.trust[{index}].{key}"), format!("allowed is {allowed}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Audience, Preset, VarRule};

    fn entry(name: &str, issuer: &str) -> TrustEntry {
        TrustEntry {
            name: name.into(),
            issuers: vec![issuer.into()],
            audience: Audience { claim: AudienceClaim::Aud, any_of: vec!["game".into()] },
            token_type: TokenType { claim: "token_use".into(), equals: "id".into(), ..TokenType::default() },
            ..TrustEntry::default()
        }
    }

    fn refused(entries: &[TrustEntry]) -> String {
        judge_trust(entries, false).expect_err("must not start").path
    }

    #[test]
    fn an_entry_needs_an_issuer_an_audience_and_a_token_type() {
        judge_trust(&[entry("a", "https://i")], false).expect("complete");
        let bad = TrustEntry { issuers: Vec::new(), ..entry("a", "") };
        assert_eq!(refused(&[bad]), "identity.trust[0].issuers");
        let bad = TrustEntry { audience: Audience::default(), ..entry("a", "https://i") };
        assert_eq!(refused(&[bad]), "identity.trust[0].audience.any_of");
        let bad = TrustEntry { token_type: TokenType::default(), ..entry("a", "https://i") };
        assert_eq!(refused(&[bad]), "identity.trust[0].token_type");
    }

    #[test]
    fn a_check_is_switched_off_only_by_saying_any() {
        let audience = Audience { claim: AudienceClaim::Any, any_of: Vec::new() };
        let token_type = TokenType { any: true, ..TokenType::default() };
        judge_trust(&[TrustEntry { audience, token_type, ..entry("a", "https://i") }], false).expect("said so");
        let both = TokenType { any: true, equals: "id".into(), claim: "token_use".into(), ..TokenType::default() };
        assert_eq!(
            refused(&[TrustEntry { token_type: both, ..entry("a", "https://i") }]),
            "identity.trust[0].token_type"
        );
    }

    #[test]
    fn entries_of_one_issuer_must_differ_in_the_token_type() {
        let id = entry("a", "https://i");
        let mut access = entry("b", "https://i");
        assert_eq!(refused(&[id.clone(), access.clone()]), "identity.trust[1].token_type");
        access.token_type.equals = "access".into();
        judge_trust(&[id.clone(), access.clone()], false).expect("told apart, and the same people");
        access.token_type = TokenType { any: true, ..TokenType::default() };
        assert_eq!(refused(&[id, access]), "identity.trust[1].token_type");
    }

    #[test]
    fn variables_have_plain_names_that_nothing_else_is_called_by() {
        let mapping = |name: &str| {
            let vars = [(name.to_owned(), VarRule { claims: vec!["role".into()], ..VarRule::default() })].into();
            TrustEntry { vars, ..entry("a", "https://i") }
        };
        judge_trust(&[mapping("game.role_1")], false).expect("plain");
        for bad in ["", "a b", "r\u{f4}le", "groups_omitted", "token", &"x".repeat(65)] {
            assert_eq!(refused(&[mapping(bad)]), "identity.trust[0].vars", "{bad}");
        }
    }

    #[test]
    fn bare_subjects_of_two_issuers_are_refused() {
        let (a, b) = (entry("a", "https://a"), entry("b", "https://b"));
        assert_eq!(refused(&[a.clone(), b.clone()]), "identity.trust.account_id");
        let prefixed = |entry: &TrustEntry| TrustEntry { account_id: AccountId::Prefixed, ..entry.clone() };
        assert_eq!(refused(&[a.clone(), prefixed(&b)]), "identity.trust.account_id");
        judge_trust(&[prefixed(&a), prefixed(&b)], false).expect("each has its own prefix");
    }

    #[test]
    fn keys_come_over_https_or_on_request_from_loopback() {
        let at = |url: &str| TrustEntry { jwks: KeySource::Url(url.into()), ..entry("a", "https://i") };
        for bad in
            ["http://i/keys", "ftp://i/keys", "https://u:p@i/keys", "https://i/keys#x", "keys", "http://127.0.0.1/keys"]
        {
            assert_eq!(refused(&[at(bad)]), "identity.trust[0].jwks.url", "{bad}");
        }
        for good in ["http://127.0.0.1:1/keys", "http://[::1]/keys", "http://localhost/keys"] {
            judge_trust(&[at(good)], true).expect("loopback, allowed");
        }
        judge_trust(&[at("http://127.0.0.1.example.com/keys")], true).expect_err("not loopback");
        assert_eq!(refused(&[entry("a", "accounts.google.com")]), "identity.trust[0].jwks.url");
    }

    #[test]
    fn the_cognito_presets_know_both_issuers_and_the_client_claim() {
        let access = TrustEntry {
            name: "pool".into(),
            preset: Preset::CognitoAccess,
            region: "eu-west-1".into(),
            user_pool_id: "eu-west-1_AbCdEf123".into(),
            audience: Audience { any_of: vec!["client".into()], ..Audience::default() },
            ..TrustEntry::default()
        };
        let id = TrustEntry { name: "pool-id".into(), preset: Preset::CognitoId, ..access.clone() };
        judge_trust(&[access.clone(), id], false).expect("one pool, two kinds of token");
        let known = access.with_preset();
        assert_eq!(known.issuers[0], "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEf123");
        assert_eq!(known.issuers[1], "https://issuer-cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEf123");
        assert_eq!(known.audience.claim, AudienceClaim::ClientId);
        assert_eq!(known.token_type.equals, "access");
        let elsewhere = TrustEntry { region: "us-east-1".into(), ..access };
        assert_eq!(refused(&[elsewhere]), "identity.trust[0].user_pool_id");
    }
}
