use super::*;
use serde_json::{Value, json};
use std::fs;
use tempfile::TempDir;

fn config() -> config::Audit {
    config::Audit::default()
}

fn open(dir: &TempDir, config: &config::Audit) -> (Audit, Metrics) {
    let metrics = Metrics::unregistered();
    let audit = Audit::open(config, dir.path(), Clock::manual(1_000), metrics.clone()).expect("it opens");
    (audit, metrics)
}

fn refused(step: &'static str) -> Event {
    Event::IdentityRefused { entry: None, step, address: None }
}

fn lines(dir: &TempDir, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(dir.path().join(name)).expect("a file");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn an_event_is_one_line_of_json_and_a_restart_goes_on_in_the_same_file() {
    let dir = TempDir::new().expect("a folder");
    let (audit, _) = open(&dir, &config());
    audit.record(Event::SignIn {
        user_id: Uuid::from_u128(1),
        method: "custom",
        entry: Some("pool".into()),
        tenant: None,
        created: true,
        address: Some(IpAddr::from([127, 0, 0, 1])),
    });
    audit.close();
    let (audit, _) = open(&dir, &config());
    let target = Target::User(Uuid::from_u128(1));
    let reason = Some("line\nbreak".to_owned());
    audit.record(Event::Revoked { source: Source::Admin, target, entry: None, reason, sockets: 2 });
    audit.close();
    let id = "00000000-0000-0000-0000-000000000001";
    let signed_in = json!({ "at": 1_000_000, "event": "sign_in", "user_id": id, "method": "custom", "entry": "pool", "created": true, "address": "127.0.0.1" });
    let revoked = json!({ "at": 1_000_000, "event": "revoked", "source": "admin", "user_id": id, "reason": "line\nbreak", "sockets": 2 });
    assert_eq!(lines(&dir, "audit.log"), [signed_in, revoked]);
    let text = fs::read_to_string(dir.path().join("audit.log")).expect("a file");
    assert!(text.lines().all(|line| line.starts_with("{\"at\":1000000,\"event\":\"")), "{text}");
}

#[test]
fn a_full_file_is_put_aside_and_only_so_many_are_kept() {
    let dir = TempDir::new().expect("a folder");
    let (audit, _) = open(&dir, &config::Audit { max_bytes: 1, keep_files: 2, ..config() });
    for step in ["one", "two", "three", "four"] {
        audit.record(refused(step));
    }
    audit.close();
    let step = |name| lines(&dir, name)[0]["step"].clone();
    assert_eq!([step("audit.log"), step("audit.log.1"), step("audit.log.2")], ["four", "three", "two"]);
    assert!(!dir.path().join("audit.log.3").exists());
}

#[test]
fn more_events_than_the_queue_holds_are_dropped_and_counted() {
    let dir = TempDir::new().expect("a folder");
    let (audit, metrics) = open(&dir, &config::Audit { queue_size: 2, ..config() });
    {
        // Nothing is taken from the queue while this is held.
        let inner = audit.0.as_ref().expect("on");
        let mut queue = inner.queue.lock();
        queue.events = vec![(1, refused("one")), (1, refused("two"))];
    }
    audit.record(refused("three"));
    audit.close();
    audit.record(refused("late"));
    // The thread may have written the first two before the third came; the one after the end is dropped for certain.
    let kept = lines(&dir, "audit.log").len() as u64;
    assert_eq!(kept + metrics.audit_dropped.get(), 4);
    assert!(metrics.audit_dropped.get() >= 1);
}

#[test]
fn a_file_that_cannot_be_written_costs_events_and_nothing_else() {
    let dir = TempDir::new().expect("a folder");
    // A folder stands where the older file has to go, so the rotation fails.
    fs::create_dir_all(dir.path().join("audit.log.1/x")).expect("a folder");
    let (audit, metrics) = open(&dir, &config::Audit { max_bytes: 1, keep_files: 1, ..config() });
    audit.record(refused("one"));
    audit.record(refused("two"));
    audit.flush();
    assert_eq!(metrics.audit_dropped.get(), 1);
    fs::remove_dir_all(dir.path().join("audit.log.1")).expect("removed");
    audit.record(refused("three"));
    audit.close();
    assert_eq!(lines(&dir, "audit.log")[0]["step"], "three");
}

#[test]
fn a_log_that_is_off_makes_no_file() {
    let dir = TempDir::new().expect("a folder");
    let (audit, _) = open(&dir, &config::Audit { enabled: false, ..config() });
    audit.record(refused("one"));
    audit.close();
    assert!(!dir.path().join("audit.log").exists());
}
