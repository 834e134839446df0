//! `/v2/rpc/{id}`: handled apart from the other routes, with its own credentials and error shape (contract/README.md section 8).

use super::{
    call::Call,
    credentials,
    query::Query,
    respond::{self, Failure, Response},
};
use crate::features::{Services, rpc};
use hyper::header::HeaderValue;
use kizuna_protocol::api;

/// Answers one call of the function `id`. Checked in this order: credentials, id, function; the body would come last, but no
/// function is there to read it.
pub(super) fn answer(call: &mut Call<'_>, id: &str, services: &Services) -> Result<Response, Failure> {
    let query = Query::lenient(call.query.unwrap_or_default().as_bytes());
    let caller = credentials::http_key_or_session(call.headers, &query, call.client, services).map_err(Failure::Rpc)?;
    call.user = caller.as_ref().map(|caller| caller.user_id);
    let request = api::Rpc { id: id.to_lowercase(), ..api::Rpc::default() };
    let answer = rpc::call(services, caller.as_ref(), &request).map_err(Failure::Rpc)?;
    let mut body = b"{\"payload\":".to_vec();
    respond::quote(&mut body, &answer.payload, true);
    body.push(b'}');
    Ok(respond::rpc_success(body, HeaderValue::from_static("application/json")))
}
