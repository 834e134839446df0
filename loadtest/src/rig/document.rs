//! The part of a document that is generated.

use std::{fs, path::Path};

/// The lines that the part stands between.
const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

/// Whether there is such a part in `file`.
///
/// # Errors
/// Why there is none.
pub fn check(file: &Path) -> Result<(), String> {
    write(file, None)
}

/// Replaces the part in `file`.
///
/// # Errors
/// The file cannot be read or written, or has no such part.
pub fn replace(file: &Path, part: &str) -> Result<(), String> {
    write(file, Some(part))
}

fn write(file: &Path, part: Option<&str>) -> Result<(), String> {
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let text = fs::read_to_string(file).map_err(|error| told(&error))?;
    let new = replaced(&text, part.unwrap_or_default()).map_err(|error| told(&error))?;
    if part.is_some() { fs::write(file, new).map_err(|error| told(&error)) } else { Ok(()) }
}

fn replaced(text: &str, part: &str) -> Result<String, String> {
    if [BEGIN, END].iter().any(|mark| text.matches(mark).count() != 1) {
        return Err(format!("needs the lines {BEGIN} and {END}, once each"));
    }
    let whole = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = whole.ok_or_else(|| format!("{END} stands before {BEGIN}"))?;
    Ok(format!("{before}{BEGIN}\n{}\n{END}{after}", part.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let text = format!("# A\n{BEGIN}\nold\n{END}\n## B\n");
        assert_eq!(replaced(&text, "new\n").unwrap(), format!("# A\n{BEGIN}\nnew\n{END}\n## B\n"));
    }

    #[test]
    fn a_document_without_both_marks_is_refused() {
        for text in ["", BEGIN, END, &format!("{END}{BEGIN}"), &format!("{BEGIN}{BEGIN}{END}")] {
            assert!(replaced(text, "new").is_err(), "{text}");
        }
    }

    #[test]
    fn to_check_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("page.md");
        assert!(check(&file).is_err());
        let text = format!("{BEGIN}\nold\n{END}\n");
        fs::write(&file, &text).unwrap();
        check(&file).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        replace(&file, "new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("{BEGIN}\nnew\n{END}\n"));
    }
}
