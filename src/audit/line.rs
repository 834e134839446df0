//! Events as JSON objects: `at` (milliseconds since 1970), `event`, then what the event has. What it lacks is left out.

use super::{Event, Target};
use serde_json::Value;
use std::{fmt::Display, net::IpAddr};

pub(super) fn of(unix_millis: i64, event: &Event) -> String {
    let mut line = Line(format!("{{\"at\":{unix_millis}"));
    match event {
        Event::SignIn { user_id, method, entry, tenant, created, address } => {
            line.name("sign_in").text("user_id", user_id).set("method", *method).maybe("entry", entry.as_ref());
            line.maybe("tenant", tenant.as_ref()).set("created", *created).from(*address);
        }
        Event::IdentityRefused { entry, step, address } => {
            line.name("identity_refused").maybe("entry", entry.as_ref()).set("step", *step).from(*address);
        }
        Event::SignInRefused { method, why, address } => {
            line.name("sign_in_refused").set("method", *method).set("why", *why).from(*address);
        }
        Event::RefreshRefused { user_id, why, address } => {
            line.name("refresh_refused").maybe("user_id", user_id.as_ref()).set("why", *why).from(*address);
        }
        Event::Revoked { source, target, entry, reason, sockets } => {
            line.name("revoked").set("source", source.as_str()).target(target).maybe("entry", entry.as_ref());
            line.maybe("reason", reason.as_ref()).set("sockets", *sockets);
        }
        Event::EventToken { entry, kind, outcome, address } => {
            line.name("event_token").maybe("entry", entry.as_ref()).set("kind", *kind);
            line.set("outcome", *outcome).from(*address);
        }
        Event::AdminRefused { address } => {
            line.name("admin_refused").from(*address);
        }
    }
    line.0 + "}"
}

/// A JSON object under way, in the order in which people read it.
struct Line(String);

impl Line {
    /// `name` is a word of ours, `value` may be anybody's.
    fn set(&mut self, name: &'static str, value: impl Into<Value>) -> &mut Self {
        self.0 += &format!(",\"{name}\":{}", value.into());
        self
    }

    fn name(&mut self, name: &'static str) -> &mut Self {
        self.set("event", name)
    }

    fn text(&mut self, name: &'static str, value: &impl Display) -> &mut Self {
        self.set(name, value.to_string())
    }

    fn maybe(&mut self, name: &'static str, value: Option<&impl Display>) -> &mut Self {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    fn from(&mut self, address: Option<IpAddr>) -> &mut Self {
        self.maybe("address", address.as_ref())
    }

    fn target(&mut self, target: &Target) -> &mut Self {
        match target {
            Target::User(user_id) => self.text("user_id", user_id),
            Target::Chain(user_id) => self.text("user_id", user_id).set("only", "chain"),
            Target::Scope(kind, name) => self.set(kind, name.as_str()),
        }
    }
}
