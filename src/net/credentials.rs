//! Who sends a request: credentials by route class (contract/README.md section 7, spec/auth-and-accounts.md section 2).

use super::query::Query;
use crate::{
    config::Secret,
    error::Error,
    features::{Caller, Client, Services, session},
    identity::session::SessionClaims,
};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::{Engine, prelude::BASE64_STANDARD};
use hyper::{
    HeaderMap,
    header::{AUTHORIZATION, HeaderName, HeaderValue},
};

/// `Grpc-Metadata-Authorization`, which Nakama's gateway takes like `Authorization`.
const METADATA: HeaderName = HeaderName::from_static("grpc-metadata-authorization");

/// Checks the server key that every client holds: sign-in and session refresh.
pub(super) fn server_key(headers: &HeaderMap, services: &Services) -> Result<(), Error> {
    let required = || Error::unauthenticated("Server key required");
    let header = match authorization(headers) {
        Given::Once(header) => header,
        Given::Never | Given::Repeatedly => return Err(required()),
    };
    if basic_user(header).is_some_and(|key| is_same(&key, services.config.socket.server_key.expose())) {
        return Ok(());
    }
    Err(Error::unauthenticated("Server key invalid"))
}

/// Checks the key of a service, presented as Bearer token or as Basic user. Each of `keys` is compared: which one fits is not told by
/// the time it takes.
pub(super) fn service_key(headers: &HeaderMap, keys: &[Secret]) -> Result<(), Error> {
    let invalid = || Error::unauthenticated("Service key invalid");
    let header = match authorization(headers) {
        Given::Never => return Err(Error::unauthenticated("Service key required")),
        Given::Repeatedly => return Err(invalid()),
        Given::Once(header) => header,
    };
    let given = bearer(header).map(|key| key.as_bytes().to_vec()).or_else(|| basic_user(header)).ok_or_else(invalid)?;
    let fits = keys.iter().fold(false, |fits, key| is_same(&given, key.expose()) | fits);
    if fits { Ok(()) } else { Err(invalid()) }
}

/// Checks the session token.
pub(super) fn caller(headers: &HeaderMap, client: Client, services: &Services) -> Result<Caller, Error> {
    session(headers, client, services).map(|(caller, _)| caller)
}

/// As [`caller`], with all that the token says.
pub(super) fn session(
    headers: &HeaderMap,
    client: Client,
    services: &Services,
) -> Result<(Caller, SessionClaims), Error> {
    let invalid = || Error::unauthenticated("Auth token invalid");
    match authorization(headers) {
        Given::Never => Err(Error::unauthenticated("Auth token required")),
        Given::Repeatedly => Err(invalid()),
        Given::Once(header) => session::caller(services, client, bearer(header).ok_or_else(invalid)?),
    }
}

/// Checks what RPC asks for: the HTTP key of another server (`None`: no user), or a session token.
pub(super) fn http_key_or_session(
    headers: &HeaderMap,
    query: &Query<'_>,
    client: Client,
    services: &Services,
) -> Result<Option<Caller>, Error> {
    let by_key = |key: &[u8]| match is_same(key, services.config.runtime.http_key.expose()) {
        true => Ok(None),
        false => Err(Error::unauthenticated("HTTP key invalid")),
    };
    if let Some(key) = query.first("http_key").filter(|key| !key.is_empty()) {
        return by_key(key.as_bytes());
    }
    let Some(header) = headers.get(AUTHORIZATION) else {
        return Err(Error::unauthenticated("Auth token or HTTP key required"));
    };
    if let Some(user) = basic_user(header) {
        return by_key(&user);
    }
    let token = bearer(header).ok_or_else(|| Error::unauthenticated("Auth token invalid"))?;
    session::caller(services, client, token).map(|(caller, _)| Some(caller))
}

/// Checks the key of the operator's own servers (`bridge.admin_key`), which must not be empty.
pub(super) fn admin(headers: &HeaderMap, key: &str) -> Result<(), Error> {
    match authorization(headers) {
        Given::Once(header) if bearer(header).is_some_and(|given| is_same(given.as_bytes(), key)) => Ok(()),
        Given::Never => Err(Error::unauthenticated("Admin key required")),
        Given::Once(_) | Given::Repeatedly => Err(Error::unauthenticated("Admin key invalid")),
    }
}

/// The token of a `Bearer` header. The scheme is case-sensitive and followed by one space.
pub(super) fn bearer(header: &HeaderValue) -> Option<&str> {
    header.to_str().ok()?.strip_prefix("Bearer ")
}

enum Given<'a> {
    Never,
    Once(&'a HeaderValue),
    Repeatedly,
}

fn authorization(headers: &HeaderMap) -> Given<'_> {
    let mut given = headers.get_all(AUTHORIZATION).iter().chain(headers.get_all(METADATA));
    match (given.next(), given.next()) {
        (None, _) => Given::Never,
        (Some(header), None) => Given::Once(header),
        (Some(_), Some(_)) => Given::Repeatedly,
    }
}

/// The user name of a `Basic` header: what stands before the first colon, which must be there.
fn basic_user(header: &HeaderValue) -> Option<Vec<u8>> {
    let encoded = header.as_bytes().strip_prefix(b"Basic ")?;
    let mut decoded = BASE64_STANDARD.decode(encoded).ok()?;
    let colon = decoded.iter().position(|&byte| byte == b':')?;
    decoded.truncate(colon);
    Some(decoded)
}

/// Compares in a time that does not tell how much of the key was right.
fn is_same(given: &[u8], key: &str) -> bool {
    verify_slices_are_equal(given, key.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::testing::{USER, World};

    fn headers(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(AUTHORIZATION, HeaderValue::from_str(line).unwrap());
        }
        headers
    }

    fn basic(text: &str) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(text))
    }

    struct Asked(World);

    impl Asked {
        fn new() -> Self {
            Self(World::new())
        }

        fn by_server_key(&self, lines: &[&str]) -> String {
            server_key(&headers(lines), &self.0.services).map_or_else(|error| error.to_string(), |()| "ok".into())
        }

        fn by_session(&self, lines: &[&str]) -> String {
            caller(&headers(lines), Client::default(), &self.0.services)
                .map_or_else(|error| error.to_string(), |caller| caller.username.to_string())
        }

        fn by_rpc(&self, query: &str, lines: &[&str]) -> String {
            let query = Query::lenient(query.as_bytes());
            match http_key_or_session(&headers(lines), &query, Client::default(), &self.0.services) {
                Ok(None) => "nobody".to_owned(),
                Ok(Some(caller)) => caller.username.to_string(),
                Err(error) => error.to_string(),
            }
        }
    }

    #[test]
    fn sign_in_needs_the_server_key() {
        let asked = Asked::new();
        for good in ["defaultkey:", "defaultkey:any", "defaultkey:a:b"] {
            assert_eq!(asked.by_server_key(&[&basic(good)]), "ok", "{good}");
        }
        assert_eq!(asked.by_server_key(&[]), "Server key required");
        assert_eq!(asked.by_server_key(&[&basic("defaultkey:"), &basic("defaultkey:")]), "Server key required");
        let unpadded = basic("defaultkey:").trim_end_matches('=').to_owned();
        let lower = basic("defaultkey:").replace("Basic", "basic");
        let two_spaces = basic("defaultkey:").replace("Basic ", "Basic  ");
        let wrong = [basic("defaultkey"), basic("other:"), basic(":"), unpadded, lower, two_spaces];
        for bad in wrong.iter().map(String::as_str).chain(["", "Basic", "Basic ", "Basic !!", "Bearer good"]) {
            assert_eq!(asked.by_server_key(&[bad]), "Server key invalid", "{bad}");
        }
    }

    #[test]
    fn everything_else_needs_a_session() {
        let asked = Asked::new();
        let token = asked.0.token();
        let good = format!("Bearer {token}");
        assert_eq!(asked.by_session(&[&good]), "player");
        assert_eq!(asked.by_session(&[]), "Auth token required");
        let wrong = [format!("bearer {token}"), format!("Bearer  {token}"), token, basic("defaultkey:")];
        for bad in wrong.iter().map(String::as_str).chain(["Bearer bad", "Bearer", "Bearer ", ""]) {
            assert_eq!(asked.by_session(&[bad]), "Auth token invalid", "{bad}");
        }
        assert_eq!(asked.by_session(&[&good, &good]), "Auth token invalid");
    }

    #[test]
    fn the_gateways_own_header_counts_like_authorization() {
        let world = World::new();
        let bearer = HeaderValue::from_str(&format!("Bearer {}", world.token())).unwrap();
        let mut map = HeaderMap::from_iter([(METADATA, bearer.clone())]);
        let check = |map: &HeaderMap| caller(map, Client::default(), &world.services);
        assert_eq!(check(&map).unwrap().user_id, USER);
        map.insert(AUTHORIZATION, bearer);
        assert_eq!(check(&map).unwrap_err().message(), "Auth token invalid");
    }

    #[test]
    fn rpc_takes_the_http_key_or_a_session() {
        let asked = Asked::new();
        let good = format!("Bearer {}", asked.0.token());
        assert_eq!(asked.by_rpc("", &[]), "Auth token or HTTP key required");
        assert_eq!(asked.by_rpc("http_key=", &[]), "Auth token or HTTP key required");
        assert_eq!(asked.by_rpc("", &[""]), "Auth token invalid");
        assert_eq!(asked.by_rpc("http_key=defaulthttpkey", &["Bearer bad"]), "nobody");
        assert_eq!(asked.by_rpc("http_key=wrong", &[&good]), "HTTP key invalid");
        assert_eq!(asked.by_rpc("", &[&basic("defaulthttpkey:")]), "nobody");
        assert_eq!(asked.by_rpc("", &[&basic("wrong:")]), "HTTP key invalid");
        assert_eq!(asked.by_rpc("", &[&good]), "player");
        assert_eq!(asked.by_rpc("", &["Bearer bad"]), "Auth token invalid");
        assert_eq!(asked.by_rpc("", &["Basic !!"]), "Auth token invalid");
    }
}
