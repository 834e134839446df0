//! Nakama's wire protocol: what goes over HTTP and over the socket, and nothing that touches a network or a clock.
//!
//! The messages are generated from `proto/`, with two encodings: protobuf by prost, and JSON by [`json`]. [`envelope`] puts
//! them into socket frames. [`code`] is the table of everything that tells a client what went wrong; [`id`] reads identifiers.

pub mod code;
pub mod envelope;
pub mod id;
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

/// A `google.protobuf.FileDescriptorSet`: the messages and enums of `proto/`, and what they import.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
