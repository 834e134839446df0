//! Query strings and form bodies: from text to fields of a request (contract/README.md section 5).

use crate::error::Error;
use kizuna_protocol::{code::Code, json::JsonMessage};
use std::borrow::Cow;

/// The pairs of a query string, decoded, in the order in which they came.
#[derive(Debug, Default)]
pub struct Query<'a>(Vec<(Cow<'a, [u8]>, Cow<'a, [u8]>)>);

impl<'a> Query<'a> {
    /// Reads `text`.
    ///
    /// # Errors
    /// A malformed escape or a semicolon: 400, code 3.
    pub fn parse(text: &'a [u8]) -> Result<Self, Error> {
        let mut query = Self::default();
        query.extend(text)?;
        Ok(query)
    }

    /// Reads `text` and passes over what is malformed: where Nakama does not look at the errors (`/ws`, RPC).
    pub fn lenient(text: &'a [u8]) -> Self {
        Self(pairs(text).filter_map(Result::ok).collect())
    }

    /// Adds the pairs of `text` behind those that are there.
    pub(super) fn extend(&mut self, text: &'a [u8]) -> Result<(), Error> {
        for pair in pairs(text) {
            self.0.push(pair?);
        }
        Ok(())
    }

    /// The first value under `name`; one that is no UTF-8 is taken for empty.
    pub fn first(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(key, _)| **key == *name.as_bytes())?;
        Some(std::str::from_utf8(value).unwrap_or_default())
    }

    /// Every name and value, for functions that see the whole query.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Sets the fields of `message` that the pairs name. `is_taken` says which top-level names (in either spelling) come from
    /// elsewhere, the path or the body; unknown names are ignored.
    pub(super) fn apply<M: JsonMessage>(
        mut self,
        message: &mut M,
        is_taken: impl Fn(&str) -> bool,
    ) -> Result<(), Error> {
        // Stable: values of one name keep their order.
        self.0.sort_by(|(a, _), (b, _)| a.cmp(b));
        for group in self.0.chunk_by(|(a, _), (b, _)| a == b) {
            let Ok(key) = std::str::from_utf8(&group[0].0) else { continue };
            let (name, entry) = split_entry(key);
            if !is_taken(name.split('.').next().unwrap_or(name)) {
                set(message, name, entry, group)?;
            }
        }
        Ok(())
    }
}

fn set<M: JsonMessage>(
    message: &mut M,
    name: &str,
    entry: Option<&str>,
    group: &[(Cow<'_, [u8]>, Cow<'_, [u8]>)],
) -> Result<(), Error> {
    let values: Vec<_> = group.iter().map(|(_, value)| String::from_utf8_lossy(value)).collect();
    let texts: Vec<&str> = entry.into_iter().chain(values.iter().map(|value| &**value)).collect();
    let is_set = set_text(message, name, &texts)?;
    let is_damaged = || group.iter().any(|(_, value)| std::str::from_utf8(value).is_err());
    if is_set && is_damaged() {
        return Err(invalid_utf8());
    }
    Ok(())
}

/// Sets one field from text; answers whether there is such a field.
pub(super) fn set_text<M: JsonMessage>(message: &mut M, name: &str, values: &[&str]) -> Result<bool, Error> {
    message.set_from_text(name, values).map_err(|error| Error::invalid_argument(error.to_string()))
}

/// Text that is no UTF-8 would fail on its way between Nakama's gateway and its service; this is that failure.
pub(super) fn invalid_utf8() -> Error {
    Error::new(Code::Internal, "grpc: error while marshaling: string field contains invalid UTF-8")
}

/// `name[entry]`: one entry of a map, or a further element of a list.
fn split_entry(key: &str) -> (&str, Option<&str>) {
    match key.strip_suffix(']').and_then(|inside| inside.rsplit_once('[')) {
        Some((name, entry)) => (name, Some(entry)),
        None => (key, None),
    }
}

type Pair<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

fn pairs(text: &[u8]) -> impl Iterator<Item = Result<Pair<'_>, Error>> {
    text.split(|&byte| byte == b'&').filter(|part| !part.is_empty()).map(|part| {
        if part.contains(&b';') {
            return Err(Error::invalid_argument("invalid semicolon separator in query"));
        }
        let middle = part.iter().position(|&byte| byte == b'=');
        let (name, value) = middle.map_or((part, &b""[..]), |at| (&part[..at], &part[at + 1..]));
        Ok((unescape(name)?, unescape(value)?))
    })
}

fn unescape(text: &[u8]) -> Result<Cow<'_, [u8]>, Error> {
    decode(text, true).map_err(|escape| {
        let mut message = b"invalid URL escape ".to_vec();
        super::respond::quote(&mut message, &String::from_utf8_lossy(escape), false);
        Error::invalid_argument(String::from_utf8_lossy(&message).into_owned())
    })
}

/// Percent-decodes `text`; in a query a plus is a space.
///
/// # Errors
/// The malformed escape, up to three bytes.
pub(super) fn decode(text: &[u8], is_query: bool) -> Result<Cow<'_, [u8]>, &[u8]> {
    if !text.iter().any(|&byte| byte == b'%' || (is_query && byte == b'+')) {
        return Ok(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'%' => {
                let here = text.len() - after.len() - 1;
                let malformed = &text[here..text.len().min(here + 3)];
                let [high, low, after @ ..] = after else { return Err(malformed) };
                let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                let (Some(high), Some(low)) = (digit(*high), digit(*low)) else { return Err(malformed) };
                decoded.push(high << 4 | low);
                rest = after;
            }
            b'+' if is_query => decoded.push(b' '),
            _ => decoded.push(*byte),
        }
    }
    Ok(Cow::Owned(decoded))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kizuna_protocol::api;

    fn refusal(text: &str) -> String {
        Query::parse(text.as_bytes()).unwrap_err().message().to_owned()
    }

    fn friends(text: &str) -> Result<api::AddFriendsRequest, Error> {
        let mut message = api::AddFriendsRequest::default();
        Query::parse(text.as_bytes())?.apply(&mut message, |_| false)?;
        Ok(message)
    }

    #[test]
    fn malformed_queries_name_their_fault() {
        assert_eq!(refusal("a=%zz"), "invalid URL escape \"%zz\"");
        assert_eq!(refusal("a=%2"), "invalid URL escape \"%2\"");
        assert_eq!(refusal("a=x%"), "invalid URL escape \"%\"");
        assert_eq!(refusal("a=se;mi"), "invalid semicolon separator in query");
    }

    #[test]
    fn a_lenient_reader_passes_over_faults() {
        let query = Query::lenient(b"a=%zz&b=1;2&token=x+y%21&token=z&&c");
        assert_eq!(query.first("token"), Some("x y!"));
        assert_eq!(query.first("c"), Some(""));
        assert_eq!(query.first("a"), None);
    }

    #[test]
    fn lists_are_keys_that_repeat() {
        assert_eq!(friends("ids=a&x=y&ids=b,c&usernames=n").unwrap().ids, ["a", "b,c"]);
        assert_eq!(friends("ids[x]=y").unwrap().ids, ["x", "y"]);
    }

    #[test]
    fn a_scalar_that_repeats_is_refused() {
        assert_eq!(friends("metadata=a&metadata=b").unwrap_err().message(), "too many values for field \"metadata\": a, b");
    }

    #[test]
    fn text_that_is_no_utf8_is_our_fault_as_it_is_nakamas() {
        let error = friends("metadata=a%FFb").unwrap_err();
        assert_eq!(error.code(), Code::Internal);
        assert!(friends("unknown=a%FFb").is_ok());
    }

    #[test]
    fn names_that_come_from_elsewhere_are_passed_over() {
        let mut message = api::AddFriendsRequest::default();
        let query = Query::parse(b"metadata=x&ids=a").unwrap();
        query.apply(&mut message, |name| name == "metadata").unwrap();
        assert_eq!((message.metadata.as_str(), message.ids.len()), ("", 1));
    }
}
