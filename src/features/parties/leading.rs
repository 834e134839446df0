//! Leading a party: who is let in, who leads, who has to go, and what the party shows of itself. All of it is for the leader's
//! session alone (spec/parties.md 6 and 8).

use super::{
    Services, key_of, label,
    membership::{acknowledge, find, leave_earlier},
    party::is_same,
    refusal::{PartyError, Refusal, answer},
};
use crate::realtime::{Delivery, Session};
use kizuna_protocol::{
    id::parse_uuid,
    realtime::{
        PartyAccept, PartyClose, PartyJoinRequest, PartyJoinRequestList, PartyPromote, PartyRemove, PartyUpdate,
        UserPresence, envelope::Message as Body,
    },
};
use std::sync::Arc;

/// `party_accept`: lets somebody in who has asked.
pub(crate) fn accept(services: &Services, session: &Arc<Session>, cid: String, request: &PartyAccept) {
    let outcome = accept_request(services, session, &cid, request);
    answer(session, cid, "Error accepting party join request", outcome);
}

fn accept_request(services: &Services, session: &Session, cid: &str, request: &PartyAccept) -> Result<(), Refusal> {
    let wanted = presence(request.presence.as_ref())?;
    let party = find(services, session, &request.party_id)?;
    let mut held = party.hold(services).led_by(session)?;
    let asked = held.record.requests.iter().position(|request| is_same(request, wanted));
    let asked = asked.ok_or(PartyError::RequestNotFound)?;
    if held.is_full() {
        return Err(PartyError::Full.into());
    }
    let newcomer = parse_uuid(&wanted.session_id).and_then(|id| services.realtime.registry().by_id(id));
    let Some(newcomer) = newcomer else {
        held.record.requests.remove(asked);
        return Err(PartyError::CouldNotAccept.into());
    };
    let admitted = held.admit(&newcomer, |shown| {
        acknowledge(session, cid);
        if let Some(shown) = shown {
            Delivery::of(Body::Party(shown)).to(&newcomer);
        }
    });
    // One who is in too many parties may leave one, and the request is still there.
    if admitted != Err(PartyError::TooManyParties) {
        held.record.requests.retain(|request| !is_same(request, wanted));
    }
    drop(held);
    if admitted? {
        leave_earlier(services, &newcomer, &party.key);
    }
    Ok(())
}

/// `party_promote`: another member leads from now on.
pub(crate) fn promote(services: &Services, session: &Arc<Session>, cid: String, request: &PartyPromote) {
    let outcome = promote_member(services, session, &cid, request);
    answer(session, cid, "Error promoting new party leader", outcome);
}

fn promote_member(services: &Services, session: &Session, cid: &str, request: &PartyPromote) -> Result<(), Refusal> {
    let wanted = presence(request.presence.as_ref())?;
    let party = find(services, session, &request.party_id)?;
    let mut held = party.hold(services).led_by(session)?;
    let member = held.member(wanted).ok_or(PartyError::MemberNotFound)?;
    held.lead(member.presence().clone(), None);
    acknowledge(session, cid);
    Ok(())
}

/// `party_remove`: a member has to go, or a request is turned down, of which nobody hears.
pub(crate) fn remove(services: &Services, session: &Arc<Session>, cid: String, request: &PartyRemove) {
    let outcome = remove_member(services, session, &cid, request);
    answer(session, cid, "Error removing party member or join request", outcome);
}

fn remove_member(services: &Services, session: &Session, cid: &str, request: &PartyRemove) -> Result<(), Refusal> {
    let wanted = presence(request.presence.as_ref())?;
    let party = find(services, session, &request.party_id)?;
    let mut held = party.hold(services).led_by(session)?;
    if is_same(wanted, session.presence()) {
        return Err(PartyError::CannotRemoveSelf.into());
    }
    if let Some(member) = held.member(wanted) {
        acknowledge(session, cid);
        Delivery::of(held.closing()).to(&member);
        held.take_out(&member);
        return Ok(());
    }
    let asked = held.record.requests.iter().position(|request| is_same(request, wanted));
    held.record.requests.remove(asked.ok_or(PartyError::MemberNotFound)?);
    acknowledge(session, cid);
    Ok(())
}

/// `party_close`: the party is over for everybody.
pub(crate) fn close(services: &Services, session: &Arc<Session>, cid: String, request: &PartyClose) {
    let outcome = close_party(services, session, &cid, request);
    answer(session, cid, "Error closing party", outcome);
}

fn close_party(services: &Services, session: &Session, cid: &str, request: &PartyClose) -> Result<(), Refusal> {
    let party = find(services, session, &request.party_id)?;
    party.hold(services).led_by(session)?.close();
    acknowledge(session, cid);
    Ok(())
}

/// `party_join_request_list`: who asks to be let in. The id is the one that was asked with.
pub(crate) fn join_request_list(
    services: &Services,
    session: &Arc<Session>,
    cid: String,
    request: PartyJoinRequestList,
) {
    let outcome = list_requests(services, session, &cid, request);
    answer(session, cid, "Error listing party join requests", outcome);
}

fn list_requests(
    services: &Services,
    session: &Session,
    cid: &str,
    request: PartyJoinRequestList,
) -> Result<(), Refusal> {
    let party = find(services, session, &request.party_id)?;
    let held = party.hold(services).led_by(session)?;
    let list = PartyJoinRequest { party_id: request.party_id, presences: held.record.requests.clone() };
    Delivery::answer(cid.to_owned(), Some(Body::PartyJoinRequest(list))).to(session);
    Ok(())
}

/// `party_update`: label, openness and hiddenness, all three anew. Who has asked to be let in still waits.
pub(crate) fn update(services: &Services, session: &Arc<Session>, cid: String, request: PartyUpdate) {
    let outcome = update_party(services, session, &cid, request);
    answer(session, cid, "Error updating party", outcome);
}

fn update_party(services: &Services, session: &Session, cid: &str, request: PartyUpdate) -> Result<(), Refusal> {
    let key = key_of(session.tenant(), &request.party_id).ok_or(Refusal::PARTY_ID)?;
    if request.hidden && !label::says_nothing(&request.label) {
        return Err(PartyError::HiddenWithLabel.into());
    }
    let party = services.parties.find(&key).ok_or(PartyError::NotFound)?;
    let mut held = party.hold(services).led_by(session)?;
    held.record.label = label::kept(&request.label)?;
    (held.record.open, held.record.hidden) = (request.open, request.hidden);
    held.list();
    held.tell(None, Body::PartyUpdate(PartyUpdate { party_id: party.id.clone(), ..request }));
    acknowledge(session, cid);
    Ok(())
}

/// The presence that a request is about: all of it must be said.
fn presence(presence: Option<&UserPresence>) -> Result<&UserPresence, Refusal> {
    let said = |found: &&UserPresence| {
        [&found.user_id, &found.session_id, &found.username].iter().all(|text| !text.is_empty())
    };
    presence.filter(said).ok_or(Refusal::PRESENCE)
}
