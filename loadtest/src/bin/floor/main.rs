//! The floor: the least that a server can do to relay match data with tokio and tokio-tungstenite.
//!
//! No identity, no store, no JSON parser, no presence: what is left is sockets, frames and fan-out. It answers just enough of the
//! protocol that the harness can drive it and a real server in turn; the ratio of the two is the figure to quote. All players of a
//! match speak the same format. It is for measuring only: it trusts whoever connects.

mod frames;
mod relay;

use loadtest::{
    progress::{print, tell},
    target::raise_open_files,
};
use relay::Rooms;
use std::{net::SocketAddr, process::ExitCode, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
};

/// Where it listens when nothing is said.
const ADDRESS: &str = "127.0.0.1:9350";
/// Bytes of a request with its head.
const LARGEST_REQUEST: usize = 8192;
/// The answer to every POST: a sign-in that succeeds.
const SIGNED_IN: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 17\r\n\r\n{\"token\":\"a.b.c\"}";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            tell(&format!("floor: {why}"));
            ExitCode::FAILURE
        }
    }
}

/// Serves until the process is asked to end (SIGTERM).
async fn run() -> Result<(), String> {
    let address = std::env::args().nth(1).unwrap_or_else(|| ADDRESS.to_owned());
    let address: SocketAddr = address.parse().map_err(|_| format!("{address}: expected ADDRESS:PORT"))?;
    raise_open_files();
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let listener = TcpListener::bind(address).await.map_err(|error| format!("{address}: {error}"))?;
    let bound = listener.local_addr().map_err(|error| error.to_string())?;
    print(&format!("listening http {bound}\n"));
    tokio::select! {
        outcome = accept(listener) => outcome,
        _ = terminate.recv() => Ok(()),
    }
}

async fn accept(listener: TcpListener) -> Result<(), String> {
    let rooms = Arc::new(Rooms::default());
    loop {
        let (stream, _) = listener.accept().await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        tokio::spawn(serve(stream, rooms.clone()));
    }
}

async fn serve(stream: TcpStream, rooms: Arc<Rooms>) {
    let mut start = [0; 4];
    match stream.peek(&mut start).await {
        Ok(read) if start[..read].starts_with(b"POST") => sign_in(stream).await,
        Ok(_) => relay::serve(stream, rooms).await,
        Err(_) => {}
    }
}

/// Answers requests, one small one at a time, until the client goes.
async fn sign_in(mut stream: TcpStream) {
    let mut buffer = vec![0; LARGEST_REQUEST];
    let mut filled = 0;
    while let Ok(read @ 1..) = stream.read(&mut buffer[filled..]).await {
        filled += read;
        if is_whole(&buffer[..filled]) {
            filled = 0;
            if stream.write_all(SIGNED_IN).await.is_err() {
                return;
            }
        }
    }
}

/// Whether the head and the body that it announces are there.
fn is_whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    request.len() - end - 4 >= length.and_then(|length| length.parse().ok()).unwrap_or(0)
}
