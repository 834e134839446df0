//! One party, and what can be done with it while nobody else can change it.

use super::{Services, refusal::PartyError};
use crate::{
    features::matchmaker,
    realtime::{Delivery, JoinLimits, Member, PresenceMeta, Rule, Session, StreamKey, Streams},
};
use kizuna_protocol::realtime::{self as wire, PartyClose, PartyLeader, UserPresence, envelope::Message as Body};
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use uuid::Uuid;

/// One party.
#[derive(Debug)]
pub(super) struct Party {
    /// Its stream: whose it is, its id, its node.
    pub(super) key: StreamKey,
    /// `<uuid>.<node>`.
    pub(super) id: String,
    /// Members that it may have, and again requests that may wait.
    pub(super) max_size: u16,
    /// Microseconds since 1970.
    pub(super) created_micros: i64,
    /// Guards who leads and all else that changes, and the order of what the members are told. Order of locks: this one, then
    /// the matchmaker's or a stream's; never two parties' at once, and never over an await.
    record: Mutex<Record>,
}

/// What of a party changes, but for its members, who are in its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// A member, as long as the party has not ended.
    pub(super) leader: UserPresence,
    /// Who asks is let in at once.
    pub(super) open: bool,
    /// It is left out of listings.
    pub(super) hidden: bool,
    /// As [`super::label::kept`] makes it.
    pub(super) label: String,
    /// Who asks to be let in, in the order in which they asked.
    pub(super) requests: Vec<UserPresence>,
    /// Nobody is in it, and it can no longer be found.
    pub(super) ended: bool,
}

impl Party {
    pub(super) fn new(key: StreamKey, max_size: u16, created_micros: i64, record: Record) -> Arc<Self> {
        let id = format!("{}.{}", key.subject(), key.label());
        Arc::new(Self { key, id, max_size, created_micros, record: Mutex::new(record) })
    }

    /// Waits until nobody else changes the party.
    pub(super) fn hold<'a>(&'a self, services: &'a Services) -> Held<'a> {
        Held { services, party: self, record: self.record.lock() }
    }

    /// What it is at this moment.
    pub(super) fn look(&self) -> Record {
        self.record.lock().clone()
    }
}

/// A party that nobody else can change meanwhile.
pub(super) struct Held<'a> {
    services: &'a Services,
    pub(super) party: &'a Party,
    pub(super) record: MutexGuard<'a, Record>,
}

impl Held<'_> {
    /// The party has not ended since it was found.
    pub(super) fn alive(self) -> Result<Self, PartyError> {
        if self.record.ended { Err(PartyError::Closed) } else { Ok(self) }
    }

    /// The party has not ended, and `session` leads it. Leadership is the session's: another one of the user has no part in it.
    pub(super) fn led_by(self, session: &Session) -> Result<Self, PartyError> {
        let held = self.alive()?;
        if held.leads(session) { Ok(held) } else { Err(PartyError::LeaderOnly) }
    }

    fn leads(&self, session: &Session) -> bool {
        self.record.leader.session_id == session.presence().session_id
    }

    fn streams(&self) -> &Streams {
        self.services.realtime.streams()
    }

    /// The members in the order in which they came.
    pub(super) fn members(&self) -> Vec<Member> {
        self.streams().members(&self.party.key)
    }

    /// The member whose presence this is; all of it must be right (spec/parties.md 2).
    pub(super) fn member(&self, presence: &UserPresence) -> Option<Arc<Session>> {
        let found = self.members().into_iter().find(|member| is_same(member.session.presence(), presence));
        found.map(|member| member.session)
    }

    /// Whether `session` is in the party.
    pub(super) fn has(&self, session: &Session) -> bool {
        self.streams().is_member(&self.party.key, session)
    }

    /// Whether there is no room for one more.
    pub(super) fn is_full(&self) -> bool {
        self.streams().count(&self.party.key) >= usize::from(self.party.max_size)
    }

    /// Tells every member but `except`.
    pub(super) fn tell(&self, except: Option<Uuid>, message: Body) {
        self.streams().broadcast(&self.party.key, except, Delivery::of(message));
    }

    /// Tells the leader alone.
    pub(super) fn tell_leader(&self, message: Body) {
        if let Some(leader) = self.member(&self.record.leader) {
            Delivery::of(message).to(&leader);
        }
    }

    /// Lets `session` in. `answer` is called with the party as the newcomer is shown it, before the event that tells everybody;
    /// with nothing if the session was in it already. Whether the session is new.
    ///
    /// # Errors
    /// There is no room in the party, or for one more party in the session; or the session is over.
    pub(super) fn admit(
        &mut self,
        session: &Arc<Session>,
        answer: impl FnOnce(Option<wire::Party>),
    ) -> Result<bool, PartyError> {
        let limits = self.limits();
        let (party, leader, open) = (self.party, &self.record.leader, self.record.open);
        let join = self.streams().join(&party.key, Rule::Create, limits, session, PresenceMeta::default(), |found| {
            answer(found.new.then(|| wire::Party {
                party_id: party.id.clone(),
                open,
                max_size: party.max_size.into(),
                self_: Some(session.presence().clone()),
                leader: Some(leader.clone()),
                presences: found.everybody(),
                ..wire::Party::default()
            }));
        });
        let is_new = join?;
        if is_new {
            self.record.requests.retain(|request| request.session_id != session.presence().session_id);
            self.stop_searching();
        }
        Ok(is_new)
    }

    fn limits(&self) -> JoinLimits {
        let config = &self.services.config;
        // With single_party a session is in two for the moment in which it goes from one to the other.
        let least = if config.session.single_party { 2 } else { 1 };
        let per_session = config.party.max_per_session.max(least);
        JoinLimits { members: self.party.max_size.into(), per_session }
    }

    /// Takes a member out and tells the others; if it led, the one who came first of them leads from now on, and they hear of that
    /// first. With nobody left the party ends (spec/parties.md 6).
    pub(super) fn take_out(&mut self, session: &Arc<Session>) {
        let mut members = self.members();
        members.retain(|member| member.session.id() != session.id());
        let Some(oldest) = members.first() else {
            self.streams().leave(&self.party.key, session);
            return self.end();
        };
        self.stop_searching();
        if self.leads(session) {
            let leader = oldest.session.presence().clone();
            self.lead(leader, Some(session.id()));
        }
        self.streams().leave(&self.party.key, session);
    }

    /// Makes a member the leader and tells every member but `except`.
    pub(super) fn lead(&mut self, leader: UserPresence, except: Option<Uuid>) {
        self.record.leader = leader.clone();
        self.tell(except, Body::PartyLeader(PartyLeader { party_id: self.party.id.clone(), presence: Some(leader) }));
    }

    /// Ends the party for everybody: its members hear that it is closed, and no event.
    pub(super) fn close(&mut self) {
        self.tell(None, self.closing());
        self.streams().remove(&self.party.key);
        self.end();
    }

    /// What a member is told for whom the party is over.
    pub(super) fn closing(&self) -> Body {
        Body::PartyClose(PartyClose { party_id: self.party.id.clone() })
    }

    /// The party is no more.
    pub(super) fn end(&mut self) {
        self.record.ended = true;
        self.stop_searching();
        self.services.parties.remove(self.party);
        self.list();
    }

    /// The party that its tickets stand for is no longer the one it was: they go, and nobody is told (spec/matchmaker.md 5).
    fn stop_searching(&self) {
        matchmaker::remove_party_tickets(self.services, self.party.key.tenant(), self.party.key.subject());
    }

    /// Has the listing show the party as it is now.
    pub(super) fn list(&self) {
        self.services.parties.list(self.party, &self.record);
    }
}

/// Whether two presences are one: user, session and username.
pub(super) fn is_same(one: &UserPresence, other: &UserPresence) -> bool {
    one.session_id == other.session_id && one.user_id == other.user_id && one.username == other.username
}
