//! The route table: every route of contract/http_routes.tsv, in its order, served or not.

use super::{
    call::{Answer, Call},
    own::OWN_ROUTES,
};
use crate::{error::Error, features::Services};
use kizuna_protocol::{code::Code, json::JsonMessage};

/// Where the body of a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// Nowhere: it is not read.
    None,
    /// It is the whole request.
    Whole,
    /// It is this field of the request.
    Field(&'static str),
    /// It is read, if at all, by the function that is called.
    Raw,
}

/// Whose credentials a route asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Auth {
    Nobody,
    ServerKey,
    Session,
    HttpKeyOrSession,
}

/// Decodes the request, checks the credentials, starts the operation: in this order.
type Run = for<'s> fn(&'s Services, &mut Call<'_>, &'static Route) -> Result<Answer<'s>, Error>;

/// One row of the table.
pub(super) struct Route {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) rpc: &'static str,
    pub(super) auth: Auth,
    pub(super) body: Body,
    /// Whether a field of the request may come from the query.
    pub(super) has_query: bool,
    /// Full protobuf name of the request.
    #[cfg(test)]
    pub(super) request: &'static str,
    /// Full protobuf name of the answer.
    #[cfg(test)]
    pub(super) response: &'static str,
    pub(super) is_served: bool,
    pub(super) run: Run,
}

impl Route {
    /// Whether the route is one of the typed ones; the others (`/`, `/ws`, RPC) are recognised by `matching`.
    pub(super) fn is_api(&self) -> bool {
        self.auth != Auth::HttpKeyOrSession && self.rpc != "-"
    }
}

/// The routes that are served, Nakama's and then our own: method, path, and name ("-" where there is none).
pub fn served() -> Vec<(&'static str, &'static str, &'static str)> {
    let nakamas = ROUTES.iter().filter(|route| route.is_served).map(|route| (route.method, route.path, route.rpc));
    nakamas.chain(OWN_ROUTES.iter().map(|route| (route.method, route.path, route.name))).collect()
}

/// Rows: METHOD "path" Rpc: auth body query Request => Response, operation. Body is `none`, `whole` or `(field)`; query is
/// `query` or `_`; the operation is `later`, or `(path::to::it)`: an async fn of services, caller or client, and request.
macro_rules! routes {
    ($($method:ident $path:literal $rpc:ident: $auth:ident $body:tt $query:tt $request:ident => $response:ident, $run:tt;)*) => {
        [$(Route {
            method: stringify!($method),
            path: $path,
            rpc: stringify!($rpc),
            auth: auth!($auth),
            body: body!($body),
            has_query: has_query!($query),
            #[cfg(test)]
            request: name!($request),
            #[cfg(test)]
            response: name!($response),
            is_served: is_served!($run),
            run: |services, call, route| run!($run $auth, $request $body $response, services call route),
        },)*
        special("POST", "/v2/rpc/{id}", "RpcFunc", Auth::HttpKeyOrSession, Body::Raw),
        special("GET", "/v2/rpc/{id}", "RpcFunc", Auth::HttpKeyOrSession, Body::None),
        special("GET", "/", "-", Auth::Nobody, Body::None),
        special("GET", "/ws", "-", Auth::Session, Body::None)]
    };
}

/// A row that has code of its own.
const fn special(method: &'static str, path: &'static str, rpc: &'static str, auth: Auth, body: Body) -> Route {
    let run: Run = |_, _, route| Err(not_served(route));
    Route {
        method,
        path,
        rpc,
        auth,
        body,
        has_query: true,
        #[cfg(test)]
        request: "-",
        #[cfg(test)]
        response: "-",
        is_served: true,
        run,
    }
}

macro_rules! auth {
    (nobody) => {
        Auth::Nobody
    };
    (server_key) => {
        Auth::ServerKey
    };
    (session) => {
        Auth::Session
    };
}
macro_rules! body {
    (none) => {
        Body::None
    };
    (whole) => {
        Body::Whole
    };
    (($field:ident)) => {
        Body::Field(stringify!($field))
    };
}
macro_rules! has_query {
    (query) => {
        true
    };
    (_) => {
        false
    };
}
#[cfg(test)]
macro_rules! name {
    (Empty) => {
        "google.protobuf.Empty"
    };
    ($message:ident) => {
        <api::$message as JsonMessage>::NAME
    };
}
macro_rules! is_served {
    (later) => {
        false
    };
    ($run:tt) => {
        true
    };
}
macro_rules! decode {
    ($request:ident none, $call:ident $route:ident) => {
        $call.fields::<api::$request>($route, None)?
    };
    ($request:ident whole, $call:ident $route:ident) => {
        $call.whole::<api::$request>($route)?
    };
    ($request:ident ($field:ident), $call:ident $route:ident) => {{
        let field = $call.body()?;
        let mut request: api::$request = $call.fields($route, Some(stringify!($field)))?;
        request.$field = Some(field);
        request
    }};
}
macro_rules! caller {
    (nobody, $call:ident, $services:ident) => {
        $call.client
    };
    (server_key, $call:ident, $services:ident) => {
        $call.server_key($services)?
    };
    (session, $call:ident, $services:ident) => {
        $call.session($services)?
    };
}
macro_rules! run {
    (later $auth:ident, Empty none $response:ident, $services:ident $call:ident $route:ident) => {{
        let _caller = caller!($auth, $call, $services);
        Err(not_served($route))
    }};
    (later $auth:ident, $request:ident $body:tt $response:ident, $services:ident $call:ident $route:ident) => {{
        let _request = decode!($request $body, $call $route);
        let _caller = caller!($auth, $call, $services);
        Err(not_served($route))
    }};
    (($operation:path) $auth:ident, Empty none $response:ident, $services:ident $call:ident $route:ident) => {{
        let _ = $route.rpc;
        let caller = caller!($auth, $call, $services);
        Ok(Box::pin(async move { $operation($services, &caller).await.map(|answer| json!($response, answer)) }))
    }};
    (($operation:path) $auth:ident, $request:ident $body:tt $response:ident, $services:ident $call:ident $route:ident) => {{
        let request = decode!($request $body, $call $route);
        let caller = caller!($auth, $call, $services);
        Ok(Box::pin(async move { $operation($services, &caller, request).await.map(|answer| json!($response, answer)) }))
    }};
}
macro_rules! json {
    (Empty, $answer:ident) => {{
        let () = $answer;
        b"{}".to_vec()
    }};
    ($response:ident, $answer:ident) => {
        json(&$answer)
    };
}

fn json(answer: &impl JsonMessage) -> Vec<u8> {
    let mut text = Vec::with_capacity(512);
    answer.write_json(&mut text);
    text
}

fn not_served(route: &Route) -> Error {
    Error::new(Code::Unimplemented, format!("{} is not served yet.", route.rpc))
}

mod table;
pub(super) use table::ROUTES;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_contracts() {
        let auth = |route: &Route| match route.auth {
            Auth::Nobody => "none",
            Auth::ServerKey => "server_key",
            Auth::Session => "session",
            Auth::HttpKeyOrSession => "http_key|session",
        };
        let body = |route: &Route| match route.body {
            Body::None => "none",
            Body::Whole => "*",
            Body::Field(field) => field,
            Body::Raw => "raw",
        };
        let contract = include_str!("../../tests/contract/http_routes.tsv");
        let mut rows = contract.lines().skip(1).map(|line| line.split('\t').collect::<Vec<_>>());
        for route in ROUTES {
            let row = rows.next().unwrap();
            let ours = [route.method, route.path, route.rpc, body(route), auth(route)];
            assert_eq!(ours, [row[0], row[1], row[2], row[5], row[8]]);
            if route.is_api() {
                assert_eq!([route.request, route.response], [row[6], row[7]], "{}", route.rpc);
                assert_eq!(route.has_query, row[4] != "-", "{}", route.rpc);
            }
        }
        assert_eq!(rows.next(), None, "a route is missing");
    }

    #[test]
    fn the_readme_lists_what_is_served() {
        const MARKS: [&str; 2] = ["<!-- served:begin -->\n", "<!-- served:end -->"];
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
        let readme = std::fs::read_to_string(path).unwrap();
        let (before, rest) = readme.split_once(MARKS[0]).expect("the first mark");
        let (table, after) = rest.split_once(MARKS[1]).expect("the second mark");
        let mut expected = "| Method | Path | RPC |\n| --- | --- | --- |\n".to_owned();
        for (method, path, rpc) in served() {
            let rpc = if rpc == "-" { String::new() } else { format!("{rpc} ") };
            expected.push_str(&format!("| {method} | `{path}` | {rpc}|\n"));
        }
        if std::env::var_os("KIZUNA_BLESS").is_some() {
            std::fs::write(path, [before, MARKS[0], &expected, MARKS[1], after].concat()).unwrap();
        } else {
            assert_eq!(table, expected, "run this test with KIZUNA_BLESS=1 to write the table anew");
        }
    }
}
