//! More and more stored accounts: what signing in costs, how long a start takes, how much memory and how many bytes it needs.

use super::{
    args::{Curve, GrowthOptions, sizes},
    bench::{Bench, data_folder, microseconds_each, phase},
    data::{Growth, Quantity},
    say,
};
use crate::{process::Processes, report::Phase, scenario::noise, trial::Server};
use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::Instant;
use uuid::Uuid;

const SIZES: &[u64] = &[1_000, 10_000, 100_000, 1_000_000];
/// Accounts that are made by one process of the harness, which has all their requests in memory.
const BATCH: u64 = 100_000;
/// The most logins that are measured; fewer in a small store, so that new ones do not make another store of it.
const MOST_LOGINS: u64 = 10_000;
/// Accounts that are read, each by its own player, and how often altogether.
const MOST_READERS: u64 = 5_000;
const READS: u64 = 20_000;
/// How long a started server is given to come to rest before its memory is read.
const SETTLE: Duration = Duration::from_secs(1);

/// Fills a store step by step, and measures at each step on copies of it.
pub(super) async fn measure(bench: &Bench, options: &GrowthOptions, growth: &mut Growth) -> Result<(), String> {
    let store = bench.folder("store")?;
    let mut stored = 0;
    for size in sizes(SIZES, options.largest_store) {
        fill(bench, &store, stored, size).await?;
        stored = size;
        for round in 1..=options.rounds {
            let folder = bench.folder("copy")?;
            copy(&data_folder(&store), &data_folder(&folder))?;
            let told = round_at(bench, growth, &folder, size).await?;
            say(&format!("{size} stored accounts"), round, options, &told);
        }
    }
    Ok(())
}

/// Has players `from..to` sign in for the first time.
async fn fill(bench: &Bench, store: &Path, from: u64, to: u64) -> Result<(), String> {
    let server = bench.server(store).await?;
    let mut next = from;
    while next < to {
        let end = to.min(next + BATCH);
        login(bench, &server, &mut (next..end)).await?;
        next = end;
    }
    server.stop().await.map(drop)
}

async fn round_at(bench: &Bench, growth: &mut Growth, folder: &Path, size: u64) -> Result<String, String> {
    let mut add = |series, quantity, value| growth.add(Curve::Stored, series, size, quantity, value);
    add("data folder", Quantity::Mib, mib(bytes_in(&data_folder(folder))?));
    let begun = Instant::now();
    let server = bench.server(folder).await?;
    let start = begun.elapsed().as_secs_f64() * 1e3;
    add("start", Quantity::StartMilliseconds, start);
    tokio::time::sleep(SETTLE).await;
    let resident = Processes::open(&[server.pid])?.snapshot().first().map_or(0, |server| server.resident);
    add("resident memory", Quantity::Mib, mib(resident));
    let count = size.clamp(1_000, MOST_LOGINS);
    let returning = login(bench, &server, &mut spread(count, size)).await?;
    let read = account(bench, &server, &mut spread(MOST_READERS.min(size), size)).await?;
    let new = login(bench, &server, &mut (size..size + count)).await?;
    for (series, cost) in [("new login", new), ("returning login", returning), ("account read", read)] {
        add(series, Quantity::MicrosecondsEach, cost.microseconds);
        add(series, Quantity::PerSecond, cost.per_second);
    }
    server.stop().await?;
    let [new, returning, read] = [new, returning, read].map(|cost| cost.microseconds);
    Ok(format!(
        "started in {start:.0} ms; {new:.1} µs a new login, {returning:.1} µs a returning one, {read:.1} µs a read"
    ))
}

/// Stored players, here and there among all.
fn spread(count: u64, stored: u64) -> impl Iterator<Item = u64> {
    (0..count).map(move |number| noise(number) % stored)
}

/// What one operation cost.
#[derive(Clone, Copy, Debug)]
struct Cost {
    /// Processor time of the server.
    microseconds: f64,
    per_second: f64,
}

impl Cost {
    fn of(phase: &Phase, operation: &str) -> Result<Self, String> {
        let done = phase.operations.get(operation).ok_or_else(|| format!("{}: no {operation}", phase.name))?;
        Ok(Self { microseconds: microseconds_each(phase)?, per_second: done.per_second })
    }
}

/// Signs players in, as fast as 32 connections allow.
async fn login(bench: &Bench, server: &Server, players: &mut dyn Iterator<Item = u64>) -> Result<Cost, String> {
    let (file, count) = ids(bench, players)?;
    // One pass: the first time for those who are not stored yet.
    let line = format!("login --new --connections 32 --count {count}");
    let report = bench.run_with(server, &line, &["--tokens".into(), file.into()]).await?;
    Cost::of(phase(&report, "login, new players")?, "login")
}

/// Has players read their own accounts, as fast as 32 connections allow.
async fn account(bench: &Bench, server: &Server, players: &mut dyn Iterator<Item = u64>) -> Result<Cost, String> {
    let (file, count) = ids(bench, players)?;
    let line = format!("account --connections 32 --players {count} --count {READS}");
    let report = bench.run_with(server, &line, &["--tokens".into(), file.into()]).await?;
    Cost::of(phase(&report, "account")?, "account")
}

/// A file of the players' ids, and how many there are.
fn ids(bench: &Bench, players: &mut dyn Iterator<Item = u64>) -> Result<(PathBuf, u64), String> {
    let file = bench.file("ids");
    let count = write_ids(&file, players).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok((file, count))
}

/// Ids as identity providers give them: without any order, so that neighbours in time are no neighbours in the index.
fn write_ids(file: &Path, players: &mut dyn Iterator<Item = u64>) -> std::io::Result<u64> {
    let mut out = BufWriter::new(File::create(file)?);
    let mut count = 0;
    for player in players {
        writeln!(out, "{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, &player.to_le_bytes()))?;
        count += 1;
    }
    out.flush()?;
    Ok(count)
}

/// Copies a folder of files and folders.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let told = |error: std::io::Error| format!("copying {}: {error}", from.display());
    fs::create_dir_all(to).map_err(told)?;
    for entry in fs::read_dir(from).map_err(told)? {
        let entry = entry.map_err(told)?;
        let target = to.join(entry.file_name());
        if entry.file_type().map_err(told)?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target).map_err(told)?;
        }
    }
    Ok(())
}

/// Sum of the lengths of all files in a folder and the folders in it.
fn bytes_in(folder: &Path) -> Result<u64, String> {
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut sum = 0;
    for entry in fs::read_dir(folder).map_err(told)? {
        let entry = entry.map_err(told)?;
        let metadata = entry.metadata().map_err(told)?;
        sum += if metadata.is_dir() { bytes_in(&entry.path())? } else { metadata.len() };
    }
    Ok(sum)
}

#[expect(clippy::cast_precision_loss, reason = "for reading")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0 / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copied_folder_holds_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("keys")).unwrap();
        fs::write(from.join("store"), vec![1; 3_000]).unwrap();
        fs::write(from.join("keys/a"), "key").unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("keys/a")).unwrap(), "key");
        assert_eq!((bytes_in(&to), mib(1 << 20)), (Ok(3_003), 1.0));
    }

    #[test]
    fn ids_are_the_same_in_every_run_and_differ_between_players() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        assert_eq!(write_ids(&one, &mut (0..3)).unwrap(), 3);
        assert_eq!(write_ids(&two, &mut (2..4)).unwrap(), 2);
        let (one, two) = (fs::read_to_string(one).unwrap(), fs::read_to_string(two).unwrap());
        assert_eq!(one.lines().nth(2), two.lines().next());
        assert_ne!(one.lines().next(), one.lines().nth(1));
    }
}
