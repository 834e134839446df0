//! Devices without a browser (RFC 8628): a short code on the device's screen, typed on another machine; meanwhile the device asks
//! again and again.

use super::{Begun, Digest, Expiring, Goal, Proof, begin_for, digest_of, random, sign_in};
use crate::{
    clock::Entropy,
    config,
    error::Error,
    features::{Client, Services, rules},
};
use kizuna_protocol::{api, code::Code};
use parking_lot::Mutex;
use std::net::{IpAddr, Ipv6Addr};

/// Letters of a code: consonants without those that look alike (RFC 8628 section 6.1). Eight of them are 34 bits.
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const CODE_LETTERS: usize = 8;
/// Addresses whose wrong codes are counted at once.
const MAX_ADDRESSES: usize = 10_000;
/// Milliseconds by which a question may come early: networks delay one more than another.
const EARLY_MILLIS: i64 = 500;
/// Seconds that one `slow_down` adds (RFC 8628 section 3.5).
const SLOWER_SEC: i64 = 5;

/// Devices that wait.
pub(super) struct Devices {
    state: Mutex<State>,
    poll_sec: u64,
    lifetime_sec: u64,
    attempts_per_min: u32,
}

struct State {
    waiting: Expiring<Digest, Device>,
    by_user_code: Expiring<String, Digest>,
    /// Wrong codes of an address in its current minute.
    attempts: Expiring<IpAddr, u32>,
}

struct Device {
    client: Option<String>,
    standing: Standing,
    interval_sec: i64,
    /// Milliseconds since 1970; questions before it are too early.
    next_question: i64,
}

enum Standing {
    Waiting,
    Denied,
    Proven(Box<Proof>),
}

impl Devices {
    pub(super) fn new(config: &config::Login) -> Self {
        let state = State {
            waiting: Expiring::new(config.device_sec, config.max_devices),
            by_user_code: Expiring::new(config.device_sec, config.max_devices),
            attempts: Expiring::new(60, MAX_ADDRESSES),
        };
        Self {
            state: Mutex::new(state),
            poll_sec: config.device_poll_sec,
            lifetime_sec: config.device_sec,
            attempts_per_min: config.device_attempts_per_min,
        }
    }
}

/// What a device shows and keeps (RFC 8628 section 3.2).
pub struct DeviceCode {
    /// The device's secret.
    pub device_code: String,
    /// What the player types, as it is shown: `BCDF-GHJK`.
    pub user_code: String,
    /// Where the player types it.
    pub verification_uri: String,
    /// Seconds until both end.
    pub expires_in: u64,
    /// Seconds to leave between two questions.
    pub interval: u64,
}

/// Why a device has no session (yet).
#[derive(Debug)]
pub enum NotYet {
    /// The player is not done: ask again (`authorization_pending`).
    Pending,
    /// The question came too early; leave five seconds more from now on (`slow_down`).
    SlowDown,
    /// The player or the provider said no (`access_denied`).
    Denied,
    /// The code is unknown, or too old (`expired_token`).
    Expired,
    /// Signing in failed.
    Failed(Error),
}

/// Begins a sign-in for a device.
///
/// # Errors
/// 404 for an unknown client, 503 when `login.max_devices` wait.
pub fn begin(services: &Services, client: Option<&str>) -> Result<DeviceCode, Error> {
    let login = &services.login;
    login.provider(client)?;
    let (device_code, letters) = (random(&services.entropy), letters(&services.entropy));
    let now = services.clock.unix_seconds();
    let interval_sec = i64::try_from(login.devices.poll_sec).unwrap_or(i64::MAX / 1_000);
    let next_question = services.clock.unix_millis();
    let device = Device { client: client.map(str::to_owned), standing: Standing::Waiting, interval_sec, next_question };
    let state = &mut *login.devices.state.lock();
    let full = |_| Error::unavailable("Too many devices wait for their players. Try again.");
    if state.by_user_code.get_mut(&letters, now).is_some() {
        return Err(Error::unavailable("Try again."));
    }
    state.waiting.insert(digest_of(&device_code), device, now).map_err(full)?;
    state.by_user_code.insert(letters.clone(), digest_of(&device_code), now).map_err(full)?;
    Ok(DeviceCode {
        device_code,
        user_code: shown(&letters),
        verification_uri: format!("{}/bridge/device", login.public_url),
        expires_in: login.devices.lifetime_sec,
        interval: login.devices.poll_sec,
    })
}

/// The code as the device shows it, if a device waits with it. `from` is who types it.
///
/// # Errors
/// 404 for a wrong code; 429 for too many of them from one address.
pub fn look_up(services: &Services, from: Option<IpAddr>, typed: &str) -> Result<String, Error> {
    let letters = normal(typed);
    find(services, from, &letters).map(|_| shown(&letters))
}

/// Begins the sign-in of the player who typed a code and said that the device is theirs.
///
/// # Errors
/// As [`look_up`] and [`super::begin`].
pub async fn confirm(services: &Services, from: Option<IpAddr>, typed: &str) -> Result<Begun, Error> {
    let user_code = normal(typed);
    let client = find(services, from, &user_code)?;
    begin_for(services, client.as_deref(), Goal::Device { user_code }).await
}

/// The client that the waiting device asked for.
fn find(services: &Services, from: Option<IpAddr>, letters: &str) -> Result<Option<String>, Error> {
    let devices = &services.login.devices;
    let (now, address) = (services.clock.unix_seconds(), from.map_or(Ipv6Addr::UNSPECIFIED.into(), rules::network_of));
    let too_many = || Error::new(Code::ResourceExhausted, "Too many wrong codes. Wait a minute.");
    let state = &mut *devices.state.lock();
    if state.attempts.get_mut(&address, now).is_some_and(|wrong| *wrong >= devices.attempts_per_min) {
        return Err(too_many());
    }
    let device = state.by_user_code.get_mut(&letters.to_owned(), now).copied();
    let device = device.and_then(|digest| state.waiting.get_mut(&digest, now));
    if let Some(Device { client, standing: Standing::Waiting, .. }) = device {
        return Ok(client.clone());
    }
    match state.attempts.get_mut(&address, now) {
        Some(wrong) => *wrong += 1,
        None => state.attempts.insert(address, 1, now).map_err(|_| too_many())?,
    }
    Err(Error::not_found("No device waits with this code. Look at it again; it may also have become too old."))
}

/// What became of the sign-in that a code stands for. The code is used up.
pub(super) fn settle(services: &Services, user_code: &str, proof: Option<Proof>) -> Result<(), Error> {
    let now = services.clock.unix_seconds();
    let state = &mut *services.login.devices.state.lock();
    let device = state.by_user_code.take(&user_code.to_owned(), now);
    let device = device.and_then(|digest| state.waiting.get_mut(&digest, now));
    let device = device.ok_or_else(|| Error::not_found("The device no longer waits. Begin again there."))?;
    device.standing = proof.map_or(Standing::Denied, |proof| Standing::Proven(Box::new(proof)));
    Ok(())
}

/// A device asks for its session.
///
/// # Errors
/// See [`NotYet`].
pub async fn poll(services: &Services, client: &Client, device_code: &str) -> Result<api::Session, NotYet> {
    let proof = outcome(services, device_code)?;
    sign_in(services, client, proof).await.map_err(NotYet::Failed)
}

fn outcome(services: &Services, device_code: &str) -> Result<Proof, NotYet> {
    let (now, millis) = (services.clock.unix_seconds(), services.clock.unix_millis());
    let key = digest_of(device_code);
    let state = &mut *services.login.devices.state.lock();
    let device = state.waiting.get_mut(&key, now).ok_or(NotYet::Expired)?;
    let early = millis < device.next_question;
    if early {
        device.interval_sec += SLOWER_SEC;
    }
    device.next_question = millis.saturating_add(device.interval_sec * 1_000 - EARLY_MILLIS);
    match device.standing {
        _ if early => return Err(NotYet::SlowDown),
        Standing::Waiting => return Err(NotYet::Pending),
        Standing::Denied | Standing::Proven(_) => {}
    }
    match state.waiting.take(&key, now).map(|device| device.standing) {
        Some(Standing::Proven(proof)) => Ok(*proof),
        _ => Err(NotYet::Denied),
    }
}

/// Each letter as likely: of the 256 values of a byte, the last 16 are not used.
fn letters(entropy: &Entropy) -> String {
    let mut code = String::with_capacity(CODE_LETTERS);
    while code.len() < CODE_LETTERS {
        let mut byte = [0];
        entropy.fill(&mut byte);
        if byte[0] < 240 {
            code.push(char::from(LETTERS[usize::from(byte[0]) % LETTERS.len()]));
        }
    }
    code
}

fn shown(letters: &str) -> String {
    let (first, second) = letters.split_at(letters.len() / 2);
    format!("{first}-{second}")
}

/// What was typed, without what stands between the letters and whatever their case (RFC 8628 section 6.1).
fn normal(typed: &str) -> String {
    let letters = typed.bytes().filter(u8::is_ascii_alphanumeric).take(CODE_LETTERS + 1);
    letters.map(|byte| char::from(byte.to_ascii_uppercase())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_however_it_is_typed() {
        let code = letters(&Entropy::seeded(3));
        assert!(code.len() == 8 && code.bytes().all(|byte| LETTERS.contains(&byte)), "{code}");
        let typed = format!(" {} {}", &code[..4].to_lowercase(), &code[4..]);
        assert_eq!((normal(&typed), normal(&shown(&code))), (code.clone(), code));
        assert_eq!(normal("<script>alert(1)</script>").len(), 9, "no code, and no longer than it takes to see that");
    }
}
