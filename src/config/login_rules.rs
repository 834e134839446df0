//! What the sign-in page's settings must look like.

use super::{Config, ConfigError, LoginClient, is_loopback};
use reqwest::Url;
use std::collections::BTreeSet;

/// Judges `[login]` and its clients. `on_loopback` says whether the server listens on loopback only.
///
/// # Errors
/// The first key that breaks a rule.
pub(super) fn judge_login(config: &Config, on_loopback: bool) -> Result<(), ConfigError> {
    let login = &config.login;
    for (value, key) in [
        (login.sign_in_sec, "sign_in_sec"),
        (login.code_sec, "code_sec"),
        (login.device_sec, "device_sec"),
        (login.device_poll_sec, "device_poll_sec"),
        (u64::from(login.device_attempts_per_min), "device_attempts_per_min"),
        (login.timeout_ms, "timeout_ms"),
        (login.discovery_refresh_sec, "discovery_refresh_sec"),
    ] {
        check((1..=86_400 * 30).contains(&value), key, "1 or more")?;
    }
    for (value, key) in [
        (login.max_finished, "max_finished"),
        (login.max_finished_per_address, "max_finished_per_address"),
        (login.max_codes, "max_codes"),
        (login.max_devices, "max_devices"),
        (login.max_response_bytes, "max_response_bytes"),
        (login.max_requests, "max_requests"),
        (login.max_sign_ins_per_user, "max_sign_ins_per_user"),
    ] {
        check(value >= 1, key, "1 or more")?;
    }
    let key = login.encryption_key.expose();
    check(key.is_empty() || key.len() >= 32, "encryption_key", "\"\" or 32 characters and more")?;
    // As browsers write it in `Origin`, with which it is compared.
    let written = |url: &Url| url.origin().ascii_serialization() == login.public_url.trim_end_matches('/');
    let public = Url::parse(&login.public_url).ok().filter(|url| is_origin(url) && written(url));
    check(
        public.is_some() || (login.public_url.is_empty() && (on_loopback || login.client.is_empty())),
        "public_url",
        "https://name, or http on loopback, in small letters, without a path or the usual port; \"\" only while socket.address is on loopback",
    )?;
    for (index, address) in login.return_to.iter().enumerate() {
        let page = Url::parse(address).ok().filter(is_page);
        check(
            page.is_some(),
            &format!("return_to[{index}]"),
            "the whole address of a page: https, or http on loopback",
        )?;
    }
    judge_clients(config)
}

fn judge_clients(config: &Config) -> Result<(), ConfigError> {
    let mut names = BTreeSet::new();
    for (index, client) in config.login.client.iter().enumerate() {
        let check = |holds, key: &str, allowed: &str| check(holds, &format!("client[{index}].{key}"), allowed);
        let taken = !names.insert(&client.name) || (client.name == "dev" && config.dev_provider.enabled);
        check(is_name(&client.name) && !taken, "name", "1 to 32 of a-z, 0-9, - and _, another for each client")?;
        let entry = config.identity.trust.iter().find(|entry| entry.name == client.entry);
        check(entry.is_some(), "entry", "the name of an entry of identity.trust")?;
        check(!client.client_id.is_empty(), "client_id", "the id that the provider gave")?;
        check(client.scopes.iter().any(|scope| scope == "openid"), "scopes", "a list with \"openid\" in it")?;
        judge_addresses(client, &check)?;
    }
    Ok(())
}

fn judge_addresses(
    client: &LoginClient,
    check: &impl Fn(bool, &str, &str) -> Result<(), ConfigError>,
) -> Result<(), ConfigError> {
    let reachable = "https, or http on loopback";
    check(is_reachable(&client.issuer), "issuer", reachable)?;
    let (browsers, tokens) = (&client.authorization_endpoint, &client.token_endpoint);
    check(browsers.is_empty() == tokens.is_empty(), "token_endpoint", "both endpoints, or neither")?;
    for (address, key) in [(browsers, "authorization_endpoint"), (tokens, "token_endpoint")] {
        check(address.is_empty() || is_reachable(address), key, reachable)?;
    }
    Ok(())
}

fn is_reachable(address: &str) -> bool {
    Url::parse(address).is_ok_and(|url| is_page(&url))
}

fn is_page(url: &Url) -> bool {
    let own = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    own && (url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url)))
}

fn is_origin(url: &Url) -> bool {
    is_page(url) && url.path() == "/" && url.query().is_none()
}

fn is_name(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    (1..=32).contains(&name.len()) && name.bytes().all(good)
}

fn check(holds: bool, key: &str, allowed: &str) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::new(format!("login.{key}"), format!("allowed is {allowed}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TrustEntry;

    fn good() -> Config {
        let mut config = Config::default();
        config.identity.trust = vec![TrustEntry { name: "pool".into(), ..TrustEntry::default() }];
        config.login.client = vec![LoginClient {
            name: "pool".into(),
            entry: "pool".into(),
            issuer: "https://issuer.example".into(),
            client_id: "id".into(),
            ..LoginClient::default()
        }];
        config
    }

    fn fault(change: impl FnOnce(&mut Config)) -> String {
        let mut config = good();
        change(&mut config);
        judge_login(&config, true).map_or_else(|error| error.path, |()| "none".to_owned())
    }

    #[test]
    fn a_fault_names_its_key() {
        assert_eq!(fault(|_| {}), "none");
        assert_eq!(fault(|config| config.login.public_url = "https://play.example/".into()), "none");
        assert_eq!(fault(|config| config.login.public_url = "http://play.example".into()), "login.public_url");
        assert_eq!(fault(|config| config.login.public_url = "https://play.example/x".into()), "login.public_url");
        assert_eq!(fault(|config| config.login.public_url = "https://Play.example".into()), "login.public_url");
        assert_eq!(fault(|config| config.login.public_url = "https://play.example:443".into()), "login.public_url");
        assert_eq!(fault(|config| config.login.return_to.push("game://x".into())), "login.return_to[2]");
        assert_eq!(fault(|config| config.login.encryption_key = "short".into()), "login.encryption_key");
        assert_eq!(fault(|config| config.login.code_sec = 0), "login.code_sec");
        assert_eq!(fault(|config| config.login.client[0].name = "dev".into()), "login.client[0].name");
        assert_eq!(fault(|config| config.login.client[0].entry = "other".into()), "login.client[0].entry");
        assert_eq!(fault(|config| config.login.client[0].issuer = "http://a.example".into()), "login.client[0].issuer");
        assert_eq!(fault(|config| config.login.client[0].scopes.clear()), "login.client[0].scopes");
        let one = |config: &mut Config| config.login.client[0].token_endpoint = "https://issuer.example/token".into();
        assert_eq!(fault(one), "login.client[0].token_endpoint");
        let twice = |config: &mut Config| config.login.client.push(config.login.client[0].clone());
        assert_eq!(fault(twice), "login.client[1].name");
        assert_eq!(judge_login(&good(), false).unwrap_err().path, "login.public_url");
    }
}
