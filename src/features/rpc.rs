//! Functions that clients and other servers call by name. None are registered yet: every name is unknown.

use super::{Caller, Services};
use crate::error::Error;
use kizuna_protocol::{api, code::Code};

/// Calls the function `request.id`, whatever its case, for `caller`, or for another server that holds the HTTP key (`None`).
/// The answer carries the function's result as payload.
///
/// # Errors
/// No id: code 3. No such function: code 5. Otherwise what the function says.
pub fn call(_services: &Services, _caller: Option<&Caller>, request: &api::Rpc) -> Result<api::Rpc, Error> {
    if request.id.is_empty() {
        return Err(Error::invalid_argument("RPC ID must be set"));
    }
    Err(Error::new(Code::NotFound, "RPC function not found"))
}
