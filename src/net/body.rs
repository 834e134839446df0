//! Request bodies: bounded in bytes and time, and again once inflated (contract/README.md section 5, "Size limits").

use super::respond::Failure;
use crate::error::Error;
use bytes::Bytes;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder};
use http_body_util::BodyExt;
use hyper::{
    HeaderMap,
    body::{Body, Incoming},
    header::{CONTENT_ENCODING, HeaderValue},
};
use kizuna_protocol::code::Code;
use std::io::Read;
use tokio::time::{Instant, timeout_at};

/// How far Go's gzip reader has read when it finds that the body is none: it is not read again.
const LOST_BEHIND_NO_GZIP: usize = 4096;

/// Reads a body of at most `limit` bytes until `deadline`, and inflates it if it says it is deflated. `taken` counts what has
/// been received, also where that comes to nothing.
pub(super) async fn read(
    body: Incoming,
    headers: &HeaderMap,
    limit: usize,
    deadline: Instant,
    taken: &mut usize,
) -> Result<Bytes, Failure> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let Ok(sent) = timeout_at(deadline, collect(body, limit, taken)).await else {
        return Err(Failure::Closing(Error::invalid_argument("http: request body read timeout")));
    };
    Ok(inflate(sent?, headers, limit)?)
}

async fn collect(mut body: Incoming, limit: usize, taken: &mut usize) -> Result<Bytes, Failure> {
    let too_large = || Failure::Closing(Error::invalid_argument("http: request body too large"));
    // Known beforehand: not a byte of it is read, nor asked for by "100 Continue".
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let (mut first, mut all) = (Bytes::new(), Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Failure::Closing(Error::invalid_argument("unexpected EOF")))?;
        let Ok(data) = frame.into_data() else { continue };
        *taken += data.len();
        if first.len().max(all.len()) + data.len() > limit {
            return Err(too_large());
        }
        if first.is_empty() && all.is_empty() {
            first = data;
            continue;
        }
        if all.is_empty() {
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&data);
    }
    Ok(if all.is_empty() { first } else { Bytes::from(all) })
}

fn inflate(sent: Bytes, headers: &HeaderMap, limit: usize) -> Result<Bytes, Error> {
    match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        Some(b"gzip") if is_gzip(&sent) => bounded(MultiGzDecoder::new(&*sent), limit),
        Some(b"gzip") => Ok(sent.slice(sent.len().min(LOST_BEHIND_NO_GZIP)..)),
        Some(b"deflate") => {
            let mut decoder = DeflateDecoder::new(&*sent);
            bounded(&mut decoder, limit).map_err(|error| match error.code() {
                Code::InvalidArgument if !error.message().starts_with("unexpected") => corrupt(decoder.total_in()),
                _ => error,
            })
        }
        _ => Ok(sent),
    }
}

/// RFC 1952 section 2.3.1: the two magic bytes, then deflate as the only method.
fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b, 8])
}

fn bounded(inflated: impl Read, limit: usize) -> Result<Bytes, Error> {
    let mut bytes = Vec::new();
    let read = inflated.take(limit as u64 + 1).read_to_end(&mut bytes);
    if bytes.len() > limit {
        let message = format!("trying to send message larger than max ({} vs. {limit})", bytes.len());
        return Err(Error::new(Code::ResourceExhausted, message));
    }
    match read {
        Ok(_) => Ok(Bytes::from(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Err(Error::invalid_argument("unexpected EOF"))
        }
        Err(_) => Err(Error::invalid_argument("gzip: invalid checksum")),
    }
}

fn corrupt(offset: u64) -> Error {
    Error::invalid_argument(format!("flate: corrupt input before offset {offset}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::DeflateEncoder, write::GzEncoder, write::ZlibEncoder};
    use std::io::Write;

    fn inflated(encoding: &'static str, sent: Vec<u8>, limit: usize) -> Result<Vec<u8>, Error> {
        let headers = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(encoding))]);
        inflate(Bytes::from(sent), &headers, limit).map(|bytes| bytes.to_vec())
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate(text: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gzip_and_raw_deflate_are_inflated_up_to_the_limit() {
        let text = vec![b'a'; 1000];
        assert_eq!(inflated("gzip", gzip(&text), 1000).unwrap(), text);
        assert_eq!(inflated("deflate", deflate(&text), 1000).unwrap(), text);
        for encoding in ["gzip", "deflate"] {
            let sent = if encoding == "gzip" { gzip(&text) } else { deflate(&text) };
            let error = inflated(encoding, sent, 999).unwrap_err();
            assert_eq!(error.code(), Code::ResourceExhausted);
            assert_eq!(error.message(), "trying to send message larger than max (1000 vs. 999)");
        }
    }

    #[test]
    fn a_bomb_is_not_inflated_to_its_end() {
        let bomb = gzip(&vec![0; 50_000_000]);
        assert!(bomb.len() < 100_000);
        assert_eq!(inflated("gzip", bomb, 262_144).unwrap_err().code(), Code::ResourceExhausted);
    }

    #[test]
    fn what_only_claims_to_be_gzip_loses_its_first_bytes() {
        assert_eq!(inflated("gzip", b"{}".to_vec(), 100).unwrap(), b"");
        assert_eq!(inflated("gzip", vec![b'x'; 4100], 5000).unwrap(), b"xxxx");
    }

    #[test]
    fn zlib_is_not_deflate() {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(b"{\"id\":\"abcdefgh\"}").unwrap();
        let error = inflated("deflate", encoder.finish().unwrap(), 100).unwrap_err();
        assert_eq!(error.message(), "flate: corrupt input before offset 5");
    }

    #[test]
    fn other_encodings_are_ignored_and_damage_is_named() {
        assert_eq!(inflated("br", b"{}".to_vec(), 100).unwrap(), b"{}");
        let mut half = gzip(b"some text that goes on and on, and on");
        half.truncate(25);
        assert_eq!(inflated("gzip", half, 100).unwrap_err().message(), "unexpected EOF");
        let mut wrong = gzip(b"text");
        let checksum = wrong.len() - 8;
        wrong[checksum] ^= 1;
        assert_eq!(inflated("gzip", wrong, 100).unwrap_err().message(), "gzip: invalid checksum");
    }
}
