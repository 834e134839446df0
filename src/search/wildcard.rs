//! Wildcards: `*` for any run of characters, `?` for one. Neither stands for a line break.

/// Steps of one comparison. Only a pattern and a term made for each other, and kilobytes long, need more.
const MOST_STEPS: usize = 1 << 18;

/// A pattern with `*` or `?`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wildcard {
    pattern: Box<str>,
}

impl Wildcard {
    /// `pattern` as a wildcard, if it has one. Everything else in it stands for itself.
    pub(super) fn new(pattern: &str) -> Option<Self> {
        pattern.contains(['*', '?']).then(|| Self { pattern: pattern.into() })
    }

    /// Whether the pattern asks only that there is something.
    pub(super) fn is_anything(&self) -> bool {
        self.pattern.bytes().all(|byte| byte == b'*')
    }

    /// What every match begins with.
    pub(super) fn prefix(&self) -> &str {
        self.pattern.split(['*', '?']).next().unwrap_or_default()
    }

    /// What [`Wildcard::matches`] costs at most.
    pub(super) fn steps(&self, term: &str) -> u64 {
        self.pattern.len().saturating_mul(term.len()).min(MOST_STEPS) as u64
    }

    /// Whether the whole of `term` fits.
    pub(super) fn matches(&self, term: &str) -> bool {
        let (mut pattern, mut rest) = (self.pattern.chars(), term.chars());
        // Behind the last star: the pattern, and the term from where the star stops standing for it. An earlier star need not be
        // tried again, because the last one can stand for whatever the earlier one could.
        let mut last_star = None;
        for _ in 0..MOST_STEPS {
            let rest_before = rest.clone();
            match (pattern.next(), rest.next()) {
                (None, None) => return true,
                (Some('*'), _) => {
                    last_star = Some((pattern.clone(), rest_before.clone()));
                    rest = rest_before;
                }
                (Some('?'), Some(c)) if c != '\n' => {}
                (Some(wanted), Some(c)) if wanted == c && wanted != '?' => {}
                _ => {
                    let Some((after, stood_for)) = &mut last_star else { return false };
                    if stood_for.next().is_none_or(|c| c == '\n') {
                        return false;
                    }
                    (pattern, rest) = (after.clone(), stood_for.clone());
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, term: &str) -> bool {
        Wildcard::new(pattern).expect("a wildcard").matches(term)
    }

    #[test]
    fn a_star_is_any_run_and_a_question_mark_one_character() {
        for (pattern, term) in [
            ("*", ""),
            ("*", "foo"),
            ("f*", "f"),
            ("f*", "foo"),
            ("*o", "foo"),
            ("f?o", "foo"),
            ("f?o", "fßo"),
            ("?", "x"),
            ("f**o", "fo"),
            ("*a*b*", "xxaxxbxx"),
            ("*ab", "aab"),
            ("a*b?d", "axxbbcd"),
            ("f.o*", "f.o"),
            ("?*", "?"),
        ] {
            assert!(matches(pattern, term), "{pattern} {term}");
        }
        for (pattern, term) in [
            ("f*", "Foo"),
            ("f?", "f"),
            ("f?", "foo"),
            ("?", ""),
            ("*a", "ab"),
            ("f.*", "fo"),
            ("[ab]*", "a"),
            ("*a*b", "ba"),
        ] {
            assert!(!matches(pattern, term), "{pattern} {term}");
        }
    }

    #[test]
    fn neither_is_a_line_break() {
        assert!(!matches("*", "a\nb"));
        assert!(!matches("a?b", "a\nb"));
        assert!(!matches("a*", "a\n"));
        assert!(matches("a\n*", "a\nb"));
        assert!(matches("*\n*", "a\nb"));
    }

    #[test]
    fn a_pattern_made_to_take_long_is_given_up() {
        assert!(!matches(&format!("*{}b", "?".repeat(4_000)), &"a".repeat(8_000)));
    }
}
