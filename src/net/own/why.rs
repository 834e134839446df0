//! `GET /v2/matchmaker/why`: why a ticket waits (docs/matchmaker.md).

use super::{OwnAnswer, OwnCall};
use crate::{
    error::Error,
    features::{Caller, matchmaker},
    net::{credentials, query::Query, respond},
};

/// Answers the bearer of a session token whose user holds the ticket.
pub(super) fn why(call: OwnCall<'_>) -> OwnAnswer<'_> {
    Box::pin(async move {
        let caller: Caller = credentials::caller(call.headers, call.client, call.services)?;
        let query = Query::parse(call.query.unwrap_or_default().as_bytes())?;
        let ticket = query.iter().find(|(name, _)| *name == b"ticket").map(|(_, value)| value);
        let ticket = ticket.and_then(|value| std::str::from_utf8(value).ok()).filter(|ticket| !ticket.is_empty());
        let ticket = ticket.ok_or_else(|| Error::invalid_argument("Invalid matchmaker ticket"))?;
        Ok(respond::success(matchmaker::why(call.services, &caller, ticket).await?))
    })
}
