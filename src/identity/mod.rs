//! Someone else's token becomes a verified identity; and our own session tokens ([`session`]). A token is judged in steps: format,
//! algorithm, signature, expiry, issuer and client, subject, mapped claims, nonce; the first one that fails refuses it, and the client never learns
//! which.
//!
//! The way through: [`parse_token`] (strict, nothing believed) → the trust entry named by `iss`, its keys → the signature →
//! judgement of the claims → the account id. [`Verifier`] holds all of it.

mod claims;
mod discovery;
mod event;
mod explain;
mod fetch;
mod jwks;
mod jwt;
mod keys;
pub mod login;
mod mapping;
mod metrics;
mod nonce;
mod opening;
mod refresh;
mod refusal;
mod scope;
pub mod session;
mod strict_json;
mod trust;
mod username;
mod verify;

pub use event::{Ends, EventKind, Named, VerifiedEvent};
pub use explain::{Explanation, NoNetwork};
pub use fetch::{FetchError, HttpFetcher, KeyFetcher};
pub use jwt::{MAX_HEADER_BYTES, MAX_KEY_ID_BYTES, ParsedToken, parse_token};
pub use keys::{HeldKeys, KeySetError, Keys};
pub use metrics::Metrics;
pub use refresh::RefreshRule;
pub use refusal::{IDENTITY_REFUSED, Reason, Refusal, RefusalKind, Step};
pub use scope::{ScopeKey, ScopeKind, Tenant};
pub use strict_json::{MAX_DEPTH, MAX_MEMBERS};
pub use verify::{Expected, RESERVED_VARS, Trusted, VerifiedIdentity, Verifier};
