//! The matchmaker: players ask for company again and again, meet in the match that they are given, exchange data and part.

use super::{Ledger, Run, gather};
use crate::{
    args::MatchmakerOptions,
    client::{Client, Event},
    losses::Inbox,
    payload::Mark,
    process::Per,
    report::{Delivery, Phase},
    stats::{Fault, Faults, Meter},
};
use kizuna_protocol::realtime::{
    MatchDataSend, MatchJoin, MatchLeave, MatchmakerAdd, MatchmakerMatched, MatchmakerRemove,
    envelope::Message as Body, match_join, matchmaker_matched,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// How long a player takes in what comes before it looks whether that was all.
const STEP: Duration = Duration::from_millis(20);
/// Skills are 0 to this.
const BEST: u64 = 100;

/// Has players matched.
///
/// # Errors
/// The players could not sign in or connect.
pub async fn run(run: &Run, options: &MatchmakerOptions) -> Result<Vec<Phase>, String> {
    let tokens = run.sessions(options.players).await?;
    let mut clients = Vec::with_capacity(tokens.len());
    for (token, number) in tokens.iter().zip(0..) {
        let client = Client::open(run, token, options.format.of(number)).await;
        clients.push(client.map_err(|fault| format!("connecting: {fault}"))?);
    }
    let epoch = Instant::now();
    let desk = Arc::new(Desk::new(run, options, epoch));
    let before = run.processes.snapshot();
    let meters = vec![("tickets", desk.ticket.meter.clone()), ("matched", desk.matched.meter.clone())];
    let progress = run.progress("matchmaker", meters, &desk.faults);
    let players = clients.into_iter().zip(0..).map(|(client, number)| {
        let player = Player { desk: desk.clone(), client, number, delivery: Delivery::default() };
        tokio::spawn(player.run())
    });
    let deliveries = gather(players.collect()).await;
    drop(progress);
    let seconds = epoch.elapsed().as_secs_f64();
    let after = run.processes.snapshot();
    let tickets = desk.ticket.meter.done();
    let ledgers = [&desk.ticket, &desk.matched, &desk.join];
    let figures = ledgers.map(|ledger| (ledger.name.to_owned(), ledger.meter.operation(ledger.meter.done(), seconds)));
    let mut operations = BTreeMap::from(figures);
    operations.insert("delivered".to_owned(), desk.delivered.operation(desk.delivered.done(), seconds));
    Ok(vec![Phase {
        name: "matchmaker".to_owned(),
        detail: format!(
            "{} players in groups of {}, {} regions, {} apart",
            options.players, options.group, options.regions, options.range
        ),
        seconds,
        operations,
        delivery: Some(deliveries.into_iter().fold(Delivery::default(), Delivery::and)),
        errors: desk.faults.kinds(),
        processes: run.processes.usage(&before, &after, seconds, Per { operations: tickets, connections: 0 }),
        counts: BTreeMap::from([
            ("matches".to_owned(), desk.matches.load(Relaxed)),
            ("tickets that waited at the end".to_owned(), desk.waiting.load(Relaxed)),
        ]),
    }])
}

/// What all players share.
struct Desk {
    run: Run,
    options: MatchmakerOptions,
    epoch: Instant,
    /// No ticket is asked for from here on.
    end: Instant,
    faults: Arc<Faults>,
    /// From asking to having a ticket.
    ticket: Ledger,
    /// From having a ticket to being matched.
    matched: Ledger,
    /// Entering the match.
    join: Ledger,
    delivered: Meter,
    matches: AtomicU64,
    waiting: AtomicU64,
}

impl Desk {
    fn new(run: &Run, options: &MatchmakerOptions, epoch: Instant) -> Self {
        let faults = Arc::new(Faults::default());
        let ledger = |name| Ledger::new(name, &faults);
        Self {
            run: run.clone(),
            options: options.clone(),
            epoch,
            end: epoch + options.duration,
            ticket: ledger("ticket"),
            matched: ledger("matched"),
            join: ledger("join"),
            delivered: Meter::default(),
            matches: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            faults,
        }
    }
}

struct Player {
    desk: Arc<Desk>,
    client: Client,
    number: u64,
    delivery: Delivery,
}

/// A ticket and what it is for.
struct Wish {
    ticket: String,
    since: Instant,
}

impl Player {
    async fn run(mut self) -> Delivery {
        for round in 0.. {
            if Instant::now() >= self.desk.end {
                break;
            }
            match self.round(round).await {
                Ok(true) => {}
                Ok(false) => break,
                Err((step, fault)) => {
                    self.desk.faults.add(step, &fault);
                    return self.delivery;
                }
            }
        }
        if let Err(fault) = self.client.close().await {
            self.desk.faults.add("goodbye", &fault);
        }
        self.delivery
    }

    /// One ticket and its match; false when the run ended before it was matched.
    async fn round(&mut self, round: u64) -> Result<bool, (&'static str, Fault)> {
        let skill = skill(self.number, round);
        let asked = Instant::now();
        let answer = self.client.ask(Body::MatchmakerAdd(self.request(skill))).await;
        let ticket = match answer {
            Ok(Some(Body::MatchmakerTicket(answer))) => answer.ticket,
            Ok(_) => return Err(("ticket", Fault::new("answered by another message"))),
            Err(fault) => return Err(("ticket", fault)),
        };
        let worker = usize::try_from(self.number).unwrap_or_default();
        self.desk.ticket.meter.record(worker, asked.elapsed());
        let wish = Wish { ticket, since: Instant::now() };
        let Some((at, matched)) = self.company(&wish).await.map_err(|fault| ("matched", fault))? else {
            self.desk.waiting.fetch_add(1, Relaxed);
            return Ok(false);
        };
        self.desk.matched.meter.record(worker, at - wish.since);
        if let Some(why) = stranger(&matched, &self.desk.options) {
            self.desk.faults.add("matched", &Fault::new(why));
        }
        self.meet(&matched).await?;
        Ok(true)
    }

    fn request(&self, skill: u64) -> MatchmakerAdd {
        let options = &self.desk.options;
        let count = i32::from(options.group);
        let region = format!("r{}", self.number % options.regions);
        let (least, most) = (skill.saturating_sub(options.range.into()), (skill + u64::from(options.range)).min(BEST));
        #[expect(clippy::cast_precision_loss, reason = "at most 100")]
        let skill = skill as f64;
        MatchmakerAdd {
            min_count: count,
            max_count: count,
            query: format!("+properties.region:{region} +properties.skill:>={least} +properties.skill:<={most}"),
            string_properties: [("region".to_owned(), region)].into(),
            numeric_properties: [("skill".to_owned(), skill)].into(),
            count_multiple: None,
        }
    }

    /// Waits to be matched; `None` when the run is over and the ticket is given back.
    async fn company(&mut self, wish: &Wish) -> Result<Option<(Instant, MatchmakerMatched)>, Fault> {
        let patience_ends = wish.since + self.desk.options.patience;
        let until = patience_ends.min(self.desk.end.max(wish.since));
        let mine = |event: &Event| match &event.message {
            Body::MatchmakerMatched(matched) if matched.ticket == wish.ticket => Some((event.at, matched.clone())),
            _ => None,
        };
        match self.client.await_event(until.saturating_duration_since(Instant::now()), mine).await {
            Ok(found) => return Ok(Some(found)),
            Err(fault) if fault != Fault::new("never came") => return Err(fault),
            Err(_) if patience_ends <= self.desk.end => {
                return Err(Fault::new(format!("waited longer than {:?}", self.desk.options.patience)));
            }
            Err(_) => {}
        }
        match self.client.ask(Body::MatchmakerRemove(MatchmakerRemove { ticket: wish.ticket.clone() })).await {
            Ok(_) => Ok(None),
            // Matched in this moment: the others count on this player.
            Err(_) => self.client.await_event(self.desk.run.api.target.timeout(), mine).await.map(Some),
        }
    }

    /// Joins, waits for the others, talks, leaves.
    async fn meet(&mut self, matched: &MatchmakerMatched) -> Result<(), (&'static str, Fault)> {
        let desk = self.desk.clone();
        let place = Place::of(matched).ok_or_else(|| ("matched", Fault::new("oneself is not among the matched")))?;
        let since = Instant::now();
        let (match_id, mut seen) = self.join(matched).await.map_err(|fault| ("join", fault))?;
        desk.join.meter.record(usize::from(place.slot), since.elapsed());
        if place.slot == 0 {
            desk.matches.fetch_add(1, Relaxed);
        }
        let mut inbox = Inbox::new((place.group, place.slot), place.everybody.len(), desk.options.bytes, desk.epoch);
        let patience = desk.run.api.target.timeout();
        if !seen.is_superset(&place.everybody) {
            let all_there = |event: &Event| {
                match &event.message {
                    Body::MatchPresenceEvent(change) => {
                        seen.extend(change.joins.iter().map(|presence| presence.session_id.clone()));
                    }
                    _ => {
                        inbox.take(event, &desk.delivered);
                    }
                }
                seen.is_superset(&place.everybody).then_some(())
            };
            self.client.await_event(patience, all_there).await.map_err(|fault| ("meeting", fault))?;
        }
        let talked = self.talk(&match_id, &place, &mut inbox).await;
        let messages = u64::from(desk.options.messages);
        self.delivery = self.delivery.and(inbox.delivery(|_| messages));
        talked.map_err(|fault| ("talking", fault))?;
        let left = self.client.ask(Body::MatchLeave(MatchLeave { match_id })).await;
        left.map(drop).map_err(|fault| ("leaving", fault))
    }

    /// The match's id, and who is there.
    async fn join(&mut self, matched: &MatchmakerMatched) -> Result<(String, BTreeSet<String>), Fault> {
        let id = match matched.id.clone() {
            Some(matchmaker_matched::Id::Token(token)) => match_join::Id::Token(token),
            Some(matchmaker_matched::Id::MatchId(id)) => match_join::Id::MatchId(id),
            None => return Err(Fault::new("matched without a token")),
        };
        let request = MatchJoin { id: Some(id), ..MatchJoin::default() };
        let Some(Body::Match(entered)) = self.client.ask(Body::MatchJoin(request)).await? else {
            return Err(Fault::new("answered by another message"));
        };
        let there = entered.presences.into_iter().chain(entered.self_).map(|presence| presence.session_id);
        Ok((entered.match_id, there.collect()))
    }

    /// Sends all messages, and takes in those of the others.
    async fn talk(&mut self, match_id: &str, place: &Place, inbox: &mut Inbox) -> Result<(), Fault> {
        let desk = self.desk.clone();
        for sequence in 0..desk.options.messages {
            let intended_ns = u64::try_from(desk.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let mark = Mark { group: place.group, slot: place.slot, sequence, intended_ns };
            let data = mark.payload(desk.options.bytes);
            let send = MatchDataSend { match_id: match_id.to_owned(), op_code: 1, data, ..MatchDataSend::default() };
            self.client.send(Body::MatchDataSend(send)).await?;
        }
        let until = Instant::now() + desk.run.api.target.timeout();
        while Instant::now() < until && !inbox.is_complete(|_| u64::from(desk.options.messages)) {
            let take = |event: &Event| {
                inbox.take(event, &desk.delivered);
            };
            self.client.listen(&desk.run.timer, Instant::now() + STEP, take).await?;
        }
        Ok(())
    }
}

/// Who is matched, in an order that all agree on.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// The same for all of the match, and most likely for no other.
    group: u32,
    slot: u16,
    everybody: BTreeSet<String>,
}

impl Place {
    fn of(matched: &MatchmakerMatched) -> Option<Self> {
        let session = |user: &matchmaker_matched::MatchmakerUser| Some(user.presence.as_ref()?.session_id.clone());
        let everybody: BTreeSet<_> = matched.users.iter().filter_map(session).collect();
        let own = matched.self_.as_ref().and_then(session)?;
        let slot = everybody.iter().position(|id| *id == own)?;
        // FNV-1a.
        let hash = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        let group = everybody.iter().flat_map(|id| id.bytes()).fold(0x811C_9DC5, hash);
        Some(Self { group, slot: u16::try_from(slot).ok()?, everybody })
    }
}

/// Why these players should not have been matched, if they should not: too few, of different regions, or nobody among them whose
/// query takes all the others.
fn stranger(matched: &MatchmakerMatched, options: &MatchmakerOptions) -> Option<&'static str> {
    if matched.users.len() != usize::from(options.group) {
        return Some("with too few or too many");
    }
    let region = |user: &matchmaker_matched::MatchmakerUser| user.string_properties.get("region").cloned();
    let regions: BTreeSet<_> = matched.users.iter().map(region).collect();
    if regions.len() != 1 {
        return Some("with somebody of another region");
    }
    let skill = |user: &matchmaker_matched::MatchmakerUser| user.numeric_properties.get("skill").copied();
    let skills: Vec<f64> = matched.users.iter().filter_map(skill).collect();
    let takes_all = |one: &f64| skills.iter().all(|other| (one - other).abs() <= f64::from(options.range));
    let fits = skills.len() == matched.users.len() && skills.iter().any(takes_all);
    (!fits).then_some("with somebody of another skill")
}

/// A player's skill in a round: the same in every run, spread evenly.
fn skill(number: u64, round: u64) -> u64 {
    super::noise(number << 32 | round) % (BEST + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Arguments, Command};
    use clap::Parser;
    use kizuna_protocol::realtime::UserPresence;
    use matchmaker_matched::MatchmakerUser;

    fn user(session_id: &str, region: &str, skill: f64) -> MatchmakerUser {
        MatchmakerUser {
            presence: Some(UserPresence { session_id: session_id.into(), ..UserPresence::default() }),
            string_properties: [("region".to_owned(), region.to_owned())].into(),
            numeric_properties: [("skill".to_owned(), skill)].into(),
            ..MatchmakerUser::default()
        }
    }

    fn matched(users: &[MatchmakerUser], own: usize) -> MatchmakerMatched {
        MatchmakerMatched { users: users.to_vec(), self_: Some(users[own].clone()), ..MatchmakerMatched::default() }
    }

    #[test]
    fn all_of_a_match_agree_on_their_places() {
        let users = [user("b", "r1", 1.0), user("a", "r1", 1.0)];
        let mut others = users.clone();
        others.reverse();
        let (one, other) = (Place::of(&matched(&users, 0)).unwrap(), Place::of(&matched(&others, 0)).unwrap());
        assert_eq!((one.slot, other.slot), (1, 0));
        assert_eq!((one.group, &one.everybody), (other.group, &other.everybody));
        let stray = MatchmakerMatched { self_: Some(user("c", "r1", 1.0)), ..matched(&users, 0) };
        assert_eq!(Place::of(&stray), None);
    }

    #[test]
    fn strangers_are_found_out() {
        let line = ["loadtest", "matchmaker", "--group", "3", "--range", "10"];
        let Command::Matchmaker(options) = Arguments::try_parse_from(line).unwrap().command else { panic!() };
        let judged = |users: [MatchmakerUser; 3]| stranger(&matched(&users, 0), &options);
        // The first takes both others, who would not take each other.
        assert_eq!(judged([user("a", "r1", 50.0), user("b", "r1", 40.0), user("c", "r1", 60.0)]), None);
        let far = judged([user("a", "r1", 50.0), user("b", "r1", 39.0), user("c", "r1", 61.0)]);
        assert_eq!(far, Some("with somebody of another skill"));
        let elsewhere = judged([user("a", "r1", 50.0), user("b", "r2", 50.0), user("c", "r1", 50.0)]);
        assert_eq!(elsewhere, Some("with somebody of another region"));
        assert_eq!(stranger(&matched(&[user("a", "r1", 1.0)], 0), &options), Some("with too few or too many"));
    }
}
