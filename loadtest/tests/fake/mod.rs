//! The least of a server: any POST or GET is answered, JSON sockets relay match data among all who named the same match. There are
//! no parties and no presence events.

use futures_util::{SinkExt, StreamExt, stream::SplitStream};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::{collections::HashMap, net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc::{Sender, channel},
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

/// What the server does wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Nothing.
    Right,
    /// Does not relay every tenth message of a player.
    LosesEveryTenth,
    /// Refuses every request.
    Refuses,
}

type Rooms = Arc<Mutex<HashMap<String, Vec<(u64, Sender<String>)>>>>;

/// A server with a runtime of its own; it ends when dropped.
pub(crate) struct FakeServer {
    pub(crate) address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl FakeServer {
    pub(crate) fn start(behaviour: Behaviour) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            let rooms = Rooms::default();
            for id in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, id, rooms.clone(), behaviour));
            }
        });
        Self { address, _runtime: runtime }
    }
}

async fn serve(stream: TcpStream, id: u64, rooms: Rooms, behaviour: Behaviour) {
    let mut start = [0; 7];
    while let Ok(1..7) = stream.peek(&mut start).await {}
    if start.starts_with(b"GET /ws") {
        let socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        play(socket, id, rooms, behaviour).await;
    } else {
        answer(stream, behaviour).await;
    }
}

async fn answer(mut stream: TcpStream, behaviour: Behaviour) {
    let (status, body) = match behaviour {
        Behaviour::Refuses => ("401 Unauthorized", r#"{"code":16,"message":"Server key invalid"}"#),
        _ => ("200 OK", r#"{"token":"a.b.c","refresh_token":"d.e.f","access_token":"g.h.i"}"#),
    };
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let mut request = Vec::new();
    while stream.read_buf(&mut request).await.is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .to_lowercase()
            .split("content-length: ")
            .nth(1)
            .map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
        if body.len() >= length {
            request.clear();
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }
}

async fn play(socket: WebSocketStream<TcpStream>, id: u64, rooms: Rooms, behaviour: Behaviour) {
    let (mut sink, source) = socket.split();
    let (sender, mut queue) = channel::<String>(10_000);
    tokio::spawn(async move {
        while let Some(text) = queue.recv().await {
            let _ = sink.send(Message::text(text)).await;
        }
        let _ = sink.close().await;
    });
    read(source, id, &sender, &rooms, behaviour).await;
    rooms.lock().values_mut().for_each(|room| room.retain(|(member, _)| *member != id));
}

async fn read(
    mut source: SplitStream<WebSocketStream<TcpStream>>,
    id: u64,
    sender: &Sender<String>,
    rooms: &Rooms,
    behaviour: Behaviour,
) {
    let mut sent = 0;
    while let Some(Ok(message)) = source.next().await {
        let Message::Text(text) = message else { continue };
        let request: Value = serde_json::from_str(&text).unwrap();
        if let Some(data) = request.get("match_data_send") {
            sent += 1;
            if behaviour == Behaviour::LosesEveryTenth && sent % 10 == 0 {
                continue;
            }
            let relayed =
                json!({ "match_data": { "data": data["data"], "match_id": data["match_id"], "op_code": "1" } });
            let rooms = rooms.lock();
            let room = &rooms[data["match_id"].as_str().unwrap()];
            for (_, member) in room.iter().filter(|(member, _)| *member != id) {
                member.try_send(relayed.to_string()).unwrap();
            }
            continue;
        }
        let cid = &request["cid"];
        if request.get("ping").is_some() {
            sender.try_send(json!({ "cid": cid, "pong": {} }).to_string()).unwrap();
            continue;
        }
        if let Some(leave) = request.get("match_leave") {
            let mut rooms = rooms.lock();
            rooms.get_mut(leave["match_id"].as_str().unwrap()).unwrap().retain(|(member, _)| *member != id);
            sender.try_send(json!({ "cid": cid }).to_string()).unwrap();
            continue;
        }
        let match_id = match (request.get("match_join"), request["match_create"].get("name")) {
            (Some(join), _) => join["match_id"].as_str().unwrap().to_owned(),
            (None, Some(name)) => format!("{}.", name.as_str().unwrap()),
            (None, None) => format!("m{id}."),
        };
        rooms.lock().entry(match_id.clone()).or_default().push((id, sender.clone()));
        let own = json!({ "session_id": format!("s{id}") });
        sender.try_send(json!({ "cid": cid, "match": { "match_id": match_id, "self": own } }).to_string()).unwrap();
    }
}
