//! The development identity provider: what Amazon Cognito would be, on this machine, signing in anybody under any name. It listens
//! on loopback only, and answers only who came by a loopback name.

mod authorize;
mod grants;
mod http;
mod keyring;
mod logout;
mod mint;
mod token;
mod tokens;

pub use http::{bind, serve};
pub use tokens::{CLIENT_ID, DevProvider, TokenUse};

use std::{io, net::SocketAddr};

/// Refuses every address but loopback ones, whatever the configuration says.
fn require_loopback(address: SocketAddr) -> io::Result<()> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    let what =
        format!("the development identity provider signs in anybody: it listens on loopback only, not on {address}");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, what))
}
