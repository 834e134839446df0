//! From a path to its routes (contract/README.md section 5): decoded, cleaned, then matched segment by segment.

use super::{
    query::decode,
    routes::{ROUTES, Route},
};
use std::{borrow::Cow, fmt::Write as _};

/// What a path stands for.
pub(super) enum Target<'p> {
    /// `/`.
    Root,
    /// `/ws`.
    Socket,
    /// `/v2/rpc/` and the rest, which is the function's id.
    Rpc(&'p str),
    /// One or more routes, by method.
    Api(Candidates),
}

/// The routes that share a path, one for a method.
#[derive(Default)]
pub(super) struct Candidates(Vec<&'static Route>);

impl Candidates {
    pub(super) fn of(&self, method: &str) -> Option<&'static Route> {
        self.0.iter().copied().find(|route| route.method == method)
    }
}

/// The routes as a tree of path segments.
pub(super) struct Router(Vec<Node>);

#[derive(Default)]
struct Node {
    literal: Vec<(&'static str, usize)>,
    parameter: Option<usize>,
    routes: Vec<&'static Route>,
}

impl Router {
    pub(super) fn new() -> Self {
        let mut router = Self(vec![Node::default()]);
        for route in ROUTES.iter().filter(|route| route.is_api()) {
            let node = route.path.split('/').skip(1).fold(0, |node, segment| router.child(node, segment));
            router.0[node].routes.push(route);
        }
        router
    }

    fn child(&mut self, node: usize, segment: &'static str) -> usize {
        let here = &self.0[node];
        let known = match segment.starts_with('{') {
            true => here.parameter,
            false => here.literal.iter().find(|(name, _)| *name == segment).map(|(_, child)| *child),
        };
        known.unwrap_or_else(|| {
            let child = self.0.len();
            self.0.push(Node::default());
            match segment.starts_with('{') {
                true => self.0[node].parameter = Some(child),
                false => self.0[node].literal.push((segment, child)),
            }
            child
        })
    }

    /// What `path`, decoded and clean, stands for.
    pub(super) fn find<'p>(&self, path: &'p str) -> Option<Target<'p>> {
        if let Some(id) = path.strip_prefix("/v2/rpc/") {
            return Some(Target::Rpc(id));
        }
        match path {
            "/" => Some(Target::Root),
            "/ws" => Some(Target::Socket),
            _ => {
                let mut candidates = Candidates::default();
                self.walk(&self.0[0], path.strip_prefix('/'), &mut candidates);
                (!candidates.0.is_empty()).then_some(Target::Api(candidates))
            }
        }
    }

    /// Literal segments before parameters: the more exact route wins where both serve a method.
    fn walk(&self, node: &Node, rest: Option<&str>, candidates: &mut Candidates) {
        let Some(rest) = rest else {
            candidates.0.extend_from_slice(&node.routes);
            return;
        };
        let (segment, rest) = rest.split_once('/').map_or((rest, None), |(segment, rest)| (segment, Some(rest)));
        if let Some((_, child)) = node.literal.iter().find(|(name, _)| *name == segment) {
            self.walk(&self.0[*child], rest, candidates);
        }
        if let Some(child) = node.parameter {
            self.walk(&self.0[child], rest, candidates);
        }
    }
}

/// The parameters of `route` in `path`, which it matches: name and value.
pub(super) fn parameters<'p>(route: &'static Route, path: &'p str) -> impl Iterator<Item = (&'static str, &'p str)> {
    let pairs = route.path.split('/').zip(path.split('/'));
    pairs.filter_map(|(segment, value)| Some((segment.strip_prefix('{')?.strip_suffix('}')?, value)))
}

/// Why a path is not looked up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unclean {
    /// A malformed escape.
    Malformed,
    /// It should have been written so.
    Moved(String),
    /// No UTF-8: it is no path of ours.
    Unknown,
}

/// Decodes a path as it stands in the request line.
pub(super) fn clean<'p>(path: &'p str, query: Option<&str>) -> Result<Cow<'p, str>, Unclean> {
    let decoded = decode(path.as_bytes(), false).map_err(|_| Unclean::Malformed)?;
    if is_unclean(&decoded) {
        let mut location = escape(&cleaned(&decoded));
        if let Some(query) = query {
            location.push('?');
            location.push_str(query);
        }
        return Err(Unclean::Moved(location));
    }
    match decoded {
        Cow::Borrowed(_) => Ok(Cow::Borrowed(path)),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| Unclean::Unknown),
    }
}

fn is_unclean(path: &[u8]) -> bool {
    let Some(rest) = path.strip_prefix(b"/") else { return !path.is_empty() };
    let mut segments = rest.split(|&byte| byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        // An empty last segment is a trailing slash, which stays.
        if matches!(segment, b"." | b"..") || (segment.is_empty() && segments.peek().is_some()) {
            return true;
        }
    }
    false
}

fn cleaned(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    for segment in path.split(|&byte| byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
    }
    let mut clean = Vec::with_capacity(path.len() + 1);
    for segment in &kept {
        clean.push(b'/');
        clean.extend_from_slice(segment);
    }
    if kept.is_empty() || path.ends_with(b"/") {
        clean.push(b'/');
    }
    clean
}

/// Percent-encodes what a path does not carry as it is (as Go's `net/url` writes a path).
fn escape(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for &byte in path {
        match byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte) {
            true => text.push(char::from(byte)),
            // Writing to a String does not fail.
            false => drop(write!(text, "%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rpc_of(method: &str, path: &str) -> String {
        match Router::new().find(path) {
            None => "unknown".to_owned(),
            Some(Target::Root) => "/".to_owned(),
            Some(Target::Socket) => "/ws".to_owned(),
            Some(Target::Rpc(id)) => format!("rpc {id}"),
            Some(Target::Api(candidates)) => candidates.of(method).map_or("wrong method", |route| route.rpc).to_owned(),
        }
    }

    #[test]
    fn every_route_finds_itself() {
        for route in ROUTES.iter().filter(|route| route.is_api()) {
            let path = route.path.replace('{', "x").replace('}', "y");
            assert_eq!(rpc_of(route.method, &path), route.rpc, "{}", route.path);
        }
    }

    #[test]
    fn paths_are_matched_by_the_letter() {
        for (method, path, rpc) in [
            ("GET", "/", "/"),
            ("GET", "/ws", "/ws"),
            ("GET", "/ws/", "unknown"),
            ("GET", "/v2/account", "GetAccount"),
            ("GET", "/v2/account/", "unknown"),
            ("GET", "/V2/account", "unknown"),
            ("PATCH", "/v2/account", "wrong method"),
            ("HEAD", "/healthcheck", "wrong method"),
            ("GET", "/healthcheck/", "unknown"),
            ("GET", "/v2/leaderboard/", "ListLeaderboardRecords"),
            ("GET", "/v2/storage/delete", "ListStorageObjects"),
            ("PUT", "/v2/storage/delete", "DeleteStorageObjects"),
            ("PUT", "/v2/storage/other", "wrong method"),
            ("GET", "/v2/storage/a/b", "ListStorageObjects"),
            ("GET", "/v2/storage/a/b/c", "unknown"),
            ("GET", "/v2/iap/subscription/apple", "GetSubscription"),
            ("POST", "/v2/iap/subscription/apple", "ValidateSubscriptionApple"),
            ("POST", "/v2/account/authenticate/twitter", "unknown"),
            ("GET", "/v2/rpc", "unknown"),
            ("GET", "/v2/rpc/", "rpc "),
            ("GET", "/v2/rpc/A/b", "rpc A/b"),
        ] {
            assert_eq!(rpc_of(method, path), rpc, "{method} {path}");
        }
    }

    #[test]
    fn parameters_are_whole_segments() {
        let Some(Target::Api(candidates)) = Router::new().find("/v2/leaderboard/a b/owner/c") else { panic!() };
        let route = candidates.of("GET").unwrap();
        let found: Vec<_> = parameters(route, "/v2/leaderboard/a b/owner/c").collect();
        assert_eq!(found, [("leaderboard_id", "a b"), ("owner_id", "c")]);
    }

    #[test]
    fn paths_are_decoded_then_cleaned() {
        let moved = |to: &str| Err(Unclean::Moved(to.to_owned()));
        assert_eq!(clean("/v2/a%20b+c", None).unwrap(), "/v2/a b+c");
        assert_eq!(clean("/v2/a%2Fb", None).unwrap(), "/v2/a/b");
        assert_eq!(clean("/v2/a%zz", None), Err(Unclean::Malformed));
        assert_eq!(clean("/v2/a%f", None), Err(Unclean::Malformed));
        assert_eq!(clean("/v2/%ff", None), Err(Unclean::Unknown));
        assert_eq!(clean("//v2//account", Some("a=%zz")), moved("/v2/account?a=%zz"));
        assert_eq!(clean("/v2/./x/../account/", None), moved("/v2/account/"));
        assert_eq!(clean("/v2/%2e%2e/%C3%A9 x", None), moved("/%C3%A9%20x"));
        assert_eq!(clean("/..", None), moved("/"));
        assert_eq!(clean("*", None), moved("/%2A"));
        assert_eq!(clean("", None).unwrap(), "");
        assert_eq!(clean("/v2/...", None).unwrap(), "/v2/...");
    }
}
