//! Functions that clients and other servers call by name. None are registered yet: every name is unknown, but for what a socket
//! asks of its own session.

use super::{Caller, Client, Services, connection};
use crate::{
    error::Error,
    realtime::{Delivery, Session},
};
use kizuna_protocol::{
    api,
    code::{Code, RealtimeCode},
    realtime::envelope::Message as Body,
};
use std::sync::Arc;

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

/// `rpc` over a socket: the caller is the session's user, whatever `http_key` says (spec/realtime-core.md section 5).
pub(crate) fn call_over_socket(services: &Services, session: &Arc<Session>, cid: String, request: api::Rpc) {
    let answer = match connection::is_update(services, &request) {
        true => connection::update(services, session, &request),
        false => call(services, Some(&Caller::new(Client::default(), &session.claims())), &request),
    };
    match answer {
        // The id comes back as it was sent.
        Ok(answer) => {
            let answer = api::Rpc { id: request.id, http_key: String::new(), ..answer };
            Delivery::answer(cid, Some(Body::Rpc(answer))).to(session);
        }
        Err(error) => session.answer_error(cid, envelope_code(error.code()), error.message()),
    }
}

/// A function's own code does not reach the client over a socket.
fn envelope_code(code: Code) -> RealtimeCode {
    match code {
        Code::InvalidArgument => RealtimeCode::BadInput,
        Code::NotFound => RealtimeCode::RuntimeFunctionNotFound,
        _ => RealtimeCode::RuntimeFunctionException,
    }
}
