//! Compression of answers (contract/README.md section 5, "Compression"): gzip and raw deflate, as asked by the letter.

use super::respond::Draft;
use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use hyper::{
    HeaderMap,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue, UPGRADE},
};
use parking_lot::Mutex;

/// Below this many bytes a body is stored, not deflated: little would be saved, and setting up a deflater costs more than all
/// else that an answer does.
const STORED_BELOW: usize = 1024;
/// Deflaters kept for later. Each holds about 300 KB.
const KEPT: usize = 4;

/// What the client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Gzip,
    Deflate,
}

impl Encoding {
    /// The first element of `Accept-Encoding` that is exactly one of ours; none for a request that wants to upgrade.
    pub(super) fn asked(headers: &HeaderMap) -> Option<Self> {
        if headers.contains_key(UPGRADE) {
            return None;
        }
        headers.get(ACCEPT_ENCODING)?.to_str().ok()?.split(',').find_map(|element| match element.trim() {
            "gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            _ => None,
        })
    }
}

/// Compresses; keeps its deflaters for the next answer.
#[derive(Default)]
pub(super) struct Compressor(Mutex<Vec<Compress>>);

impl Compressor {
    pub(super) fn apply(&self, response: Draft, encoding: Encoding) -> Draft {
        let (mut head, body) = response.into_parts();
        let name = match encoding {
            Encoding::Gzip => "gzip",
            Encoding::Deflate => "deflate",
        };
        head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
        Draft::from_parts(head, Bytes::from(self.encode(&body, encoding)))
    }

    fn encode(&self, body: &[u8], encoding: Encoding) -> Vec<u8> {
        let mut out = Vec::with_capacity(body.len().min(STORED_BELOW) + body.len() / 4 + 64);
        if encoding == Encoding::Gzip {
            // RFC 1952 section 2.3: deflate, no flags, no time, unknown system.
            out.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
        }
        if body.len() < STORED_BELOW {
            store(body, &mut out);
        } else {
            self.deflate(body, &mut out);
        }
        if encoding == Encoding::Gzip {
            let mut crc = Crc::new();
            crc.update(body);
            out.extend_from_slice(&crc.sum().to_le_bytes());
            out.extend_from_slice(&crc.amount().to_le_bytes());
        }
        out
    }

    fn deflate(&self, mut body: &[u8], out: &mut Vec<u8>) {
        let kept = self.0.lock().pop();
        let mut deflater = kept.unwrap_or_else(|| Compress::new(Compression::fast(), false));
        loop {
            out.reserve(body.len() / 2 + 64);
            let before = deflater.total_in();
            let status = deflater.compress_vec(body, out, FlushCompress::Finish);
            let taken = usize::try_from(deflater.total_in() - before).unwrap_or(body.len());
            body = &body[taken.min(body.len())..];
            if !matches!(status, Ok(Status::Ok | Status::BufError)) {
                break;
            }
        }
        deflater.reset();
        let mut kept = self.0.lock();
        if kept.len() < KEPT {
            kept.push(deflater);
        }
    }
}

/// RFC 1951 section 3.2.4: one last block, stored.
fn store(body: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
    out.push(1);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&(!length).to_le_bytes());
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::{DeflateDecoder, GzDecoder};
    use std::io::Read;

    fn asked(value: &'static str) -> Option<Encoding> {
        Encoding::asked(&HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(value))]))
    }

    #[test]
    fn only_exact_names_count_and_the_first_wins() {
        assert_eq!(asked("gzip"), Some(Encoding::Gzip));
        assert_eq!(asked("br, deflate , gzip"), Some(Encoding::Deflate));
        for other in ["gzip;q=0.5", "*", "br", "GZIP", "identity", ""] {
            assert_eq!(asked(other), None, "{other}");
        }
    }

    #[test]
    fn nothing_is_compressed_on_the_way_to_an_upgrade() {
        let headers = HeaderMap::from_iter([
            (ACCEPT_ENCODING, HeaderValue::from_static("gzip")),
            (UPGRADE, HeaderValue::from_static("websocket")),
        ]);
        assert_eq!(Encoding::asked(&headers), None);
    }

    #[test]
    fn bodies_of_every_size_come_back_whole() {
        let compressor = Compressor::default();
        let noise: Vec<u8> = (0..300_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for size in [0, 1, 2, STORED_BELOW - 1, STORED_BELOW, 5_000, 300_000] {
            let body = &noise[..size];
            let (mut from_gzip, mut from_deflate) = (Vec::new(), Vec::new());
            GzDecoder::new(&*compressor.encode(body, Encoding::Gzip)).read_to_end(&mut from_gzip).unwrap();
            DeflateDecoder::new(&*compressor.encode(body, Encoding::Deflate)).read_to_end(&mut from_deflate).unwrap();
            assert!(from_gzip == body && from_deflate == body, "{size}");
        }
        let text = vec![b'a'; 100_000];
        assert!(compressor.encode(&text, Encoding::Gzip).len() < 1_000);
    }
}
