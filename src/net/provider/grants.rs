//! Who is signed in at the development provider: codes on their way, sessions with their refresh tokens, and disabled users. All
//! of it in memory; where a bound is reached, the oldest entry goes.

use crate::clock::{Clock, Entropy};
use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, digest},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Codes on their way at once.
const MAX_CODES: usize = 1_024;
/// Sessions at once.
const MAX_SESSIONS: usize = 10_000;
/// Disabled users at once.
const MAX_DISABLED: usize = 1_000;
/// Seconds that a code is good for (RFC 6749 section 4.1.2 allows ten minutes).
const CODE_LIFETIME_SEC: i64 = 60;
/// Seconds that a session can be refreshed without being used.
const SESSION_LIFETIME_SEC: i64 = 30 * 86_400;

/// The user as signed in: what an ID token says of it beside the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SignedIn {
    pub(super) user: String,
    /// `sid` (OpenID Connect Front-Channel Logout 1.0 section 3).
    pub(super) session: Uuid,
    /// Seconds since 1970.
    pub(super) auth_time: i64,
    /// From the authorization request; repeated in the first ID token only.
    pub(super) nonce: Option<String>,
}

/// What an authorization request fixed for the exchange of its code.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) redirect_uri: String,
    /// `code_challenge`, method S256 (RFC 7636 section 4.2).
    pub(super) challenge: String,
    pub(super) nonce: Option<String>,
}

/// Why no tokens are given (RFC 6749 section 5.2, `invalid_grant`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InvalidGrant(pub(super) &'static str);

#[derive(Default)]
pub(super) struct Grants {
    /// No await happens under it.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By ids that rise with time, so the first is the oldest.
    codes: BTreeMap<Uuid, Code>,
    sessions: BTreeMap<Uuid, Session>,
    disabled: BTreeSet<String>,
}

struct Code {
    secret: Digest,
    terms: Terms,
    signed_in: SignedIn,
    expires: i64,
    spent: bool,
}

struct Session {
    signed_in: SignedIn,
    /// Of the one refresh token that is good; `None` until the code is exchanged.
    secret: Option<Digest>,
    /// Of the refresh token before it: whoever presents that has stolen it, or was stolen from.
    spent: Option<Digest>,
    expires: i64,
}

impl Grants {
    /// Signs `user` in: the code for the redirect. `None`: the user is disabled.
    pub(super) fn sign_in(&self, user: &str, terms: Terms, clock: &Clock, entropy: &Entropy) -> Option<String> {
        let now = clock.unix_seconds();
        let mut state = self.state.lock();
        if state.disabled.contains(user) {
            return None;
        }
        let session = entropy.token_id(clock);
        let signed_in = SignedIn { user: user.to_owned(), session, auth_time: now, nonce: terms.nonce.clone() };
        let entry =
            Session { signed_in: signed_in.clone(), secret: None, spent: None, expires: now + CODE_LIFETIME_SEC };
        insert(&mut state.sessions, session, entry, MAX_SESSIONS);
        let (id, (text, secret)) = {
            let id = entropy.token_id(clock);
            (id, ticket(id, entropy))
        };
        let code = Code { secret, terms, signed_in, expires: now + CODE_LIFETIME_SEC, spent: false };
        state.codes.retain(|_, code| code.expires > now);
        insert(&mut state.codes, id, code, MAX_CODES);
        Some(text)
    }

    /// Takes a code: who signed in, and a refresh token. A code that comes twice ends its session (RFC 6749 section 4.1.2).
    pub(super) fn exchange(
        &self,
        code: &str,
        redirect_uri: &str,
        verifier: &str,
        clock: &Clock,
        entropy: &Entropy,
    ) -> Result<(SignedIn, String), InvalidGrant> {
        let now = clock.unix_seconds();
        let state = &mut *self.state.lock();
        let (id, secret) = read_ticket(code).ok_or(InvalidGrant("The code is unknown."))?;
        let known = state.codes.get_mut(&id).filter(|code| same(&code.secret, &secret));
        let code = known.ok_or(InvalidGrant("The code is unknown."))?;
        if code.spent {
            state.sessions.remove(&code.signed_in.session);
            return Err(InvalidGrant("The code was used before; its session is over."));
        }
        code.spent = true;
        if code.expires <= now {
            return Err(InvalidGrant("The code has expired."));
        }
        if code.terms.redirect_uri != redirect_uri {
            return Err(InvalidGrant("redirect_uri is not that of the authorization request."));
        }
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
        if verify_slices_are_equal(challenge.as_bytes(), code.terms.challenge.as_bytes()).is_err() {
            return Err(InvalidGrant("code_verifier does not fit code_challenge."));
        }
        let signed_in = code.signed_in.clone();
        let session = state.sessions.get_mut(&signed_in.session).ok_or(InvalidGrant("The session is over."))?;
        let refresh_token = session.renew(now, entropy);
        Ok((signed_in, refresh_token))
    }

    /// Takes a refresh token: who is signed in, and the next refresh token. One that was used before ends its session (RFC 9700
    /// section 4.14.2).
    pub(super) fn refresh(
        &self,
        token: &str,
        clock: &Clock,
        entropy: &Entropy,
    ) -> Result<(SignedIn, String), InvalidGrant> {
        let now = clock.unix_seconds();
        let state = &mut *self.state.lock();
        let (id, secret) = read_ticket(token).ok_or(InvalidGrant("The refresh token is unknown."))?;
        let session = state.sessions.get_mut(&id).filter(|session| session.expires > now);
        let session = session.ok_or(InvalidGrant("The session is over."))?;
        if session.spent.as_ref().is_some_and(|spent| same(spent, &secret)) {
            state.sessions.remove(&id);
            return Err(InvalidGrant("The refresh token was used before; its session is over."));
        }
        if !session.secret.as_ref().is_some_and(|current| same(current, &secret)) {
            return Err(InvalidGrant("The refresh token is unknown."));
        }
        let refresh_token = session.renew(now, entropy);
        Ok((SignedIn { nonce: None, ..session.signed_in.clone() }, refresh_token))
    }

    /// Ends the sessions of `user`, or the one named: how many there were.
    pub(super) fn end(&self, user: &str, session: Option<Uuid>) -> usize {
        let sessions = &mut self.state.lock().sessions;
        let before = sessions.len();
        sessions.retain(|id, held| held.signed_in.user != user || session.is_some_and(|session| session != *id));
        before - sessions.len()
    }

    /// Disables `user`: no sign-in, no tokens. False: too many are disabled already.
    pub(super) fn disable(&self, user: &str) -> bool {
        let disabled = &mut self.state.lock().disabled;
        let room = disabled.len() < MAX_DISABLED || disabled.contains(user);
        if room {
            disabled.insert(user.to_owned());
        }
        room
    }

    pub(super) fn enable(&self, user: &str) {
        self.state.lock().disabled.remove(user);
    }

    pub(super) fn is_disabled(&self, user: &str) -> bool {
        self.state.lock().disabled.contains(user)
    }
}

impl Session {
    fn renew(&mut self, now: i64, entropy: &Entropy) -> String {
        let (text, secret) = ticket(self.signed_in.session, entropy);
        self.spent = self.secret.replace(secret);
        self.expires = now + SESSION_LIFETIME_SEC;
        text
    }
}

/// SHA-256 of a secret; the secret itself is not kept.
type Digest = [u8; 32];

/// An id and a secret as one text, and what is kept of the secret.
fn ticket(id: Uuid, entropy: &Entropy) -> (String, Digest) {
    let mut secret = [0; 32];
    entropy.fill(&mut secret);
    (URL_SAFE_NO_PAD.encode([id.as_bytes().as_slice(), &secret].concat()), digest_of(&secret))
}

fn read_ticket(text: &str) -> Option<(Uuid, Digest)> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() == 48)?;
    let (id, secret) = bytes.split_at(16);
    Some((Uuid::from_slice(id).ok()?, digest_of(secret)))
}

fn digest_of(secret: &[u8]) -> Digest {
    let mut kept = [0; 32];
    kept.copy_from_slice(digest(&SHA256, secret).as_ref());
    kept
}

fn same(kept: &Digest, given: &Digest) -> bool {
    verify_slices_are_equal(kept, given).is_ok()
}

fn insert<T>(entries: &mut BTreeMap<Uuid, T>, id: Uuid, entry: T, max: usize) {
    while entries.len() >= max {
        entries.pop_first();
    }
    entries.insert(id, entry);
}

#[cfg(test)]
mod tests {
    use super::*;

    const REDIRECT: &str = "http://127.0.0.1:9/back";
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    /// RFC 7636 appendix B.
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    struct Desk {
        grants: Grants,
        clock: Clock,
        entropy: Entropy,
    }

    impl Desk {
        fn new() -> Self {
            Self { grants: Grants::default(), clock: Clock::manual(1_000), entropy: Entropy::seeded(1) }
        }

        fn code(&self, user: &str) -> String {
            let terms = Terms { redirect_uri: REDIRECT.into(), challenge: CHALLENGE.into(), nonce: Some("n".into()) };
            self.grants.sign_in(user, terms, &self.clock, &self.entropy).expect("not disabled")
        }

        fn exchange(&self, code: &str, redirect: &str, verifier: &str) -> Result<(SignedIn, String), InvalidGrant> {
            self.grants.exchange(code, redirect, verifier, &self.clock, &self.entropy)
        }

        fn refresh(&self, token: &str) -> Result<(SignedIn, String), InvalidGrant> {
            self.grants.refresh(token, &self.clock, &self.entropy)
        }
    }

    #[test]
    fn a_code_is_good_once_and_its_second_use_ends_the_session() {
        let desk = Desk::new();
        let code = desk.code("ann");
        let (signed_in, token) = desk.exchange(&code, REDIRECT, VERIFIER).unwrap();
        assert_eq!((signed_in.user.as_str(), signed_in.nonce.as_deref()), ("ann", Some("n")));
        assert_eq!(signed_in.auth_time, 1_000);
        desk.exchange(&code, REDIRECT, VERIFIER).unwrap_err();
        assert_eq!(desk.refresh(&token), Err(InvalidGrant("The session is over.")));
    }

    #[test]
    fn a_code_asks_for_its_verifier_its_redirect_and_its_minute() {
        let desk = Desk::new();
        desk.exchange(&desk.code("ann"), REDIRECT, "another").unwrap_err();
        desk.exchange(&desk.code("ann"), "http://127.0.0.1:9/back/", VERIFIER).unwrap_err();
        desk.exchange("unknown", REDIRECT, VERIFIER).unwrap_err();
        let code = desk.code("ann");
        desk.clock.advance_seconds(CODE_LIFETIME_SEC);
        desk.exchange(&code, REDIRECT, VERIFIER).unwrap_err();
    }

    #[test]
    fn refresh_tokens_rotate_and_a_spent_one_ends_the_session() {
        let desk = Desk::new();
        let (_, first) = desk.exchange(&desk.code("ann"), REDIRECT, VERIFIER).unwrap();
        let (signed_in, second) = desk.refresh(&first).unwrap();
        assert_eq!(signed_in.nonce, None, "a nonce belongs to one sign-in");
        let (_, third) = desk.refresh(&second).unwrap();
        desk.refresh(&second).unwrap_err();
        assert_eq!(desk.refresh(&third), Err(InvalidGrant("The session is over.")));
    }

    #[test]
    fn a_disabled_user_is_not_signed_in_and_ended_sessions_do_not_come_back() {
        let desk = Desk::new();
        let (one, token) = desk.exchange(&desk.code("ann"), REDIRECT, VERIFIER).unwrap();
        let (_, other) = desk.exchange(&desk.code("ann"), REDIRECT, VERIFIER).unwrap();
        let (_, of_bob) = desk.exchange(&desk.code("bob"), REDIRECT, VERIFIER).unwrap();
        assert_eq!(desk.grants.end("bob", Some(one.session)), 0, "another's");
        assert_eq!(desk.grants.end("ann", Some(one.session)), 1);
        desk.refresh(&token).unwrap_err();
        desk.refresh(&other).unwrap();
        assert!(desk.grants.disable("ann"));
        assert_eq!(desk.grants.end("ann", None), 1);
        desk.refresh(&other).unwrap_err();
        desk.refresh(&of_bob).unwrap();
        let terms = Terms { redirect_uri: REDIRECT.into(), challenge: CHALLENGE.into(), nonce: None };
        assert_eq!(desk.grants.sign_in("ann", terms, &desk.clock, &desk.entropy), None);
        desk.grants.enable("ann");
        desk.code("ann");
    }

    #[test]
    fn at_the_bound_the_oldest_goes() {
        let desk = Desk::new();
        let first = desk.code("ann");
        (0..MAX_CODES).for_each(|_| drop(desk.code("bob")));
        assert_eq!(desk.grants.state.lock().codes.len(), MAX_CODES);
        desk.exchange(&first, REDIRECT, VERIFIER).unwrap_err();
        (0..MAX_DISABLED).for_each(|index| assert!(desk.grants.disable(&index.to_string())));
        assert!(!desk.grants.disable("ann") && desk.grants.disable("1"));
    }
}
