//! A player of a match who stays for the whole run: reconnects with its session token whenever the server comes back, and goes on.
//!
//! While its session lasts, everything that the others send must come to it, over any number of stops and starts. When the server was
//! killed its session is gone; what had come until then must be without a gap, and everything counts anew from its next join.

use super::world::{BackOff, Failure, World};
use crate::{
    client::{Client, Event},
    losses::{Arrival, Inbox},
    pacing::Schedule,
    payload::Mark,
    report::Delivery,
    stats::{Fault, Meter},
};
use kizuna_protocol::realtime::{MatchCreate, MatchDataSend, MatchLeave, Ping, envelope::Message as Body};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::time::Instant;

/// How long a player takes in what comes before it looks whether that was all.
const STEP: Duration = Duration::from_millis(20);
/// How long the reason of a broken socket may take to be read.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A match.
pub(super) struct Room {
    pub(super) name: String,
    pub(super) number: u32,
    /// By place.
    pub(super) members: Vec<Member>,
}

/// What the others of a match know of one player.
#[derive(Default)]
pub(super) struct Member {
    /// Messages that it has begun to send.
    sent: AtomicU64,
    /// The first of them in its session of now.
    begins: AtomicU64,
}

/// What one player must receive of another while its own session lasts.
#[derive(Clone, Copy, Debug, Default)]
struct Stretch {
    from: u64,
    /// Where the sender's session began, as it was when the last message came.
    begins: u64,
    got: u64,
    /// One more than the last that came.
    next: u64,
}

impl Stretch {
    fn take(&mut self, number: u64, begins: u64, arrival: Arrival) {
        if number >= self.from && arrival != Arrival::Duplicate {
            self.begins = begins;
            self.got += 1;
            self.next = self.next.max(number + 1);
        }
    }

    /// What became of it until a kill: whatever came last, nothing before that may be missing.
    fn cut(&self) -> Delivery {
        self.delivery(self.begins, self.next)
    }

    fn due(&self, begins: u64, to: u64) -> u64 {
        to.saturating_sub(self.from.max(begins))
    }

    fn delivery(&self, begins: u64, to: u64) -> Delivery {
        let expected = self.due(begins, to);
        let received = self.got.min(expected);
        Delivery { expected, received, lost: expected - received, ..Delivery::default() }
    }
}

/// The session that a player is in.
struct Seat {
    session_id: String,
    /// How often the server had been killed when it began.
    kills: usize,
}

pub(super) struct Player {
    world: Arc<World>,
    room: Arc<Room>,
    slot: u16,
    token: Option<String>,
    seat: Option<Seat>,
    sequence: u32,
    inbox: Inbox,
    stretches: Vec<Stretch>,
    delivery: Delivery,
    /// Since when it has not been playing.
    away: Option<Instant>,
}

impl Player {
    pub(super) fn new(world: Arc<World>, room: Arc<Room>, slot: u16) -> Self {
        let members = room.members.len();
        let inbox = Inbox::new((room.number, slot), members, world.options.bytes, world.epoch);
        let stretches = vec![Stretch::default(); members];
        Self {
            world,
            room,
            slot,
            token: None,
            seat: None,
            sequence: 0,
            inbox,
            stretches,
            delivery: Delivery::default(),
            away: None,
        }
    }

    /// Plays until the end of the run.
    pub(super) async fn run(mut self) -> Delivery {
        let number = u64::from(self.room.number) * self.room.members.len() as u64 + u64::from(self.slot);
        let mut back_off = BackOff::new(number);
        self.world.arrive(number).await;
        while let Err((step, fault)) = self.sit_down(&mut back_off).await {
            self.away.get_or_insert_with(Instant::now);
            self.world.failed(step, &fault);
            if self.world.is_over() {
                break;
            }
            back_off.wait(&self.world).await;
        }
        let counted = self.inbox.delivery(|_| 0);
        let Delivery { duplicated, reordered, damaged, .. } = counted;
        let sent = self.sequence.into();
        self.delivery.and(Delivery { sent, duplicated, reordered, damaged, ..Delivery::default() })
    }

    /// Connects, and plays until the end of the run.
    async fn sit_down(&mut self, back_off: &mut BackOff) -> Result<(), Failure> {
        let name = format!("player-{}-{}", self.room.number, self.slot);
        let token = match &self.token {
            Some(token) => token.clone(),
            None => self.token.insert(self.world.sign_in(&name).await.map_err(|fault| ("login", fault))?.token).clone(),
        };
        let world = self.world.clone();
        let format = world.options.format.of(self.slot.into());
        let mut client = Client::open(&world.run, &token, format).await.map_err(|fault| ("connect", fault))?;
        let played = self.play_on(&mut client, back_off).await;
        if let Err((step, fault)) = played {
            let fault = self.last_words(&mut client, fault).await;
            // The server may still be reading what was sent: the goodbye tells it that there is no more.
            let _ = client.close().await;
            return Err((step, fault));
        }
        client.close().await.map_err(|fault| ("leave", fault))
    }

    async fn play_on(&mut self, client: &mut Client, back_off: &mut BackOff) -> Result<(), Failure> {
        let match_id = self.enter(client).await.map_err(|fault| ("join", fault))?;
        back_off.reset();
        if let Some(since) = self.away.take() {
            self.world.back.record(self.slot.into(), since.elapsed());
        }
        self.play(client, &match_id).await.map_err(|fault| ("play", fault))?;
        self.settle(client).await.map_err(|fault| ("settling", fault))?;
        client.ask(Body::MatchLeave(MatchLeave { match_id })).await.map(drop).map_err(|fault| ("leave", fault))
    }

    /// Enters the match of its name; its id. In the session of before it never left.
    async fn enter(&mut self, client: &mut Client) -> Result<String, Fault> {
        let kills = self.world.outages.kills();
        let answer = client.ask(Body::MatchCreate(MatchCreate { name: self.room.name.clone() })).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(fault) => {
                self.take_kept(client);
                return Err(fault);
            }
        };
        let Some(Body::Match(entered)) = answer else { return Err(Fault::new("answered by another message")) };
        let session_id = entered.self_.map(|own| own.session_id).unwrap_or_default();
        if self.seat.as_ref().is_none_or(|seat| seat.session_id != session_id) {
            if self.seat.as_ref().is_some_and(|seat| seat.kills == kills) {
                self.world.failed("resume", &Fault::new("came back to a new session"));
            }
            self.begin_anew();
            self.seat = Some(Seat { session_id, kills });
        }
        self.take_kept(client);
        Ok(entered.match_id)
    }

    /// What came in the session of before must be without a gap; from now on everything counts anew.
    fn begin_anew(&mut self) {
        let cut = self.others().map(|(_, stretch)| stretch.cut()).fold(Delivery::default(), Delivery::and);
        self.delivery = self.delivery.and(cut);
        self.room.members[usize::from(self.slot)].begins.store(self.sequence.into(), SeqCst);
        let from = self.room.members.iter().map(|member| member.sent.load(SeqCst));
        self.stretches = from.map(|from| Stretch { from, ..Stretch::default() }).collect();
    }

    /// What waited for it while it was away.
    fn take_kept(&mut self, client: &mut Client) {
        let world = self.world.clone();
        for event in client.kept() {
            self.take(&event, &world.after_a_gap);
        }
    }

    fn take(&mut self, event: &Event, meter: &Meter) {
        if let Some((mark, arrival)) = self.inbox.take(event, meter) {
            let place = usize::from(mark.slot);
            let begins = self.begins(place);
            self.stretches[place].take(mark.sequence.into(), begins, arrival);
        }
    }

    async fn listen(&mut self, client: &mut Client, until: Instant) -> Result<(), Fault> {
        let world = self.world.clone();
        client.listen(&world.run.timer, until, |event| self.take(event, &world.delivered)).await
    }

    /// Sends at its rate until the end of the run.
    async fn play(&mut self, client: &mut Client, match_id: &str) -> Result<(), Fault> {
        let schedule = Schedule::new(Instant::now(), self.world.options.rate);
        for number in 0.. {
            let at = schedule.at(number).min(self.world.end);
            self.listen(client, at).await?;
            if at >= self.world.end {
                break;
            }
            let intended_ns = u64::try_from((at - self.world.epoch).as_nanos()).unwrap_or(u64::MAX);
            let mark = Mark { group: self.room.number, slot: self.slot, sequence: self.sequence, intended_ns };
            let data = mark.payload(self.world.options.bytes);
            self.sequence += 1;
            // Counted before it is under way: who has read a lower count must get it.
            self.room.members[usize::from(self.slot)].sent.fetch_add(1, SeqCst);
            let send = MatchDataSend { match_id: match_id.into(), op_code: 1, data, ..MatchDataSend::default() };
            client.send(Body::MatchDataSend(send)).await?;
        }
        Ok(())
    }

    /// Why the socket broke: who finds so in writing has not read the reason yet, nor what came before it.
    async fn last_words(&mut self, client: &mut Client, fault: Fault) -> Fault {
        if fault.0.starts_with("closed by the server") {
            return fault;
        }
        match self.listen(client, Instant::now() + LAST_WORDS).await {
            Err(reason) if reason.0.starts_with("closed by the server") => reason,
            _ => fault,
        }
    }

    /// Waits until its own messages are served, and those that the others have begun to send by now have come.
    async fn settle(&mut self, client: &mut Client) -> Result<(), Fault> {
        let sent: Vec<u64> = self.room.members.iter().map(|member| member.sent.load(SeqCst)).collect();
        let mut outcome = client.ask(Body::Ping(Ping {})).await.map(drop);
        let world = self.world.clone();
        for event in client.kept() {
            self.take(&event, &world.delivered);
        }
        let until = Instant::now() + self.world.options.drain;
        while outcome.is_ok() && Instant::now() < until && !self.is_complete(&sent) {
            outcome = self.listen(client, Instant::now() + STEP).await;
        }
        let became = self.others().map(|(place, stretch)| stretch.delivery(self.begins(place), sent[place]));
        let became = became.fold(Delivery::default(), Delivery::and);
        self.delivery = self.delivery.and(became);
        outcome
    }

    fn is_complete(&self, sent: &[u64]) -> bool {
        self.others().all(|(place, stretch)| stretch.got >= stretch.due(self.begins(place), sent[place]))
    }

    fn begins(&self, place: usize) -> u64 {
        self.room.members[place].begins.load(SeqCst)
    }

    fn others(&self) -> impl Iterator<Item = (usize, &Stretch)> {
        let own = usize::from(self.slot);
        self.stretches.iter().enumerate().filter(move |(place, _)| *place != own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_due_from_the_join_on() {
        let mut stretch = Stretch { from: 5, ..Stretch::default() };
        [3, 4, 5, 6].into_iter().for_each(|number| stretch.take(number, 0, Arrival::InOrder));
        assert_eq!(stretch.delivery(0, 8), Delivery { expected: 3, received: 2, lost: 1, ..Delivery::default() });
        stretch.take(7, 0, Arrival::InOrder);
        stretch.take(7, 0, Arrival::Duplicate);
        assert_eq!(stretch.delivery(0, 8), Delivery { expected: 3, received: 3, ..Delivery::default() });
    }

    #[test]
    fn what_a_sender_began_before_its_own_session_is_not_due() {
        let mut stretch = Stretch { from: 5, ..Stretch::default() };
        stretch.take(9, 9, Arrival::InOrder);
        assert_eq!(stretch.delivery(9, 10), Delivery { expected: 1, received: 1, ..Delivery::default() });
    }

    #[test]
    fn until_a_session_is_cut_off_nothing_may_be_missing_in_between() {
        let mut stretch = Stretch::default();
        [0, 1, 3].into_iter().for_each(|number| stretch.take(number, 0, Arrival::InOrder));
        assert_eq!((stretch.cut().expected, stretch.cut().lost), (4, 1));
    }
}
