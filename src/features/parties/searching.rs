//! A party looks for others to play with: one ticket for all its members (spec/matchmaker.md 5).

use super::{
    Services,
    membership::{acknowledge, find},
    refusal::{PartyError, Refusal, answer},
};
use crate::{
    features::matchmaker::{self, OfParty, PartyTicket, Properties, check_counts},
    realtime::{Delivery, Session},
};
use kizuna_protocol::realtime::{
    PartyMatchmakerAdd, PartyMatchmakerRemove, PartyMatchmakerTicket, envelope::Message as Body,
};
use std::sync::Arc;

/// `party_matchmaker_add`: the leader has the party searched for. All members are told the ticket.
pub(crate) fn matchmaker_add(services: &Services, session: &Arc<Session>, cid: String, request: PartyMatchmakerAdd) {
    let outcome = add_ticket(services, session, &cid, request);
    answer(session, cid, "Error adding party to matchmaker", outcome);
}

fn add_ticket(services: &Services, session: &Session, cid: &str, request: PartyMatchmakerAdd) -> Result<(), Refusal> {
    let counts =
        check_counts(request.min_count, request.max_count, request.count_multiple).map_err(Refusal::Malformed)?;
    let party = find(services, session, &request.party_id)?;
    let held = party.hold(services).led_by(session)?;
    let ticket = PartyTicket {
        party: OfParty { id: party.key.subject(), text: party.id.clone() },
        tenant: party.key.tenant(),
        members: held.members().into_iter().map(|member| member.session).collect(),
        counts,
        query: request.query,
        properties: Properties { strings: request.string_properties, numbers: request.numeric_properties },
    };
    let added = matchmaker::add_party(services, ticket, |ticket| {
        let ticket = PartyMatchmakerTicket { party_id: request.party_id, ticket: ticket.to_owned() };
        let told = Body::PartyMatchmakerTicket(ticket);
        Delivery::answer(cid.to_owned(), Some(told.clone())).to(session);
        held.tell(Some(session.id()), told);
    });
    added.map_err(PartyError::from)?;
    Ok(())
}

/// `party_matchmaker_remove`: the leader takes a ticket of the party back, also one that an earlier leader added.
pub(crate) fn matchmaker_remove(
    services: &Services,
    session: &Arc<Session>,
    cid: String,
    request: &PartyMatchmakerRemove,
) {
    let outcome = remove_ticket(services, session, &cid, request);
    // The prefix is Nakama's.
    answer(session, cid, "Error closing party", outcome);
}

fn remove_ticket(
    services: &Services,
    session: &Session,
    cid: &str,
    request: &PartyMatchmakerRemove,
) -> Result<(), Refusal> {
    if request.ticket.is_empty() {
        return Err(Refusal::TICKET);
    }
    let party = find(services, session, &request.party_id)?;
    let held = party.hold(services).led_by(session)?;
    let key = &held.party.key;
    if !matchmaker::remove_party_ticket(services, key.tenant(), key.subject(), &request.ticket) {
        return Err(PartyError::TicketNotFound.into());
    }
    acknowledge(session, cid);
    Ok(())
}
