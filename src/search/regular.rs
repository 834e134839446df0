//! Regular expressions of queries: Go's syntax (RE2), in the words of the `regex` crate, which takes linear time as well.

use regex::RegexBuilder;
use std::{fmt, iter::Peekable, str::Chars};

/// Bytes that one compiled expression may take, and as much again for its cache.
const SIZE_LIMIT: usize = 32 << 10;

/// What never matches: anchors, because expressions are matched with whole terms, one by one (spec/matchmaker.md 8.3).
const NEVER: &str = r"[^\x00-\x{10FFFF}]";

/// A regular expression that takes in a whole term, case-sensitive unless it says otherwise.
#[derive(Clone)]
pub(super) struct Regular {
    pattern: Box<str>,
    compiled: regex::Regex,
}

impl Regular {
    /// Compiles `pattern`.
    ///
    /// # Errors
    /// What is wrong with it, or that it is too large.
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        let translated = translate(pattern)?;
        let compiled = RegexBuilder::new(&format!(r"\A(?:{translated})\z"))
            .size_limit(SIZE_LIMIT)
            .dfa_size_limit(SIZE_LIMIT)
            .nest_limit(64)
            .build()
            .map_err(|error| reason(&error))?;
        Ok(Self { pattern: pattern.into(), compiled })
    }

    /// Whether the whole of `term` fits.
    pub(super) fn matches(&self, term: &str) -> bool {
        self.compiled.is_match(term)
    }
}

impl fmt::Debug for Regular {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.pattern, out)
    }
}

/// The last line of what the crate says; those before it draw the expression.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    format!("invalid regular expression: {}", last.strip_prefix("error: ").unwrap_or(last))
}

/// `pattern` in the crate's words. The two differ in that Go's classes `\d`, `\s` and `\w` are ASCII; that in brackets `[`, `&` and
/// `~` are plain; that `\Q...\E` quotes; and that there are no repetitions of repetitions and no flag `x`.
fn translate(pattern: &str) -> Result<String, String> {
    let mut translator = Translator { rest: pattern.chars().peekable(), result: String::new(), depth: 0 };
    while let Some(c) = translator.rest.next() {
        translator.outside(c)?;
    }
    Ok(translator.result)
}

struct Translator<'a> {
    rest: Peekable<Chars<'a>>,
    result: String,
    /// Open parentheses.
    depth: usize,
}

impl Translator<'_> {
    fn outside(&mut self, c: char) -> Result<(), String> {
        match c {
            '^' | '$' => self.result.push_str(NEVER),
            '(' => {
                self.depth += 1;
                self.result.push(c);
                self.flags()?;
            }
            ')' => {
                // The expression will stand in a group of ours, which it must not close.
                self.depth = self.depth.checked_sub(1).ok_or("invalid regular expression: unopened group")?;
                self.result.push(c);
            }
            '[' => self.class(),
            '\\' => self.escape(false),
            '*' | '+' | '?' => {
                self.result.push(c);
                self.result.extend(self.rest.next_if_eq(&'?'));
                if self.rest.peek().is_some_and(|next| "*+?".contains(*next)) {
                    return Err("invalid regular expression: nested repetition".to_owned());
                }
            }
            _ => self.result.push(c),
        }
        Ok(())
    }

    /// The flags behind `(?`, up to what ends them; a name, behind `P` or `<`, is none.
    fn flags(&mut self) -> Result<(), String> {
        let Some(mark) = self.rest.next_if_eq(&'?') else { return Ok(()) };
        self.result.push(mark);
        while let Some(flag) = self.rest.next_if(|c| "imsUx-".contains(*c)) {
            if flag == 'x' {
                return Err("invalid regular expression: unknown flag `x`".to_owned());
            }
            self.result.push(flag);
        }
        Ok(())
    }

    /// A class in brackets, whose first bracket is read.
    fn class(&mut self) {
        self.result.push('[');
        self.result.extend(self.rest.next_if_eq(&'^'));
        // A bracket that closes at once would leave nothing, so it is plain.
        if self.rest.next_if_eq(&']').is_some() {
            self.result.push_str(r"\]");
        }
        while let Some(c) = self.rest.next() {
            match c {
                ']' => return self.result.push(c),
                '[' if self.rest.peek() == Some(&':') => self.named_class(),
                '[' | '&' | '~' => self.result.extend(['\\', c]),
                '\\' => self.escape(true),
                _ => self.result.push(c),
            }
        }
    }

    /// `[:alpha:]` and the like, whose first bracket is read.
    fn named_class(&mut self) {
        self.result.push('[');
        for c in self.rest.by_ref() {
            self.result.push(c);
            if c == ']' {
                return;
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self, in_class: bool) {
        let Some(c) = self.rest.next() else { return self.result.push('\\') };
        match c {
            'd' => self.result.push_str("[0-9]"),
            'D' => self.result.push_str("[^0-9]"),
            's' => self.result.push_str(r"[\t\n\f\r ]"),
            'S' => self.result.push_str(r"[^\t\n\f\r ]"),
            'w' => self.result.push_str("[0-9A-Za-z_]"),
            'W' => self.result.push_str("[^0-9A-Za-z_]"),
            'A' | 'z' if !in_class => self.result.push_str(NEVER),
            'b' | 'B' if !in_class => self.result.push_str(if c == 'b' { r"(?-u:\b)" } else { r"(?-u:\B)" }),
            'Q' if !in_class => self.quoted(),
            _ => self.result.extend(['\\', c]),
        }
    }

    /// Plain text up to `\E`.
    fn quoted(&mut self) {
        let mut text = String::new();
        while let Some(c) = self.rest.next() {
            if c == '\\' && self.rest.next_if_eq(&'E').is_some() {
                break;
            }
            text.push(c);
        }
        self.result.push_str("(?:");
        self.result.push_str(&regex::escape(&text));
        self.result.push(')');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, term: &str) -> bool {
        Regular::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}")).matches(term)
    }

    #[test]
    fn the_whole_term_must_fit() {
        for (pattern, term) in [
            ("", ""),
            ("x|y", "y"),
            ("fo+", "foo"),
            ("(?i)FOO", "foo"),
            ("[a-c]+", "abc"),
            (r"\d+", "123"),
            (r"[\w-]+", "a-b_1"),
            (r"\w\W\w", "a b"),
            (r"[[:alpha:]]+", "abc"),
            (r"[[]]", "[]"),
            (r"[]a]+", "]a"),
            (r"[^]a]", "b"),
            ("[a&&b]+", "a&b"),
            (r"\Qa.b\E+", "a.b"),
            (r"\Qa(b", "a(b"),
            ("f.o", "fßo"),
            (r"(?P<name>a)(?:b)(?s:.)", "ab\n"),
            (r"a\b.*", "a-b"),
            (r"\x41\x{42}", "AB"),
            (r"\p{Greek}", "λ"),
            ("a{2,3}?", "aa"),
        ] {
            assert!(matches(pattern, term), "{pattern} {term}");
        }
        for (pattern, term) in [
            ("", "a"),
            ("fo", "foo"),
            ("oo", "foo"),
            ("foo", "Foo"),
            ("x|yz", "xz"),
            (r"\d", "٣"),
            (r"\w", "ß"),
            (".", "\n"),
            ("a.*", "a\nb"),
        ] {
            assert!(!matches(pattern, term), "{pattern} {term}");
        }
    }

    #[test]
    fn anchors_never_match() {
        for pattern in ["foo$", "^foo", r"\Afoo", r"foo\z", "(?m)^foo$", "(?m)foo$"] {
            assert!(!matches(pattern, "foo"), "{pattern}");
        }
        assert!(matches("foo|bar$", "foo"));
        assert!(matches("[$^]", "$"));
        assert!(matches(r"\$", "$"));
    }

    #[test]
    fn what_go_does_not_take_is_refused() {
        for pattern in [
            "(", ")", "a)(b", "[a", "*", "a**", "a*??", "(?=a)", r"(a)\1", r"\", "(?x)a #", "(?ix:a)", "a{2,1}",
            "(?<n>a",
        ] {
            let fault = Regular::new(pattern).expect_err(pattern);
            assert!(fault.starts_with("invalid regular expression: ") && !fault.contains('\n'), "{fault}");
        }
    }

    #[test]
    fn an_expression_that_grows_too_large_is_refused() {
        for pattern in ["(a{1000}){1000}", "a{50000}", r"\pL{100}", &"(".repeat(100)] {
            assert!(Regular::new(pattern).is_err(), "{pattern}");
        }
        assert!(Regular::new(&"(a|b)?".repeat(20)).is_ok());
    }
}
