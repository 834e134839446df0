//! Writes the kit to its folder.

use super::{
    args::GenerateOptions,
    cases,
    corpus::{Corpus, ENTRIES, MARKER, key_set, trust},
    keys::{KeyFile, TestKeys},
};
use serde::Serialize;
use std::{fs, path::Path};

/// Writes cases, key sets and trust entries; and keys, where there are none.
///
/// # Errors
/// A file cannot be read or written, or a key signs nothing.
pub fn run(options: &GenerateOptions) -> Result<(), String> {
    let folder = &options.folder;
    fs::create_dir_all(folder.join("keys")).map_err(|error| format!("{}: {error}", folder.display()))?;
    let private = folder.join("keys/private.json");
    if !private.exists() {
        write(&private, &json(&KeyFile::generate()?)?)?;
    }
    for (name, text) in files(folder)? {
        write(&folder.join(name), &text)?;
    }
    Ok(())
}

/// What the files of `folder` should hold by its keys, by name.
///
/// # Errors
/// The keys cannot be read, or sign nothing.
pub fn files(folder: &Path) -> Result<Vec<(String, String)>, String> {
    let private = folder.join("keys/private.json");
    let text = fs::read_to_string(&private).map_err(|error| format!("{}: {error}", private.display()))?;
    let file: KeyFile = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", private.display()))?;
    let keys = TestKeys::open(&file)?;
    let earlier = Corpus::open(Some(&folder.join("corpus.json"))).map(|corpus| corpus.cases).unwrap_or_default();
    let corpus = Corpus {
        about: "Signed identity tokens, good and bad, and what must become of each. README.md explains.".into(),
        marker: MARKER.into(),
        cases: cases::all(&keys, &earlier)?,
    };
    let mut files =
        vec![("corpus.json".to_owned(), json(&corpus)?), ("trust.toml".to_owned(), trust("tests/identity"))];
    for entry in ENTRIES {
        files.push((format!("keys/{}", entry.key_set), json(&key_set(entry, &keys))?));
    }
    Ok(files)
}

fn json(value: &impl Serialize) -> Result<String, String> {
    Ok(serde_json::to_string_pretty(value).map_err(|error| error.to_string())? + "\n")
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kit_is_what_its_keys_and_this_program_make_of_it() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/identity");
        for (name, text) in files(&folder).unwrap() {
            let there = fs::read_to_string(folder.join(&name)).unwrap();
            assert!(there == text, "{name} is not up to date: run `loadtest identity generate`");
        }
    }

    #[test]
    fn a_kit_with_keys_of_its_own_can_be_made() {
        let folder = tempfile::tempdir().unwrap();
        let options = GenerateOptions { folder: folder.path().to_owned() };
        run(&options).unwrap();
        let first = files(folder.path()).unwrap();
        run(&options).unwrap();
        assert_eq!(first, files(folder.path()).unwrap(), "the same again from the same keys");
    }
}
