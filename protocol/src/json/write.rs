//! Writing. Each member ends with a comma, and `close` makes the last one a brace: no state to carry.

use super::value::{Scalar, Value};
use std::collections::BTreeMap;

pub(super) fn open(out: &mut Vec<u8>) {
    out.push(b'{');
}

pub(super) fn close(out: &mut Vec<u8>) {
    end(out, b'}');
}

fn end(out: &mut Vec<u8>, bracket: u8) {
    match out.last_mut() {
        Some(comma @ b',') => *comma = bracket,
        _ => out.push(bracket),
    }
}

/// `key` is the name in quotes with its colon.
pub(super) fn member(out: &mut Vec<u8>, key: &str, value: &impl Value) {
    out.extend_from_slice(key.as_bytes());
    value.write(out);
    out.push(b',');
}

pub(super) fn scalar(out: &mut Vec<u8>, key: &str, value: &impl Scalar) {
    if !value.is_zero() {
        member(out, key, value);
    }
}

pub(super) fn optional(out: &mut Vec<u8>, key: &str, value: &Option<impl Value>) {
    if let Some(value) = value {
        member(out, key, value);
    }
}

pub(super) fn list(out: &mut Vec<u8>, key: &str, values: &[impl Value]) {
    if values.is_empty() {
        return;
    }
    out.extend_from_slice(key.as_bytes());
    out.push(b'[');
    for value in values {
        value.write(out);
        out.push(b',');
    }
    end(out, b']');
    out.push(b',');
}

pub(super) fn map(out: &mut Vec<u8>, key: &str, entries: &BTreeMap<String, impl Value>) {
    if entries.is_empty() {
        return;
    }
    out.extend_from_slice(key.as_bytes());
    open(out);
    for (name, value) in entries {
        text(out, name);
        out.push(b':');
        value.write(out);
        out.push(b',');
    }
    close(out);
    out.push(b',');
}

/// A string in quotes. Only the quote, the backslash and what lies below U+0020 is escaped.
pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 3);
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut written = 0;
    loop {
        let at = plain_prefix(bytes, written);
        out.extend_from_slice(&bytes[written..at]);
        let Some(&byte) = bytes.get(at) else { break };
        escape(out, byte);
        written = at + 1;
    }
    out.push(b'"');
}

/// Where, from `start` on, the first byte stands that a JSON string cannot hold as it is; the length if there is none.
pub(super) fn plain_prefix(bytes: &[u8], start: usize) -> usize {
    let at = skip_plain_chunks::<8>(bytes, skip_plain_chunks::<16>(bytes, start));
    at + bytes[at..].iter().position(|byte| is_special(*byte)).unwrap_or(bytes.len() - at)
}

/// Goes on in steps of `N` while nothing is special. Without an exit inside of a step, the processor compares all at once.
fn skip_plain_chunks<const N: usize>(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes[at..].first_chunk::<N>() {
        if chunk.iter().fold(false, |found, byte| found | is_special(*byte)) {
            break;
        }
        at += N;
    }
    at
}

fn is_special(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        b'"' | b'\\' => byte,
        _ => {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.extend_from_slice(b"\\u00");
            out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            return;
        }
    };
    out.extend([b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_special_byte_is_found_wherever_it_stands() {
        for length in 0..40 {
            let mut bytes = vec![b'a'; length];
            assert_eq!(plain_prefix(&bytes, length / 2), length);
            for at in 0..length {
                for special in [b'"', b'\\', 0x1f] {
                    bytes[at] = special;
                    assert_eq!(plain_prefix(&bytes, 0), at);
                    assert_eq!(plain_prefix(&bytes, at), at);
                }
                bytes[at] = b'a';
            }
        }
    }

    #[test]
    fn only_quotes_backslashes_and_control_characters_are_escaped() {
        let mut out = Vec::new();
        text(&mut out, "a\"b\\c/d<e>&\u{2028}\u{7f}é\u{8}\u{c}\n\r\t\u{1}\u{1f}");
        let expected = "\"a\\\"b\\\\c/d<e>&\u{2028}\u{7f}é\\b\\f\\n\\r\\t\\u0001\\u001f\"";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
