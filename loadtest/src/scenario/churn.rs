//! Players who come and go: they enter a match by its name, play, and leave, or are cut off without a goodbye, and come back.
//!
//! Who is in a match changes all the time, so what must arrive is told by duties: from when a player is there (its join is
//! answered) until it decides to go, everything that the others begin to send must come. A player goes only after that has come, and
//! after the server has answered a last ping, so that its own messages have been served.

use super::{Ledger, Run, TOKEN_AGE, gather, noise};
use crate::{
    args::ChurnOptions,
    client::{Client, Event},
    http::HttpConnection,
    losses::{Arrival, Inbox},
    memory::{Course, Memory},
    pacing::Schedule,
    payload::Mark,
    process::{Per, Processes},
    report::{Delivery, Operation, Phase},
    stats::{Fault, Faults, Meter},
    tokens::unix_seconds,
};
use bytes::Bytes;
use kizuna_protocol::realtime::{MatchCreate, MatchDataSend, MatchLeave, Ping, envelope::Message as Body};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::time::Instant;

/// How long a player takes in what comes before it looks whether that was all.
const STEP: Duration = Duration::from_millis(20);
/// How long a run that ends by its visits may take.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Lets players come and go.
///
/// # Errors
/// The players have no credentials.
pub async fn run(run: &Run, options: &ChurnOptions) -> Result<Vec<Phase>, String> {
    let bodies = run.identities.bodies((0..players(options)).collect()).await?;
    let desk = Arc::new(Desk::new(run, options));
    let before = run.processes.snapshot();
    let memory = Memory::watch(run.processes.clone(), likely_duration(options));
    let meters = vec![("joined", desk.join.meter.clone()), ("delivered", desk.delivered.clone())];
    let progress = run.progress("churn", meters, &desk.faults);
    let runs_since = unix_seconds();
    let mut playing = Vec::with_capacity(bodies.len());
    for (bodies, number) in bodies.chunks(usize::from(options.players)).zip(0_u32..) {
        let sent: Arc<Vec<_>> = Arc::new(bodies.iter().map(|_| AtomicU64::new(0)).collect());
        for (body, slot) in bodies.iter().zip(0_u16..) {
            let room = Room { name: format!("churn-{runs_since}-{number}"), number, sent: sent.clone() };
            playing.push(tokio::spawn(Player::new(desk.clone(), room, slot, body.clone()).run()));
        }
    }
    let deliveries = gather(playing).await;
    drop(progress);
    let seconds = desk.epoch.elapsed().as_secs_f64();
    let courses = memory.end();
    let after = run.processes.snapshot();
    let delivered = desk.delivered.done() + desk.from_gaps.done();
    let mut phase = Phase {
        name: "churn".to_owned(),
        detail: format!(
            "{} × {} players, {} a second each, {:?} there and {:?} away",
            options.matches, options.players, options.rate, options.stay, options.away
        ),
        seconds,
        operations: desk.operations(seconds),
        delivery: Some(deliveries.into_iter().fold(Delivery::default(), Delivery::and)),
        errors: desk.faults.kinds(),
        processes: run.processes.usage(&before, &after, seconds, Per { operations: delivered, connections: 0 }),
        counts: desk.counts(),
    };
    judge_memory(&mut phase, &courses, &run.processes, options.growth);
    Ok(vec![phase])
}

/// How many players that takes.
pub(crate) fn players(options: &ChurnOptions) -> u64 {
    u64::from(options.matches) * u64::from(options.players)
}

/// How long the run will take, about.
fn likely_duration(options: &ChurnOptions) -> Duration {
    options.visits.map_or(options.duration, |visits| {
        let each = u32::try_from(visits.div_ceil(players(options))).unwrap_or(u32::MAX);
        (options.stay + options.away).saturating_mul(each).min(LONGEST)
    })
}

/// Writes down the memory of all processes but the harness, and whether it stayed flat.
fn judge_memory(phase: &mut Phase, courses: &[Course], processes: &Processes, most: f64) {
    for (name, course) in processes.servers().iter().zip(courses) {
        phase.counts.extend(course.counts(name));
        match course.growth() {
            Some(growth) if growth > most => {
                let kind = format!("memory of {name} grew by {:.1} %, more than {:.1} %", growth * 100.0, most * 100.0);
                phase.errors.insert(kind, 1);
            }
            Some(_) => {}
            None => drop(phase.errors.insert(format!("memory of {name}: too short a run to judge"), 1)),
        }
    }
}

/// What all players share.
struct Desk {
    run: Run,
    options: ChurnOptions,
    epoch: Instant,
    end: Instant,
    faults: Arc<Faults>,
    login: Ledger,
    connect: Ledger,
    join: Ledger,
    /// From opening the new socket to playing on in the session of the lost one.
    resume: Ledger,
    delivered: Arc<Meter>,
    /// What was sent while its receiver was away, and came when it was back.
    from_gaps: Meter,
    goodbyes: AtomicU64,
    drops: AtomicU64,
    new_sessions: AtomicU64,
    /// Visits begun.
    visits: AtomicU64,
}

impl Desk {
    fn new(run: &Run, options: &ChurnOptions) -> Self {
        let (faults, epoch) = (Arc::new(Faults::default()), Instant::now());
        let ledger = |name| Ledger::new(name, &faults);
        Self {
            run: run.clone(),
            options: options.clone(),
            epoch,
            end: epoch + options.visits.map_or(options.duration, |_| LONGEST),
            login: ledger("login"),
            connect: ledger("connect"),
            join: ledger("join"),
            resume: ledger("resume"),
            delivered: Arc::default(),
            from_gaps: Meter::default(),
            goodbyes: AtomicU64::new(0),
            drops: AtomicU64::new(0),
            new_sessions: AtomicU64::new(0),
            visits: AtomicU64::new(0),
            faults,
        }
    }

    /// Whether one more visit may begin; it has begun then.
    fn begin_visit(&self) -> bool {
        let most = self.options.visits.unwrap_or(u64::MAX);
        let begin = |begun| (begun < most).then_some(begun + 1);
        Instant::now() < self.end && self.visits.fetch_update(SeqCst, SeqCst, begin).is_ok()
    }

    /// Whether no player will come again.
    fn is_over(&self) -> bool {
        Instant::now() >= self.end || self.options.visits.is_some_and(|most| self.visits.load(SeqCst) >= most)
    }

    fn operations(&self, seconds: f64) -> BTreeMap<String, Operation> {
        let meters = [&self.login, &self.connect, &self.join, &self.resume];
        let meters = meters.map(|ledger| (ledger.name, &*ledger.meter)).into_iter();
        let meters = meters.chain([("delivered", &*self.delivered), ("delivered after a gap", &self.from_gaps)]);
        meters.map(|(name, meter)| (name.to_owned(), meter.operation(meter.done(), seconds))).collect()
    }

    fn counts(&self) -> BTreeMap<String, u64> {
        let counts = [
            ("departures with goodbye", &self.goodbyes),
            ("departures without", &self.drops),
            ("returns to a new session", &self.new_sessions),
            ("visits", &self.visits),
        ];
        let counts = counts.into_iter().map(|(name, count)| (name.to_owned(), count.load(SeqCst)));
        counts.chain([("returns to the same session".to_owned(), self.resume.meter.done())]).collect()
    }
}

/// A match.
struct Room {
    name: String,
    number: u32,
    /// Messages that each player has begun to send, by place.
    sent: Arc<Vec<AtomicU64>>,
}

impl Room {
    fn sent(&self) -> Vec<u64> {
        self.sent.iter().map(|count| count.load(SeqCst)).collect()
    }
}

/// What one player must receive of another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Duty {
    from: u64,
    /// One more than the last; not known while the receiver stays.
    to: Option<u64>,
    got: u64,
}

impl Duty {
    fn take(&mut self, number: u64, arrival: Arrival) {
        let due = number >= self.from && self.to.is_none_or(|to| number < to);
        if due && arrival != Arrival::Duplicate {
            self.got += 1;
        }
    }

    fn is_done(&self) -> bool {
        self.to.is_some_and(|to| self.got >= to - self.from)
    }

    fn delivery(&self) -> Delivery {
        let expected = self.to.map_or(0, |to| to.saturating_sub(self.from));
        let received = self.got.min(expected);
        Delivery { expected, received, lost: expected - received, ..Delivery::default() }
    }
}

/// A session that may still be there.
struct Lost {
    session_id: String,
    /// What the others had sent in the middle of the time away: what came later must arrive.
    sent: Vec<u64>,
}

struct Player {
    desk: Arc<Desk>,
    room: Room,
    slot: u16,
    /// The account of its sign-in.
    body: Bytes,
    token: Option<(String, Instant)>,
    /// Messages begun, as the room counts them.
    sequence: u32,
    visits: u64,
    inbox: Inbox,
    duties: Vec<Duty>,
    delivery: Delivery,
}

/// Where something failed, and why.
type Failure = (&'static str, Fault);

impl Player {
    fn new(desk: Arc<Desk>, room: Room, slot: u16, body: Bytes) -> Self {
        let members = room.sent.len();
        let inbox = Inbox::new((room.number, slot), members, desk.options.bytes, desk.epoch);
        Self {
            desk,
            room,
            slot,
            body,
            token: None,
            sequence: 0,
            visits: 0,
            inbox,
            duties: vec![Duty::default(); members],
            delivery: Delivery::default(),
        }
    }

    async fn run(mut self) -> Delivery {
        let first = self.desk.options.stay.mul_f64(self.chance(0));
        self.sleep_until(self.desk.epoch + first).await;
        let mut lost = None;
        while self.desk.begin_visit() {
            self.visits += 1;
            let gone = match self.visit(lost.take()).await {
                Ok(gone) => gone,
                Err((step, fault)) => {
                    self.desk.faults.add(step, &fault);
                    None
                }
            };
            lost = self.stay_away(gone).await;
        }
        let counted = self.inbox.delivery(|_| 0);
        let Delivery { duplicated, reordered, damaged, .. } = counted;
        self.delivery.and(Delivery {
            sent: self.sequence.into(),
            duplicated,
            reordered,
            damaged,
            ..Delivery::default()
        })
    }

    /// A number from 0 to 1 that is the same in every run.
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    fn chance(&self, about: u64) -> f64 {
        let player = u64::from(self.room.number) << 16 | u64::from(self.slot);
        (noise(player << 24 | self.visits << 2 | about) >> 11) as f64 / (1_u64 << 53) as f64
    }

    async fn sleep_until(&self, at: Instant) {
        self.desk.run.timer.sleep_until(at.min(self.desk.end)).await;
    }

    async fn stay_away(&self, gone: Option<String>) -> Option<Lost> {
        let (left, half) = (Instant::now(), self.desk.options.away / 2);
        self.sleep_until(left + half).await;
        let lost = gone.map(|session_id| Lost { session_id, sent: self.room.sent() });
        self.sleep_until(left + self.desk.options.away).await;
        lost
    }

    /// Comes, plays, goes; the session if it was cut off.
    async fn visit(&mut self, lost: Option<Lost>) -> Result<Option<String>, Failure> {
        let token = self.token().await?;
        let opening = Instant::now();
        let format = self.desk.options.format.of(self.slot.into());
        let mut client = Client::open(&self.desk.run, &token, format).await.map_err(|fault| ("connect", fault))?;
        self.desk.connect.meter.record(self.slot.into(), opening.elapsed());
        let (match_id, session_id) = self.enter(&mut client, lost, opening).await?;
        let leave_at = Instant::now() + self.desk.options.stay.mul_f64(0.5 + self.chance(1));
        self.play(&mut client, &match_id, leave_at.min(self.desk.end)).await.map_err(|fault| ("play", fault))?;
        self.settle(&mut client).await.map_err(|fault| ("settling", fault))?;
        if !self.desk.is_over() && self.chance(2) < self.desk.options.drops && self.can_resume() {
            self.desk.drops.fetch_add(1, SeqCst);
            // Without a goodbye: the connection is just gone.
            drop(client);
            return Ok(Some(session_id));
        }
        self.desk.goodbyes.fetch_add(1, SeqCst);
        let left = client.ask(Body::MatchLeave(MatchLeave { match_id })).await;
        left.map_err(|fault| ("leave", fault))?;
        client.close().await.map_err(|fault| ("leave", fault))?;
        Ok(None)
    }

    /// The token in hand while it is young, else a new one.
    async fn token(&mut self) -> Result<String, Failure> {
        if let Some((token, since)) = &self.token
            && since.elapsed() < TOKEN_AGE
        {
            return Ok(token.clone());
        }
        let since = Instant::now();
        let mut http = HttpConnection::new(&self.desk.run.api.target);
        let token = self.desk.run.api.login(&mut http, self.body.clone()).await.map_err(|fault| ("login", fault))?;
        self.desk.login.meter.record(self.slot.into(), since.elapsed());
        self.token = Some((token.clone(), Instant::now()));
        Ok(token)
    }

    /// Whether the token in hand will do for the way back.
    fn can_resume(&self) -> bool {
        self.token.as_ref().is_some_and(|(_, since)| since.elapsed() + 2 * self.desk.options.away < TOKEN_AGE)
    }

    /// Enters the match of its name: its id, and that of the session. Who was in it all the time is told what it missed before.
    async fn enter(
        &mut self,
        client: &mut Client,
        lost: Option<Lost>,
        opening: Instant,
    ) -> Result<(String, String), Failure> {
        let desk = self.desk.clone();
        let asked = Instant::now();
        let request = MatchCreate { name: self.room.name.clone() };
        let answer = client.ask(Body::MatchCreate(request)).await.map_err(|fault| ("join", fault))?;
        let Some(Body::Match(entered)) = answer else {
            return Err(("join", Fault::new("answered by another message")));
        };
        let session_id = entered.self_.map(|own| own.session_id).unwrap_or_default();
        let same = lost.as_ref().is_some_and(|lost| lost.session_id == session_id && !session_id.is_empty());
        match (&lost, same) {
            (_, true) => desk.resume.meter.record(self.slot.into(), opening.elapsed()),
            (_, false) => desk.join.meter.record(self.slot.into(), asked.elapsed()),
        }
        if lost.is_some() && !same {
            desk.new_sessions.fetch_add(1, SeqCst);
            if desk.options.resume {
                desk.faults.add("resume", &Fault::new("came back to a new session"));
            }
        }
        let strict = desk.options.resume && same;
        let from = lost.filter(|_| strict).map_or_else(|| self.room.sent(), |lost| lost.sent);
        self.duties = from.into_iter().map(|from| Duty { from, ..Duty::default() }).collect();
        for event in client.kept() {
            self.take(&event, if same { &desk.from_gaps } else { &desk.delivered });
        }
        Ok((entered.match_id, session_id))
    }

    fn take(&mut self, event: &Event, meter: &Meter) {
        if let Some((mark, arrival)) = self.inbox.take(event, meter) {
            self.duties[usize::from(mark.slot)].take(mark.sequence.into(), arrival);
        }
    }

    async fn listen(&mut self, client: &mut Client, until: Instant) -> Result<(), Fault> {
        let desk = self.desk.clone();
        client.listen(&desk.run.timer, until, |event| self.take(event, &desk.delivered)).await
    }

    /// Sends at its rate until `leave_at`.
    async fn play(&mut self, client: &mut Client, match_id: &str, leave_at: Instant) -> Result<(), Fault> {
        let schedule = Schedule::new(Instant::now(), self.desk.options.rate);
        for number in 0.. {
            let at = schedule.at(number).min(leave_at);
            self.listen(client, at).await?;
            if at >= leave_at {
                break;
            }
            let intended_ns = u64::try_from((at - self.desk.epoch).as_nanos()).unwrap_or(u64::MAX);
            let mark = Mark { group: self.room.number, slot: self.slot, sequence: self.sequence, intended_ns };
            let data = mark.payload(self.desk.options.bytes);
            self.sequence += 1;
            // Counted before it is under way: who has read a lower count must get it.
            self.room.sent[usize::from(self.slot)].fetch_add(1, SeqCst);
            let send = MatchDataSend { match_id: match_id.into(), op_code: 1, data, ..MatchDataSend::default() };
            client.send(Body::MatchDataSend(send)).await?;
        }
        Ok(())
    }

    /// Waits until its own messages are served, and those that the others have begun to send by now have come.
    async fn settle(&mut self, client: &mut Client) -> Result<(), Fault> {
        let desk = self.desk.clone();
        let sent = self.room.sent();
        self.duties.iter_mut().zip(sent).for_each(|(duty, to)| duty.to = Some(to));
        let answered = client.ask(Body::Ping(Ping {})).await.map(drop);
        for event in client.kept() {
            self.take(&event, &desk.delivered);
        }
        let until = Instant::now() + desk.options.drain;
        let mut outcome = answered;
        while outcome.is_ok() && Instant::now() < until && !self.others().all(Duty::is_done) {
            outcome = self.listen(client, Instant::now() + STEP).await;
        }
        let became = self.others().map(Duty::delivery).fold(Delivery::default(), Delivery::and);
        self.delivery = self.delivery.and(became);
        outcome
    }

    fn others(&self) -> impl Iterator<Item = &Duty> {
        let own = usize::from(self.slot);
        self.duties.iter().enumerate().filter(move |(place, _)| *place != own).map(|(_, duty)| duty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(mut duty: Duty, numbers: &[u64]) -> Duty {
        numbers.iter().for_each(|number| duty.take(*number, Arrival::InOrder));
        duty
    }

    #[test]
    fn a_duty_counts_from_the_join_to_the_decision_to_go() {
        let duty = after(Duty { from: 5, ..Duty::default() }, &[3, 4, 5, 6]);
        assert!(!duty.is_done(), "its end is not known");
        let mut duty = Duty { to: Some(8), ..duty };
        assert!(!duty.is_done());
        assert_eq!(duty.delivery(), Delivery { expected: 3, received: 2, lost: 1, ..Delivery::default() });
        duty.take(7, Arrival::InOrder);
        duty.take(7, Arrival::Duplicate);
        duty.take(8, Arrival::InOrder);
        assert_eq!(duty.delivery(), Delivery { expected: 3, received: 3, ..Delivery::default() });
        assert!(duty.is_done());
    }

    #[test]
    fn a_duty_over_which_nothing_was_sent_is_done() {
        assert!(Duty { from: 4, to: Some(4), got: 0 }.is_done());
    }

    #[test]
    fn memory_that_grows_is_a_fault() {
        let processes = Processes::open(&[std::process::id()]).unwrap();
        let name = processes.servers().remove(0);
        let mut phase = Phase::default();
        judge_memory(&mut phase, &[Course::of(&[100, 100, 100, 100, 100, 100, 100, 100, 100, 109])], &processes, 0.1);
        assert!(phase.errors.is_empty(), "{:?}", phase.errors);
        judge_memory(&mut phase, &[Course::of(&[100, 100, 100, 100, 100, 100, 100, 100, 100, 115])], &processes, 0.1);
        assert_eq!(
            phase.errors.keys().collect::<Vec<_>>(),
            [&format!("memory of {name} grew by 15.0 %, more than 10.0 %")]
        );
    }
}
