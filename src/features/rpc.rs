//! Functions that clients and other servers call by name. None are registered yet: every name is unknown.

use super::{Caller, Client, Services};
use crate::{
    error::Error,
    realtime::{Delivery, Session},
};
use kizuna_protocol::{
    api,
    code::{Code, RealtimeCode},
    realtime::envelope::Message as Body,
};

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
pub(crate) fn call_over_socket(services: &Services, session: &Session, cid: String, request: api::Rpc) {
    let claims = session.claims();
    let caller = Caller {
        client: Client::default(),
        user_id: claims.user_id,
        username: claims.username.clone(),
        vars: claims.vars.clone(),
        token_id: claims.token_id,
        expires_unix: claims.expires_unix,
    };
    match call(services, Some(&caller), &request) {
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
