//! Nakama's wire protocol: what goes over HTTP and over the socket, and nothing that touches a network or a clock.

pub mod code;
pub mod json;

/// The messages, generated from `proto/`.
#[allow(
    missing_docs,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    reason = "generated; the documentation is in the .proto files"
)]
pub mod nakama {
    /// Requests and answers of the HTTP API.
    pub mod api {
        include!(concat!(env!("OUT_DIR"), "/nakama.api.rs"));
    }
    /// What goes over the socket.
    pub mod realtime {
        include!(concat!(env!("OUT_DIR"), "/nakama.realtime.rs"));
    }
}

pub use nakama::{api, realtime};
