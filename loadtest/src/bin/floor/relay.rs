//! Sockets, and who gets what they send.

use crate::frames::{self, Request};
use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use tokio::{
    net::TcpStream,
    sync::mpsc::{Receiver, Sender, channel},
};
use tokio_tungstenite::{
    WebSocketStream, accept_async_with_config,
    tungstenite::{Error, Message, protocol::WebSocketConfig},
};

/// Bytes of each of a socket's two buffers.
const BUFFER: usize = 4096;
/// Messages that may wait for one client; one more is dropped, which the harness reports as a loss.
const QUEUE: usize = 1024;

/// Who is in a match, by the number of the socket.
type Room = Arc<Mutex<Vec<(u64, Sender<Message>)>>>;

/// All matches.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    /// Held to find, make or remove one, never on the path of a message.
    by_id: Mutex<HashMap<String, Room>>,
    sockets: AtomicU64,
}

/// A socket's place in its match.
struct Seat {
    match_id: String,
    room: Room,
}

/// Reads in this task and writes in another until the client goes.
pub(crate) async fn serve(stream: TcpStream, rooms: Arc<Rooms>) {
    let config = WebSocketConfig::default().read_buffer_size(BUFFER).write_buffer_size(BUFFER);
    let Ok(socket) = accept_async_with_config(stream, Some(config)).await else { return };
    let own = rooms.sockets.fetch_add(1, Relaxed);
    let (queue, queued) = channel(QUEUE);
    let (sink, mut source) = socket.split();
    let writer = tokio::spawn(write(sink, queued));
    let mut seat = None;
    while let Some(Ok(message)) = source.next().await {
        match frames::read(&message) {
            Some(Request::Send(data)) => {
                if let Some(Seat { match_id, room }) = &seat {
                    relay(room, own, &data.relayed(match_id));
                }
            }
            Some(Request::Enter(match_id)) => {
                let match_id =
                    match_id.map_or_else(|| format!("{own:08x}-0000-4000-8000-000000000000."), str::to_owned);
                let _ = queue.try_send(frames::entered(&message, &match_id));
                rooms.leave(seat.take(), own);
                seat = Some(rooms.enter(match_id, own, queue.clone()));
            }
            None => {}
        }
    }
    rooms.leave(seat, own);
    drop(queue);
    let _ = writer.await;
}

/// Puts a message on the queue of everybody but its sender.
fn relay(room: &Room, sender: u64, message: &Message) {
    for (member, queue) in room.lock().iter() {
        if *member != sender {
            let _ = queue.try_send(message.clone());
        }
    }
}

/// Writes all that is queued, then flushes once.
async fn write(mut sink: SplitSink<WebSocketStream<TcpStream>, Message>, mut queued: Receiver<Message>) {
    while let Some(message) = queued.recv().await {
        if write_all(&mut sink, message, &mut queued).await.is_err() {
            return;
        }
    }
}

async fn write_all(
    sink: &mut SplitSink<WebSocketStream<TcpStream>, Message>,
    first: Message,
    queued: &mut Receiver<Message>,
) -> Result<(), Error> {
    sink.feed(first).await?;
    while let Ok(message) = queued.try_recv() {
        sink.feed(message).await?;
    }
    sink.flush().await
}

impl Rooms {
    fn enter(&self, match_id: String, own: u64, queue: Sender<Message>) -> Seat {
        let mut rooms = self.by_id.lock();
        let room = rooms.entry(match_id.clone()).or_default().clone();
        room.lock().push((own, queue));
        Seat { match_id, room }
    }

    fn leave(&self, seat: Option<Seat>, own: u64) {
        let Some(Seat { match_id, room }) = seat else { return };
        let mut rooms = self.by_id.lock();
        let mut members = room.lock();
        members.retain(|(member, _)| *member != own);
        if members.is_empty() {
            rooms.remove(&match_id);
        }
    }
}
