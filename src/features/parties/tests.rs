//! The record of a party against a model of it, and what each member sees, in whatever order things happen.

use super::{Services, accept, close, closed, create, join, join_request_list, key_of, leave, promote, remove, update};
use crate::{
    features::testing::World,
    identity::{Tenant, session::SessionClaims},
    realtime::{OutboundLimits, Session},
};
use kizuna_protocol::{
    envelope::Format,
    realtime::{
        PartyAccept, PartyClose, PartyCreate, PartyJoin, PartyJoinRequestList, PartyLeave, PartyPromote, PartyRemove,
        PartyUpdate, UserPresence,
    },
};
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::Value;
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

/// Sessions that take part; the first two are of one user.
const SESSIONS: usize = 6;

/// A session, and the party as it sees it.
struct Player {
    session: Arc<Session>,
    view: Option<View>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct View {
    leader: String,
    members: BTreeSet<String>,
}

impl Player {
    fn open(services: &Services, number: usize) -> Self {
        let user_id = Uuid::from_u128(100 + number.max(1) as u128);
        let claims = SessionClaims {
            user_id,
            username: format!("player-{}", number.max(1)).into(),
            vars: Arc::default(),
            token_id: None,
            expires_unix: i64::MAX,
            issued_unix: 0,
            origin: None,
            tenant: Tenant::NONE,
            signature: [number as u8; 32],
        };
        let limits = OutboundLimits { messages: 1 << 20, bytes: 1 << 30 };
        let session = Session::new(Arc::new(claims), services.entropy.uuid(), Format::Json, false, limits);
        services.realtime.connect(&session, services.entropy.uuid(), 0).expect("few sockets");
        Self { session, view: None }
    }

    fn presence(&self) -> UserPresence {
        self.session.presence().clone()
    }

    fn id(&self) -> String {
        self.presence().session_id
    }

    /// Takes in what was sent, and answers what came with a cid.
    fn hear(&mut self) -> Vec<Value> {
        let mut batch = VecDeque::new();
        let _ = self.session.outbound().try_take(&mut batch);
        let envelopes = batch.into_iter().map(|frame| match frame {
            Message::Text(text) => serde_json::from_str::<Value>(&text).expect("JSON"),
            other => panic!("want JSON, got {other:?}"),
        });
        let (answers, events): (Vec<_>, Vec<_>) = envelopes.partition(|envelope| envelope["cid"].is_string());
        events.iter().for_each(|event| self.see(event));
        answers
    }

    fn see(&mut self, event: &Value) {
        let id = |presence: &Value| presence["session_id"].as_str().expect("a presence").to_owned();
        let ids = |list: &Value| list.as_array().into_iter().flatten().map(id).collect::<Vec<_>>();
        if let Some(party) = event.get("party") {
            let members = ids(&party["presences"]).into_iter().collect();
            self.view = Some(View { leader: id(&party["leader"]), members });
        } else if let Some(event) = event.get("party_presence_event") {
            let view = self.view.as_mut().expect("events come to members");
            view.members.extend(ids(&event["joins"]));
            for left in ids(&event["leaves"]) {
                assert!(view.members.remove(&left), "who leaves has been there");
                assert_ne!(view.leader, left, "a new leader is told before the old one is gone");
            }
        } else if let Some(event) = event.get("party_leader") {
            let view = self.view.as_mut().expect("leaders are told to members");
            view.leader = id(&event["presence"]);
            assert!(view.members.contains(&view.leader), "who leads is there");
        } else if event.get("party_close").is_some() {
            assert!(self.view.take().is_some(), "a party is closed for its members");
        } else {
            assert!(event.get("party_update").is_some() || event.get("party_join_request").is_some(), "{event}");
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Deed {
    Join(usize),
    Leave(usize),
    Accept(usize, usize),
    Promote(usize, usize),
    Remove(usize, usize),
    Update(usize, bool),
    Close(usize),
    /// The socket is gone.
    Lose(usize),
}

impl Deed {
    fn by(self) -> usize {
        match self {
            Self::Join(by) | Self::Leave(by) | Self::Close(by) | Self::Lose(by) => by,
            Self::Accept(by, _) | Self::Promote(by, _) | Self::Remove(by, _) | Self::Update(by, _) => by,
        }
    }

    fn run(self, services: &Services, party_id: &str, players: &[Player]) {
        let (session, cid, party_id) = (&players[self.by()].session, "1".to_owned(), party_id.to_owned());
        let about = |other: usize| Some(players[other].presence());
        match self {
            Self::Join(_) => join(services, session, cid, PartyJoin { party_id }),
            Self::Leave(_) => leave(services, session, cid, PartyLeave { party_id }),
            Self::Close(_) => close(services, session, cid, PartyClose { party_id }),
            Self::Accept(_, other) => accept(services, session, cid, PartyAccept { party_id, presence: about(other) }),
            Self::Promote(_, other) => {
                promote(services, session, cid, PartyPromote { party_id, presence: about(other) });
            }
            Self::Remove(_, other) => remove(services, session, cid, PartyRemove { party_id, presence: about(other) }),
            Self::Update(_, open) => {
                update(services, session, cid, PartyUpdate { party_id, open, ..PartyUpdate::default() });
            }
            Self::Lose(_) => {
                services.realtime.streams().bar(session);
                closed(services, session);
                services.realtime.disconnect(session);
            }
        }
    }
}

fn deeds() -> impl Strategy<Value = Deed> {
    let who = || 0..SESSIONS;
    prop_oneof![
        6 => who().prop_map(Deed::Join),
        3 => who().prop_map(Deed::Leave),
        4 => (who(), who()).prop_map(|(by, other)| Deed::Accept(by, other)),
        2 => (who(), who()).prop_map(|(by, other)| Deed::Promote(by, other)),
        3 => (who(), who()).prop_map(|(by, other)| Deed::Remove(by, other)),
        2 => (who(), any::<bool>()).prop_map(|(by, open)| Deed::Update(by, open)),
        1 => (0..SESSIONS * 4).prop_map(|by| Deed::Close(by % SESSIONS)),
        1 => who().prop_map(Deed::Lose),
    ]
}

/// A party as the rules of spec/parties.md have it, told in the plainest way.
#[derive(Debug)]
struct Model {
    open: bool,
    max_size: usize,
    members: Vec<usize>,
    leader: usize,
    requests: Vec<usize>,
    gone: [bool; SESSIONS],
    ended: bool,
}

impl Model {
    fn run(&mut self, deed: Deed) -> Result<(), &'static str> {
        if self.ended {
            return match deed {
                Deed::Leave(_) | Deed::Lose(_) => Ok(()),
                _ => Err("party not found"),
            };
        }
        if !matches!(deed, Deed::Join(_) | Deed::Leave(_) | Deed::Lose(_)) && deed.by() != self.leader {
            return Err("party leader only");
        }
        match deed {
            Deed::Join(by) => return self.join(by),
            Deed::Leave(by) => self.take_out(by),
            Deed::Lose(by) => {
                self.gone[by] = true;
                self.take_out(by);
            }
            Deed::Close(_) => (self.members, self.ended) = (Vec::new(), true),
            Deed::Update(_, open) => self.open = open,
            Deed::Promote(_, other) if self.members.contains(&other) => self.leader = other,
            Deed::Promote(..) => return Err("party member not found"),
            Deed::Remove(by, other) if by == other => return Err("party cannot remove self"),
            Deed::Remove(_, other) if self.members.contains(&other) => self.take_out(other),
            Deed::Remove(_, other) => self.forget(other).ok_or("party member not found")?,
            Deed::Accept(_, other) => return self.accept(other),
        }
        Ok(())
    }

    fn join(&mut self, by: usize) -> Result<(), &'static str> {
        let user = |number: &usize| (*number).max(1);
        let is_member = self.members.contains(&by);
        if self.members.len() >= self.max_size {
            Err("party full")
        } else if self.open {
            if !is_member {
                self.members.push(by);
                self.forget(by);
            }
            Ok(())
        } else if is_member {
            Err("party join request already member")
        } else if self.requests.len() >= self.max_size {
            Err("party join requests full")
        } else if self.requests.iter().any(|other| user(other) == user(&by)) {
            Err("party join request duplicate")
        } else {
            self.requests.push(by);
            Ok(())
        }
    }

    fn accept(&mut self, other: usize) -> Result<(), &'static str> {
        if !self.requests.contains(&other) {
            return Err("party join request not found");
        }
        if self.members.len() >= self.max_size {
            return Err("party full");
        }
        self.forget(other);
        if self.gone[other] {
            return Err("party could not accept request");
        }
        self.members.push(other);
        Ok(())
    }

    fn forget(&mut self, other: usize) -> Option<()> {
        let at = self.requests.iter().position(|request| *request == other)?;
        self.requests.remove(at);
        Some(())
    }

    fn take_out(&mut self, other: usize) {
        self.members.retain(|member| *member != other);
        match self.members.first() {
            None => self.ended = true,
            Some(oldest) if self.leader == other => self.leader = *oldest,
            Some(_) => {}
        }
    }
}

/// A party of the first player's: the players, and its id.
fn party(services: &Services, open: bool, max_size: usize) -> (Vec<Player>, String) {
    let mut players: Vec<_> = (0..SESSIONS).map(|number| Player::open(services, number)).collect();
    let request = PartyCreate { open, max_size: max_size as i32, ..PartyCreate::default() };
    create(services, &players[0].session, "1".to_owned(), request);
    let answers = players[0].hear();
    let id = answers[0]["party"]["party_id"].as_str().expect("a party").to_owned();
    (players, id)
}

fn check(services: &Services, id: &str, players: &[Player], model: &Model) {
    let key = key_of(Tenant::NONE, id).expect("an id");
    let names = |numbers: &[usize]| numbers.iter().map(|number| players[*number].id()).collect::<Vec<_>>();
    let members: Vec<_> =
        services.realtime.streams().members(&key).iter().map(|m| m.session.id().to_string()).collect();
    assert_eq!(members, names(&model.members), "the order in which they came");
    assert_eq!(services.parties.find(&key).is_some(), !model.ended);
    assert!(members.len() <= model.max_size && (model.ended || members.contains(&players[model.leader].id())));
    let Some(party) = services.parties.find(&key) else { return };
    let record = party.look();
    assert_eq!(record.leader, players[model.leader].presence());
    let requests: Vec<_> = record.requests.iter().map(|request| request.session_id.clone()).collect();
    assert_eq!((requests, record.open), (names(&model.requests), model.open));
    for number in &model.members {
        let view = View { leader: record.leader.session_id.clone(), members: members.iter().cloned().collect() };
        assert_eq!(players[*number].view, Some(view), "{number} sees what is");
    }
}

#[test]
fn a_party_is_what_the_rules_make_of_it_and_every_member_sees_that() {
    let world = World::new();
    let services = &world.services;
    let cases = (any::<bool>(), 1..5_usize, prop::collection::vec(deeds(), 1..60));
    let run = |(open, max_size, deeds): (bool, usize, Vec<Deed>)| {
        let (mut players, id) = party(services, open, max_size);
        let mut model = Model {
            open,
            max_size,
            members: vec![0],
            leader: 0,
            requests: Vec::new(),
            gone: [false; SESSIONS],
            ended: false,
        };
        check(services, &id, &players, &model);
        for deed in deeds {
            if model.gone[deed.by()] {
                continue;
            }
            deed.run(services, &id, &players);
            let expected = model.run(deed);
            for (number, player) in players.iter_mut().enumerate() {
                let answers = player.hear();
                let errors = answers.iter().filter_map(|answer| answer["error"]["message"].as_str());
                let reasons: Vec<_> = errors.map(|text| text.rsplit(": ").next().unwrap_or(text)).collect();
                let is_asked = number == deed.by() && !matches!(deed, Deed::Lose(_));
                assert_eq!(answers.len(), usize::from(is_asked), "{deed:?}: {answers:?}");
                assert_eq!(reasons, expected.err().filter(|_| is_asked).into_iter().collect::<Vec<_>>(), "{deed:?}");
                if !model.members.contains(&number) {
                    player.view = None;
                }
            }
            check(services, &id, &players, &model);
        }
        players.iter().for_each(|player| Deed::Lose(0).run(services, &id, std::slice::from_ref(player)));
        assert_eq!((services.metrics.parties.get(), services.metrics.presences.get()), (0, 0));
        assert!(services.realtime.registry().is_empty());
        Ok(())
    };
    TestRunner::default().run(&cases, run).expect("every case holds");
}

#[test]
fn those_who_act_at_the_same_time_see_one_order() {
    let world = World::new();
    let services = &world.services;
    let (mut players, id) = party(services, true, 4);
    for round in 0..400_usize {
        std::thread::scope(|scope| {
            for number in 0..SESSIONS {
                let (players, id) = (&players, &id);
                scope.spawn(move || {
                    let other = (number * 7 + round) % SESSIONS;
                    // The first player stays, so that the party does.
                    let deeds = match (number, (number + round) % 4) {
                        (0, 0) => [Deed::Promote(0, other), Deed::Join(0)],
                        (0, _) => [Deed::Join(0), Deed::Promote(0, other)],
                        (by, 0) => [Deed::Join(by), Deed::Leave(by)],
                        (by, 1) => [Deed::Leave(by), Deed::Join(by)],
                        (by, _) => [Deed::Join(by), Deed::Promote(by, other)],
                    };
                    deeds.iter().for_each(|deed| deed.run(services, id, players));
                });
            }
        });
        let key = key_of(Tenant::NONE, &id).expect("an id");
        let members: Vec<_> = services.realtime.streams().members(&key);
        let leader = services.parties.find(&key).expect("the party is there").look().leader.session_id;
        let ids: BTreeSet<_> = members.iter().map(|member| member.session.id().to_string()).collect();
        assert!(ids.len() <= 4 && ids.contains(&leader), "round {round}");
        for player in &mut players {
            player.hear();
            if ids.contains(&player.id()) {
                assert_eq!(player.view, Some(View { leader: leader.clone(), members: ids.clone() }), "round {round}");
            } else {
                player.view = None;
            }
        }
    }
}

#[test]
fn a_session_that_is_over_is_let_in_nowhere() {
    let world = World::new();
    let services = &world.services;
    let (mut players, id) = party(services, false, 4);
    Deed::Join(1).run(services, &id, &players);
    players[1].hear();
    Deed::Join(2).run(services, &id, &players);
    // Its end has begun; it can still be found.
    services.realtime.streams().bar(&players[2].session);
    Deed::Accept(0, 2).run(services, &id, &players);
    let answers = players[0].hear();
    let expected = "Error accepting party join request: party could not accept request";
    assert_eq!(answers[0]["error"]["message"], expected);
    let request = PartyJoinRequestList { party_id: id };
    join_request_list(services, &players[0].session, "1".to_owned(), request);
    let answers = players[0].hear();
    assert_eq!(
        answers[0]["party_join_request"]["presences"].as_array().map(Vec::len),
        Some(1),
        "the other still waits"
    );
}

#[test]
fn parties_are_taken_up_again_as_they_were() {
    let world = World::new();
    let services = &world.services;
    let (mut players, id) = party(services, false, 4);
    for deed in [Deed::Join(1), Deed::Accept(0, 1), Deed::Promote(0, 1), Deed::Join(2)] {
        deed.run(services, &id, &players);
    }
    let (_alone, other) = party(services, true, 2);
    let saved = services.parties.export();
    assert_eq!(saved.len(), 2);
    // As after a restart: sessions are in their streams again, and nobody knows the parties.
    let fresh = super::Parties::new(services.metrics.clone());
    let mut damaged = saved.clone();
    damaged[0].leader.session_id = "nobody".to_owned();
    damaged[1].id = Uuid::from_u128(1);
    let streams = services.realtime.streams();
    assert_eq!(fresh.import(damaged, streams), 1, "a party that nobody is in stays out");
    let first = fresh.find(&key_of(Tenant::NONE, &id).expect("an id")).expect("taken up").look();
    assert_eq!(first.leader, players[0].presence(), "who came first leads when the leader is not there");
    let fresh = super::Parties::new(services.metrics.clone());
    assert_eq!(fresh.import(saved.clone(), streams), 2);
    assert_eq!(fresh.export(), saved);
    let first = fresh.find(&key_of(Tenant::NONE, &id).expect("an id")).expect("taken up").look();
    assert_eq!((first.leader, first.requests), (players[1].presence(), vec![players[2].presence()]));
    assert!(fresh.find(&key_of(Tenant::NONE, &other).expect("an id")).is_some());
    players.iter_mut().for_each(|player| drop(player.hear()));
}
