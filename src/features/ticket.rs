//! Connect tickets: a value that opens one socket, once and soon, so that no session token need stand in an address, where proxies
//! write it down. They are kept in memory: a restart makes them void, and clients ask for another.

use super::Services;
use crate::{
    clock::{Clock, Entropy},
    config,
    error::Error,
    identity::session::SessionClaims,
};
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use kizuna_protocol::code::Code;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    fmt,
    sync::Arc,
};
use uuid::Uuid;

/// Random bytes of a ticket.
const TICKET_BYTES: usize = 32;

/// A new ticket. Its `Debug` does not show it.
pub struct Ticket {
    /// The value for `/ws?ticket=`: 43 characters of base64url.
    pub value: String,
    /// Seconds that it is good for.
    pub expires_in: u64,
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

/// A ticket for the bearer of a session token that is good.
///
/// # Errors
/// 429 when the user, 503 when everybody together holds the most tickets that may wait.
pub fn issue(services: &Services, claims: Arc<SessionClaims>) -> Result<Ticket, Error> {
    services.tickets.issue(claims)
}

/// The session that a ticket stands for; the ticket is used up. The session is judged again, as its token would be.
pub(crate) fn redeem(services: &Services, ticket: &str) -> Option<Arc<SessionClaims>> {
    let claims = services.tickets.take(ticket)?;
    let good = services.clock.unix_seconds() < claims.expires_unix && !services.tokens.is_ended(&claims);
    good.then_some(claims)
}

/// The hash of a ticket: what was handed out is kept nowhere, and looking it up tells nothing by the time it takes.
type TicketKey = [u8; 32];

/// The tickets that wait to be used. Clones share them.
#[derive(Clone)]
pub struct Tickets(Arc<Inner>);

struct Inner {
    /// Guards a few map operations; taken when a ticket is made and when it is used, never on the way of a message.
    held: Mutex<Held>,
    lifetime_sec: u64,
    most: usize,
    most_per_user: usize,
    clock: Clock,
    entropy: Entropy,
}

#[derive(Default)]
struct Held {
    tickets: HashMap<TicketKey, Waiting>,
    /// In the order in which they were made, which is that in which they end.
    by_age: BTreeMap<u64, TicketKey>,
    of_user: HashMap<Uuid, usize>,
    made: u64,
}

struct Waiting {
    claims: Arc<SessionClaims>,
    number: u64,
    issued_unix: i64,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

impl Tickets {
    /// No tickets yet.
    pub fn new(config: &config::Session, clock: Clock, entropy: Entropy) -> Self {
        Self(Arc::new(Inner {
            held: Mutex::default(),
            lifetime_sec: config.ticket_expiry_sec,
            most: config.max_tickets,
            most_per_user: config.max_tickets_per_user,
            clock,
            entropy,
        }))
    }

    fn issue(&self, claims: Arc<SessionClaims>) -> Result<Ticket, Error> {
        let mut random = [0; TICKET_BYTES];
        self.0.entropy.fill(&mut random);
        let value = BASE64_URL_SAFE_NO_PAD.encode(random);
        let key = key(&value);
        let issued_unix = self.0.clock.unix_seconds();
        let mut held = self.0.held.lock();
        held.forget_first(|waiting| !self.is_good(waiting, issued_unix));
        if held.tickets.len() >= self.0.most {
            return Err(Error::unavailable("Too many tickets wait to be used. Try again."));
        }
        let of_user = held.of_user.entry(claims.user_id).or_default();
        if *of_user >= self.0.most_per_user {
            return Err(Error::new(Code::ResourceExhausted, "Too many tickets of this user wait to be used."));
        }
        *of_user += 1;
        let number = held.made;
        held.made += 1;
        held.by_age.insert(number, key);
        held.tickets.insert(key, Waiting { claims, number, issued_unix });
        Ok(Ticket { value, expires_in: self.0.lifetime_sec })
    }

    /// Takes a ticket out, for whoever is first; `None` when there is none, or when its time is over.
    fn take(&self, ticket: &str) -> Option<Arc<SessionClaims>> {
        let key = key(ticket);
        let waiting = self.0.held.lock().remove(&key)?;
        self.is_good(&waiting, self.0.clock.unix_seconds()).then_some(waiting.claims)
    }

    /// A clock that went back ends tickets, too: otherwise they would be good for as much longer.
    fn is_good(&self, waiting: &Waiting, now: i64) -> bool {
        let lifetime = i64::try_from(self.0.lifetime_sec).unwrap_or(i64::MAX);
        (waiting.issued_unix..waiting.issued_unix.saturating_add(lifetime)).contains(&now)
    }
}

impl Held {
    /// Takes out the oldest tickets as long as `is_over` says so.
    fn forget_first(&mut self, is_over: impl Fn(&Waiting) -> bool) {
        while let Some(oldest) = self.by_age.first_entry() {
            if self.tickets.get(oldest.get()).is_some_and(|waiting| !is_over(waiting)) {
                return;
            }
            let key = oldest.remove();
            self.remove(&key);
        }
    }

    fn remove(&mut self, key: &TicketKey) -> Option<Waiting> {
        let waiting = self.tickets.remove(key)?;
        self.by_age.remove(&waiting.number);
        if let Entry::Occupied(mut of_user) = self.of_user.entry(waiting.claims.user_id) {
            *of_user.get_mut() -= 1;
            if *of_user.get() == 0 {
                of_user.remove();
            }
        }
        Some(waiting)
    }
}

fn key(ticket: &str) -> TicketKey {
    let mut key = [0; 32];
    key.copy_from_slice(digest(&SHA256, ticket.as_bytes()).as_ref());
    key
}

#[cfg(test)]
#[path = "ticket_tests.rs"]
mod tests;
