//! The log of requests. Alone in its program: a second thread without a log could turn off the lines that are looked for.

mod common;

use common::raw::Server;
use parking_lot::Mutex;
use std::{io::Write, sync::Arc};

/// Where the log of one test goes.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_request_is_one_line_of_the_log_without_its_secrets() {
    let lines = Lines::default();
    let writer = lines.clone();
    let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _log = tracing::subscriber::set_default(log);
    let server = Server::start().await;
    let token = server.token();
    server
        .ask(&format!(
            "GET /v2/friend?limit=5&cursor=secret HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n"
        ))
        .await;
    server.ask("GET /ws?token=secret HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let text = String::from_utf8(lines.0.lock().clone()).unwrap();
    let line = text.lines().find(|line| line.contains("ListFriends")).expect("a line");
    for part in ["status=400", "micros=", "bytes_in=0", "bytes_out=", "client=127.0.0.1", "user=00000000-"] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert!(!text.contains("secret") && !text.contains(&token), "{text}");
}
