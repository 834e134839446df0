//! The byte stream below a WebSocket, which takes a server's messages beside the library's own frames: gathered in a buffer that all
//! sockets of a thread share, so that a socket holds one of its own only while its client does not read.
//!
//! It also knows how many messages it has taken whole. What was written may be under way, in part or not at all, when the connection
//! is lost; a session that lives on has to send exactly that again.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

/// What the buffer of a thread may keep; one that held a large message is given back.
const KEPT_BYTES: usize = 65_536;

thread_local! {
    static GATHERED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A frame's largest header: two bytes, and a length of eight (RFC 6455 section 5.2; a server masks nothing).
const LONGEST_HEADER: usize = 10;
/// Opcodes from here on are control frames.
const FIRST_CONTROL: u8 = 8;

/// The stream below a WebSocket.
#[derive(Debug)]
pub(super) struct Written<S> {
    stream: S,
    /// Of messages, what the stream has not taken yet: nothing else goes out before it.
    rest: Option<Box<Rest>>,
    /// Bytes that the stream has taken.
    taken: u64,
    /// `None`: nobody asks.
    frames: Option<Box<Frames>>,
}

/// The end of a write that the stream took only in part.
#[derive(Debug)]
struct Rest {
    bytes: Vec<u8>,
    sent: usize,
}

impl<S> Written<S> {
    /// `counts`: whether [`Self::messages`] will be asked for.
    pub(super) fn new(stream: S, counts: bool) -> Self {
        Self { stream, rest: None, taken: 0, frames: counts.then(Box::default) }
    }

    /// Bytes that the stream has taken so far, of whatever kind.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Messages of which the stream has taken every byte.
    pub(super) fn messages(&self) -> u64 {
        self.frames.as_ref().map_or(0, |frames| frames.messages)
    }
}

impl<S: AsyncWrite + Unpin> Written<S> {
    /// Writes messages until `next` has no more, or until the stream takes no more: then it pends with what is left of those it was
    /// given. About `at_once` bytes go in one write. What the library has written must have been flushed.
    ///
    /// # Errors
    /// The stream's.
    pub(super) fn poll_messages(
        &mut self,
        context: &mut Context<'_>,
        at_once: usize,
        mut next: impl FnMut() -> Option<Message>,
    ) -> Poll<io::Result<()>> {
        GATHERED.with_borrow_mut(|gathered| {
            loop {
                ready!(self.poll_rest(context))?;
                gathered.clear();
                while gathered.len() < at_once.max(1)
                    && let Some(message) = next()
                {
                    framed(message).format(gathered).map_err(io::Error::other)?;
                }
                if gathered.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                let taken = match self.poll_stream(context, gathered) {
                    Poll::Ready(taken) => taken?,
                    Poll::Pending => 0,
                };
                if taken < gathered.len() {
                    self.rest = Some(Box::new(Rest { bytes: gathered[taken..].to_vec(), sent: 0 }));
                }
                if gathered.capacity() > KEPT_BYTES.max(2 * at_once) {
                    *gathered = Vec::new();
                }
            }
        })
    }

    /// Ready when nothing of messages waits.
    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(mut rest) = self.rest.take() {
            let polled = self.poll_stream(context, &rest.bytes[rest.sent..]);
            match polled {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(taken)) => rest.sent += taken,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.rest = Some(rest);
                    return Poll::Pending;
                }
            }
            if rest.sent < rest.bytes.len() {
                self.rest = Some(rest);
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_stream(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(taken)) = &written {
            self.taken += *taken as u64;
            if let Some(frames) = &mut self.frames {
                frames.take(&bytes[..*taken]);
            }
        }
        written
    }
}

/// A server masks nothing and sends no fragments.
fn framed(message: Message) -> Frame {
    let data = if message.is_text() { Data::Text } else { Data::Binary };
    Frame::message(message.into_data(), OpCode::Data(data), true)
}

/// Where in a server's frames the stream is. A server sends no message in fragments.
#[derive(Debug, Default)]
struct Frames {
    header: [u8; LONGEST_HEADER],
    /// Bytes of the header so far; 0 between frames and within a payload.
    known: usize,
    /// Bytes of payload still to come, of a frame whose header is known.
    payload: u64,
    messages: u64,
}

impl Frames {
    fn take(&mut self, mut bytes: &[u8]) {
        while let Some((&first, rest)) = bytes.split_first() {
            if self.payload > 0 {
                let within = usize::try_from(self.payload).unwrap_or(usize::MAX).min(bytes.len());
                bytes = &bytes[within..];
                self.payload -= within as u64;
                self.count_if_whole();
                continue;
            }
            self.header[self.known] = first;
            self.known += 1;
            bytes = rest;
            if let Some(length) = self.length() {
                self.known = 0;
                self.payload = length;
                self.count_if_whole();
            }
        }
    }

    fn count_if_whole(&mut self) {
        if self.payload == 0 && self.header[0] & 0x0f < FIRST_CONTROL {
            self.messages += 1;
        }
    }

    /// The payload's length, once the header is complete.
    fn length(&self) -> Option<u64> {
        let header = &self.header[..self.known];
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte));
        match header {
            [_, short] if *short < 126 => Some(u64::from(*short)),
            [_, 126, length @ ..] if length.len() == 2 => Some(number(length)),
            [_, 127, length @ ..] if length.len() == 8 => Some(number(length)),
            _ => None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Written<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

/// The library's own frames. They wait for what is left of a message.
impl<S: AsyncWrite + Unpin> AsyncWrite for Written<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_rest(context))?;
        self.poll_stream(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_rest(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio_tungstenite::tungstenite::{
        Bytes,
        protocol::{Role, WebSocketContext},
    };

    fn frame(is_data: bool, length: usize) -> Vec<u8> {
        let payload = Bytes::from(vec![7; length]);
        let frame = match is_data {
            true => Frame::message(payload, OpCode::Data(Data::Text), true),
            false => Frame::ping(payload),
        };
        let mut bytes = Vec::new();
        frame.format(&mut bytes).expect("into memory");
        bytes
    }

    proptest! {
        #[test]
        fn messages_are_counted_when_whole_however_they_are_cut(
            frames in prop::collection::vec((any::<bool>(), prop_oneof![0_usize..300, 65_530_usize..65_540]), 1..12),
            cuts in prop::collection::vec(1_usize..40_000, 1..20),
        ) {
            let (mut bytes, mut ends) = (Vec::new(), Vec::new());
            for (is_data, length) in frames {
                bytes.extend(frame(is_data, if is_data { length } else { length % 126 }));
                if is_data {
                    ends.push(bytes.len());
                }
            }
            let (mut frames, mut at) = (Frames::default(), 0);
            for cut in cuts.into_iter().cycle() {
                if at == bytes.len() {
                    break;
                }
                let until = (at + cut).min(bytes.len());
                frames.take(&bytes[at..until]);
                at = until;
                prop_assert_eq!(frames.messages, ends.iter().filter(|end| **end <= at).count() as u64);
            }
        }
    }

    /// A stream that takes as many bytes at a time as the list says, 0: none for now; then everything.
    struct Slow {
        takes: std::vec::IntoIter<usize>,
        taken: Vec<u8>,
    }

    impl AsyncWrite for Slow {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            match self.takes.next().unwrap_or(usize::MAX) {
                0 => Poll::Pending,
                most => {
                    let taken = most.min(bytes.len());
                    self.taken.extend_from_slice(&bytes[..taken]);
                    Poll::Ready(Ok(taken))
                }
            }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// What a client reads of `bytes`: messages by their text, pings as such.
    fn read(bytes: Vec<u8>) -> Vec<String> {
        let mut stream = io::Cursor::new(bytes);
        let mut client = WebSocketContext::new(Role::Client, None);
        let mut found = Vec::new();
        // The client's pongs are written behind what it reads, and read by nobody.
        while (stream.position() as usize) < stream.get_ref().len() {
            match client.read(&mut Reading(&mut stream)) {
                Ok(message) if message.is_ping() => found.push("ping".to_owned()),
                Ok(message) => found.push(message.into_text().expect("text").to_string()),
                Err(_) => break,
            }
        }
        found
    }

    struct Reading<'a>(&'a mut io::Cursor<Vec<u8>>);

    impl io::Read for Reading<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            // Byte by byte, so that what is left is known.
            let one = into.len().min(1);
            self.0.read(&mut into[..one])
        }
    }

    impl io::Write for Reading<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn messages_and_the_librarys_frames_come_whole_and_in_order_however_slowly_they_are_taken(
            sent in prop::collection::vec(prop_oneof![3 => (1_usize..400).prop_map(Some), 1 => Just(None)], 1..30),
            takes in prop::collection::vec(0_usize..200, 0..200),
            at_once in 1_usize..600,
        ) {
            let mut written = Written::new(Slow { takes: takes.into_iter(), taken: Vec::new() }, true);
            let mut context = Context::from_waker(std::task::Waker::noop());
            let mut expected = Vec::new();
            for (number, length) in sent.iter().enumerate() {
                if let Some(length) = length {
                    let text = format!("{number} {}", "x".repeat(*length));
                    expected.push(text.clone());
                    let mut waiting = Some(Message::text(text));
                    while written.poll_messages(&mut context, at_once, || waiting.take()).is_pending() {}
                } else {
                    expected.push("ping".to_owned());
                    let mut frame = frame(false, 5);
                    while !frame.is_empty() {
                        if let Poll::Ready(taken) = Pin::new(&mut written).poll_write(&mut context, &frame) {
                            frame.drain(..taken.expect("taken"));
                        }
                    }
                }
            }
            while Pin::new(&mut written).poll_flush(&mut context).is_pending() {}
            prop_assert_eq!(written.messages(), sent.iter().flatten().count() as u64);
            prop_assert_eq!(written.taken(), written.stream.taken.len() as u64);
            prop_assert_eq!(read(written.stream.taken), expected);
        }
    }
}
