//! A name that a provider gives, made fit to be a username: it stands in lists and chats, beside others that look like it.

use super::claims::is_unprintable;
use icu_normalizer::ComposingNormalizerBorrowed;

/// Longest result in bytes: a username has at most 128, and a suffix must fit behind it.
const MAX_BYTES: usize = 120;

/// `name` with each character in its one usual form (Unicode NFKC), without those that are not seen, spaces collapsed, cut at a
/// character's end. `None` if nothing is left.
pub(super) fn clean_username(name: &str) -> Option<String> {
    // A bound before the work; the longest token is longer.
    let start: String = name.chars().take(MAX_BYTES).collect();
    let usual = ComposingNormalizerBorrowed::new_nfkc().normalize(&start);
    let seen: String = usual.chars().filter(|c| c.is_whitespace() || !is_unprintable(*c)).collect();
    let mut clean = String::with_capacity(seen.len());
    for word in seen.split_whitespace() {
        if !clean.is_empty() {
            clean.push(' ');
        }
        clean.push_str(word);
    }
    clean.truncate(clean.floor_char_boundary(MAX_BYTES));
    let clean = clean.trim_end();
    (!clean.is_empty()).then(|| clean.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike_become_alike() {
        for (name, expected) in [
            ("Ann", "Ann"),
            ("  Ann \t of\u{a0}\u{3000}York\n", "Ann of York"),
            ("\u{ff21}nn", "Ann"),
            ("Zoe\u{308}", "Zo\u{eb}"),
            ("A\u{200b}n\u{202e}n\u{feff}", "Ann"),
            ("\u{fb01}nn", "finn"),
        ] {
            assert_eq!(clean_username(name).as_deref(), Some(expected), "{name:?}");
        }
    }

    #[test]
    fn nothing_to_see_is_no_name_and_a_long_one_is_cut_at_a_character() {
        for nothing in ["", " ", "\u{200b}\u{202e}", "\u{0}\u{7f}"] {
            assert_eq!(clean_username(nothing), None, "{nothing:?}");
        }
        let long = clean_username(&"\u{e9}x".repeat(100)).expect("a name");
        assert!(long.len() <= 120 && long.len() > 116, "{}", long.len());
        // One character that becomes eighteen.
        assert!(clean_username(&"\u{fdfa}".repeat(200)).expect("a name").len() <= 120);
    }
}
