//! Relayed matches: who joins what, when the playing begins, and what became of every message.

use super::{Run, gather};
use crate::{
    args::{Common, MatchOptions, Play},
    nakama::{Buffers, Socket, socket_fault},
    pacing::Timer,
    payload::Format,
    player::{Go, Outcome, Peer, Plan, Player, Seat, Stage, close_fault},
    process::{Per, Snapshot},
    report::{Delivery, Phase},
    stats::Fault,
};
use futures_util::{SinkExt, StreamExt, TryStreamExt, stream};
use kizuna_protocol::realtime::{Envelope, MatchCreate, MatchJoin, envelope, match_join};
use prost::Message as _;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{task::JoinHandle, time::Instant};
use tokio_tungstenite::tungstenite::Message;

/// Matches that are set up at once.
const SETTING_UP: usize = 16;
/// From the last join to the first message.
const LEAD: Duration = Duration::from_millis(200);
/// How often it is looked whether the last message has come.
const DRAIN_STEP: Duration = Duration::from_millis(20);

/// Plays at a pace, as one part of a scenario: its phase, under `name`.
///
/// # Errors
/// As [`run`].
pub(super) async fn part(run: &Run, common: &Common, play: &Play, name: &str) -> Result<Phase, String> {
    let options = MatchOptions { common: common.clone(), play: play.clone(), window: None };
    let phase = self::run(run, &options).await?.into_iter().next().ok_or("no match was played")?;
    Ok(Phase { name: name.to_owned(), ..phase })
}

/// Plays.
///
/// # Errors
/// The players could not sign in, connect or join.
pub async fn run(run: &Run, options: &MatchOptions) -> Result<Vec<Phase>, String> {
    let play = &options.play;
    let tokens = run.sessions(players(play)).await?;
    let field = Field::set_up(run, play, options.window, &tokens).await?;
    let stage = field.stage.clone();
    let meters = vec![("sent", stage.sent.clone()), ("delivered", stage.delivered.clone())];
    let progress = run.progress("match", meters, &stage.faults);
    let go = field.start(play);
    let (from, to) = field.measure(run, go).await;
    let delivery = field.finish(play.drain).await;
    drop(progress);
    let seconds = (to.at - from.at).as_secs_f64();
    let mut operations =
        BTreeMap::from([("delivered".to_owned(), stage.delivered.operation(to.delivered - from.delivered, seconds))]);
    if options.window.is_none() {
        let late = stage.sent.operation(to.sent - from.sent, seconds);
        operations.insert("sent (how late)".to_owned(), late);
    }
    let per = Per { operations: to.delivered - from.delivered, connections: 0 };
    Ok(vec![Phase {
        name: "match".to_owned(),
        detail: detail(options),
        seconds,
        operations,
        delivery: Some(delivery),
        errors: stage.faults.kinds(),
        processes: run.processes.usage(&from.processes, &to.processes, seconds, per),
        ..Phase::default()
    }])
}

fn detail(options: &MatchOptions) -> String {
    let play = &options.play;
    let pace = match options.window {
        Some(window) => format!("{window} in flight each"),
        None => format!("{} a second each", play.rate),
    };
    let format = format!("{:?}", play.format).to_lowercase();
    format!("{} × {} players, {pace}, {} bytes, {format}", play.matches, play.players, play.bytes)
}

/// How many players that takes.
pub(crate) fn players(play: &Play) -> u64 {
    u64::from(play.matches) * u64::from(play.players)
}

/// The counts at one moment.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) at: Instant,
    pub(super) sent: u64,
    pub(super) delivered: u64,
    pub(super) processes: Snapshot,
}

/// All matches with their players.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) stage: Arc<Stage>,
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    peers: Arc<Vec<Arc<Peer>>>,
    players: Vec<JoinHandle<Outcome>>,
}

impl Field {
    /// Opens a socket for each token and seats the players.
    pub(super) async fn set_up(run: &Run, play: &Play, window: Option<u64>, tokens: &[String]) -> Result<Self, String> {
        let Timer::Precise(alarm) = &run.timer else { return Err("players need the precise timer".into()) };
        let stage = Arc::new(Stage {
            go: OnceLock::new(),
            finished: AtomicBool::new(false),
            sending: AtomicUsize::new(tokens.len()),
            sent: Arc::default(),
            delivered: Arc::default(),
            faults: Arc::default(),
            alarm: alarm.clone(),
        });
        let seats = tokens.chunks(usize::from(play.players)).zip(0..);
        let groups = seats.map(|(tokens, group)| Group::set_up(run, play, window, &stage, (group, tokens)));
        let groups = stream::iter(groups).buffered(SETTING_UP).try_collect().await;
        Ok(Self { stage, groups: groups.map_err(|fault: Fault| format!("setting up a match: {fault}"))? })
    }

    /// Lets all players begin at one moment.
    pub(super) fn start(&self, play: &Play) -> Go {
        let epoch = Instant::now() + LEAD;
        let measured_from = epoch + play.warmup;
        let go = *self.stage.go.get_or_init(|| Go { epoch, measured_from, end: measured_from + play.duration });
        self.wake();
        go
    }

    /// Reads the counts at the start and the end of the measured time.
    pub(super) async fn measure(&self, run: &Run, go: Go) -> (Reading, Reading) {
        run.timer.sleep_until(go.measured_from).await;
        let from = self.read(run);
        run.timer.sleep_until(go.end).await;
        (from, self.read(run))
    }

    fn read(&self, run: &Run) -> Reading {
        let processes = run.processes.snapshot();
        Reading { at: Instant::now(), sent: self.stage.sent.done(), delivered: self.stage.delivered.done(), processes }
    }

    /// Waits until everything that was sent has come, or for `drain`, then ends the players and adds up.
    pub(super) async fn finish(self, drain: Duration) -> Delivery {
        let deadline = Instant::now() + drain;
        while Instant::now() < deadline && !self.settled() {
            tokio::time::sleep(DRAIN_STEP).await;
        }
        self.stage.finished.store(true, Relaxed);
        self.wake();
        let mut total = Delivery::default();
        for group in self.groups {
            add(&mut total, &gather(group.players).await, group.peers.len());
        }
        total
    }

    fn settled(&self) -> bool {
        let others = self.groups.first().map_or(0, |group| group.peers.len() as u64 - 1);
        self.stage.sending.load(Relaxed) == 0 && self.stage.delivered.done() >= self.stage.sent.done() * others
    }

    fn wake(&self) {
        self.groups.iter().flat_map(|group| group.peers.iter()).for_each(|peer| peer.waker.wake());
    }
}

impl Group {
    async fn set_up(
        run: &Run,
        play: &Play,
        window: Option<u64>,
        stage: &Arc<Stage>,
        (group, tokens): (u32, &[String]),
    ) -> Result<Self, Fault> {
        let peers: Arc<Vec<_>> = Arc::new(tokens.iter().map(|_| Arc::default()).collect());
        let mut players = Vec::with_capacity(tokens.len());
        let mut match_id = None;
        for (token, slot) in tokens.iter().zip(0..) {
            let number = u64::from(group) * u64::from(play.players) + u64::from(slot);
            let format = play.format.of(number);
            let mut socket = run.api.socket(token, format, Buffers::Large).await?;
            let answer = tokio::time::timeout(
                run.api.target.timeout(),
                enter(&mut socket, format, match_id.as_deref().map_or(Entrance::New, Entrance::Existing)),
            );
            let id = answer.await.map_err(|_| Fault::new("no answer"))??;
            let plan = window.map_or_else(|| paced(play, number), Plan::Window);
            let seat = Seat { group, slot, peers: peers.clone(), format, bytes: play.bytes, plan };
            // Reads from now on: in a large match the presence events of those who join later are many.
            players.push(tokio::spawn(Player::new(socket, seat, &id, stage.clone()).run()));
            match_id = Some(id);
        }
        Ok(Self { peers, players })
    }
}

/// Players begin one after the other, so that their messages are spread over the time between two of the same player.
fn paced(play: &Play, number: u64) -> Plan {
    #[expect(clippy::cast_precision_loss, reason = "players are far fewer than 2^53")]
    let share = number as f64 / players(play) as f64;
    Plan::Paced { rate: play.rate, offset: Duration::from_secs_f64(share / play.rate) }
}

/// Which match to enter.
#[derive(Clone, Copy, Debug)]
pub(super) enum Entrance<'a> {
    /// One that is not there yet.
    New,
    /// The one of this id.
    Existing(&'a str),
    /// The one of this name, there or not.
    Named(&'a str),
}

/// Enters a match; returns its id.
pub(super) async fn enter(socket: &mut Socket, format: Format, entrance: Entrance<'_>) -> Result<String, Fault> {
    socket.send(request(format, entrance)).await.map_err(socket_fault)?;
    loop {
        let answer = match socket.next().await {
            Some(Ok(Message::Text(text))) => json_answer(&text),
            Some(Ok(Message::Binary(frame))) => protobuf_answer(&frame),
            Some(Ok(Message::Close(frame))) => return Err(close_fault(frame.as_ref())),
            Some(Ok(_)) => None,
            Some(Err(error)) => return Err(socket_fault(error)),
            None => return Err(Fault::new("socket closed")),
        };
        if let Some(answer) = answer {
            return answer;
        }
    }
}

fn request(format: Format, entrance: Entrance<'_>) -> Message {
    match format {
        Format::Json => {
            let request = match entrance {
                Entrance::New => serde_json::json!({ "cid": "1", "match_create": {} }),
                Entrance::Existing(id) => serde_json::json!({ "cid": "1", "match_join": { "match_id": id } }),
                Entrance::Named(name) => serde_json::json!({ "cid": "1", "match_create": { "name": name } }),
            };
            Message::text(request.to_string())
        }
        Format::Protobuf => {
            let message = match entrance {
                Entrance::New => envelope::Message::MatchCreate(MatchCreate::default()),
                Entrance::Existing(id) => {
                    let id = Some(match_join::Id::MatchId(id.to_owned()));
                    envelope::Message::MatchJoin(MatchJoin { id, ..MatchJoin::default() })
                }
                Entrance::Named(name) => envelope::Message::MatchCreate(MatchCreate { name: name.to_owned() }),
            };
            Message::binary(Envelope { cid: "1".into(), message: Some(message) }.encode_to_vec())
        }
    }
}

/// The match's id or the error, if this is the answer.
fn json_answer(text: &str) -> Option<Result<String, Fault>> {
    let answer: serde_json::Value = serde_json::from_str(text).ok()?;
    if let Some(error) = answer.get("error") {
        let code = error.get("code").and_then(serde_json::Value::as_i64).unwrap_or(0);
        return Some(Err(Fault::new(format!("error envelope, code {code}"))));
    }
    let id = answer.get("match")?.get("match_id")?.as_str()?;
    Some(Ok(id.to_owned()))
}

fn protobuf_answer(frame: &[u8]) -> Option<Result<String, Fault>> {
    match Envelope::decode(frame).ok()?.message? {
        envelope::Message::Match(joined) => Some(Ok(joined.match_id)),
        envelope::Message::Error(error) => Some(Err(Fault::new(format!("error envelope, code {}", error.code)))),
        _ => None,
    }
}

/// Adds what the players of one match have to tell.
fn add(total: &mut Delivery, outcomes: &[Outcome], players: usize) {
    for outcome in outcomes {
        total.sent += outcome.sent;
        total.expected += outcome.sent * (players as u64 - 1);
        total.damaged += outcome.damaged;
        for other in outcomes.iter().filter(|other| other.slot != outcome.slot) {
            let Some(sequence) = outcome.inbox.get(usize::from(other.slot)) else { continue };
            total.received += sequence.unique;
            total.lost += sequence.lost(other.sent);
            total.duplicated += sequence.duplicated;
            total.reordered += sequence.reordered;
        }
        // A server must not send a player its own messages.
        total.damaged += outcome.inbox.get(usize::from(outcome.slot)).map_or(0, |own| own.unique + own.duplicated);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::Sequence;

    fn outcome(slot: u16, sent: u64, inbox: &[&[u64]]) -> Outcome {
        let inbox = inbox.iter().map(|numbers| {
            let mut sequence = Sequence::default();
            for number in *numbers {
                sequence.accept(*number);
            }
            sequence
        });
        Outcome { group: 0, slot, sent, inbox: inbox.collect(), damaged: 0 }
    }

    #[test]
    fn every_pair_of_sender_and_receiver_is_accounted_for() {
        let outcomes = [
            outcome(0, 3, &[&[], &[0, 1], &[]]),
            outcome(1, 2, &[&[0, 2, 1], &[], &[]]),
            outcome(2, 0, &[&[0, 0, 1], &[1], &[]]),
        ];
        let mut total = Delivery::default();
        add(&mut total, &outcomes, 3);
        let expected =
            Delivery { sent: 5, expected: 10, received: 8, lost: 2, duplicated: 1, reordered: 1, damaged: 0 };
        assert_eq!(total, expected);
    }

    #[test]
    fn a_message_that_comes_back_to_its_sender_is_a_fault() {
        let mut total = Delivery::default();
        add(&mut total, &[outcome(0, 1, &[&[0], &[]]), outcome(1, 0, &[&[0], &[]])], 2);
        assert_eq!((total.damaged, total.lost), (1, 0));
    }

    #[test]
    fn answers_are_told_from_events() {
        assert_eq!(json_answer(r#"{"cid":"1","match":{"match_id":"m."}}"#), Some(Ok("m.".into())));
        assert_eq!(json_answer(r#"{"match_presence_event":{"match_id":"m."}}"#), None);
        let refused = Some(Err(Fault::new("error envelope, code 4")));
        assert_eq!(json_answer(r#"{"cid":"1","error":{"code":4,"message":"Match not found"}}"#), refused);
    }
}
