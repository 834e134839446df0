//! Identity providers as the sign-in page meets them: where to send the browser, what a code or a refresh token brings. OAuth 2.0
//! (RFC 6749) with PKCE (RFC 7636), by crate `oauth2`; the judgement of the ID token stays with [`super::Verifier`].

mod discovery;
mod provider;
mod seal;
mod transport;

pub use discovery::{Endpoints, judge_endpoint};
pub use provider::{Asked, LoginProvider, ProviderError, ProviderTokens};
pub use seal::{Broken, Sealer};
