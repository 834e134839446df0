//! `GET /ws`: from an HTTP request to a socket.

use super::{
    accept::Connection,
    respond::{self, Response},
};
use crate::features::{Client, Services};
use hyper::{Request, StatusCode, body::Incoming};
use std::sync::Arc;

/// A request for a socket, with all that came with it.
#[derive(Debug)]
pub struct Handshake {
    /// The request; `hyper::upgrade::on` takes the stream out of it.
    pub request: Request<Incoming>,
    /// Who asks, with the port where no proxy hides it.
    pub client: Client,
    /// The connection; to be kept as long as the socket is open, so that it counts.
    pub connection: Arc<Connection>,
}

/// Answers a request for a socket.
pub async fn upgrade(_services: &Arc<Services>, _handshake: Handshake) -> Response {
    std::future::ready(respond::plain(StatusCode::NOT_IMPLEMENTED, "Not Implemented\n")).await
}
