//! Session and refresh tokens: Nakama's claims, signed by HMAC-SHA256 or, if wished, so that others can check them (spec/auth-and-accounts.md sections 3 to 6).
//!
//! A pair shares its token id, and every pair of a refresh chain shares it too. What is not valid any more stands in a deny
//! list; nothing is recorded when tokens are issued. This module judges and remembers; writing a revocation to disk *before* it
//! is applied here is the caller's part, since identity knows no store.

mod budget;
mod claims;
mod jwt;
mod match_token;
mod origin;
mod pem;
mod revocation;
mod scoped;
mod signing;

pub use budget::TooLarge;
pub use claims::{SessionClaims, TokenRefusal};
pub use match_token::MatchToken;
pub use origin::Origin;
pub use revocation::{Full, Revocation};
pub use signing::SigningKeys;

use crate::{
    clock::{Clock, Entropy, order_of},
    config::Config,
    identity::Tenant,
};
use budget::Budget;
use claims::Claims;
use jwt::Keys;
use revocation::DenyList;
use signing::SessionKeys;
use std::{collections::BTreeMap, fmt, sync::Arc};
use uuid::Uuid;

/// Which of the two tokens of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Opens everything but the refresh.
    Session,
    /// Good for a new pair.
    Refresh,
}

/// What an authentication or a refresh hands out. Its `Debug` shows no token.
#[derive(Clone)]
pub struct TokenPair {
    /// The session token.
    pub token: String,
    /// The refresh token.
    pub refresh_token: String,
    /// The id that both carry. `None` only when a foreign chain without one was refreshed.
    pub token_id: Option<Uuid>,
    /// When the session token ends, in seconds since 1970.
    pub expires_unix: i64,
}

impl fmt::Debug for TokenPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenPair").field("token_id", &self.token_id).finish_non_exhaustive()
    }
}

/// A refresh token that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// What it says.
    pub claims: SessionClaims,
    /// Which token of its chain it is: 0 for the one of the sign-in.
    pub generation: u32,
}

/// What the next pair of a refresh chain is to say. Token id, user and time of issue are those of the chain.
#[derive(Clone, Copy)]
pub struct Renewal<'a> {
    /// The chain.
    pub chain: &'a SessionClaims,
    /// The generation of the new refresh token.
    pub generation: u32,
    /// The username now.
    pub username: &'a str,
    /// The session variables.
    pub vars: &'a BTreeMap<String, String>,
    /// The identity token behind the session, if there is one.
    pub origin: Option<&'a Origin>,
}

/// Mints and judges tokens. Clones share keys and deny list.
#[derive(Clone)]
pub struct SessionTokens(Arc<Inner>);

struct Inner {
    session: SessionKeys,
    session_seconds: i64,
    refresh: Keys,
    refresh_seconds: i64,
    max_chain_seconds: Option<i64>,
    budget: Budget,
    tenancy: bool,
    denied: DenyList,
    clock: Clock,
    entropy: Entropy,
}

impl fmt::Debug for SessionTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionTokens")
    }
}

impl SessionTokens {
    /// Tokens under the HMAC keys and the lifetimes of `config`, with an empty deny list.
    pub fn new(config: &Config, clock: Clock, entropy: Entropy) -> Self {
        Self::signed(config, SigningKeys::default(), clock, entropy)
    }

    /// As [`SessionTokens::new`], with session tokens signed by `signing`.
    pub fn signed(config: &Config, signing: SigningKeys, clock: Clock, entropy: Entropy) -> Self {
        let (tenancy, config) = (config.tenancy.enabled, &config.session);
        let seconds = |configured: u64| i64::try_from(configured).unwrap_or(i64::MAX / 2);
        Self(Arc::new(Inner {
            session: SessionKeys {
                shared: Keys::new(&config.encryption_key, &config.previous_encryption_keys),
                signing,
            },
            session_seconds: seconds(config.token_expiry_sec),
            refresh: Keys::new(&config.refresh_encryption_key, &config.previous_refresh_encryption_keys),
            refresh_seconds: seconds(config.refresh_token_expiry_sec),
            max_chain_seconds: (config.max_chain_sec > 0).then(|| seconds(config.max_chain_sec)),
            budget: Budget::new(config),
            tenancy,
            denied: DenyList::new(config.max_revoked_tokens),
            clock,
            entropy,
        }))
    }

    /// An id for the next pair. Whoever signs somebody in takes it first and looks at the account then: a ban or deletion in
    /// between is ordered after it, so the pair is stillborn.
    pub fn new_token_id(&self) -> Uuid {
        self.0.entropy.token_id(&self.0.clock)
    }

    /// A new pair under an id of [`SessionTokens::new_token_id`]; `origin` when an identity token opened the session.
    pub fn issue(
        &self,
        token_id: Uuid,
        user_id: Uuid,
        username: &str,
        vars: &BTreeMap<String, String>,
        origin: Option<&Origin>,
    ) -> TokenPair {
        self.issue_as_of(self.0.clock.unix_seconds(), token_id, user_id, username, vars, origin)
    }

    /// As [`SessionTokens::issue`] was or would have been in the second `issued_unix` (since 1970): the same values make the same
    /// pair.
    pub fn issue_as_of(
        &self,
        issued_unix: i64,
        token_id: Uuid,
        user_id: Uuid,
        username: &str,
        vars: &BTreeMap<String, String>,
        origin: Option<&Origin>,
    ) -> TokenPair {
        let token_id = Some(token_id);
        let claims = Claims { token_id, user_id, username, vars, expires_unix: 0, issued_unix, origin };
        self.pair(claims, 0, issued_unix)
    }

    /// The next pair of a refresh chain.
    pub fn renew(&self, next: Renewal<'_>) -> TokenPair {
        let Renewal { chain, generation, username, vars, origin } = next;
        let (token_id, user_id, issued_unix) = (chain.token_id, chain.user_id, chain.issued_unix);
        let claims = Claims { token_id, user_id, username, vars, expires_unix: 0, issued_unix, origin };
        self.pair(claims, generation, self.0.clock.unix_seconds())
    }

    fn pair(&self, mut claims: Claims<'_>, generation: u32, now: i64) -> TokenPair {
        let latest = self.chain_limit(claims.issued_unix, claims.origin).unwrap_or(i64::MAX);
        claims.expires_unix = now.saturating_add(self.0.refresh_seconds).min(latest);
        let refresh_token = self.0.refresh.sign_generation(generation, &claims.to_json());
        claims.expires_unix = now.saturating_add(self.0.session_seconds).min(latest);
        let token = self.0.session.sign(&self.session_payload(&claims), now);
        TokenPair { token, refresh_token, token_id: claims.token_id, expires_unix: claims.expires_unix }
    }

    fn session_payload(&self, claims: &Claims<'_>) -> String {
        let mut payload = claims.to_json();
        self.0.session.add_claims(&mut payload, claims.user_id);
        payload
    }

    /// The public keys of session tokens as a JWK set (RFC 7517 section 5); an empty one under HMAC.
    pub fn key_set(&self) -> &str {
        self.0.session.key_set()
    }

    /// Whether the session token of such a session is short enough, before there is one.
    ///
    /// # Errors
    /// How long it would be.
    pub fn fits(
        &self,
        username: &str,
        vars: &BTreeMap<String, String>,
        origin: Option<&Origin>,
    ) -> Result<(), TooLarge> {
        let now = self.0.clock.unix_seconds();
        let (token_id, user_id) = (Some(Uuid::nil()), Uuid::nil());
        let claims = Claims { token_id, user_id, username, vars, expires_unix: now, issued_unix: now, origin };
        self.0.budget.judge(self.0.session.token_bytes(&self.session_payload(&claims)))
    }

    /// Whether a session token is short enough; and whether one of its length is to be warned of now.
    ///
    /// # Errors
    /// It is too long.
    pub fn judge_length(&self, token: &str) -> Result<bool, TooLarge> {
        self.0.budget.judge(token.len())?;
        Ok(self.0.budget.is_to_warn(token.len(), self.0.clock.unix_seconds()))
    }

    /// The second, since 1970, in which a chain ends however often it is refreshed: `session.max_chain_sec` after the player proved
    /// who it is, which an identity token tells and else the sign-in. `None`: no such end.
    fn chain_limit(&self, issued_unix: i64, origin: Option<&Origin>) -> Option<i64> {
        let proven_unix = origin.map_or(issued_unix, |origin| origin.proven_unix);
        Some(proven_unix.saturating_add(self.0.max_chain_seconds?))
    }

    /// Whether a chain of that time of issue and that origin is older than `session.max_chain_sec` lets it be.
    pub fn is_chain_over(&self, issued_unix: i64, origin: Option<&Origin>) -> bool {
        self.chain_limit(issued_unix, origin).is_some_and(|limit| self.0.clock.unix_seconds() >= limit)
    }

    /// The one judgement of a session token, for HTTP, `/ws` and RPC: signature, expiry, then revocation by token id and by user.
    ///
    /// # Errors
    /// Which of the checks failed; clients are told none of it.
    pub fn verify_session(&self, token: &str) -> Result<SessionClaims, TokenRefusal> {
        self.verify(Kind::Session, token).map(|(claims, _)| claims)
    }

    /// The same judgement for a refresh token.
    ///
    /// # Errors
    /// As [`SessionTokens::verify_session`].
    pub fn verify_refresh(&self, token: &str) -> Result<RefreshToken, TokenRefusal> {
        self.verify(Kind::Refresh, token).map(|(claims, generation)| RefreshToken { claims, generation })
    }

    fn verify(&self, kind: Kind, token: &str) -> Result<(SessionClaims, u32), TokenRefusal> {
        let (claims, generation) = self.open(kind, token)?;
        if self.0.tenancy && claims.tenant == Tenant::NONE {
            return Err(TokenRefusal::NoTenant);
        }
        match self.0.denied.denies(kind, &claims) {
            true => Err(TokenRefusal::Revoked),
            false => Ok((claims, generation)),
        }
    }

    /// Signature, claims and expiry only: a logout accepts a token that has been revoked already (spec section 6).
    ///
    /// # Errors
    /// Which of the checks failed.
    pub fn read(&self, kind: Kind, token: &str) -> Result<SessionClaims, TokenRefusal> {
        self.open(kind, token).map(|(claims, _)| claims)
    }

    /// As [`SessionTokens::read`], with the token's generation.
    fn open(&self, kind: Kind, token: &str) -> Result<(SessionClaims, u32), TokenRefusal> {
        let (signed, lifetime) = match kind {
            Kind::Session => (self.0.session.open(token)?, self.0.session_seconds),
            Kind::Refresh => (self.0.refresh.open(token)?, self.0.refresh_seconds),
        };
        let mut claims = claims::read(&signed.payload, signed.signature, lifetime)?;
        if let Some(tenant) = claims.origin.as_ref().and_then(|origin| origin.tenant.as_deref())
            && self.0.tenancy
        {
            claims.tenant = Tenant::named(tenant);
        }
        let now = self.0.clock.unix_micros();
        if now.div_euclid(1_000_000) >= claims.expires_unix {
            return Err(TokenRefusal::Expired);
        }
        self.keep_order_above(&claims, now);
        Ok((claims, signed.generation))
    }

    /// After a restart with a clock that went back, tokens from the future are still ours: what is issued or revoked from now
    /// on must be ordered after them.
    fn keep_order_above(&self, claims: &SessionClaims, now_micros: i64) {
        let Some(order) = claims.token_id.and_then(order_of) else { return };
        let now_millis = u64::try_from(now_micros.div_euclid(1_000)).unwrap_or(0);
        if order >> 12 > now_millis {
            self.0.entropy.order_after(order);
        }
    }

    /// A token that lets its bearer, if it is of `tenant`, join the match `match_id` for the next 30 seconds
    /// (spec/realtime-core.md 8.3).
    pub fn mint_match_token(&self, match_id: &str, tenant: Tenant) -> String {
        self.0.session.shared.sign(&match_token::to_json(match_id, tenant, self.0.clock.unix_seconds()))
    }

    /// Reads a match token that somebody of `tenant` presents. A session token is none, nor the other way round.
    ///
    /// # Errors
    /// Which of the checks failed.
    pub fn verify_match_token(&self, token: &str, tenant: Tenant) -> Result<MatchToken, TokenRefusal> {
        match_token::read(&self.0.session.shared.open(token)?.payload, tenant, self.0.clock.unix_seconds())
    }

    /// An order number: every token issued so far is before it, every later one after it.
    pub fn next_order(&self) -> u64 {
        self.0.entropy.next_order(&self.0.clock)
    }

    /// What ends all tokens of a user that were issued before `before`; apply it once it is on disk.
    pub fn user_before(&self, user_id: Uuid, before: u64) -> Revocation {
        let at_unix = self.0.clock.unix_seconds();
        Revocation::UserBefore { user_id, before, at_unix, expires_unix: self.chain_end() }
    }

    /// What ends all tokens of a user but those of the pair `token_id` and of later ones: `single_session`.
    pub fn user_before_token(&self, user_id: Uuid, token_id: Uuid) -> Revocation {
        self.user_before(user_id, order_of(token_id).unwrap_or_default())
    }

    /// What ends all tokens of a user that exist now.
    pub fn user_now(&self, user_id: Uuid) -> Revocation {
        self.user_before(user_id, self.next_order())
    }

    /// What ends the tokens of one kind in the chain of `claims`; `None` if they carry no token id.
    ///
    /// It is kept until every token of the chain that exists now has expired. A refresh makes the chain longer: whoever renews
    /// a chain whose session tokens are revoked applies this anew ([`SessionTokens::is_revoked`]).
    pub fn token(&self, kind: Kind, claims: &SessionClaims) -> Option<Revocation> {
        let (token_id, user_id) = (claims.token_id?, claims.user_id);
        let expires_unix = self.refresh_end(claims);
        Some(match kind {
            Kind::Session => Revocation::SessionToken { user_id, token_id, expires_unix },
            Kind::Refresh => Revocation::RefreshToken { user_id, token_id, expires_unix },
        })
    }

    /// Whether a session that was good when it was judged has been ended since, by a log-out, ban or deletion.
    pub fn is_ended(&self, session: &SessionClaims) -> bool {
        self.0.denied.denies(Kind::Session, session)
    }

    /// The same for a refresh token.
    pub fn is_refresh_ended(&self, refresh: &SessionClaims) -> bool {
        self.0.denied.denies(Kind::Refresh, refresh)
    }

    /// Whether tokens of `kind` with this id have been revoked one by one.
    pub fn is_revoked(&self, kind: Kind, token_id: Uuid) -> bool {
        self.0.denied.holds(kind, token_id)
    }

    /// Whether so many more token ids may be revoked.
    ///
    /// # Errors
    /// The list is full (`session.max_revoked_tokens`).
    pub fn room_for(&self, more: usize) -> Result<(), Full> {
        self.0.denied.room_for(more)
    }

    /// Whether the end of all of a user's tokens can be remembered; one that is remembered already takes no more room.
    ///
    /// # Errors
    /// It cannot; see `session.max_revoked_tokens`.
    pub fn room_for_user(&self, user_id: Uuid) -> Result<(), Full> {
        self.0.denied.room_for_user(user_id)
    }

    /// Remembers a revocation that is on disk, or was found there at the start.
    pub fn apply(&self, revocation: Revocation) {
        if let Revocation::UserBefore { before, .. } | Revocation::ScopeBefore { before, .. } = revocation {
            self.0.entropy.order_after(before);
        }
        self.0.denied.add(revocation);
    }

    /// Forgets revocations of tokens that have all expired.
    pub fn purge(&self) {
        self.0.denied.purge(self.0.clock.unix_seconds());
    }

    /// The first second, since 1970, in which neither a refresh token nor what it is exchanged for now can be valid.
    pub fn refresh_end(&self, refresh: &SessionClaims) -> i64 {
        refresh.expires_unix.saturating_add(1).max(self.chain_end())
    }

    /// How many revocations are held.
    pub fn revocations(&self) -> usize {
        self.0.denied.len()
    }

    /// The first second in which no token that exists now can be valid. It follows from the lifetimes in force: whoever makes
    /// them shorter should let the longer ones run out before relying on older log-outs.
    fn chain_end(&self) -> i64 {
        self.0.clock.unix_seconds().saturating_add(self.0.session_seconds.max(self.0.refresh_seconds)).saturating_add(1)
    }
}

/// Reads the payload of a session token: for the fuzzer.
///
/// # Errors
/// What is wrong with it.
pub fn read_claims(payload: &[u8]) -> Result<SessionClaims, TokenRefusal> {
    claims::read(payload, [0; 32], 60)
}

#[cfg(test)]
mod tests;
