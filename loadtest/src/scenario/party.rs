//! Parties: they form, their members talk, they dissolve.

use super::{Ledger, Run, gather};
use crate::{
    args::PartyOptions,
    client::{Client, Event},
    losses::Inbox,
    pacing::Schedule,
    payload::Mark,
    process::{Per, Snapshot},
    report::{Delivery, Phase},
    stats::{Fault, Faults, Meter},
};
use futures_util::{StreamExt, stream};
use kizuna_protocol::realtime::{Party, PartyCreate, PartyDataSend, PartyJoin, PartyLeave, envelope::Message as Body};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// From the last party that is whole to the first message.
const LEAD: Duration = Duration::from_millis(100);
/// How often it is looked whether the last message has come.
const DRAIN_STEP: Duration = Duration::from_millis(20);

/// Forms, talks, dissolves.
///
/// # Errors
/// The players could not sign in or connect, or no party came about.
pub async fn run(run: &Run, options: &PartyOptions) -> Result<Vec<Phase>, String> {
    let desk = Arc::new(Desk::new(run, options));
    let groups = gather_players(&desk).await?;
    let (form, groups) = desk.phase("form", &["create", "join"], form(desk.clone(), groups)).await;
    if groups.is_empty() {
        return Ok(vec![form]);
    }
    let (talk, groups) = talk(&desk, groups).await;
    let (leave, _) = desk.phase("leave", &["leave"], dissolve(desk.clone(), groups)).await;
    Ok(vec![form, talk, leave])
}

/// How many players that takes.
pub(crate) fn players(options: &PartyOptions) -> u64 {
    u64::from(options.parties) * u64::from(options.members)
}

/// What all parties share.
struct Desk {
    run: Run,
    options: PartyOptions,
    faults: Arc<Faults>,
    create: Ledger,
    join: Ledger,
    leave: Ledger,
    /// How late the harness itself was.
    sent: Meter,
    delivered: Arc<Meter>,
}

struct Group {
    number: u32,
    id: String,
    members: Vec<Member>,
    room: Arc<Room>,
}

/// What the members of a party know of each other's talking.
struct Room {
    /// Messages sent, by place.
    sent: Vec<AtomicU64>,
    /// Members that may still send.
    talking: AtomicUsize,
}

struct Member {
    slot: u16,
    client: Client,
    /// Its session, once it is in a party.
    session_id: String,
}

impl Desk {
    fn new(run: &Run, options: &PartyOptions) -> Self {
        let faults = Arc::new(Faults::default());
        let ledger = |name| Ledger::new(name, &faults);
        Self {
            run: run.clone(),
            options: options.clone(),
            create: ledger("create"),
            join: ledger("join"),
            leave: ledger("leave"),
            sent: Meter::default(),
            delivered: Arc::default(),
            faults,
        }
    }

    /// Runs `work` as a part of the run that is about these operations.
    async fn phase(
        &self,
        name: &str,
        operations: &[&str],
        work: impl Future<Output = Vec<Group>>,
    ) -> (Phase, Vec<Group>) {
        let ledgers = [&self.create, &self.join, &self.leave];
        let ledgers: Vec<_> = ledgers.into_iter().filter(|ledger| operations.contains(&ledger.name)).collect();
        let (before, start, earlier) = (self.run.processes.snapshot(), Instant::now(), self.faults.kinds());
        let meters = ledgers.iter().map(|ledger| (ledger.name, ledger.meter.clone())).collect();
        let progress = self.run.progress(name, meters, &self.faults);
        let groups = work.await;
        drop(progress);
        let seconds = start.elapsed().as_secs_f64();
        let done = ledgers.iter().map(|ledger| ledger.meter.done()).sum();
        let figures =
            ledgers.iter().map(|ledger| (ledger.name.to_owned(), ledger.meter.operation(ledger.meter.done(), seconds)));
        let phase = Phase {
            name: format!("party, {name}"),
            detail: format!("{} × {} members", self.options.parties, self.options.members),
            seconds,
            operations: figures.collect(),
            errors: since(&earlier, self.faults.kinds()),
            processes: self.usage(&before, seconds, done),
            counts: BTreeMap::from([("parties".to_owned(), groups.len() as u64)]),
            ..Phase::default()
        };
        (phase, groups)
    }

    fn usage(&self, before: &Snapshot, seconds: f64, operations: u64) -> Vec<crate::report::ProcessUse> {
        let after = self.run.processes.snapshot();
        self.run.processes.usage(before, &after, seconds, Per { operations, connections: 0 })
    }
}

/// What `now` has more than `earlier`.
fn since(earlier: &BTreeMap<String, u64>, now: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let more = now.into_iter().map(|(kind, count)| {
        let before = earlier.get(&kind).copied().unwrap_or(0);
        (kind, count - before)
    });
    more.filter(|(_, count)| *count > 0).collect()
}

async fn gather_players(desk: &Arc<Desk>) -> Result<Vec<Group>, String> {
    let options = &desk.options;
    let tokens = desk.run.sessions(players(options)).await?;
    let mut groups = Vec::new();
    for (tokens, number) in tokens.chunks(usize::from(options.members)).zip(0..) {
        let mut members = Vec::with_capacity(tokens.len());
        for (token, slot) in tokens.iter().zip(0..) {
            let format = options.format.of(u64::from(slot));
            let client =
                Client::open(&desk.run, token, format).await.map_err(|fault| format!("connecting: {fault}"))?;
            members.push(Member { slot, client, session_id: String::new() });
        }
        let sent = members.iter().map(|_| AtomicU64::new(0)).collect();
        let room = Arc::new(Room { sent, talking: AtomicUsize::new(members.len()) });
        groups.push(Group { number, id: String::new(), members, room });
    }
    Ok(groups)
}

/// Parties, so many at a time; those that fail are left out.
async fn each<F>(groups: Vec<Group>, at_once: usize, work: impl Fn(Group) -> F) -> Vec<Group>
where
    F: Future<Output = Option<Group>> + Send + 'static,
{
    let tasks = stream::iter(groups).map(|group| tokio::spawn(work(group))).buffer_unordered(at_once.max(1));
    tasks.filter_map(|ended| std::future::ready(ended.ok().flatten())).collect().await
}

async fn form(desk: Arc<Desk>, groups: Vec<Group>) -> Vec<Group> {
    each(groups, desk.options.forming, |group| form_one(desk.clone(), group)).await
}

/// The first member makes an open party, the others join it at once, and all must see all.
async fn form_one(desk: Arc<Desk>, mut group: Group) -> Option<Group> {
    let size = group.members.len();
    let mut members = group.members.into_iter();
    let mut leader = members.next()?;
    let since = Instant::now();
    let created = leader.create(size).await;
    let (id, seen) = desk.create.write_since(0, since, created)?;
    group.id = id;
    let mut tasks = vec![tokio::spawn(see_all(desk.clone(), leader, seen, size))];
    for mut member in members {
        let (desk, id) = (desk.clone(), group.id.clone());
        tasks.push(tokio::spawn(async move {
            let since = Instant::now();
            let joined = member.join(&id, desk.run.api.target.timeout()).await;
            let seen = desk.join.write_since(usize::from(member.slot), since, joined)?;
            see_all(desk, member, seen, size).await
        }));
    }
    group.members = gather(tasks).await.into_iter().flatten().collect();
    (group.members.len() == size).then_some(group)
}

async fn see_all(desk: Arc<Desk>, mut member: Member, mut seen: BTreeSet<String>, size: usize) -> Option<Member> {
    let patience = desk.run.api.target.timeout();
    let mut whole = Ok(());
    if seen.len() < size {
        let joined = |event: &Event| {
            if let Body::PartyPresenceEvent(change) = &event.message {
                seen.extend(change.joins.iter().map(|presence| presence.session_id.clone()));
            }
            (seen.len() >= size).then_some(())
        };
        whole = member.client.await_event(patience, joined).await;
    }
    match whole {
        Ok(()) => Some(member),
        Err(fault) => {
            desk.faults.add("join event", &fault);
            None
        }
    }
}

impl Member {
    /// Makes an open party: its id, and whom it shows.
    async fn create(&mut self, size: usize) -> Result<(String, BTreeSet<String>), Fault> {
        let max_size = i32::try_from(size).unwrap_or(i32::MAX);
        let request = PartyCreate { open: true, max_size, ..PartyCreate::default() };
        match self.client.ask(Body::PartyCreate(request)).await? {
            Some(Body::Party(party)) => Ok((party.party_id.clone(), self.enter(&party))),
            _ => Err(Fault::new("answered by another message")),
        }
    }

    /// Joins: whom the party shows. It is done when the party itself has come.
    async fn join(&mut self, id: &str, patience: Duration) -> Result<BTreeSet<String>, Fault> {
        self.client.ask(Body::PartyJoin(PartyJoin { party_id: id.to_owned() })).await?;
        let party = |event: &Event| match &event.message {
            Body::Party(party) if party.party_id == id => Some(party.clone()),
            _ => None,
        };
        let party = self.client.await_event(patience, party).await?;
        Ok(self.enter(&party))
    }

    fn enter(&mut self, party: &Party) -> BTreeSet<String> {
        self.session_id = party.self_.as_ref().map(|presence| presence.session_id.clone()).unwrap_or_default();
        let others = party.presences.iter().map(|presence| presence.session_id.clone());
        others.chain([self.session_id.clone()]).collect()
    }
}

/// When the talking begins and ends.
#[derive(Clone, Copy)]
struct Talk {
    epoch: Instant,
    end: Instant,
}

async fn talk(desk: &Arc<Desk>, groups: Vec<Group>) -> (Phase, Vec<Group>) {
    let earlier = desk.faults.kinds();
    let before = desk.run.processes.snapshot();
    let epoch = Instant::now() + LEAD;
    let talk = Talk { epoch, end: epoch + desk.options.duration };
    let progress = desk.run.progress("talk", vec![("delivered", desk.delivered.clone())], &desk.faults);
    let talking: Vec<_> = groups.into_iter().map(|group| tokio::spawn(talk_one(desk.clone(), group, talk))).collect();
    let (groups, deliveries): (Vec<_>, Vec<_>) = gather(talking).await.into_iter().unzip();
    drop(progress);
    let seconds = desk.options.duration.as_secs_f64();
    let delivered = desk.delivered.done();
    let operations = BTreeMap::from([
        ("delivered".to_owned(), desk.delivered.operation(delivered, seconds)),
        ("sent (how late)".to_owned(), desk.sent.operation(desk.sent.done(), seconds)),
    ]);
    let phase = Phase {
        name: "party, talk".to_owned(),
        detail: format!("{} a second each, {} bytes", desk.options.rate, desk.options.bytes),
        seconds,
        operations,
        delivery: Some(deliveries.into_iter().fold(Delivery::default(), Delivery::and)),
        errors: since(&earlier, desk.faults.kinds()),
        processes: desk.usage(&before, seconds, delivered),
        ..Phase::default()
    };
    (phase, groups.into_iter().flatten().collect())
}

async fn talk_one(desk: Arc<Desk>, mut group: Group, talk: Talk) -> (Option<Group>, Delivery) {
    let (size, number) = (group.members.len(), group.number);
    let tasks = group.members.into_iter().map(|member| {
        let speaker = Speaker {
            inbox: Inbox::new((number, member.slot), size, desk.options.bytes, talk.epoch),
            desk: desk.clone(),
            room: group.room.clone(),
            id: group.id.clone(),
            number,
            member,
        };
        tokio::spawn(speaker.run(talk))
    });
    let (members, deliveries): (Vec<_>, Vec<_>) = gather(tasks.collect()).await.into_iter().unzip();
    group.members = members.into_iter().flatten().collect();
    let delivery = deliveries.into_iter().fold(Delivery::default(), Delivery::and);
    ((group.members.len() == size).then_some(group), delivery)
}

/// A member while it talks.
struct Speaker {
    desk: Arc<Desk>,
    room: Arc<Room>,
    id: String,
    number: u32,
    member: Member,
    inbox: Inbox,
}

impl Speaker {
    async fn run(mut self, talk: Talk) -> (Option<Member>, Delivery) {
        let mut outcome = self.speak(talk).await;
        self.room.talking.fetch_sub(1, Relaxed);
        if outcome.is_ok() {
            outcome = self.hear_out(talk.end + self.desk.options.drain).await;
        }
        let room = self.room;
        let delivery = self.inbox.delivery(|place| room.sent[place].load(Relaxed));
        match outcome {
            Ok(()) => (Some(self.member), delivery),
            Err(fault) => {
                self.desk.faults.add("talk", &fault);
                (None, delivery)
            }
        }
    }

    async fn speak(&mut self, talk: Talk) -> Result<(), Fault> {
        let Self { desk, room, member, inbox, .. } = self;
        // One after the other, so that their messages are spread over the time between two of the same member.
        let player = u64::from(self.number) * room.sent.len() as u64 + u64::from(member.slot);
        #[expect(clippy::cast_precision_loss, reason = "players are far fewer than 2^53")]
        let share = player as f64 / players(&desk.options) as f64;
        let schedule =
            Schedule::new(talk.epoch + Duration::from_secs_f64(share / desk.options.rate), desk.options.rate);
        for sequence in 0_u32.. {
            let at = schedule.at(u64::from(sequence));
            if at >= talk.end {
                break;
            }
            let take = |event: &Event| {
                inbox.take(event, &desk.delivered);
            };
            member.client.listen(&desk.run.timer, at, take).await?;
            let intended_ns = u64::try_from((at - talk.epoch).as_nanos()).unwrap_or(u64::MAX);
            let mark = Mark { group: self.number, slot: member.slot, sequence, intended_ns };
            let data = mark.payload(desk.options.bytes);
            room.sent[usize::from(member.slot)].fetch_add(1, Relaxed);
            let send = PartyDataSend { party_id: self.id.clone(), op_code: 1, data };
            member.client.send(Body::PartyDataSend(send)).await?;
            desk.sent.record(usize::from(member.slot), at.elapsed());
        }
        Ok(())
    }

    /// Listens until everything that was sent has come.
    async fn hear_out(&mut self, until: Instant) -> Result<(), Fault> {
        let Self { desk, room, member, inbox, .. } = self;
        while Instant::now() < until {
            let all_sent = room.talking.load(Relaxed) == 0;
            if all_sent && inbox.is_complete(|place| room.sent[place].load(Relaxed)) {
                break;
            }
            let take = |event: &Event| {
                inbox.take(event, &desk.delivered);
            };
            member.client.listen(&desk.run.timer, Instant::now() + DRAIN_STEP, take).await?;
        }
        Ok(())
    }
}

async fn dissolve(desk: Arc<Desk>, groups: Vec<Group>) -> Vec<Group> {
    each(groups, desk.options.forming, |group| dissolve_one(desk.clone(), group)).await
}

/// The members leave one by one, the leader last, who must see each of the others go.
async fn dissolve_one(desk: Arc<Desk>, mut group: Group) -> Option<Group> {
    let patience = desk.run.api.target.timeout();
    let mut members = std::mem::take(&mut group.members).into_iter();
    let mut leader = members.next()?;
    for member in members {
        let session_id = member.session_id.clone();
        leave(&desk, member, &group.id).await?;
        let gone = |event: &Event| match &event.message {
            Body::PartyPresenceEvent(change) => {
                change.leaves.iter().any(|presence| presence.session_id == session_id).then_some(())
            }
            _ => None,
        };
        if let Err(fault) = leader.client.await_event(patience, gone).await {
            desk.faults.add("leave event", &fault);
            return None;
        }
    }
    leave(&desk, leader, &group.id).await?;
    Some(group)
}

async fn leave(desk: &Desk, mut member: Member, id: &str) -> Option<()> {
    let since = Instant::now();
    let left = member.client.ask(Body::PartyLeave(PartyLeave { party_id: id.to_owned() })).await;
    desk.leave.write_since(usize::from(member.slot), since, left)?;
    if let Err(fault) = member.client.close().await {
        desk.faults.add("leave", &fault);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_run_answers_for_its_own_failures() {
        let earlier = BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 1)]);
        let now = BTreeMap::from([("a".to_owned(), 5), ("b".to_owned(), 1), ("c".to_owned(), 1)]);
        assert_eq!(since(&earlier, now), BTreeMap::from([("a".to_owned(), 3), ("c".to_owned(), 1)]));
    }
}
