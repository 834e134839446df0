//! Parties as plain data, for a restart that they outlive. Who is in them is in their streams, and travels with those.

use super::{
    Parties,
    party::{Party, Record},
};
use crate::{
    identity::Tenant,
    realtime::{Mode, StreamKey, Streams},
};
use kizuna_protocol::realtime::UserPresence;
use uuid::Uuid;
use wincode::{SchemaRead, SchemaWrite};

/// A party without its members.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct PartySnapshot {
    /// Whose it is.
    pub(crate) tenant: Tenant,
    /// The first part of its id.
    pub(crate) id: Uuid,
    /// The second part of its id: the node's name when it was made.
    pub(crate) node: String,
    /// Who leads it.
    pub(crate) leader: PartyPresence,
    /// Who asks is let in at once.
    pub(crate) open: bool,
    /// It is left out of listings.
    pub(crate) hidden: bool,
    /// What it says of itself.
    pub(crate) label: String,
    /// Members that it may have.
    pub(crate) max_size: u16,
    /// When it was made, in microseconds since 1970.
    pub(crate) created_micros: i64,
    /// Who asks to be let in, in the order in which they asked.
    pub(crate) requests: Vec<PartyPresence>,
}

/// A session as a party knows it.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct PartyPresence {
    /// The user.
    pub(crate) user_id: String,
    /// The session.
    pub(crate) session_id: String,
    /// The user's name.
    pub(crate) username: String,
}

impl Parties {
    /// Every party as it is now, the oldest first.
    pub fn export(&self) -> Vec<PartySnapshot> {
        let mut parties: Vec<_> = self.all().iter().filter_map(|party| snapshot(party)).collect();
        parties.sort_by_key(|party| (party.created_micros, party.id));
        parties
    }

    /// Takes up parties whose members are in their streams again. One that nobody is in is left out; one whose leader is not there
    /// is led by the member who came first. Answers how many were taken up.
    pub fn import(&self, snapshots: Vec<PartySnapshot>, streams: &Streams) -> usize {
        snapshots.into_iter().filter_map(|snapshot| self.take_up(snapshot, streams)).count()
    }

    fn take_up(&self, snapshot: PartySnapshot, streams: &Streams) -> Option<()> {
        let PartySnapshot { tenant, id, node, leader, open, hidden, label, max_size, created_micros, requests } =
            snapshot;
        let key = StreamKey::new(tenant, Mode::Party, id).with_label(&node);
        let members = streams.members(&key);
        let led = members.iter().find(|member| member.session.presence().session_id == leader.session_id);
        let leader = led.or(members.first())?.session.presence().clone();
        let requests = requests.into_iter().map(UserPresence::from).collect();
        let record = Record { leader, open, hidden, label, requests, ended: false };
        let party = Party::new(key, max_size, created_micros, record.clone());
        self.insert(&party);
        self.list(&party, &record);
        Some(())
    }
}

/// `None` of a party that has just ended.
fn snapshot(party: &Party) -> Option<PartySnapshot> {
    let Record { leader, open, hidden, label, requests, ended } = party.look();
    (!ended).then(|| PartySnapshot {
        tenant: party.key.tenant(),
        id: party.key.subject(),
        node: party.key.label().to_owned(),
        leader: leader.into(),
        open,
        hidden,
        label,
        max_size: party.max_size,
        created_micros: party.created_micros,
        requests: requests.into_iter().map(PartyPresence::from).collect(),
    })
}

impl From<UserPresence> for PartyPresence {
    fn from(presence: UserPresence) -> Self {
        let UserPresence { user_id, session_id, username, .. } = presence;
        Self { user_id, session_id, username }
    }
}

impl From<PartyPresence> for UserPresence {
    fn from(presence: PartyPresence) -> Self {
        let PartyPresence { user_id, session_id, username } = presence;
        Self { user_id, session_id, username, ..Self::default() }
    }
}
