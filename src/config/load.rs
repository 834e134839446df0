//! From a file, the environment and the command line to one judged [`Config`].

use super::{
    AccountId, BackchannelLogout, Config, Documented, Secret, Signing, login_rules::judge_login,
    realtime_rules::judge_realtime, trust_rules::judge_trust,
};
use std::{collections::BTreeMap, net::IpAddr, path::Path};

/// Why the configuration cannot be used. `Display` names the key's path and what is allowed.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {what}")]
pub struct ConfigError {
    /// The key, such as `socket.port`, or the file.
    pub path: String,
    /// What is wrong, and what is allowed.
    pub what: String,
}

impl ConfigError {
    pub(crate) fn new(path: impl Into<String>, what: impl Into<String>) -> Self {
        Self { path: path.into(), what: what.into() }
    }
}

/// What the command line says; it wins over file and environment.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--data-dir`.
    pub data_dir: Option<std::path::PathBuf>,
    /// `--http ADDRESS:PORT`.
    pub http: Option<std::net::SocketAddr>,
    /// `--metrics ADDRESS:PORT`.
    pub metrics: Option<std::net::SocketAddr>,
}

const PREFIX: &str = "KIZUNA_";
/// Variables with that prefix that are no keys: the command's own `--config`, and those of tests and scripts.
const NO_KEYS: [&str; 5] = ["CONFIG", "BLESS", "BIN", "FUZZ_SECONDS", "FUZZ_SEED"];

impl Config {
    /// Reads `file` (if any), lays `environment` and `overrides` over it, and judges the whole.
    ///
    /// # Errors
    /// An unreadable file, an unknown key, a value of the wrong type or out of its bounds.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        overrides: &Overrides,
    ) -> Result<Self, ConfigError> {
        let mut table = match file {
            Some(path) => read(path)?,
            None => toml::Table::new(),
        };
        lay_over(&mut table, environment)?;
        let mut config: Self = serde_path_to_error::deserialize(toml::Value::Table(table)).map_err(|error| {
            ConfigError::new(error.path().to_string(), error.into_inner().to_string().trim().to_owned())
        })?;
        config.apply(overrides);
        config.validate()?;
        Ok(config)
    }

    fn apply(&mut self, overrides: &Overrides) {
        if let Some(dir) = &overrides.data_dir {
            self.data_dir.clone_from(dir);
        }
        if let Some(http) = overrides.http {
            self.socket.address = http.ip().to_string();
            self.socket.port = http.port();
        }
        if let Some(metrics) = overrides.metrics {
            self.metrics.address = metrics.ip().to_string();
            self.metrics.port = metrics.port();
            self.metrics.enabled = true;
        }
    }

    /// Judges the bounds of single keys, and the rules that tie keys together.
    ///
    /// # Errors
    /// The first key that breaks one.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check((1..=16).contains(&self.name.len()), "name", "1 to 16 characters")?;
        let socket = address("socket.address", &self.socket.address)?;
        address("metrics.address", &self.metrics.address)?;
        let provider = address("dev_provider.address", &self.dev_provider.address)?;
        check(
            (8_192..=1 << 20).contains(&self.socket.max_header_size_bytes),
            "socket.max_header_size_bytes",
            "8192 to 1048576",
        )?;
        for (value, path) in [
            (self.socket.max_connections, "socket.max_connections"),
            (self.socket.max_requests_in_flight, "socket.max_requests_in_flight"),
            (self.socket.max_request_size_bytes, "socket.max_request_size_bytes"),
            (self.socket.max_message_size_bytes, "socket.max_message_size_bytes"),
            (self.socket.outgoing_queue_size, "socket.outgoing_queue_size"),
            (self.socket.outgoing_queue_bytes, "socket.outgoing_queue_bytes"),
            (self.socket.max_sign_in_addresses, "socket.max_sign_in_addresses"),
            (self.socket.max_sockets_per_user, "socket.max_sockets_per_user"),
            (self.socket.write_buffer_size_bytes, "socket.write_buffer_size_bytes"),
            (self.store.read_connections, "store.read_connections"),
            (self.store.write_queue_size, "store.write_queue_size"),
            (self.store.group_commit_size, "store.group_commit_size"),
            (self.identity.max_token_bytes, "identity.max_token_bytes"),
            (self.identity.max_verifications, "identity.max_verifications"),
            (self.identity.max_replay_tokens, "identity.max_replay_tokens"),
            (self.identity.jwks_max_bytes, "identity.jwks_max_bytes"),
            (self.identity.jwks_max_keys, "identity.jwks_max_keys"),
            (self.password.queue_size, "password.queue_size"),
            (self.audit.queue_size, "audit.queue_size"),
            (self.session.max_tickets, "session.max_tickets"),
            (self.session.max_tickets_per_user, "session.max_tickets_per_user"),
            (self.r#match.max_per_session, "match.max_per_session"),
            (self.r#match.max_size, "match.max_size"),
        ] {
            check(value >= 1, path, "1 or more")?;
        }
        check(self.socket.threads <= 1_024, "socket.threads", "0 to 1024")?;
        check(self.socket.request_nice <= 19, "socket.request_nice", "0 to 19")?;
        check(self.socket.read_buffer_size_bytes >= 256, "socket.read_buffer_size_bytes", "256 or more")?;
        for (value, path) in [
            (self.socket.ping_period_ms, "socket.ping_period_ms"),
            (u64::from(self.socket.ping_backoff_threshold), "socket.ping_backoff_threshold"),
            (self.socket.read_timeout_ms, "socket.read_timeout_ms"),
            (self.socket.idle_timeout_ms, "socket.idle_timeout_ms"),
            (self.socket.request_timeout_ms, "socket.request_timeout_ms"),
            (self.socket.write_wait_ms, "socket.write_wait_ms"),
            (self.socket.close_ack_wait_ms, "socket.close_ack_wait_ms"),
        ] {
            check(value >= 1, path, "1 or more")?;
        }
        let rate = self.socket.sign_ins_per_address_per_min;
        check(rate <= 60_000_000, "socket.sign_ins_per_address_per_min", "0 to 60000000")?;
        check(self.socket.sign_in_burst >= 1, "socket.sign_in_burst", "1 or more")?;
        check(is_plain_name(&self.store.file), "store.file", "the name of a file in data_dir, without a path")?;
        let audit = &self.audit;
        check(
            is_plain_name(&audit.file) && audit.file != self.store.file,
            "audit.file",
            "the name of a file of its own in data_dir, without a path",
        )?;
        check(audit.max_bytes >= 1, "audit.max_bytes", "1 or more")?;
        check(audit.keep_files <= 1_000, "audit.keep_files", "0 to 1000")?;
        let admin_key = self.bridge.admin_key.expose();
        check(
            admin_key.is_empty() || admin_key.len() >= 16,
            "bridge.admin_key",
            "16 characters or more, or none at all (try: openssl rand -hex 32)",
        )?;
        check(
            self.socket.ping_period_ms < self.socket.pong_wait_ms,
            "socket.ping_period_ms",
            "less than socket.pong_wait_ms",
        )?;
        for (index, header) in self.socket.response_headers.iter().enumerate() {
            let path = format!("socket.response_headers[{index}]");
            let parsed = header.split_once(':').map(|(name, value)| {
                (name.trim().parse::<hyper::header::HeaderName>(), value.trim().parse::<hyper::header::HeaderValue>())
            });
            check(matches!(parsed, Some((Ok(_), Ok(_)))), &path, "a header as \"Name: value\"")?;
        }
        self.validate_session()?;
        check((10..=15).contains(&self.password.bcrypt_cost), "password.bcrypt_cost", "10 to 15")?;
        let levels = ["error", "warn", "info", "debug", "trace"];
        check(levels.contains(&self.logger.level.as_str()), "logger.level", "error, warn, info, debug or trace")?;
        check(["text", "json"].contains(&self.logger.format.as_str()), "logger.format", "text or json")?;
        self.validate_trust()?;
        self.validate_hooks()?;
        judge_login(self, socket.is_loopback())?;
        judge_realtime(self)?;
        self.validate_exposure(socket, provider)
    }

    fn validate_session(&self) -> Result<(), ConfigError> {
        let session = &self.session;
        check(!self.socket.server_key.expose().is_empty(), "socket.server_key", "not empty")?;
        check(!self.runtime.http_key.expose().is_empty(), "runtime.http_key", "not empty")?;
        for (key, path) in self.signing_keys() {
            check(!key.expose().is_empty(), path, "not empty")?;
        }
        let kinds = [
            std::iter::once(&session.encryption_key).chain(&session.previous_encryption_keys).collect::<Vec<_>>(),
            std::iter::once(&session.refresh_encryption_key).chain(&session.previous_refresh_encryption_keys).collect(),
        ];
        check(
            !kinds[0].iter().any(|key| kinds[1].contains(key)),
            "session.refresh_encryption_key",
            "other keys than those of session tokens: the key is what tells the two kinds apart",
        )?;
        let seconds = 1..=10 * 365 * 86_400;
        check(seconds.contains(&session.token_expiry_sec), "session.token_expiry_sec", "1 second to 10 years")?;
        check(
            seconds.contains(&session.refresh_token_expiry_sec),
            "session.refresh_token_expiry_sec",
            "1 second to 10 years",
        )?;
        check(session.refresh_grace_sec <= 86_400, "session.refresh_grace_sec", "0 to 86400")?;
        let is_hmac = session.signing == Signing::HS256;
        let keys = &session.signing_keys;
        check(!is_hmac || keys.is_empty(), "session.signing_keys", "an empty list while session.signing is \"HS256\"")?;
        check(keys.len() <= 16, "session.signing_keys", "at most 16 keys")?;
        check(!is_hmac || session.accept_hs256, "session.accept_hs256", "true while session.signing is \"HS256\"")?;
        let long = session.introspection_keys.iter().all(|key| key.expose().len() >= 16);
        check(long, "session.introspection_keys", "keys of 16 bytes or more")?;
        for (name, path) in [(&session.issuer, "session.issuer"), (&session.audience, "session.audience")] {
            let short = name.len() <= 256 && !name.chars().any(char::is_control);
            check(short, path, "at most 256 bytes without control characters: it stands in every session token")?;
        }
        check(session.max_token_bytes >= 1_024, "session.max_token_bytes", "1024 or more")?;
        check(session.max_refresh_chains >= 1, "session.max_refresh_chains", "1 or more")?;
        check(session.max_chain_sec <= *seconds.end(), "session.max_chain_sec", "0 to 315360000")?;
        check((1..=3_600).contains(&session.ticket_expiry_sec), "session.ticket_expiry_sec", "1 to 3600")?;
        check(!session.single_match || session.single_socket, "session.single_match", "true only with single_socket")?;
        check(!session.single_party || session.single_socket, "session.single_party", "true only with single_socket")
    }

    fn validate_trust(&self) -> Result<(), ConfigError> {
        let identity = &self.identity;
        check((1..=3_600).contains(&identity.replay_window_sec), "identity.replay_window_sec", "1 to 3600")?;
        check(identity.jwks_refresh_sec >= 1, "identity.jwks_refresh_sec", "1 or more")?;
        check(identity.jwks_timeout_ms >= 1, "identity.jwks_timeout_ms", "1 or more")?;
        check(identity.max_vars_bytes >= 1, "identity.max_vars_bytes", "1 or more")?;
        check((1..=86_400).contains(&identity.nonce_lifetime_sec), "identity.nonce_lifetime_sec", "1 to 86400")?;
        check(identity.max_used_nonces >= 1, "identity.max_used_nonces", "1 or more")?;
        check(
            identity.jwks_max_age_sec >= identity.jwks_refresh_sec,
            "identity.jwks_max_age_sec",
            "identity.jwks_refresh_sec or more",
        )?;
        check((60..=30 * 86_400).contains(&identity.event_max_age_sec), "identity.event_max_age_sec", "60 to 2592000")?;
        for (index, entry) in identity.trust.iter().enumerate() {
            check(
                entry.backchannel_logout == BackchannelLogout::Off || !entry.audience.any_of.is_empty(),
                &format!("identity.trust[{index}].backchannel_logout"),
                "\"off\" while audience.any_of is empty: log-out tokens are for one of these clients",
            )?;
        }
        judge_trust(&identity.trust, identity.jwks_allow_loopback_http)?;
        for (index, entry) in identity.trust.iter().enumerate() {
            let named = !self.tenancy.enabled || !entry.tenant.is_none();
            check(
                named,
                &format!("identity.trust[{index}].tenant"),
                "a rule in every entry, since tenancy.enabled is true",
            )?;
        }
        let bare = self.identity.trust.iter().any(|entry| entry.account_id == AccountId::Sub);
        check(
            !(bare && self.dev_provider.enabled),
            "dev_provider.enabled",
            "false while an entry of identity.trust has account_id = \"sub\" (its default): the development provider is another \
             issuer, and its subjects must not be the same account ids",
        )
    }

    fn validate_hooks(&self) -> Result<(), ConfigError> {
        for (index, hook) in self.hooks.webhook.iter().enumerate() {
            check(
                !hook.name.is_empty() && hook.name != "bridge",
                &format!("hooks.webhook[{index}].name"),
                "a name of its own",
            )?;
            check(hook.max_attempts >= 1, &format!("hooks.webhook[{index}].max_attempts"), "1 or more")?;
        }
        let hooks = &self.hooks;
        check((1..=60_000).contains(&hooks.realtime_timeout_ms), "hooks.realtime_timeout_ms", "1 to 60000")?;
        check(hooks.realtime_queue_size >= 1, "hooks.realtime_queue_size", "1 or more")?;
        check(hooks.realtime_queue_bytes >= 1, "hooks.realtime_queue_bytes", "1 or more")?;
        let bridged = self.hooks.before.iter().any(|name| name == "bridge");
        let trusts = !self.identity.trust.is_empty() || self.dev_provider.enabled;
        check(bridged || !trusts, "hooks.before", "a list with \"bridge\" in it, since somebody is trusted")
    }

    /// Every key under which tokens are believed, those of earlier times too, with its path.
    fn signing_keys(&self) -> impl Iterator<Item = (&Secret, &'static str)> {
        let session = &self.session;
        let now = [
            (&session.encryption_key, "session.encryption_key"),
            (&session.refresh_encryption_key, "session.refresh_encryption_key"),
        ];
        let earlier = session.previous_encryption_keys.iter().map(|key| (key, "session.previous_encryption_keys"));
        let refresh = session.previous_refresh_encryption_keys.iter();
        let earlier = earlier.chain(refresh.map(|key| (key, "session.previous_refresh_encryption_keys")));
        now.into_iter().chain(earlier)
    }

    /// What must not be reachable from outside with the keys that everybody knows.
    fn validate_exposure(&self, socket: IpAddr, provider: IpAddr) -> Result<(), ConfigError> {
        if self.dev_provider.enabled {
            check(
                provider.is_loopback(),
                "dev_provider.address",
                "a loopback address, such as 127.0.0.1: it signs in anybody",
            )?;
            check(
                socket.is_loopback(),
                "dev_provider.enabled",
                "false while socket.address is not a loopback address: it signs in anybody",
            )?;
        }
        let defaults = Self::default();
        let defaults_of_tokens = [&defaults.session.encryption_key, &defaults.session.refresh_encryption_key];
        let of_tokens = self.signing_keys().map(|(key, path)| (!defaults_of_tokens.contains(&key), path));
        let own = [
            (self.socket.server_key != defaults.socket.server_key, "socket.server_key"),
            (self.runtime.http_key != defaults.runtime.http_key, "runtime.http_key"),
        ];
        for (is_own, path) in own.into_iter().chain(of_tokens) {
            check(
                socket.is_loopback() || is_own,
                path,
                "a key of your own while socket.address is not a loopback address: everybody knows the default \
                 (try: openssl rand -hex 32)",
            )?;
        }
        Ok(())
    }
}

pub(super) fn check(holds: bool, path: &str, allowed: &str) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::new(path, format!("allowed is {allowed}"))) }
}

fn is_plain_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\\', '\0'])
}

fn address(path: &str, value: &str) -> Result<IpAddr, ConfigError> {
    value.parse().map_err(|_| ConfigError::new(path, format!("allowed is an IP address; {value:?} is none")))
}

fn read(path: &Path) -> Result<toml::Table, ConfigError> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::new(&shown, error.to_string()))?;
    text.parse().map_err(|error: toml::de::Error| ConfigError::new(shown, error.to_string()))
}

/// `KIZUNA_SOCKET_PORT` is `port` in `[socket]`, `KIZUNA_DATA_DIR` is `data_dir`.
fn lay_over(table: &mut toml::Table, environment: impl Iterator<Item = (String, String)>) -> Result<(), ConfigError> {
    let known = keys();
    for (name, text) in environment {
        let Some(rest) = name.strip_prefix(PREFIX).filter(|rest| !NO_KEYS.contains(rest)) else {
            continue;
        };
        let Some((section, key, default)) = known.get(rest) else {
            return Err(ConfigError::new(name, "is no key; config.toml lists all of them"));
        };
        let value = value_of(&name, &text, default)?;
        let target = match section {
            Some(section) => table
                .entry(section.clone())
                .or_insert_with(|| toml::Value::Table(toml::Table::new()))
                .as_table_mut()
                .ok_or_else(|| ConfigError::new(section.clone(), "allowed is a section"))?,
            None => &mut *table,
        };
        target.insert(key.clone(), value);
    }
    Ok(())
}

/// A key by its name in the environment: its section, its name in `config.toml`, and its default.
type Keys = BTreeMap<String, (Option<String>, String, toml::Value)>;

/// Every key of every section.
fn keys() -> Keys {
    let mut keys = Keys::new();
    let root = toml::Table::try_from(Config::default()).unwrap_or_default();
    debug_assert_eq!(root.len(), Config::KEYS.len(), "every key has a default that TOML can hold");
    for (name, value) in root {
        if let toml::Value::Table(section) = value {
            for (key, default) in section {
                let shouted = format!("{name}_{key}").to_uppercase();
                keys.insert(shouted, (Some(name.clone()), key, default));
            }
        } else {
            keys.insert(name.to_uppercase(), (None, name, value));
        }
    }
    keys
}

/// A text stays text where the key holds text; all else is written as in TOML.
fn value_of(name: &str, text: &str, default: &toml::Value) -> Result<toml::Value, ConfigError> {
    if default.is_str() {
        return Ok(toml::Value::String(text.to_owned()));
    }
    let parsed: Result<toml::Table, _> = format!("value = {text}").parse();
    parsed
        .ok()
        .and_then(|mut table| table.remove("value"))
        .ok_or_else(|| ConfigError::new(name, format!("allowed is a value like {default}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("config.toml");
        std::fs::write(&path, text).expect("written");
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Config::load(Some(&path), environment, &Overrides::default())
    }

    #[test]
    fn the_defaults_are_in_order() {
        Config::default().validate().expect("the shipped configuration starts");
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let config = from("[socket]\nport = 1\n", &[("KIZUNA_SOCKET_PORT", "2"), ("KIZUNA_NAME", "n1")]).expect("good");
        assert_eq!((config.socket.port, config.name.as_str()), (2, "n1"));
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_path_and_what_is_allowed() {
        let error = from("[socket]\nprot = 1\n", &[]).expect_err("no such key");
        assert_eq!(error.path, "socket.prot");
        assert!(error.what.contains("`port`"), "{error}");
        let error = from("", &[("KIZUNA_SOCKET_PROT", "1")]).expect_err("no such key");
        assert_eq!(error.path, "KIZUNA_SOCKET_PROT");
    }

    #[test]
    fn a_value_out_of_bounds_is_refused_with_its_path_and_what_is_allowed() {
        let error = from("[password]\nbcrypt_cost = 4\n", &[]).expect_err("too cheap");
        assert_eq!(error.to_string(), "password.bcrypt_cost: allowed is 10 to 15");
        let error = from("[socket]\nport = \"x\"\n", &[]).expect_err("no number");
        assert_eq!(error.path, "socket.port");
        let error = from("[socket]\nrequest_nice = 20\n", &[]).expect_err("more than the system has");
        assert_eq!(error.to_string(), "socket.request_nice: allowed is 0 to 19");
        let error = from("[socket]\nthreads = 1025\n", &[]).expect_err("too many");
        assert_eq!(error.to_string(), "socket.threads: allowed is 0 to 1024");
    }

    #[test]
    fn the_names_in_session_tokens_are_short() {
        for key in ["issuer", "audience"] {
            from(&format!("[session]\n{key} = \"https://game.example\"\n"), &[]).expect("a name");
            let error = from(&format!("[session]\n{key} = \"{}\"\n", "x".repeat(257)), &[]).expect_err("too long");
            assert_eq!(error.path, format!("session.{key}"));
        }
    }

    #[test]
    fn default_keys_are_refused_on_an_address_that_others_reach() {
        let error = from("[socket]\naddress = \"0.0.0.0\"\n[dev_provider]\nenabled = false\n", &[]).expect_err("open");
        assert_eq!(error.path, "socket.server_key");
        assert!(error.what.contains("openssl rand"), "names the fix: {error}");
    }

    #[test]
    fn earlier_keys_are_judged_as_the_current_ones() {
        let outside = "[socket]\naddress = \"0.0.0.0\"\nserver_key = \"s\"\n[runtime]\nhttp_key = \"h\"\n\
            [dev_provider]\nenabled = false\n[session]\nencryption_key = \"a\"\nrefresh_encryption_key = \"b\"\n";
        from(outside, &[]).expect("keys of one's own");
        for kind in ["previous_encryption_keys", "previous_refresh_encryption_keys"] {
            for default in ["defaultencryptionkey", "defaultrefreshencryptionkey"] {
                let error =
                    from(&format!("{outside}{kind} = [\"c\", \"{default}\"]\n"), &[]).expect_err("known to all");
                assert_eq!(error.path, format!("session.{kind}"));
            }
            let error = from(&format!("[session]\n{kind} = [\"\"]\n"), &[]).expect_err("empty");
            assert_eq!(error.to_string(), format!("session.{kind}: allowed is not empty"));
        }
    }

    #[test]
    fn what_makes_no_sense_at_zero_is_refused() {
        for key in [
            "ping_backoff_threshold",
            "read_timeout_ms",
            "idle_timeout_ms",
            "request_timeout_ms",
            "write_wait_ms",
            "close_ack_wait_ms",
            "write_buffer_size_bytes",
        ] {
            let error = from(&format!("[socket]\n{key} = 0\n"), &[]).expect_err("zero");
            assert_eq!(error.path, format!("socket.{key}"));
        }
        for file in ["", ".", "..", "../x", "a/b", "/x"] {
            assert_eq!(from(&format!("[store]\nfile = \"{file}\"\n"), &[]).expect_err("a path").path, "store.file");
        }
    }

    #[test]
    fn the_development_provider_is_refused_off_loopback() {
        let error = from("[dev_provider]\naddress = \"0.0.0.0\"\n", &[]).expect_err("open to all");
        assert_eq!(error.path, "dev_provider.address");
        let error = from("[socket]\naddress = \"0.0.0.0\"\n", &[]).expect_err("open to all");
        assert_eq!(error.path, "dev_provider.enabled");
    }

    #[test]
    fn trust_entries_that_could_give_one_account_id_are_refused() {
        let entry = |name: &str| {
            format!(
                "[[identity.trust]]\nname = \"{name}\"\nissuers = [\"https://{name}\"]\naudience.any_of = [\"game\"]\n\
                 token_type.any = true\n"
            )
        };
        let off = "[dev_provider]\nenabled = false\n";
        let error = from(&format!("{off}{}{}", entry("a"), entry("b")), &[]).expect_err("two bare subjects");
        assert_eq!(error.path, "identity.trust.account_id");
        let error = from(&entry("a"), &[]).expect_err("a bare subject beside the development provider");
        assert_eq!(error.path, "dev_provider.enabled");
        from(&format!("{off}{}", entry("a")), &[]).expect("one issuer");
    }

    #[test]
    fn with_tenants_every_trust_entry_says_where_the_tenant_is() {
        let text = "[dev_provider]\nenabled = false\n[tenancy]\nenabled = true\n[[identity.trust]]\nname = \"a\"\n\
                    issuers = [\"https://a\"]\naudience.any_of = [\"game\"]\ntoken_type.any = true\n";
        assert_eq!(from(text, &[]).expect_err("no tenant").path, "identity.trust[0].tenant");
        from(&format!("{text}tenant.value = \"acme\"\n"), &[]).expect("one tenant for all");
    }
}
