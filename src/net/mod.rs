//! Bytes in, typed calls out: the accept loop, HTTP, and the way to the socket.
//!
//! A request's way: `accept` takes the connection, `connection` times it, `http` bounds it, `exchange` reads the head and finds
//! the route (`matching`, `routes`), `body` and `query` bring in the rest, `call` makes the typed request of it and asks
//! `credentials` who sends it; the feature answers; `respond`, `compress` and `cors` write that down.

mod accept;
mod address;
mod body;
mod call;
mod compress;
mod connection;
mod cors;
mod credentials;
mod envelopes;
mod exchange;
mod form;
mod http;
mod matching;
pub mod metrics;
mod own;
mod params;
pub mod provider;
mod query;
pub mod respond;
mod routes;
mod rpc;
pub mod socket;

pub use accept::{Connection, serve};
pub use http::{BadHeader, Http};
pub use query::Query;
pub use routes::served;
