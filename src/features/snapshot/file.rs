//! The snapshot's file: a header, then records in bincode's format, each after its length.
//!
//! ```text
//! 8 bytes    "KIZUNA\0S"
//! 4 bytes    format version
//! 8 bytes    length of the records
//! 32 bytes   SHA-256 of the records
//! ```
//! Numbers are little-endian.

use super::Snapshot;
use crate::{
    features::{matchmaker::SavedTicket, parties::PartySnapshot},
    realtime::{SavedSession, SavedStream},
};
use aws_lc_rs::digest::{SHA256, digest};
use wincode::{SchemaRead, SchemaWrite, config::Configuration};

const MAGIC: [u8; 8] = *b"KIZUNA\0S";
/// Goes up with every change of what a record looks like.
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 52;
/// What one list within a record may take before it is read.
const MOST_AT_ONCE: usize = 64 << 20;

type Format = Configuration<true, MOST_AT_ONCE>;

/// One thing that outlives a restart.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
enum Record {
    Session(SavedSession),
    Stream(SavedStream),
    Party(PartySnapshot),
    Ticket(SavedTicket),
}

/// Why a snapshot is not taken up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotRefused {
    /// Another file, or one of which the beginning is missing.
    #[error("not a snapshot")]
    NotOne,
    /// Of another version of the server.
    #[error("format version {0}, and this server reads {VERSION}")]
    Version(u32),
    /// A part is missing, or something follows.
    #[error("{found} bytes of records, and the header says {told}")]
    Length {
        /// What the header says.
        told: u64,
        /// What is there.
        found: u64,
    },
    /// Not what was written.
    #[error("the checksum does not match")]
    Checksum,
    /// A record does not read.
    #[error("record {0} does not read")]
    Record(usize),
}

/// A snapshot does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// All of it.
    #[error("larger than realtime.snapshot_max_bytes")]
    Snapshot,
    /// One thing in it.
    #[error("a record is too large to be read again")]
    Record,
}

/// The file's bytes, `most` of them at most.
///
/// # Errors
/// More would be needed.
pub fn encode(snapshot: Snapshot, most: u64) -> Result<Vec<u8>, TooLarge> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let Snapshot { sessions, streams, parties, tickets } = snapshot;
    let records = (sessions.into_iter().map(Record::Session))
        .chain(streams.into_iter().map(Record::Stream))
        .chain(parties.into_iter().map(Record::Party))
        .chain(tickets.into_iter().map(Record::Ticket));
    let mut file = vec![0; HEADER_BYTES];
    for record in records {
        let bytes = wincode::config::serialize(&record, Format::new()).map_err(|_| TooLarge::Record)?;
        let length = u32::try_from(bytes.len()).map_err(|_| TooLarge::Record)?;
        file.extend_from_slice(&length.to_le_bytes());
        file.extend_from_slice(&bytes);
        if file.len() > most {
            return Err(TooLarge::Snapshot);
        }
    }
    let (header, body) = file.split_at_mut(HEADER_BYTES);
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..20].copy_from_slice(&(body.len() as u64).to_le_bytes());
    header[20..].copy_from_slice(digest(&SHA256, body).as_ref());
    Ok(file)
}

/// What a file says.
///
/// # Errors
/// See [`SnapshotRefused`]: all of it is taken, or nothing.
pub fn decode(file: &[u8]) -> Result<Snapshot, SnapshotRefused> {
    let (magic, rest) = file.split_first_chunk::<8>().ok_or(SnapshotRefused::NotOne)?;
    let (version, rest) = rest.split_first_chunk::<4>().ok_or(SnapshotRefused::NotOne)?;
    if *magic != MAGIC {
        return Err(SnapshotRefused::NotOne);
    }
    let version = u32::from_le_bytes(*version);
    if version != VERSION {
        return Err(SnapshotRefused::Version(version));
    }
    let (length, rest) = rest.split_first_chunk::<8>().ok_or(SnapshotRefused::NotOne)?;
    let (checksum, body) = rest.split_first_chunk::<32>().ok_or(SnapshotRefused::NotOne)?;
    let (told, found) = (u64::from_le_bytes(*length), body.len() as u64);
    if told != found {
        return Err(SnapshotRefused::Length { told, found });
    }
    if digest(&SHA256, body).as_ref() != checksum {
        return Err(SnapshotRefused::Checksum);
    }
    decode_records(body)
}

/// The records alone: what a checksum keeps damage away from, and a fuzzer gets at.
///
/// # Errors
/// The number of the first record that does not read.
pub fn decode_records(mut body: &[u8]) -> Result<Snapshot, SnapshotRefused> {
    let mut snapshot = Snapshot::default();
    for number in 0.. {
        if body.is_empty() {
            break;
        }
        let (record, rest) = split_record(body).ok_or(SnapshotRefused::Record(number))?;
        body = rest;
        match record {
            Record::Session(session) => snapshot.sessions.push(session),
            Record::Stream(stream) => snapshot.streams.push(stream),
            Record::Party(party) => snapshot.parties.push(party),
            Record::Ticket(ticket) => snapshot.tickets.push(ticket),
        }
    }
    Ok(snapshot)
}

fn split_record(body: &[u8]) -> Option<(Record, &[u8])> {
    let (length, rest) = body.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (record, rest) = rest.split_at_checked(length)?;
    Some((wincode::config::deserialize_exact(record, Format::new()).ok()?, rest))
}
