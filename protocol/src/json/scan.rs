//! Finds the first value of an HTTP body and checks its grammar, before anything is read from it: Nakama does it in this
//! order, and so a syntax error anywhere comes before a wrong value.

use super::{JsonError, number, text::quote};

/// How deep objects and arrays may lie in one another (spec/auth-and-accounts.md section 21).
const MAX_DEPTH: usize = 10_000;

type Result<T> = std::result::Result<T, JsonError>;

/// The first JSON value of `text` without the blanks around it; `None` when there is nothing but blanks.
/// What follows is not looked at. Strings may still be invalid UTF-8 or hold half a surrogate pair.
pub(super) fn first_value(text: &[u8]) -> Result<Option<&[u8]>> {
    let mut scanner = Scanner { text, at: 0, open: Vec::new() };
    if scanner.peek().is_none() {
        return Ok(None);
    }
    let start = scanner.at;
    scanner.value()?;
    Ok(Some(&text[start..scanner.at]))
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    /// The brackets that are open: a stack of our own, so that depth costs a byte.
    open: Vec<u8>,
}

impl Scanner<'_> {
    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.get(self.at) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn value(&mut self) -> Result<()> {
        loop {
            match self.peek() {
                Some(bracket @ (b'{' | b'[')) => {
                    self.at += 1;
                    if self.open.len() == MAX_DEPTH {
                        return Err(JsonError("exceeded max depth".to_owned()));
                    }
                    self.open.push(bracket);
                    match (bracket, self.peek()) {
                        (b'{', Some(b'}')) | (b'[', Some(b']')) => {}
                        (b'{', _) => {
                            self.key()?;
                            continue;
                        }
                        _ => continue,
                    }
                }
                Some(b'"') => self.string()?,
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.literal("true")?,
                Some(b'f') => self.literal("false")?,
                Some(b'n') => self.literal("null")?,
                _ => return Err(self.invalid("looking for beginning of value")),
            }
            if !self.advance()? {
                return Ok(());
            }
        }
    }

    /// Goes on behind a value, to where the next one begins. `false`: the outermost value is complete.
    fn advance(&mut self) -> Result<bool> {
        while let Some(bracket) = self.open.last() {
            match (*bracket, self.peek()) {
                (b'{', Some(b'}')) | (b'[', Some(b']')) => {
                    self.open.pop();
                    self.at += 1;
                }
                (b'[', Some(b',')) => {
                    self.at += 1;
                    return Ok(true);
                }
                (_, Some(b',')) => {
                    self.at += 1;
                    self.key()?;
                    return Ok(true);
                }
                (b'[', _) => return Err(self.invalid("after array element")),
                _ => return Err(self.invalid("after object key:value pair")),
            }
        }
        Ok(false)
    }

    fn key(&mut self) -> Result<()> {
        if self.peek() != Some(b'"') {
            return Err(self.invalid("looking for beginning of object key string"));
        }
        self.string()?;
        if self.peek() != Some(b':') {
            return Err(self.invalid("after object key"));
        }
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Result<()> {
        self.at += 1;
        loop {
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(b' '..) => self.at += 1,
                _ => return Err(self.invalid("in string")),
            }
        }
    }

    fn escape(&mut self) -> Result<()> {
        self.at += 1;
        match self.text.get(self.at) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.text.get(self.at).is_some_and(u8::is_ascii_hexdigit) {
                        return Err(self.invalid("in \\u hexadecimal character escape"));
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.invalid("in string escape code")),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<()> {
        if let Some(length) = number::length(&self.text[self.at..]) {
            self.at += length;
            return Ok(());
        }
        let number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
        self.at += self.text[self.at..].iter().take_while(|byte| number(byte)).count();
        if let Some(b'e' | b'E') = self.text.get(self.at) {
            self.at += 1 + usize::from(matches!(self.text.get(self.at + 1), Some(b'+' | b'-')));
            return Err(self.invalid("in exponent of numeric literal"));
        }
        Err(self.invalid("in numeric literal"))
    }

    fn literal(&mut self, literal: &str) -> Result<()> {
        for expected in literal.chars() {
            if self.text.get(self.at).copied().map(char::from) != Some(expected) {
                return Err(self.invalid(&format!("in literal {literal} (expecting {})", quote_char(expected))));
            }
            self.at += 1;
        }
        Ok(())
    }

    /// The character here does not belong here; at the end of the text it is the end that does not.
    fn invalid(&self, context: &str) -> JsonError {
        let Some(&byte) = self.text.get(self.at) else { return JsonError("unexpected EOF".to_owned()) };
        let end = self.text.len().min(self.at + 4);
        let character = self.text[self.at..end].utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next());
        let shown = character.map_or_else(|| format!("'\\x{byte:02x}'"), quote_char);
        JsonError(format!("invalid character {shown} {context}"))
    }
}

/// A character in single quotes, escaped where it could not be seen.
pub(super) fn quote_char(c: char) -> String {
    match c {
        '\'' => "'\\''".to_owned(),
        '"' => "'\"'".to_owned(),
        _ => {
            let quoted = quote(c.encode_utf8(&mut [0; 4]));
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &[u8]) -> String {
        first_value(text).unwrap_err().0
    }

    #[test]
    fn what_follows_the_first_value_is_left_alone() {
        for (text, value) in [
            ("{} x", "{}"),
            (" \n[1, 2]{", "[1, 2]"),
            ("5,", "5"),
            ("\"a\\\"\"\"", "\"a\\\"\""),
            ("nullx", "null"),
            ("{\"a\":[{},[],-1.5e3,true,\"\\u00e9\"]}}", "{\"a\":[{},[],-1.5e3,true,\"\\u00e9\"]}"),
        ] {
            assert_eq!(first_value(text.as_bytes()), Ok(Some(value.as_bytes())), "{text}");
        }
        assert_eq!(first_value(b""), Ok(None));
        assert_eq!(first_value(b" \t\r\n"), Ok(None));
    }

    #[test]
    fn a_bad_token_is_named_with_its_place_in_the_grammar() {
        for (text, message) in [
            (&b"garbage"[..], "invalid character 'g' looking for beginning of value"),
            (b"{id", "invalid character 'i' looking for beginning of object key string"),
            (b"{\"id\":\"abcdefgh\",}", "invalid character '}' looking for beginning of object key string"),
            (b"{'id'", "invalid character '\\'' looking for beginning of object key string"),
            (b"\xef\xbb\xbf{}", "invalid character '\\ufeff' looking for beginning of value"),
            (b"\xff", "invalid character '\\xff' looking for beginning of value"),
            (b"{\"a\x01\"", "invalid character '\\x01' in string"),
            (b"[1,]", "invalid character ']' looking for beginning of value"),
            (b"[1 2]", "invalid character '2' after array element"),
            (b"{\"a\" 1}", "invalid character '1' after object key"),
            (b"{\"a\":1 \"b\"", "invalid character '\"' after object key:value pair"),
            (b"[01]", "invalid character '1' after array element"),
            (b"[1.x]", "invalid character 'x' in numeric literal"),
            (b"[1ex]", "invalid character 'x' in exponent of numeric literal"),
            (b"[nulx]", "invalid character 'x' in literal null (expecting 'l')"),
            (b"[\"\\x\"]", "invalid character 'x' in string escape code"),
            (b"[\"\\u00g0\"]", "invalid character 'g' in \\u hexadecimal character escape"),
        ] {
            assert_eq!(error(text), message);
        }
    }

    #[test]
    fn a_text_that_ends_too_early_says_so() {
        for text in ["{", "[", "{\"id\":\"abcdef", "{\"a\"", "{\"a\":", "{\"a\":1", "[1,", "tr", "\"\\", "\"\\u00", "-"]
        {
            assert_eq!(error(text.as_bytes()), "unexpected EOF", "{text}");
        }
    }

    #[test]
    fn ten_thousand_levels_are_taken_and_one_more_is_not() {
        let nested = |depth: usize| ["[".repeat(depth), "]".repeat(depth)].concat();
        assert!(first_value(nested(10_000).as_bytes()).is_ok());
        assert_eq!(error(nested(10_001).as_bytes()), "exceeded max depth");
        assert_eq!(error("[".repeat(1_000_000).as_bytes()), "exceeded max depth");
    }
}
