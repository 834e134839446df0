//! What the configuration says about itself: the text of `config.toml` comes from the types, so the two cannot differ.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A configuration section that can describe its keys.
pub trait Documented: Default + Serialize {
    /// What the section is for.
    const ABOUT: &'static str;
    /// Each key with its meaning, in the order in which they are listed.
    const KEYS: &'static [(&'static str, &'static str)];
}

/// A value that must not be printed: its `Debug` shows nothing.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The value itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// The text of `config.toml`: every key with its meaning and default.
pub fn reference() -> String {
    use super::{
        Audit, Bridge, Config, DevProvider, Friend, Hooks, Identity, Limits, Logger, Login, LoginClient, Match,
        Matchmaker, Metrics, Notification, Party, Password, Realtime, Runtime, Session, Socket, Status, Store, Tenancy,
        TrustEntry, Webhook,
    };
    let mut text = String::new();
    comment(&mut text, Config::ABOUT);
    text.push('\n');
    let root = toml::Table::try_from(Config::default()).unwrap_or_default();
    for (key, about) in Config::KEYS {
        if let Some(value) = root.get(*key).filter(|value| !value.is_table()) {
            entry(&mut text, key, about, value);
        }
    }
    section::<Socket>(&mut text, "socket");
    section::<Session>(&mut text, "session");
    section::<Store>(&mut text, "store");
    section::<Identity>(&mut text, "identity");
    example::<TrustEntry>(&mut text, "identity.trust");
    section::<Tenancy>(&mut text, "tenancy");
    section::<DevProvider>(&mut text, "dev_provider");
    section::<Login>(&mut text, "login");
    example::<LoginClient>(&mut text, "login.client");
    section::<Hooks>(&mut text, "hooks");
    example::<Webhook>(&mut text, "hooks.webhook");
    section::<Password>(&mut text, "password");
    section::<Match>(&mut text, "match");
    section::<Realtime>(&mut text, "realtime");
    section::<Status>(&mut text, "status");
    section::<Party>(&mut text, "party");
    section::<Matchmaker>(&mut text, "matchmaker");
    section::<Notification>(&mut text, "notification");
    section::<Friend>(&mut text, "friend");
    section::<Limits>(&mut text, "limits");
    section::<Runtime>(&mut text, "runtime");
    section::<Metrics>(&mut text, "metrics");
    section::<Bridge>(&mut text, "bridge");
    section::<Audit>(&mut text, "audit");
    section::<Logger>(&mut text, "logger");
    text
}

fn section<S: Documented>(text: &mut String, name: &str) {
    text.push_str("\n# ");
    text.push_str(&"-".repeat(100));
    text.push('\n');
    comment(text, S::ABOUT);
    text.push_str(&format!("[{name}]\n"));
    let defaults = toml::Table::try_from(S::default()).unwrap_or_default();
    for (key, about) in S::KEYS {
        // A list of tables has an example of its own below its section.
        if let Some(value) = defaults.get(*key).filter(|_| !about.contains("[[")) {
            entry(text, key, about, value);
        }
    }
}

fn entry(text: &mut String, key: &str, about: &str, default: &toml::Value) {
    comment(text, about);
    text.push_str(&format!("{key} = {default}\n"));
}

/// A list of tables has no default entries: its keys are shown as a commented example.
fn example<S: Documented>(text: &mut String, name: &str) {
    text.push('\n');
    comment(text, S::ABOUT);
    text.push_str(&format!("# [[{name}]]\n"));
    let defaults = toml::Table::try_from(S::default()).unwrap_or_default();
    for (key, about) in S::KEYS {
        for line in about.lines() {
            text.push_str(&format!("#   # {}\n", line.trim()));
        }
        if let Some(value) = defaults.get(*key) {
            text.push_str(&format!("#   {key} = {}\n", inline(value)));
        }
    }
}

/// A value on one line, as a key inside a commented table needs it.
fn inline(value: &toml::Value) -> String {
    match value {
        toml::Value::Table(table) if table.is_empty() => "{}".to_owned(),
        toml::Value::Table(table) => {
            let members: Vec<_> = table.iter().map(|(key, value)| format!("{key} = {}", inline(value))).collect();
            format!("{{ {} }}", members.join(", "))
        }
        other => other.to_string(),
    }
}

fn comment(text: &mut String, about: &str) {
    for line in about.lines() {
        text.push_str(format!("# {}", line.trim()).trim_end());
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_config_toml_is_what_the_types_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config.toml");
        let expected = reference();
        if std::env::var_os("KIZUNA_BLESS").is_some() {
            std::fs::write(path, &expected).expect("config.toml can be written");
        }
        let shipped = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(shipped, expected, "run the test again with KIZUNA_BLESS=1 to write config.toml anew");
    }

    #[test]
    fn every_section_and_every_key_of_it_is_in_the_shipped_config_toml() {
        let shipped: toml::Table = reference().parse().expect("TOML");
        let root = toml::Table::try_from(super::super::Config::default()).expect("a table");
        for (name, value) in &root {
            let here = shipped.get(name).unwrap_or_else(|| panic!("{name} is missing"));
            let Some(section) = value.as_table() else { continue };
            // Lists of tables are shown as commented examples.
            let shown = |key: &&String| !["trust", "client", "webhook"].contains(&key.as_str());
            for key in section.keys().filter(shown) {
                assert!(here.get(key).is_some(), "{name}.{key} is missing");
            }
        }
    }

    #[test]
    fn a_secret_prints_nothing() {
        assert_eq!(format!("{:?}", Secret::from("hunter2")), "[secret]");
    }
}
