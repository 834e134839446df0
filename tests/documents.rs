//! Holds the documents to the repository: links lead somewhere, scripts that are named exist, no decision is missing from the index.

use std::{
    fs,
    path::{Path, PathBuf},
};

#[test]
fn links_between_documents_lead_somewhere() {
    let mut broken = Vec::new();
    for (path, text) in documents() {
        let folder = path.parent().expect("a file has a folder");
        for target in links(&text) {
            let file = target.split('#').next().unwrap_or_default();
            let elsewhere = target.contains("://") || target.starts_with("mailto:");
            if !elsewhere && !file.is_empty() && !folder.join(file).exists() {
                broken.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn every_decision_is_in_the_index() {
    let folder = root().join("docs/decisions");
    let index = fs::read_to_string(folder.join("README.md")).expect("the index");
    for entry in fs::read_dir(&folder).expect("the folder of decisions") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        assert!(
            name == "README.md" || index.contains(&format!("({name})")),
            "{name} is not in docs/decisions/README.md"
        );
    }
}

#[test]
fn scripts_that_are_named_exist() {
    for (path, text) in documents() {
        for part in text.split('`').skip(1).step_by(2) {
            let Some(word) = part.split_whitespace().next() else { continue };
            if word.starts_with("scripts/") || word.starts_with(".ci/") {
                assert!(root().join(word).exists(), "{} names {word}, which is not there", path.display());
            }
        }
    }
}

/// A test is named as `file.rs::its_name`.
#[test]
fn tests_that_are_named_exist() {
    for (path, text) in documents() {
        for (file, name) in text.split('`').skip(1).step_by(2).filter_map(|part| part.split_once(".rs::")) {
            let source = fs::read_to_string(root().join(format!("{file}.rs"))).unwrap_or_default();
            assert!(
                source.contains(&format!("fn {name}(")),
                "{} names {file}.rs::{name}, which is not there",
                path.display()
            );
        }
    }
}

/// ARCHITECTURE.md names every folder of the source, and every file of tests.
#[test]
fn the_map_shows_every_folder_and_every_test_program() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the map");
    let entries = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).expect("a folder of the repository");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    };
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut missing = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder).into_iter().filter(|path| path.is_dir()) {
            if !map.contains(&format!("{}/", name(&path))) {
                missing.push(format!("{}/", path.display()));
            }
            folders.push(path);
        }
    }
    for path in entries(&root().join("tests")).into_iter().filter(|path| path.is_file()) {
        let name = name(&path);
        if name.ends_with(".rs") && ![format!("`{name}`"), format!("`tests/{name}`")].iter().any(|it| map.contains(it))
        {
            missing.push(path.display().to_string());
        }
    }
    assert!(missing.is_empty(), "not in ARCHITECTURE.md:\n{}", missing.join("\n"));
}

/// docs/README.md leads to every page.
#[test]
fn every_page_of_the_manual_is_in_its_index() {
    let index = fs::read_to_string(root().join("docs/README.md")).expect("the index");
    for entry in fs::read_dir(root().join("docs")).expect("the folder of pages") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        let is_page = name.ends_with(".md") && name != "README.md";
        assert!(!is_page || index.contains(&format!("({name})")), "{name} is not in docs/README.md");
    }
}

#[test]
fn links_are_found_and_code_is_not() {
    let text = "see [a](b.md#part) and ![c](d.png)\n```\n[not](this)\n```\n`[nor](that)` but [e](../f/)";
    assert_eq!(links(text), ["b.md#part", "d.png", "../f/"]);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Markdown file of ours with its text.
fn documents() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let foreign = name.starts_with('.') || ["target", "node_modules", "data"].contains(&name.as_str());
            if path.is_dir() && !path.is_symlink() && !foreign {
                folders.push(path);
            } else if name.ends_with(".md") {
                let text = fs::read_to_string(&path).expect("UTF-8");
                found.push((path, text));
            }
        }
    }
    found
}

/// What `[text](target)` points at, outside of code.
fn links(text: &str) -> Vec<&str> {
    let mut in_code = false;
    let prose = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !fence && !in_code
    });
    let outside_ticks = prose.flat_map(|line| line.split('`').step_by(2));
    outside_ticks.flat_map(|part| part.split("](").skip(1).filter_map(|rest| rest.split(')').next())).collect()
}
