//! Routes of our own, beside Nakama's table: exact paths, each with a function that reads the request as it came. What they
//! share with Nakama's routes (bounds, time, credentials, the shape of errors) is in `exchange` and `respond`.

mod form;
mod login;
mod nonce;
mod revocation;
mod sessions;
mod table;
mod ticket;
mod token;
mod why;

use super::respond::{Failure, Response};
use crate::features::{Client, Services};
use hyper::HeaderMap;
use std::{future::Future, pin::Pin, sync::Arc};
pub(super) use table::OWN_ROUTES;

/// An operation under way.
pub(super) type OwnAnswer<'c> = Pin<Box<dyn Future<Output = Result<Response, Failure>> + Send + 'c>>;

/// A request for one of our own routes.
#[derive(Clone, Copy)]
pub(super) struct OwnCall<'c> {
    pub(super) services: &'c Arc<Services>,
    pub(super) headers: &'c HeaderMap,
    /// The query string as it came.
    pub(super) query: Option<&'c str>,
    /// The body; empty where the route takes none.
    pub(super) body: &'c [u8],
    pub(super) client: Client,
}

/// One row of the table.
pub(super) struct OwnRoute {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// Its name in logs and metrics.
    pub(super) name: &'static str,
    pub(super) has_body: bool,
    pub(super) run: for<'c> fn(OwnCall<'c>) -> OwnAnswer<'c>,
}

/// What a path of ours stands for.
pub(super) enum Found {
    /// A route.
    Route(&'static OwnRoute),
    /// The path is ours, the method is not.
    WrongMethod,
    /// Not one of ours.
    No,
}

/// The route for a path, decoded and clean.
pub(super) fn find(method: &str, path: &str) -> Found {
    let mut of_path = OWN_ROUTES.iter().filter(|route| route.path == path).peekable();
    if of_path.peek().is_none() {
        return Found::No;
    }
    of_path.find(|route| route.method == method).map_or(Found::WrongMethod, Found::Route)
}
