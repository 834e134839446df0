//! Structure-aware fuzzing of the socket: random requests over all messages of Nakama's tables, valid, half valid and not at all,
//! with ids out of earlier answers, over sockets of both formats that come and go. No handler panics, the server answers at the end,
//! and nothing of it all is left behind.
//!
//! A few thousand envelopes by default; `KIZUNA_FUZZ_SECONDS=600` goes on for as long, `KIZUNA_FUZZ_SEED` begins elsewhere.

mod common;

use common::{Socket, TestServer, text};
use futures_util::{FutureExt, SinkExt, StreamExt};
use kizuna::{config::Config, telemetry::KindLabels};
use kizuna_protocol::envelope::{Format, decode, encode};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

const ENVELOPES: usize = 4_000;
const SLOTS: usize = 8;
const USERS: usize = 5;
/// Values of one kind that are remembered out of answers.
const REMEMBERED: usize = 40;

#[tokio::test]
async fn no_request_breaks_the_server_and_nothing_stays_behind() {
    println!("{}", fuzz(|_| {}).await);
}

/// Sockets that come take sessions over, and those that go leave them waiting.
#[tokio::test]
async fn nor_where_sessions_outlive_their_connections() {
    let done = fuzz(|config| {
        config.realtime.resume_window_ms = 300;
        config.realtime.resume_max_messages = 50;
    })
    .await;
    println!("{done}");
}

/// Answers what was done, in words.
async fn fuzz(change: impl FnOnce(&mut Config)) -> String {
    let seconds = number("KIZUNA_FUZZ_SECONDS");
    let seed = number("KIZUNA_FUZZ_SEED").unwrap_or(1);
    let server = TestServer::start_with(|config| {
        // What is looked for is behind the rates.
        let limits = &mut config.limits;
        (limits.joins_per_session_per_min, limits.joins_per_user_per_min) = (0, 0);
        (limits.tickets_per_session_per_min, limits.tickets_per_user_per_min) = (0, 0);
        (limits.parties_per_session_per_min, limits.parties_per_user_per_min) = (0, 0);
        config.session.token_expiry_sec = 86_400;
        config.matchmaker.interval_sec = 1;
        config.realtime.presence_batch_members = 3;
        change(config);
    })
    .await;
    let mut fuzzer = Fuzzer::new(&server, seed).await;
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut sent = 0;
    while end.map_or(sent < ENVELOPES, |end| Instant::now() < end) {
        fuzzer.step(&server).await;
        sent += 1;
    }
    fuzzer.finish().await;
    let done = format!("{sent} envelopes with seed {seed}, by message: {:?}", fuzzer.sent);
    let unsent: Vec<_> = fuzzer.table.requests.iter().filter(|name| !fuzzer.sent.contains_key(*name)).collect();
    assert!(unsent.is_empty(), "never tried: {unsent:?}");
    nothing_is_left(&server, seed).await;
    let mut socket = server.player("afterwards").await;
    assert_eq!(socket.ask(json!({ "cid": "1", "ping": {} })).await, json!({ "cid": "1", "pong": {} }));
    done
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

async fn nothing_is_left(server: &TestServer, seed: u64) {
    let metrics = &server.running.services().metrics;
    let gauges = || {
        [
            ("sessions", &metrics.sessions),
            ("sessions_detached", &metrics.sessions_detached),
            ("presences", &metrics.presences),
            ("streams", &metrics.streams),
            ("follows", &metrics.follows),
            ("matches", &metrics.matches),
            ("parties", &metrics.parties),
            ("matchmaker_tickets", &metrics.matchmaker_tickets),
        ]
        .map(|(name, gauge)| (name, gauge.get()))
    };
    let end = Instant::now() + common::PATIENCE;
    while gauges().iter().any(|(_, value)| *value != 0) {
        assert!(Instant::now() < end, "left behind with seed {seed}: {:?}", gauges());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let panics = metrics.sockets_closed.get_or_create(&KindLabels { kind: "internal error" }).get();
    assert_eq!(panics, 0, "handlers panicked with seed {seed}");
}

/// What the messages look like: Nakama's own table.
struct Table {
    /// The fields of each message: name, type, label.
    fields: HashMap<String, Vec<Field>>,
    /// What clients send: name in the envelope and type.
    requests: Vec<String>,
    /// What only the server sends.
    answers: Vec<String>,
    types: HashMap<String, String>,
}

#[derive(Clone)]
struct Field {
    name: String,
    kind: String,
    label: String,
}

impl Table {
    fn read() -> Self {
        let mut fields: HashMap<String, Vec<Field>> = HashMap::new();
        for line in include_str!("contract/messages.tsv").lines().skip(1) {
            let [package, message, name, _, kind, label, ..] = line.split('\t').collect::<Vec<_>>()[..] else {
                continue;
            };
            let field = Field { name: name.into(), kind: kind.into(), label: label.into() };
            fields.entry(format!("{package}.{message}")).or_default().push(field);
        }
        let members = fields["nakama.realtime.Envelope"].iter().filter(|field| field.label == "oneof:message");
        let types: HashMap<String, String> = members.map(|field| (field.name.clone(), field.kind.clone())).collect();
        let asks = |name: &str| {
            let verbs = ["_join", "_leave", "_send", "_update", "_remove", "_add", "_create", "_follow", "_unfollow"];
            let others =
                ["ping", "pong", "rpc", "party_promote", "party_accept", "party_close", "party_join_request_list"];
            verbs.iter().any(|verb| name.ends_with(verb)) || others.contains(&name)
        };
        let (mut requests, mut answers): (Vec<String>, Vec<String>) =
            types.keys().cloned().partition(|name| asks(name));
        requests.sort();
        answers.sort();
        assert_eq!(requests.len(), 29, "{requests:?}");
        Self { fields, requests, answers, types }
    }
}

/// Numbers that look random, the same for the same seed (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }
}

struct Fuzzer {
    table: Table,
    random: Random,
    tokens: Vec<String>,
    slots: Vec<Option<(Socket, Format)>>,
    /// What answers said, by the name of the field.
    known: BTreeMap<&'static str, Vec<String>>,
    sent: BTreeMap<String, usize>,
}

/// Fields of answers that are worth sending back.
const LEARNT: [&str; 9] =
    ["match_id", "party_id", "session_id", "user_id", "ticket", "username", "token", "channel_id", "message_id"];

impl Fuzzer {
    async fn new(server: &TestServer, seed: u64) -> Self {
        let mut tokens = Vec::new();
        for user in 0..USERS {
            tokens.push(text(&server.sign_in(&format!("fuzzing-{user}")).await["token"]).to_owned());
        }
        let slots = (0..SLOTS).map(|_| None).collect();
        let (table, known, sent) = (Table::read(), BTreeMap::new(), BTreeMap::new());
        Self { table, random: Random(seed), tokens, slots, known, sent }
    }

    /// Opens, closes or uses one socket.
    async fn step(&mut self, server: &TestServer) {
        let slot = self.random.below(SLOTS);
        let Some((mut socket, format)) = self.slots[slot].take() else {
            self.slots[slot] = Some(self.open(server).await);
            return;
        };
        if self.random.percent(2) {
            if self.random.percent(50) {
                let _ = socket.socket.close(None).await;
            }
            return;
        }
        let frame = self.frame(format);
        // A socket that the server has closed takes nothing more.
        if socket.socket.send(frame).await.is_ok() && self.listen(&mut socket).await {
            self.slots[slot] = Some((socket, format));
        }
    }

    async fn open(&mut self, server: &TestServer) -> (Socket, Format) {
        let token = self.tokens[self.random.below(USERS)].clone();
        let (name, format) = match self.random.percent(50) {
            true => ("json", Format::Json),
            false => ("protobuf", Format::Protobuf),
        };
        let status = self.random.percent(50);
        let query = format!("token={token}&format={name}&status={status}");
        let socket = server.try_connect(&query, &[]).await.unwrap_or_else(|refusal| panic!("refused: {refusal:?}"));
        (socket, format)
    }

    /// Takes in what has come; `false` when the socket is at its end. Now and then everything that was asked is waited for.
    async fn listen(&mut self, socket: &mut Socket) -> bool {
        if self.random.percent(20) {
            tokio::task::yield_now().await;
        }
        while let Some(next) = socket.socket.next().now_or_never() {
            match next {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return false,
                Some(Ok(message)) => self.learn_from(&message),
            }
        }
        true
    }

    fn learn_from(&mut self, message: &Message) {
        let envelope = match message {
            Message::Text(text) => serde_json::from_str(text).expect("the server writes JSON"),
            Message::Binary(bytes) => {
                let envelope = decode(Format::Protobuf, bytes).expect("the server writes envelopes");
                serde_json::from_slice(&encode(Format::Json, &envelope)).expect("JSON")
            }
            _ => return,
        };
        self.learn(&envelope);
    }

    fn learn(&mut self, value: &Value) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    if let (Some(learnt), Value::String(text)) = (LEARNT.iter().find(|learnt| *learnt == name), value) {
                        let list = self.known.entry(learnt).or_default();
                        if list.len() >= REMEMBERED {
                            list.remove(self.random.below(REMEMBERED));
                        }
                        list.push(text.clone());
                    }
                    self.learn(value);
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.learn(value)),
            _ => {}
        }
    }

    /// A request, or now and then something else.
    fn frame(&mut self, format: Format) -> Message {
        let chance = self.random.below(1_000);
        if chance < 4 {
            return Message::binary(self.random.next().to_le_bytes().to_vec());
        }
        if chance < 8 {
            return Message::text(self.junk());
        }
        let name = match chance < 12 {
            true => self.table.answers[self.random.below(self.table.answers.len())].clone(),
            false => self.table.requests[self.random.below(self.table.requests.len())].clone(),
        };
        *self.sent.entry(name.clone()).or_default() += 1;
        let kind = self.table.types[&name].clone();
        let mut envelope = Map::new();
        if self.random.percent(90) {
            envelope.insert("cid".into(), json!(self.random.below(1_000).to_string()));
        }
        envelope.insert(name, self.message(&kind, 0));
        let written = Value::Object(envelope).to_string();
        match (format, decode(Format::Json, written.as_bytes())) {
            (Format::Json, _) => Message::text(written),
            (Format::Protobuf, Ok(envelope)) => Message::Binary(encode(Format::Protobuf, &envelope)),
            (Format::Protobuf, Err(_)) => Message::binary(written.into_bytes()),
        }
    }

    fn message(&mut self, kind: &str, depth: usize) -> Value {
        let fields = self.table.fields.get(kind).cloned().unwrap_or_default();
        let mut message = Map::new();
        for field in fields {
            let one_of_others = field.label.starts_with("oneof") && !message.is_empty();
            if depth > 3 || one_of_others || self.random.percent(12) {
                continue;
            }
            let value = match &field.label[..] {
                "repeated" => {
                    let count = self.random.below(4);
                    (0..count).map(|_| self.value(&field.kind, &field.name, depth)).collect()
                }
                "map" => self.map(&field.kind),
                _ => self.value(&field.kind, &field.name, depth),
            };
            message.insert(field.name, value);
        }
        Value::Object(message)
    }

    fn map(&mut self, kind: &str) -> Value {
        let mut map = Map::new();
        for _ in 0..self.random.below(4) {
            let name = self.random.of(&["mode", "skill", "region", "a.b", ""]).to_owned();
            let value = match kind.ends_with("double>") {
                true => json!(self.random.below(100) as f64 / 4.0),
                false => json!(self.random.of(&["eu", "us", "", "x y"])),
            };
            map.insert(name, value);
        }
        Value::Object(map)
    }

    fn value(&mut self, kind: &str, name: &str, depth: usize) -> Value {
        match kind {
            "string" | "google.protobuf.StringValue" => json!(self.text_for(name)),
            "bytes" => json!(self.random.of(&["", "aGk=", "AAECAw==", "_-8"])),
            "bool" | "google.protobuf.BoolValue" => json!(self.random.percent(70)),
            "int32" | "google.protobuf.Int32Value" => {
                json!(if self.random.percent(80) { self.random.below(6) as i64 } else { self.edge() as i32 as i64 })
            }
            "int64" => {
                json!(if self.random.percent(70) { self.random.below(9) as i64 } else { self.edge() }.to_string())
            }
            _ => self.message(kind, depth + 1),
        }
    }

    fn edge(&mut self) -> i64 {
        [0, -1, i64::MAX, i64::MIN, i64::from(i32::MAX), i64::from(i32::MIN)][self.random.below(6)]
    }

    /// Something that an answer said, something that fits the field, or neither.
    fn text_for(&mut self, name: &str) -> String {
        let learnt = match name {
            "user_ids" => "user_id",
            "usernames" => "username",
            other => other,
        };
        if self.random.percent(8) {
            return self.junk();
        }
        if let Some(known) = self.known.get(learnt).filter(|known| !known.is_empty()) {
            return known[self.random.below(known.len())].clone();
        }
        let choices: &[&str] = match name {
            "query" => {
                &["*", "", "+properties.mode:eu", "properties.skill:>=3", "-properties.region:us", "+(", "a:/[/"]
            }
            "label" => &["", "{}", r#"{"mode":"x"}"#, "text"],
            "name" | "target" => &["", "lobby", "arena"],
            "content" => &["{}", "no JSON", r#"{"a":1}"#],
            "id" => &["", "nothing", "session_update", "HEALTHCHECK"],
            _ => &["", "x", "11111111-1111-4111-8111-111111111111", "11111111-1111-4111-8111-111111111111."],
        };
        self.random.of(choices).to_owned()
    }

    fn junk(&mut self) -> String {
        let junk = [
            "",
            " ",
            "nonsense",
            "\u{0}",
            "é𝄞\u{202e}",
            "00000000-0000-0000-0000-000000000000",
            "{\"cid\":",
            ".",
            "[]",
            "\"",
        ];
        let text = self.random.of(&junk).to_owned();
        if self.random.percent(10) { text.repeat(300) } else { text }
    }

    /// Every socket that is left answers a last ping, unless it has been closed; then all of them end.
    async fn finish(&mut self) {
        for (mut socket, format) in std::mem::take(&mut self.slots).into_iter().flatten() {
            let ping = json!({ "cid": "the-last", "ping": {} }).to_string();
            let frame = match format {
                Format::Json => Message::text(ping),
                Format::Protobuf => {
                    Message::Binary(encode(Format::Protobuf, &decode(Format::Json, ping.as_bytes()).expect("a ping")))
                }
            };
            if socket.socket.send(frame).await.is_err() {
                continue;
            }
            loop {
                match socket.next_frame().await {
                    Some(Message::Text(text)) if text.contains("the-last") => break,
                    Some(Message::Binary(bytes)) if bytes.windows(8).any(|part| part == b"the-last") => break,
                    Some(Message::Close(_)) | None => break,
                    Some(_) => {}
                }
            }
        }
    }
}
