//! Holds the source to its own rules: who may import whom, and how long a file may be. ARCHITECTURE.md gives the reasons.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The layers, low to high. A module imports from lower layers only; modules of one layer may import each other only if
/// `Together`.
const LAYERS: &[(Among, &[&str])] = &[
    (Among::Together, &["error", "clock", "config", "telemetry", "lifecycle", "audit", "search", "rate"]),
    (Among::Apart, &["store", "cluster", "identity"]),
    (Among::Together, &["realtime"]),
    (Among::Together, &["hooks"]),
    (Among::Together, &["features"]),
    (Among::Together, &["net"]),
    (Among::Together, &["app"]),
    (Among::Together, &["main", "lib", "commands"]),
];

/// What every feature may use: no decisions of its own, only what identifiers and names must look like.
const COMMON_GROUND: &[&str] = &["rules"];

/// Which feature may call which. A feature that needs another's data without its decisions reads the store instead.
const FEATURE_EDGES: &[(&str, &str)] = &[
    ("account", "revocation"),      // a ban or deletion ends every session
    ("account", "users"),           // an account shows its user as everybody sees it
    ("authenticate", "revocation"), // signing in ends older sessions
    ("authenticate", "replay"),     // an identity token may be good for one session only
    ("authenticate", "session"),    // a proof may be too old to sign in with
    ("authenticate", "throttle"),   // an address signs in only so often
    ("revocation", "throttle"),     // what is forgotten in time is swept together
    ("revocation", "limits"),       // and the users and addresses of limits
    ("authenticate", "tenancy"),    // an account is of one tenant
    ("links", "replay"),            // or for one link
    ("links", "tenancy"),           // what an account signs in by is of its tenant
    ("links", "revocation"),        // a link by an identity token that no longer counts is refused
    ("rpc", "connection"),          // a call by which a socket gets a new token
    ("snapshot", "parties"),        // parties outlive a restart
    ("snapshot", "matchmaker"),     // and tickets
    ("session", "revocation"),      // a refresh makes the log-out of its chain longer
    ("login", "authenticate"),      // the sign-in page ends with signing in
    ("login", "revocation"),        // a provider that ends a sign-in ends the session
    ("session", "tenancy"),         // an identity token at a refresh names the same tenant
    ("session", "login"),           // a session is refreshed as long as its provider renews it
    ("sockets", "status"),          // a socket may show its user as online
    ("sockets", "matchmaker"),      // the end of a socket ends its tickets
    ("sockets", "parties"),         // and its places in parties
    ("parties", "matchmaker"),      // a party searches as one
    ("users", "tenancy"),           // players see those of their tenant
    ("status", "tenancy"),          // and follow them
    ("friends", "tenancy"),         // and have no friends elsewhere
    ("friends", "users"),           // a friend is shown as everybody sees it
    ("friends", "notifications"),   // the other side of a relation is told of its changes
    ("notifications", "tenancy"),   // what everybody is told is told to one tenant
    ("notifications", "users"),     // times are shown in whole seconds
];

/// Lines of production code that a file may have; tests at its end do not count.
const LONGEST_FILE: usize = 700;

/// Words that belong to nobody's product: a workplace's paths and names.
const STRAY: &[&str] = &["/work/", "/root/", "/home/"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Among {
    Together,
    Apart,
}

#[test]
fn every_module_imports_only_from_below() {
    let mut faults = Vec::new();
    for file in sources(Path::new("src")) {
        let importer = file.modules[0].as_str();
        for import in file.imports() {
            let imported = import[0].as_str();
            if !may_import(importer, imported) {
                faults.push(format!("{}: `{importer}` imports `{imported}`", file.path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "imports against the order of ARCHITECTURE.md:\n{}", faults.join("\n"));
}

#[test]
fn features_call_each_other_only_where_it_is_listed() {
    let mut faults = Vec::new();
    for file in sources(Path::new("src/features")) {
        let [_, importer, ..] = file.modules.as_slice() else { continue };
        for import in file.imports() {
            let [first, imported, ..] = import.as_slice() else { continue };
            let is_module = imported.starts_with(|c: char| c.is_ascii_lowercase()) && is_feature(imported);
            let listed = COMMON_GROUND.contains(&imported.as_str())
                || FEATURE_EDGES.contains(&(importer.as_str(), imported.as_str()));
            if first == "features" && is_module && imported != importer && !listed {
                faults.push(format!("{}: `{importer}` calls `{imported}`", file.path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "calls between features that are not in FEATURE_EDGES:\n{}", faults.join("\n"));
}

#[test]
fn every_module_has_its_place_in_the_order() {
    let placed: BTreeSet<&str> = LAYERS.iter().flat_map(|(_, modules)| modules.iter().copied()).collect();
    let homeless: BTreeSet<String> = sources(Path::new("src"))
        .into_iter()
        .map(|file| file.modules[0].clone())
        .filter(|module| !placed.contains(module.as_str()))
        .collect();
    assert!(homeless.is_empty(), "modules without a place in LAYERS: {homeless:?}");
}

#[test]
fn the_wire_crate_knows_no_runtime() {
    let manifest = fs::read_to_string(root().join("protocol/Cargo.toml")).expect("the manifest of protocol");
    let dependencies = manifest.split("[dependencies]").nth(1).expect("dependencies").split("\n[").next().unwrap_or("");
    for forbidden in ["tokio", "hyper", "reqwest", "rusqlite", "kizuna."] {
        assert!(
            !dependencies.lines().any(|line| line.trim_start().starts_with(forbidden)),
            "protocol is messages only, and must not need {forbidden}"
        );
    }
}

#[test]
fn no_file_is_too_long_to_read() {
    let mut long = Vec::new();
    for file in everything() {
        let lines = file.production.lines().count();
        if lines > LONGEST_FILE {
            long.push(format!("{}: {lines} lines", file.path.display()));
        }
    }
    assert!(long.is_empty(), "more than {LONGEST_FILE} production lines; split by idea:\n{}", long.join("\n"));
}

#[test]
fn nothing_is_left_half_done_or_bound_to_one_machine() {
    let mut faults = Vec::new();
    for file in everything() {
        for (number, line) in file.text.lines().enumerate() {
            let marks = ["TODO", "FIXME"].iter().any(|mark| line.contains(mark));
            let stray = STRAY.iter().any(|word| line.contains(word));
            if marks || stray {
                faults.push(format!("{}:{}: {}", file.path.display(), number + 1, line.trim()));
            }
        }
    }
    // This file has to name what it looks for.
    faults.retain(|fault| !fault.starts_with(file!()));
    assert!(faults.is_empty(), "marks of unfinished work, or paths of one machine:\n{}", faults.join("\n"));
}

#[test]
fn imports_are_found_however_they_are_written() {
    let text = "use super::{lower, self::peer as p};\nuse super::super::store::db;\nuse crate::{\n    clock::{Clock, Entropy},\n    features::{self, matches::Matches},\n    store,\n};\n\
                // use crate::net;\nfn f() { crate::realtime::Registry::new() }\nuse crate::error::Error as E;\n";
    let file = ["net".to_owned(), "http".to_owned()];
    let found: Vec<String> = imports(text, &file).into_iter().map(|path| path.join("::")).collect();
    assert_eq!(
        found,
        [
            "clock::Clock",
            "clock::Entropy",
            "features::self",
            "features::matches::Matches",
            "store",
            "realtime::Registry::new",
            "error::Error",
            "net::lower",
            "net::self::peer",
            "store::db",
        ]
    );
}

#[test]
fn only_tests_with_a_body_end_the_production_code() {
    let text =
        "use a;\n#[cfg(test)]\nmod testing;\nuse b;\n#[cfg(test)]\nfn c() {}\n#[cfg(test)]\nmod tests {\n use d;\n}\n";
    let kept = before_tests(text);
    assert!(kept.contains("use b;") && kept.ends_with("fn c() {}") && !kept.contains("use d;"), "{kept}");
}

#[test]
fn the_order_itself_is_held() {
    assert!(may_import("net", "features") && may_import("identity", "config") && may_import("clock", "error"));
    assert!(!may_import("store", "identity") && !may_import("realtime", "hooks") && !may_import("config", "store"));
    assert!(may_import("store", "store") && !may_import("features", "nowhere"));
}

fn may_import(importer: &str, imported: &str) -> bool {
    let place = |module: &str| LAYERS.iter().position(|(_, modules)| modules.contains(&module));
    match (place(importer), place(imported)) {
        (Some(above), Some(below)) if above == below => importer == imported || LAYERS[above].0 == Among::Together,
        (Some(above), Some(below)) => above > below,
        _ => false,
    }
}

fn is_feature(name: &str) -> bool {
    let folder = root().join("src/features");
    folder.join(name).is_dir() || folder.join(format!("{name}.rs")).is_file()
}

/// One source file.
struct Source {
    path: PathBuf,
    /// Its module path below `src`: `["net", "http"]` for `src/net/http.rs`.
    modules: Vec<String>,
    text: String,
    /// Everything before the tests at its end.
    production: String,
}

impl Source {
    fn imports(&self) -> Vec<Vec<String>> {
        imports(&self.production, &self.modules)
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn everything() -> Vec<Source> {
    let folders = ["src", "protocol", "loadtest", "tests", "examples", "benches", "fuzz/src", "fuzz/fuzz_targets"];
    folders.iter().map(Path::new).flat_map(sources).collect()
}

/// Every Rust file below `folder`, a path from the root of the repository.
fn sources(folder: &Path) -> Vec<Source> {
    let mut found = Vec::new();
    if !root().join(folder).is_dir() {
        return found;
    }
    let entries = fs::read_dir(root().join(folder)).expect("a folder of the repository");
    for entry in entries.map(|entry| entry.expect("an entry")) {
        let path = folder.join(entry.file_name());
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().expect("its type").is_dir() {
            if name != "node_modules" {
                found.extend(sources(&path));
            }
        } else if name.ends_with(".rs") {
            found.push(source(path));
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

fn source(path: PathBuf) -> Source {
    let text = fs::read_to_string(root().join(&path)).expect("UTF-8");
    // A file of tests, declared under `#[cfg(test)]` by its neighbour, holds no production code.
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let tests_only = ["tests", "testing"].contains(&stem.as_ref()) || stem.ends_with("_tests");
    let production = if tests_only { String::new() } else { before_tests(&text).to_owned() };
    let below = path.strip_prefix("src").unwrap_or(&path).with_extension("");
    let mut modules: Vec<String> =
        below.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    if modules.len() > 1 && modules.last().is_some_and(|last| last == "mod") {
        modules.pop();
    }
    Source { path, modules, text, production }
}

/// Everything before the first module of tests that has its body in the file. Modules of tests that are only named may stand
/// anywhere.
fn before_tests(text: &str) -> &str {
    let mut begins = text.match_indices("\n#[cfg(test)]\n").map(|(at, mark)| (at, &text[at + mark.len()..]));
    let has_body = |rest: &str| rest.split(['{', ';']).next().is_some_and(|head| rest[head.len()..].starts_with('{'));
    let is_module = |rest: &str| rest.starts_with("mod ") || rest.starts_with("pub(crate) mod ");
    begins.find(|(_, rest)| is_module(rest) && has_body(rest)).map_or(text, |(at, _)| &text[..at])
}

/// Every path of `text` that begins with `crate::` or `super::`, in `use` lines and in code, from the root of the crate; groups are
/// taken apart, comments do not count. `module` is where the text stands.
fn imports(text: &str, module: &[String]) -> Vec<Vec<String>> {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for (word, base) in [("crate::", &[] as &[String]), ("super::", parent(module))] {
        // `$crate` is a macro's, and what follows another path is found from that path's beginning.
        let begins = |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || "$_:".contains(c));
        for (at, _) in code.match_indices(word).filter(|(at, _)| begins(*at)) {
            found.extend(paths(&code[at + word.len()..]).0.into_iter().map(|path| from_root(base, path)));
        }
    }
    found.retain(|path| !path.is_empty());
    found
}

fn parent(module: &[String]) -> &[String] {
    &module[..module.len().saturating_sub(1)]
}

/// `path` as seen from `base`; every leading `super` goes up one.
fn from_root(base: &[String], mut path: Vec<String>) -> Vec<String> {
    let mut base = base;
    while path.first().is_some_and(|first| first == "super") {
        path.remove(0);
        base = parent(base);
    }
    [base, &path].concat()
}

/// The paths that begin here, and where what follows them begins.
fn paths(text: &str) -> (Vec<Vec<String>>, &str) {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        let mut all = Vec::new();
        loop {
            rest = rest.trim_start().trim_start_matches(',').trim_start();
            if rest.is_empty() || rest.starts_with('}') {
                return (all, rest.strip_prefix('}').unwrap_or(rest));
            }
            let (mut some, after) = paths(rest);
            if after.len() == rest.len() {
                return (all, rest);
            }
            all.append(&mut some);
            // An alias, `as Name`, is not part of the path.
            rest = after.find([',', '}']).map_or("", |end| &after[end..]);
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    if word.is_empty() {
        return (Vec::new(), rest);
    }
    match rest.strip_prefix("::").filter(|after| after.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '{'))
    {
        Some(deeper) => {
            let (mut all, rest) = paths(deeper);
            all.iter_mut().for_each(|path| path.insert(0, word.to_owned()));
            (all, rest)
        }
        None => (vec![vec![word.to_owned()]], rest),
    }
}
