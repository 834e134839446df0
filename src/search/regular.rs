//! Regular expressions of queries: Go's syntax (RE2), in the words of the `regex` crate, which takes linear time as well.

use parking_lot::Mutex;
use regex::RegexBuilder;
use std::{
    collections::HashMap,
    fmt,
    iter::Peekable,
    str::Chars,
    sync::{Arc, Weak},
};

/// Bytes that one compiled expression may take, and as much again for each cache of one that is in use.
const SIZE_LIMIT: usize = 32 << 10;

/// Bytes up to which an expression is small: one that is not may look at many of its states for each byte of a text.
const SMALL: usize = 4 << 10;
const STEPS_A_BYTE: u64 = 1;
const STEPS_A_BYTE_OF_LARGE: u64 = 64;

/// What never matches: anchors, because expressions are matched with whole terms, one by one (spec/matchmaker.md 8.3).
const NEVER: &str = r"[^\x00-\x{10FFFF}]";

/// A regular expression that takes in a whole term, case-sensitive unless it says otherwise.
#[derive(Clone)]
pub(super) struct Regular {
    pattern: Box<str>,
    compiled: regex::Regex,
    steps_a_byte: u64,
}

impl Regular {
    /// Compiles `pattern`.
    ///
    /// # Errors
    /// What is wrong with it, or that it is too large.
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        let translated = translate(pattern)?;
        let build = |most: usize| {
            let mut builder = RegexBuilder::new(&format!(r"\A(?:{translated})\z"));
            builder.size_limit(most).dfa_size_limit(SIZE_LIMIT).nest_limit(64).build()
        };
        let (compiled, steps_a_byte) = match build(SMALL) {
            Err(regex::Error::CompiledTooBig(_)) => (build(SIZE_LIMIT), STEPS_A_BYTE_OF_LARGE),
            built => (built, STEPS_A_BYTE),
        };
        let compiled = compiled.map_err(|error| reason(&error))?;
        Ok(Self { pattern: pattern.into(), compiled, steps_a_byte })
    }

    /// What [`Regular::matches`] costs at most.
    pub(super) fn steps(&self, term: &str) -> u64 {
        self.steps_a_byte.saturating_mul(term.len() as u64)
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

/// The regular expressions of all queries that are held for long. The same one is compiled once, whoever asks with it, and stays as long
/// as a query has it. Clones share them.
#[derive(Clone, Debug)]
pub struct Expressions(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    most: usize,
    /// By pattern. Guards the list alone: what is compiled is compiled outside.
    held: Mutex<HashMap<Box<str>, Weak<Regular>>>,
}

impl Expressions {
    /// None yet; at most so many different ones are held at once.
    pub fn at_most(most: usize) -> Self {
        Self(Arc::new(Shared { most, held: Mutex::default() }))
    }

    /// The expression of this pattern, or what is wrong with it; none if there is no room for another.
    pub(super) fn get(&self, pattern: &str) -> Option<Result<Arc<Regular>, String>> {
        if let Some(regular) = self.0.held.lock().get(pattern).and_then(Weak::upgrade) {
            return Some(Ok(regular));
        }
        let regular = match Regular::new(pattern) {
            Ok(regular) => Arc::new(regular),
            Err(fault) => return Some(Err(fault)),
        };
        let mut held = self.0.held.lock();
        if held.len() >= self.0.most {
            held.retain(|_, regular| regular.strong_count() > 0);
        }
        // Somebody may have been faster.
        if let Some(regular) = held.get(pattern).and_then(Weak::upgrade) {
            return Some(Ok(regular));
        }
        if held.len() >= self.0.most {
            return None;
        }
        held.insert(pattern.into(), Arc::downgrade(&regular));
        Some(Ok(regular))
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
    fn equal_expressions_of_held_queries_are_one_and_different_ones_are_counted() {
        let expressions = Expressions::at_most(2);
        let get = |pattern: &str| expressions.get(pattern).map(|regular| regular.expect("it compiles"));
        let (one, again) = (get("a+").expect("room"), get("a+").expect("room"));
        assert!(Arc::ptr_eq(&one, &again));
        let other = get("b+").expect("room");
        assert!(get("c+").is_none());
        assert!(matches!(expressions.get("("), Some(Err(_))), "what does not compile takes no room");
        drop(other);
        assert!(get("c+").is_some(), "nobody has the other one any more");
        drop((one, again));
        assert!(get("d+").is_some());
    }

    #[test]
    fn a_large_expression_costs_more_for_each_byte() {
        let steps = |pattern: &str| Regular::new(pattern).expect("it compiles").steps("0123456789");
        assert_eq!(steps("(eu|us)-[a-z]+[0-9]*"), 10);
        assert_eq!(steps("(a|ab|abc){40}"), 640);
    }

    #[test]
    fn an_expression_that_grows_too_large_is_refused() {
        for pattern in ["(a{1000}){1000}", "a{50000}", r"\pL{100}", &"(".repeat(100)] {
            assert!(Regular::new(pattern).is_err(), "{pattern}");
        }
        assert!(Regular::new(&"(a|b)?".repeat(20)).is_ok());
    }
}
