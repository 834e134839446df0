//! From the text of a query to tokens (spec/matchmaker.md 8.1).

use super::error::{QueryError, QueryFault};
use std::{iter::Peekable, str::CharIndices};

/// A piece of a query.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// The byte at which it begins.
    pub(super) at: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Plus,
    Minus,
    Colon,
    Greater,
    Less,
    Equal,
    /// A text in quotation marks.
    Phrase(String),
    /// What follows a `^`.
    Boost(String),
    /// What follows a `~`.
    Tilde(String),
    /// Digits with at most one dot, the first of them a digit.
    Number(String),
    /// Anything else.
    Text(String),
}

/// What a backslash takes the meaning from. Before another character a backslash is itself.
const ESCAPED: &str = r#"+-=&|><!(){}[]^"~*?:\/ "#;

/// All tokens of `query`, in order.
///
/// # Errors
/// A quotation mark without its partner.
pub(super) fn tokens(query: &str) -> Result<Vec<Token>, QueryError> {
    let mut lexer = Lexer { query, rest: query.char_indices().peekable() };
    let mut tokens = Vec::new();
    while let Some(at) = lexer.skip_spaces() {
        let kind = lexer.token(at)?;
        tokens.push(Token { kind, at });
    }
    Ok(tokens)
}

struct Lexer<'a> {
    query: &'a str,
    rest: Peekable<CharIndices<'a>>,
}

impl Lexer<'_> {
    /// Where the next token begins.
    fn skip_spaces(&mut self) -> Option<usize> {
        while self.rest.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        self.rest.peek().map(|(at, _)| *at)
    }

    fn token(&mut self, at: usize) -> Result<Kind, QueryError> {
        let first = self.query[at..].chars().next().unwrap_or_default();
        let single = match first {
            '+' => Some(Kind::Plus),
            '-' => Some(Kind::Minus),
            ':' => Some(Kind::Colon),
            '>' => Some(Kind::Greater),
            '<' => Some(Kind::Less),
            '=' => Some(Kind::Equal),
            _ => None,
        };
        if single.is_some() || ['"', '^', '~'].contains(&first) {
            self.rest.next();
        }
        match (single, first) {
            (Some(kind), _) => Ok(kind),
            (None, '"') => self.phrase().ok_or_else(|| QueryFault::Quotation.at(at)),
            (None, '^') => Ok(Kind::Boost(self.until(&[' ']).0)),
            (None, '~') => Ok(Kind::Tilde(self.until(&[' ']).0)),
            (None, _) => Ok(self.word()),
        }
    }

    /// The rest of a phrase and its end; none if it has no end.
    fn phrase(&mut self) -> Option<Kind> {
        let (text, _) = self.until(&['"']);
        self.rest.next().map(|_| Kind::Phrase(text))
    }

    fn word(&mut self) -> Kind {
        let (text, has_escapes) = self.until(&[' ', ':', '^', '~']);
        let is_number = text.starts_with(|c: char| c.is_ascii_digit())
            && text.chars().all(|c| c.is_ascii_digit() || c == '.')
            && text.matches('.').count() <= 1;
        if is_number && !has_escapes { Kind::Number(text) } else { Kind::Text(text) }
    }

    /// What stands before the first of `ends` that is not escaped, which stays unread; and whether there were escapes. A backslash
    /// with nothing after it is dropped.
    fn until(&mut self, ends: &[char]) -> (String, bool) {
        let (mut text, mut has_escapes) = (String::new(), false);
        while let Some((_, c)) = self.rest.next_if(|(_, c)| !ends.contains(c)) {
            if c != '\\' {
                text.push(c);
                continue;
            }
            has_escapes = true;
            if let Some((_, escaped)) = self.rest.next() {
                text.extend((!ESCAPED.contains(escaped)).then_some('\\'));
                text.push(escaped);
            }
        }
        (text, has_escapes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Kind::*;

    fn kinds(query: &str) -> Vec<Kind> {
        tokens(query).expect("no open quotation").into_iter().map(|token| token.kind).collect()
    }

    fn text(text: &str) -> Kind {
        Text(text.to_owned())
    }

    fn number(text: &str) -> Kind {
        Number(text.to_owned())
    }

    #[test]
    fn spaces_of_any_kind_stand_between_tokens() {
        assert_eq!(kinds(" \t\n+ a : > = 1 "), [Plus, text("a"), Colon, Greater, Equal, number("1")]);
        assert_eq!(kinds("\u{a0}\u{2003}a"), [text("a")]);
        assert_eq!(kinds("  "), []);
    }

    #[test]
    fn only_a_space_ends_a_string() {
        assert_eq!(kinds("a\tb c\nd"), [text("a\tb"), text("c\nd")]);
        assert_eq!(kinds("a:b"), [text("a"), Colon, text("b")]);
        assert_eq!(kinds("a^2 b~1"), [text("a"), Boost("2".into()), text("b"), Tilde("1".into())]);
    }

    #[test]
    fn operators_are_special_at_the_start_of_a_token_only() {
        for word in ["eu-west", "foo+", "a>b", "a<b", "a=b", "a\"b", "ä-ö", "(a", "[a", "AND", "!a", "/x/"] {
            assert_eq!(kinds(word), [text(word)], "{word}");
        }
        assert_eq!(kinds("--a"), [Minus, Minus, text("a")]);
        assert_eq!(kinds("<=\"a\""), [Less, Equal, Phrase("a".into())]);
    }

    #[test]
    fn a_number_is_digits_with_at_most_one_dot() {
        for digits in ["0", "10", "10.5", "10.", "007"] {
            assert_eq!(kinds(digits), [number(digits)], "{digits}");
        }
        for word in ["1e1", "10foo", "1.2.3", ".5", "1.2.", "0a1b2c3d-0000", "1\t2", "٣"] {
            assert_eq!(kinds(word), [text(word)], "{word}");
        }
        assert_eq!(kinds("-3"), [Minus, number("3")]);
        assert_eq!(kinds(r"1\:2"), [text("1:2")]);
        assert_eq!(kinds(r"1\ "), [text("1 ")]);
    }

    #[test]
    fn boost_and_tilde_run_to_the_next_space() {
        assert_eq!(kinds("^"), [Boost(String::new())]);
        assert_eq!(kinds("a~ b"), [text("a"), Tilde(String::new()), text("b")]);
        assert_eq!(kinds("a~1^2"), [text("a"), Tilde("1^2".into())]);
        assert_eq!(kinds("a^2~1"), [text("a"), Boost("2~1".into())]);
        assert_eq!(kinds(r"a^2\ 3"), [text("a"), Boost("2 3".into())]);
    }

    #[test]
    fn a_backslash_escapes_what_is_special_and_nothing_else() {
        for special in "+-=&|><!(){}[]^\"~*?:\\/ ".chars() {
            assert_eq!(kinds(&format!("a\\{special}b")), [text(&format!("a{special}b"))]);
            assert_eq!(kinds(&format!("\\{special}b")), [text(&format!("{special}b"))]);
        }
        assert_eq!(kinds(r"/\d\w/"), [text(r"/\d\w/")]);
        assert_eq!(kinds(r"\1"), [text(r"\1")]);
        assert_eq!(kinds(r#""a\"b\d""#), [Phrase(r#"a"b\d"#.into())]);
        assert_eq!(kinds("a\\"), [text("a")]);
    }

    #[test]
    fn a_quotation_needs_its_end() {
        assert_eq!(kinds("\"a:b ^\" c"), [Phrase("a:b ^".into()), text("c")]);
        assert_eq!(kinds("\"a\"b"), [Phrase("a".into()), text("b")]);
        for open in ["\"", "a:\"b", "\"a\\\""] {
            let error = tokens(open).expect_err("open");
            assert_eq!((error.fault, &open[error.at..=error.at]), (QueryFault::Quotation, "\""));
        }
    }

    #[test]
    fn a_token_knows_its_place() {
        let places: Vec<_> = tokens("a : \"ö\"^2").expect("tokens").iter().map(|token| token.at).collect();
        assert_eq!(places, [0, 2, 4, 8]);
    }
}
