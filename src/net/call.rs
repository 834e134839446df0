//! From a request's parts to the typed request of its route (contract/README.md section 5).

use super::{
    credentials,
    matching::parameters,
    query::{Query, set_text},
    routes::Route,
};
use crate::{
    error::Error,
    features::{Caller, Client, Services},
};
use hyper::HeaderMap;
use kizuna_protocol::json::{JsonMessage, Unknown};
use std::{future::Future, pin::Pin};
use uuid::Uuid;

/// An operation under way: the JSON text of its answer.
pub(super) type Answer<'s> = Pin<Box<dyn Future<Output = Result<Vec<u8>, Error>> + Send + 's>>;

/// A request whose route is known.
pub(super) struct Call<'a> {
    pub(super) headers: &'a HeaderMap,
    /// The path, decoded.
    pub(super) path: &'a str,
    /// The query string as it came.
    pub(super) query: Option<&'a str>,
    /// The body, where the route reads one as JSON.
    pub(super) body: &'a [u8],
    /// The body, where it is a form that stands for a query.
    pub(super) form: &'a [u8],
    pub(super) client: Client,
    /// Who it turned out to be; for the log.
    pub(super) user: Option<Uuid>,
}

impl Call<'_> {
    /// The whole body as `M`; what the path says goes before what the body says. The query is not looked at.
    pub(super) fn whole<M: JsonMessage>(&self, route: &'static Route) -> Result<M, Error> {
        let mut message = self.body()?;
        self.set_parameters(route, &mut message)?;
        Ok(message)
    }

    /// The body as one field of the request.
    pub(super) fn body<M: JsonMessage>(&self) -> Result<M, Error> {
        M::read_json(self.body, Unknown::Ignore).map_err(|error| Error::invalid_argument(error.to_string()))
    }

    /// `M` from path and query; the field called `body_field` comes from elsewhere.
    pub(super) fn fields<M: JsonMessage>(&self, route: &'static Route, body_field: Option<&str>) -> Result<M, Error> {
        let mut message = M::default();
        if route.has_query {
            let mut query = Query::parse(self.form)?;
            query.extend(self.query.unwrap_or_default().as_bytes())?;
            let is_taken = |name: &str| {
                body_field.is_some_and(|field| is_same_name(name, field))
                    || parameters(route, self.path).any(|(parameter, _)| is_same_name(name, parameter))
            };
            query.apply(&mut message, is_taken)?;
        }
        self.set_parameters(route, &mut message)?;
        Ok(message)
    }

    fn set_parameters<M: JsonMessage>(&self, route: &'static Route, message: &mut M) -> Result<(), Error> {
        for (name, value) in parameters(route, self.path) {
            set_text(message, name, &[value])?;
        }
        Ok(())
    }

    /// Checks the server key, and answers whom the network sees.
    pub(super) fn server_key(&self, services: &Services) -> Result<Client, Error> {
        credentials::server_key(self.headers, services)?;
        Ok(self.client)
    }

    /// Checks the session token, and answers whose it is.
    pub(super) fn session(&mut self, services: &Services) -> Result<Caller, Error> {
        let caller = credentials::caller(self.headers, self.client, services)?;
        self.user = Some(caller.user_id);
        Ok(caller)
    }
}

/// Whether `name` is `field` (which is snake_case) in either spelling.
fn is_same_name(name: &str, field: &str) -> bool {
    let mut rest = name.chars();
    let mut follows_underscore = false;
    let is_camel = field.chars().all(|c| {
        if c == '_' {
            follows_underscore = true;
            return true;
        }
        let expected = if std::mem::take(&mut follows_underscore) { c.to_ascii_uppercase() } else { c };
        rest.next() == Some(expected)
    }) && rest.next().is_none();
    is_camel || name == field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_in_two_spellings() {
        assert!(is_same_name("group_id", "group_id") && is_same_name("groupId", "group_id"));
        assert!(!is_same_name("groupid", "group_id") && !is_same_name("groupIds", "group_id"));
        assert!(is_same_name("account", "account") && !is_same_name("accoun", "account"));
    }
}
