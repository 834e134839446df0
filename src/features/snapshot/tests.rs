use super::*;
use crate::{
    features::{
        matchmaker::{SavedEntry, SavedParty},
        parties::PartyPresence,
    },
    identity::{ScopeKey, ScopeKind, Tenant, session::Origin},
    realtime::SavedMember,
};
use aws_lc_rs::digest::{SHA256, digest};
use proptest::{collection::vec, option, prelude::*};

const PLENTY: u64 = 1 << 24;

fn id() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn tenant() -> impl Strategy<Value = Tenant> {
    option::of(".{0,8}").prop_map(|name| name.map_or(Tenant::NONE, |name| Tenant::named(&name)))
}

fn session() -> impl Strategy<Value = SavedSession> {
    let origin = option::of((".{0,8}", any::<i64>(), any::<u32>(), option::of(".{0,8}"))).prop_map(|origin| {
        origin.map(|(name, proven_unix, mapping_version, tenant)| {
            (&Origin {
                entry: name.as_str().into(),
                issuer: ScopeKey::new(ScopeKind::Issuer, &name),
                family: Some(ScopeKey::family(&name, "one")),
                player: None,
                tenant: tenant.map(Into::into),
                proven_unix,
                mapping_version,
            })
                .into()
        })
    });
    let who = (id(), id(), ".{0,12}", tenant(), origin);
    let token = (option::of(id()), any::<i64>(), any::<i64>(), any::<[u8; 32]>(), any::<i64>());
    let socket = (any::<bool>(), any::<bool>(), any::<bool>(), vec(vec(any::<u8>(), 0..40), 0..6));
    let vars = prop::collection::btree_map(".{0,6}", ".{0,6}", 0..4);
    (who, vars, token, socket).prop_map(|(who, vars, token, socket)| SavedSession {
        id: who.0,
        user_id: who.1,
        username: who.2,
        vars,
        token_id: token.0,
        token_expires_unix: token.1,
        issued_unix: token.2,
        origin: who.4,
        tenant: who.3,
        token_key: token.3,
        expires_unix: token.4,
        is_protobuf: socket.0,
        shows_status: socket.1,
        is_over: socket.2,
        waiting: socket.3,
    })
}

fn stream() -> impl Strategy<Value = SavedStream> {
    let member = (id(), any::<bool>(), any::<bool>(), option::of(".{0,8}"))
        .prop_map(|(session_id, hidden, persistence, status)| SavedMember { session_id, hidden, persistence, status });
    (tenant(), any::<u8>(), id(), id(), ".{0,8}", vec(member, 0..6), vec(id(), 0..4)).prop_map(
        |(tenant, mode, subject, subcontext, label, members, followers)| SavedStream {
            tenant,
            mode,
            subject,
            subcontext,
            label,
            members,
            followers,
        },
    )
}

fn party() -> impl Strategy<Value = PartySnapshot> {
    let presence = || {
        (".{0,8}", ".{0,8}", ".{0,8}").prop_map(|(user_id, session_id, username)| PartyPresence {
            user_id,
            session_id,
            username,
        })
    };
    let flags = (any::<bool>(), any::<bool>(), any::<u16>(), any::<i64>());
    (tenant(), id(), ".{0,8}", presence(), flags, ".{0,8}", vec(presence(), 0..3)).prop_map(
        |(tenant, id, node, leader, (open, hidden, max_size, created_micros), label, requests)| PartySnapshot {
            tenant,
            id,
            node,
            leader,
            open,
            hidden,
            label,
            max_size,
            created_micros,
            requests,
        },
    )
}

fn ticket() -> impl Strategy<Value = SavedTicket> {
    let entry =
        (id(), id(), ".{0,8}").prop_map(|(session_id, user_id, username)| SavedEntry { session_id, user_id, username });
    let party = option::of((id(), ".{0,8}").prop_map(|(id, text)| SavedParty { id, text }));
    let searched = (any::<i64>(), any::<u32>(), any::<bool>(), any::<(u32, u32, u32)>());
    let strings = prop::collection::btree_map(".{0,6}", ".{0,6}", 0..4);
    let numbers = prop::collection::btree_map(".{0,6}", -1e9_f64..1e9, 0..4);
    (id(), tenant(), searched, ".{0,20}", (strings, numbers), party, vec(entry, 0..4)).prop_map(
        |(id, tenant, (created_micros, passes, is_passive, counts), query, (strings, numbers), party, entries)| {
            SavedTicket {
                id,
                tenant,
                created_micros,
                passes,
                is_passive,
                counts,
                query,
                strings,
                numbers,
                party,
                entries,
            }
        },
    )
}

fn snapshot() -> impl Strategy<Value = Snapshot> {
    (vec(session(), 0..5), vec(stream(), 0..5), vec(party(), 0..3), vec(ticket(), 0..3))
        .prop_map(|(sessions, streams, parties, tickets)| Snapshot { sessions, streams, parties, tickets })
}

proptest! {
    #[test]
    fn what_is_written_is_read(snapshot in snapshot()) {
        let file = encode(snapshot.clone(), PLENTY).expect("it fits");
        prop_assert_eq!(decode(&file), Ok(snapshot));
    }

    #[test]
    fn no_single_damage_goes_unseen(snapshot in snapshot(), at in any::<prop::sample::Index>(), change in 1_u8..) {
        let mut file = encode(snapshot, PLENTY).expect("it fits");
        let at = at.index(file.len());
        file[at] ^= change;
        prop_assert!(decode(&file).is_err());
        prop_assert!(decode(&file[..at]).is_err());
    }

    #[test]
    fn records_that_nobody_wrote_do_no_harm(body in vec(any::<u8>(), 0..400)) {
        let _ = decode_records(&body);
    }

    #[test]
    fn records_that_were_changed_do_no_harm(snapshot in snapshot(), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut file = encode(snapshot, PLENTY).expect("it fits").split_off(52);
        for (at, value) in changes {
            if !file.is_empty() {
                let at = at.index(file.len());
                file[at] = value;
            }
        }
        let _ = decode_records(&file);
    }
}

#[test]
fn each_fault_has_its_name() {
    let file = encode(Snapshot::default(), PLENTY).expect("it fits");
    assert_eq!(decode(&file), Ok(Snapshot::default()));
    assert_eq!(decode(b""), Err(SnapshotRefused::NotOne));
    assert_eq!(decode(&file[..51]), Err(SnapshotRefused::NotOne));
    let mut other = file.clone();
    other[8] = 2;
    assert_eq!(decode(&other), Err(SnapshotRefused::Version(2)));
    let longer = [&file[..], b"x"].concat();
    assert_eq!(decode(&longer), Err(SnapshotRefused::Length { told: 0, found: 1 }));
    let mut other = file.clone();
    other[20] ^= 1;
    assert_eq!(decode(&other), Err(SnapshotRefused::Checksum));
    let body = 9_u32.to_le_bytes();
    let mut signed = file[..12].to_vec();
    signed.extend_from_slice(&4_u64.to_le_bytes());
    signed.extend_from_slice(digest(&SHA256, &body).as_ref());
    signed.extend_from_slice(&body);
    assert_eq!(decode(&signed), Err(SnapshotRefused::Record(0)));
}

#[test]
fn what_is_too_large_is_not_written() {
    let stream = SavedStream {
        tenant: Tenant::NONE,
        mode: 5,
        subject: Uuid::nil(),
        subcontext: Uuid::nil(),
        label: "x".repeat(1_000),
        members: Vec::new(),
        followers: Vec::new(),
    };
    let snapshot = Snapshot { streams: vec![stream], ..Snapshot::default() };
    assert_eq!(encode(snapshot.clone(), 1_000), Err(TooLarge::Snapshot));
    assert!(encode(snapshot, 2_000).is_ok());
}

#[test]
fn a_file_is_used_up_and_one_of_a_server_that_keeps_nothing_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(matches!(read_file(folder.path(), true, PLENTY), Ok(None)));
    let file = encode(Snapshot::default(), PLENTY).expect("it fits");
    let path = folder.path().join(FILE);
    fs::write(&path, &file).expect("written");
    assert!(matches!(read_file(folder.path(), false, PLENTY), Err(Fault::Off)));
    assert!(matches!(read_file(folder.path(), true, 10), Err(Fault::TooLarge(TooLarge::Snapshot))));
    assert!(matches!(read_file(folder.path(), true, PLENTY), Ok(Some(_))));
    assert!(!path.exists());
}
