//! A socket that asks and is answered, message by message: for scenarios that are about more than bulk. (Relayed matches at full
//! speed have [`crate::player`].)

use crate::{
    nakama::{Buffers, Socket, socket_fault},
    pacing::Timer,
    payload::Format,
    player::close_fault,
    scenario::Run,
    stats::Fault,
};
use futures_util::{SinkExt, StreamExt};
use kizuna_protocol::{
    envelope as wire,
    json::{JsonMessage as _, Unknown},
    realtime::{Envelope, envelope::Message as Body},
};
use prost::Message as _;
use std::{collections::VecDeque, pin::pin, time::Duration};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// How long a server may take to answer a goodbye.
const GOODBYE: Duration = Duration::from_secs(3);

/// Something that a server sent without having been asked.
#[derive(Clone, Debug)]
pub struct Event {
    /// When it was read.
    pub at: Instant,
    /// What it is.
    pub message: Body,
}

/// A player's socket.
#[derive(Debug)]
pub struct Client {
    socket: Socket,
    format: Format,
    patience: Duration,
    asked: u64,
    /// What came while an answer was awaited.
    events: VecDeque<Event>,
}

impl Client {
    /// Opens a socket with a session token.
    ///
    /// # Errors
    /// As [`crate::nakama::Api::socket`].
    pub async fn open(run: &Run, token: &str, format: Format) -> Result<Self, Fault> {
        let socket = run.api.socket(token, format, Buffers::Small).await?;
        Ok(Self { socket, format, patience: run.api.target.timeout(), asked: 0, events: VecDeque::new() })
    }

    /// Asks, and waits for the answer; `None` is an empty one. What else comes meanwhile is kept.
    ///
    /// # Errors
    /// The socket's, `no answer`, or `error envelope, code CODE TEXT`.
    pub async fn ask(&mut self, request: Body) -> Result<Option<Body>, Fault> {
        self.asked += 1;
        let cid = self.asked.to_string();
        self.write(Envelope { cid: cid.clone(), message: Some(request) }).await?;
        let until = Instant::now() + self.patience;
        loop {
            let envelope = timeout_at(until, self.read()).await.map_err(|_| Fault::new("no answer"))??;
            if envelope.cid == cid {
                return match envelope.message {
                    Some(Body::Error(error)) => Err(error_fault(error.code, &error.message)),
                    answer => Ok(answer),
                };
            }
            self.keep(envelope)?;
        }
    }

    /// Sends what has no answer, or one that is not waited for.
    ///
    /// # Errors
    /// The socket's.
    pub async fn send(&mut self, message: Body) -> Result<(), Fault> {
        self.write(Envelope { cid: String::new(), message: Some(message) }).await
    }

    /// The next event that `wanted` finds something in; others are dropped.
    ///
    /// # Errors
    /// The socket's, or `never came` after `patience`.
    pub async fn await_event<T>(
        &mut self,
        patience: Duration,
        mut wanted: impl FnMut(&Event) -> Option<T>,
    ) -> Result<T, Fault> {
        let until = Instant::now() + patience;
        loop {
            let event = timeout_at(until, self.next()).await.map_err(|_| Fault::new("never came"))??;
            if let Some(found) = wanted(&event) {
                return Ok(found);
            }
        }
    }

    /// Hands every event until `until` to `take`.
    ///
    /// # Errors
    /// The socket's.
    pub async fn listen(&mut self, timer: &Timer, until: Instant, mut take: impl FnMut(&Event)) -> Result<(), Fault> {
        let mut over = pin!(timer.sleep_until(until));
        loop {
            tokio::select! {
                biased;
                () = &mut over => return Ok(()),
                event = self.next() => take(&event?),
            }
        }
    }

    /// What came while the last answer was awaited.
    pub fn kept(&mut self) -> VecDeque<Event> {
        std::mem::take(&mut self.events)
    }

    /// Says goodbye.
    ///
    /// # Errors
    /// `goodbye unanswered`.
    pub async fn close(mut self) -> Result<(), Fault> {
        let goodbye = async {
            let _ = self.socket.close(None).await;
            while let Some(Ok(_)) = self.socket.next().await {}
        };
        timeout(GOODBYE, goodbye).await.map_err(|_| Fault::new("goodbye unanswered"))
    }

    async fn next(&mut self) -> Result<Event, Fault> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            let envelope = self.read().await?;
            self.keep(envelope)?;
        }
    }

    /// An error that answers no question is a fault of its own; an empty answer says nothing.
    fn keep(&mut self, envelope: Envelope) -> Result<(), Fault> {
        match envelope.message {
            Some(Body::Error(error)) => return Err(error_fault(error.code, &error.message)),
            Some(message) => self.events.push_back(Event { at: Instant::now(), message }),
            None => {}
        }
        Ok(())
    }

    async fn write(&mut self, envelope: Envelope) -> Result<(), Fault> {
        let frame = match self.format {
            Format::Json => {
                let bytes = wire::encode(wire::Format::Json, &envelope);
                Message::Text(Utf8Bytes::try_from(bytes).map_err(|_| Fault::new("a message that is no text"))?)
            }
            Format::Protobuf => Message::Binary(envelope.encode_to_vec().into()),
        };
        self.socket.send(frame).await.map_err(socket_fault)
    }

    /// The next envelope. To stop waiting loses nothing.
    async fn read(&mut self) -> Result<Envelope, Fault> {
        loop {
            let envelope = match self.socket.next().await {
                Some(Ok(Message::Text(text))) => Envelope::read_json(text.as_bytes(), Unknown::Ignore).ok(),
                Some(Ok(Message::Binary(bytes))) => Envelope::decode(bytes).ok(),
                Some(Ok(Message::Close(frame))) => return Err(close_fault(frame.as_ref())),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Err(error)) => return Err(socket_fault(error)),
                None => return Err(Fault::new("socket closed")),
            };
            return envelope.ok_or_else(|| Fault::new("a message that cannot be read"));
        }
    }
}

fn error_fault(code: i32, message: &str) -> Fault {
    const LONGEST: usize = 80;
    let message: String = message.chars().take(LONGEST).collect();
    Fault::new(format!("error envelope, code {code} {message}").trim_end())
}
