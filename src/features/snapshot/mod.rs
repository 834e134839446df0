//! What is live when the server stops, for the next start: sessions, streams with who is in them, parties, tickets
//! (docs/resume.md). Written when nothing changes any more; read before the first socket opens; used up by that.

mod file;
#[cfg(test)]
mod tests;

pub use file::{SnapshotRefused, TooLarge, decode, decode_records, encode};

use super::{Services, matchmaker::SavedTicket, parties::PartySnapshot};
use crate::{
    realtime::{OutboundLimits, SavedSession, SavedStream, Session},
    store::StoreError,
};
use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};
use uuid::Uuid;

const FILE: &str = "realtime.snapshot";
const UNFINISHED: &str = "realtime.snapshot.new";
const REFUSED: &str = "realtime.snapshot.refused";
/// Users looked for at once.
const USERS_AT_ONCE: usize = 256;

/// Everything in a snapshot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Sessions.
    pub sessions: Vec<SavedSession>,
    /// Streams: matches, statuses, parties' members, a program's own.
    pub streams: Vec<SavedStream>,
    /// Parties, without their members.
    pub parties: Vec<PartySnapshot>,
    /// Tickets of the matchmaker.
    pub tickets: Vec<SavedTicket>,
}

/// Why a file is not written or not taken up.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Refused(#[from] SnapshotRefused),
    #[error("{0}")]
    TooLarge(#[from] TooLarge),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("realtime.snapshot is off")]
    Off,
}

/// Writes down what is live. Call it when the sockets' tasks are done. What cannot be written is told in the log: a stop goes on.
pub fn write(services: &Services) {
    let (sessions, streams) = services.realtime.export();
    let (parties, tickets) = (services.parties.export(), services.matchmaker.export());
    let snapshot = Snapshot { sessions, streams, parties, tickets };
    let (sessions, parties, tickets) = (snapshot.sessions.len(), snapshot.parties.len(), snapshot.tickets.len());
    match write_file(&services.config.data_dir, snapshot, services.config.realtime.snapshot_max_bytes) {
        Ok(()) => tracing::info!(sessions, parties, tickets, "live sessions are written down for the next start"),
        Err(error) => tracing::error!(%error, sessions, "live sessions are lost: they cannot be written down"),
    }
}

/// Under another name first, so that what has the right name is whole.
fn write_file(folder: &Path, snapshot: Snapshot, most: u64) -> Result<(), Fault> {
    if snapshot.sessions.is_empty() {
        return Ok(());
    }
    let bytes = encode(snapshot, most)?;
    let unfinished = folder.join(UNFINISHED);
    remove_if_there(&unfinished)?;
    let written = write_whole(&unfinished, &bytes);
    if written.is_err() {
        // A disk that is full is not to keep half of it. The fault that counts is the first.
        let _ = remove_if_there(&unfinished);
    }
    written?;
    fs::rename(&unfinished, folder.join(FILE))?;
    Ok(File::open(folder)?.sync_all()?)
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Takes up what the last stop wrote down. Call it before anybody can connect. Answers the sessions, each with whether it may go
/// on: the caller is to keep those, and to end the others. What cannot be taken up is put aside and told in the log, and the
/// server starts with nobody connected.
pub fn take_up(services: &Services) -> Vec<(Arc<Session>, bool)> {
    let config = &services.config;
    let snapshot = match read_file(&config.data_dir, config.realtime.snapshot, config.realtime.snapshot_max_bytes) {
        Ok(Some(snapshot)) => snapshot,
        Ok(None) => return Vec::new(),
        Err(reason) => {
            tracing::error!(%reason, put_aside = REFUSED, "the snapshot of live sessions is refused; nobody is connected");
            put_aside(&config.data_dir);
            return Vec::new();
        }
    };
    match users_of(services, &snapshot) {
        Ok(users) => revive(services, snapshot, &users),
        Err(error) => {
            tracing::error!(%error, "the snapshot of live sessions is lost: its users cannot be read");
            Vec::new()
        }
    }
}

/// What the file says, if there is one. It is gone then: a crash later must not bring an old state back.
fn read_file(folder: &Path, is_on: bool, most: u64) -> Result<Option<Snapshot>, Fault> {
    remove_if_there(&folder.join(UNFINISHED))?;
    let path = folder.join(FILE);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if !is_on {
        return Err(Fault::Off);
    }
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(TooLarge::Snapshot.into());
    }
    let snapshot = decode(&bytes)?;
    fs::remove_file(&path)?;
    File::open(folder)?.sync_all()?;
    Ok(Some(snapshot))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// One is kept, for whoever wants to know what was wrong with it.
fn put_aside(folder: &Path) {
    let (from, to): (PathBuf, PathBuf) = (folder.join(FILE), folder.join(REFUSED));
    if let Err(error) = fs::rename(&from, to) {
        tracing::error!(%error, "the refused snapshot cannot be put aside");
        // Nor may a later start find it: it would be of an older time then. What keeps it from being removed, too, has been told.
        let _ = remove_if_there(&from);
    }
}

/// Those users of the snapshot's sessions who are still there.
fn users_of(services: &Services, snapshot: &Snapshot) -> Result<HashSet<Uuid>, StoreError> {
    let ids: HashSet<Uuid> = snapshot.sessions.iter().map(|session| session.user_id).collect();
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let mut there = HashSet::with_capacity(ids.len());
    for ids in ids.chunks(USERS_AT_ONCE) {
        there.extend(services.store.users(ids, &[], &[])?.iter().map(|user| user.id));
    }
    Ok(there)
}

fn revive(services: &Services, snapshot: Snapshot, users: &HashSet<Uuid>) -> Vec<(Arc<Session>, bool)> {
    let config = &services.config;
    let socket =
        OutboundLimits { messages: config.socket.outgoing_queue_size, bytes: config.socket.outgoing_queue_bytes };
    let Snapshot { sessions, streams, parties, tickets } = snapshot;
    let sessions = services.realtime.take_up(sessions, streams, socket);
    let parties = services.parties.import(parties, services.realtime.streams());
    let registry = services.realtime.registry();
    let tickets = services.matchmaker.import(tickets, |id| registry.by_id(id).is_some());
    let now = services.clock.unix_seconds();
    let goes_on = |session: &Session| {
        let claims = session.claims();
        now < claims.expires_unix && users.contains(&claims.user_id) && !services.tokens.is_ended(&claims)
    };
    let sessions: Vec<_> = sessions.into_iter().map(|session| (session.clone(), goes_on(&session))).collect();
    let ended = sessions.iter().filter(|(_, goes_on)| !goes_on).count();
    tracing::info!(sessions = sessions.len(), ended, parties, tickets, "live sessions of the last run are taken up");
    sessions
}
