//! Being in a party: making one, joining, leaving, and what members send each other.

use super::{
    Services, key_of, label,
    party::{Held, Party, Record},
    refusal::{PartyError, Refusal, answer},
};
use crate::realtime::{Delivery, Mode, Session, StreamKey};
use kizuna_protocol::realtime::{
    self as wire, PartyCreate, PartyData, PartyDataSend, PartyJoin, PartyJoinRequest, PartyLeave,
    envelope::Message as Body,
};
use std::sync::Arc;

const MAX_SIZE: u16 = 256;

/// `party_create`: a new party, led by its creator (spec/parties.md 4).
pub(crate) fn create(services: &Services, session: &Arc<Session>, cid: String, request: PartyCreate) {
    let outcome = create_party(services, session, &cid, request);
    answer(session, cid, "Error creating party", outcome);
}

fn create_party(services: &Services, session: &Arc<Session>, cid: &str, request: PartyCreate) -> Result<(), Refusal> {
    let max_size = u16::try_from(request.max_size).map_err(|_| Refusal::MAX_SIZE)?;
    if !(1..=MAX_SIZE).contains(&max_size) {
        return Err(Refusal::MAX_SIZE);
    }
    let record = Record {
        leader: session.presence().clone(),
        open: request.open,
        hidden: request.hidden,
        label: label::kept(&request.label)?,
        requests: Vec::new(),
        ended: false,
    };
    let key = StreamKey::new(session.tenant(), Mode::Party, services.entropy.uuid()).with_label(&services.config.name);
    let party = Party::new(key, max_size, services.clock.unix_micros(), record);
    let mut held = party.hold(services);
    services.parties.insert(&party);
    let admitted = held.admit(session, |shown| {
        let shown = shown.unwrap_or_default();
        let answer = wire::Party { label: request.label, hidden: request.hidden, ..shown.clone() };
        Delivery::answer(cid.to_owned(), Some(Body::Party(answer))).to(session);
        // The creator is shown the party as everybody is who comes into one.
        Delivery::of(Body::Party(shown)).to(session);
    });
    if let Err(error) = admitted {
        held.end();
        return Err(error.into());
    }
    held.list();
    drop(held);
    leave_earlier(services, session, &party.key);
    Ok(())
}

/// `party_join`: into an open party at once; of a closed one the leader is asked (spec/parties.md 5).
pub(crate) fn join(services: &Services, session: &Arc<Session>, cid: String, request: &PartyJoin) {
    let outcome = join_party(services, session, &cid, request);
    answer(session, cid, "Error joining party", outcome);
}

fn join_party(services: &Services, session: &Arc<Session>, cid: &str, request: &PartyJoin) -> Result<(), Refusal> {
    let party = find(services, session, &request.party_id)?;
    let mut held = party.hold(services).alive()?;
    if held.is_full() {
        return Err(PartyError::Full.into());
    }
    if !held.record.open {
        return Ok(ask(&mut held, session, cid)?);
    }
    let is_new = held.admit(session, |shown| {
        acknowledge(session, cid);
        if let Some(shown) = shown {
            Delivery::of(Body::Party(shown)).to(session);
        }
    })?;
    drop(held);
    if is_new {
        leave_earlier(services, session, &party.key);
    }
    Ok(())
}

/// Notes that `session` asks to be let in, and tells the leader.
fn ask(held: &mut Held<'_>, session: &Session, cid: &str) -> Result<(), PartyError> {
    if held.has(session) {
        return Err(PartyError::AlreadyMember);
    }
    let (own, requests) = (session.presence(), &mut held.record.requests);
    if requests.len() >= usize::from(held.party.max_size) {
        return Err(PartyError::RequestsFull);
    }
    if requests.iter().any(|request| request.user_id == own.user_id) {
        return Err(PartyError::RequestDuplicate);
    }
    requests.push(own.clone());
    acknowledge(session, cid);
    let party_id = held.party.id.clone();
    held.tell_leader(Body::PartyJoinRequest(PartyJoinRequest { party_id, presences: vec![own.clone()] }));
    Ok(())
}

/// `party_leave`: always answered, member or not.
pub(crate) fn leave(services: &Services, session: &Arc<Session>, cid: String, request: &PartyLeave) {
    let Some(key) = key_of(session.tenant(), &request.party_id) else {
        return answer(session, cid, "", Err(Refusal::PARTY_ID));
    };
    leave_party(services, session, &key);
    acknowledge(session, &cid);
}

/// Takes `session` out of a party, if it is in it.
pub(super) fn leave_party(services: &Services, session: &Arc<Session>, key: &StreamKey) {
    let Some(party) = services.parties.find(key) else { return };
    let mut held = party.hold(services);
    if held.has(session) {
        held.take_out(session);
    }
}

/// With `session.single_party`, coming into one party leaves the others.
pub(super) fn leave_earlier(services: &Services, session: &Arc<Session>, joined: &StreamKey) {
    if !services.config.session.single_party {
        return;
    }
    let parties = services.realtime.streams().of_session(session, Mode::Party);
    parties.iter().filter(|key| *key != joined).for_each(|key| leave_party(services, session, key));
}

/// `party_data_send`: to the other members. The stream alone is asked who they are: data waits for nobody who changes the party.
pub(crate) fn send(services: &Services, session: &Arc<Session>, cid: String, request: PartyDataSend) {
    let outcome = send_data(services, session, &cid, request);
    answer(session, cid, "Error sending party data", outcome);
}

fn send_data(services: &Services, session: &Session, cid: &str, request: PartyDataSend) -> Result<(), Refusal> {
    let party = find(services, session, &request.party_id)?;
    let data = PartyData {
        party_id: party.id.clone(),
        presence: Some(session.presence().clone()),
        op_code: request.op_code,
        data: request.data,
    };
    let delivery = Delivery::of(Body::PartyData(data)).encoded_for(session.format());
    if !services.realtime.streams().send(&party.key, session, None, delivery) {
        return Err(PartyError::MemberNotFound.into());
    }
    acknowledge(session, cid);
    Ok(())
}

/// The party that a client names, behind its tenant's wall.
pub(super) fn find(services: &Services, session: &Session, party_id: &str) -> Result<Arc<Party>, Refusal> {
    let key = key_of(session.tenant(), party_id).ok_or(Refusal::PARTY_ID)?;
    Ok(services.parties.find(&key).ok_or(PartyError::NotFound)?)
}

/// Answers that it is done.
pub(super) fn acknowledge(session: &Session, cid: &str) {
    Delivery::answer(cid.to_owned(), None).to(session);
}
