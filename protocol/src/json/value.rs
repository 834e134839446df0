//! The kinds of value: how each is written, read, and taken from a query.

use super::{JsonError, JsonMessage, Reader, number, text, time, write};
use base64::{
    Engine as _, alphabet,
    engine::DecodePaddingMode,
    engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD},
};
use bytes::Bytes;
use prost_types::Timestamp;

/// Something that stands after a colon.
pub(crate) trait Value: Sized {
    /// Appends the JSON text.
    fn write(&self, out: &mut Vec<u8>);
    /// Reads the next value; `field` is its name in error texts.
    fn read(reader: &mut Reader<'_>, field: &str) -> Result<Self, JsonError>;
}

/// A value without members, left out of a message when it is zero.
pub(crate) trait Scalar: Value + Default {
    /// Whether it is the value of an absent field.
    fn is_zero(&self) -> bool;
    /// Reads a query value. The error says why, without the field.
    fn from_text(text: &str) -> Result<Self, String>;
}

impl<M: JsonMessage> Value for M {
    fn write(&self, out: &mut Vec<u8>) {
        self.write_json(out);
    }
    fn read(reader: &mut Reader<'_>, _field: &str) -> Result<Self, JsonError> {
        let mut message = M::default();
        message.merge_json(reader)?;
        Ok(message)
    }
}

impl Value for Timestamp {
    fn write(&self, out: &mut Vec<u8>) {
        time::write(self, out);
    }
    fn read(reader: &mut Reader<'_>, _field: &str) -> Result<Self, JsonError> {
        reader.timestamp()
    }
}

impl Value for String {
    fn write(&self, out: &mut Vec<u8>) {
        write::text(out, self);
    }
    fn read(reader: &mut Reader<'_>, field: &str) -> Result<Self, JsonError> {
        Ok(reader.text_value("string", field)?.into_owned())
    }
}

impl Scalar for String {
    fn is_zero(&self) -> bool {
        self.is_empty()
    }
    fn from_text(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl Value for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
    }
    fn read(reader: &mut Reader<'_>, field: &str) -> Result<Self, JsonError> {
        reader.boolean(field)
    }
}

impl Scalar for bool {
    fn is_zero(&self) -> bool {
        !self
    }
    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
            _ => Err(text::not_parsed("ParseBool", text, "invalid syntax")),
        }
    }
}

/// The integers differ in their range, in their name in error texts, and in that 64 bits are written as a string.
macro_rules! integer {
    ($type:ty, $kind:literal, $parser:literal, $quote:literal) => {
        impl Value for $type {
            fn write(&self, out: &mut Vec<u8>) {
                let mut digits = itoa::Buffer::new();
                out.extend_from_slice($quote);
                out.extend_from_slice(digits.format(*self).as_bytes());
                out.extend_from_slice($quote);
            }
            fn read(reader: &mut Reader<'_>, field: &str) -> Result<Self, JsonError> {
                reader.integer($kind, field)
            }
        }
        impl Scalar for $type {
            fn is_zero(&self) -> bool {
                *self == 0
            }
            fn from_text(text: &str) -> Result<Self, String> {
                number::decimal(text, $parser == "ParseInt").map_err(|why| text::not_parsed($parser, text, why))
            }
        }
    };
}
integer!(i32, "int32", "ParseInt", b"");
integer!(u32, "uint32", "ParseUint", b"");
integer!(i64, "int64", "ParseInt", b"\"");

impl Value for f64 {
    fn write(&self, out: &mut Vec<u8>) {
        number::write_double(*self, out);
    }
    fn read(reader: &mut Reader<'_>, field: &str) -> Result<Self, JsonError> {
        reader.double(field)
    }
}

impl Scalar for f64 {
    fn is_zero(&self) -> bool {
        *self == 0.0
    }
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| text::not_parsed("ParseFloat", text, "invalid syntax"))
    }
}

impl Value for Bytes {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'"');
        let start = out.len();
        // Rounded up to whole groups of three bytes, each four characters: what STANDARD fills exactly.
        out.resize(start + self.len().div_ceil(3) * 4, 0);
        STANDARD.encode_slice(self, &mut out[start..]).expect("the space is the length of the padded base64 form");
        out.push(b'"');
    }
    fn read(reader: &mut Reader<'_>, field: &str) -> Result<Self, JsonError> {
        reader.bytes(field)
    }
}

impl Scalar for Bytes {
    fn is_zero(&self) -> bool {
        self.is_empty()
    }
    fn from_text(text: &str) -> Result<Self, String> {
        decode_base64(text).ok_or_else(|| "illegal base64 data".to_owned())
    }
}

const fn base64_engine(alphabet: &alphabet::Alphabet, padding: DecodePaddingMode) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(padding).with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(alphabet, config)
}

static PADDED: GeneralPurpose = base64_engine(&alphabet::STANDARD, DecodePaddingMode::RequireCanonical);
static UNPADDED: GeneralPurpose = base64_engine(&alphabet::STANDARD, DecodePaddingMode::RequireNone);
static URL_PADDED: GeneralPurpose = base64_engine(&alphabet::URL_SAFE, DecodePaddingMode::RequireCanonical);
static URL_UNPADDED: GeneralPurpose = base64_engine(&alphabet::URL_SAFE, DecodePaddingMode::RequireNone);

/// Standard or URL-safe base64, with or without padding; `None` for anything else, also for a mixture.
pub(super) fn decode_base64(text: &str) -> Option<Bytes> {
    // Without an exit in between, as in `write::plain_prefix`.
    let url = text.bytes().fold(false, |found, byte| found | (byte == b'-') | (byte == b'_'));
    let engine = match (url, text.len().is_multiple_of(4)) {
        (false, true) => &PADDED,
        (false, false) => &UNPADDED,
        (true, true) => &URL_PADDED,
        (true, false) => &URL_UNPADDED,
    };
    engine.decode(text).ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_taken_in_both_alphabets_and_with_or_without_padding() {
        let bytes: &[u8] = &[0xfb, 0xef, 0xbe, 0x00];
        for text in ["++++AA==", "++++AA", "----AA==", "----AA"] {
            assert_eq!(decode_base64(text).as_deref(), Some(bytes), "{text}");
        }
        assert_eq!(decode_base64("").as_deref(), Some(&[][..]));
    }

    #[test]
    fn other_base64_is_refused() {
        for text in ["+-AA", "YQ=", "Y Q=", "YQ\n=", "Y", "YQ==YQ==", "=", "é==="] {
            assert_eq!(decode_base64(text), None, "{text}");
        }
    }
}
