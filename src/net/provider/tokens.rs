//! The development provider's keys and the tokens that it signs with them, in the shape of Amazon Cognito's.

use super::{
    grants::{Grants, InvalidGrant, SignedIn},
    keyring::{KeyRing, Purpose},
};
use crate::{
    clock::{Clock, Entropy},
    config::{
        self, AccountId, Algorithm, Audience, AudienceClaim, Identity, KeySource, LoginClient, TokenType as WantedType,
        TrustEntry,
    },
    error::Error,
    identity::{HeldKeys, Keys, Trusted},
};
use parking_lot::RwLock;
use reqwest::redirect::Policy;
use serde_json::{Value, json};
use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
use uuid::Uuid;

/// The one client application.
pub const CLIENT_ID: &str = "kizuna-dev";
/// Name of the trust entry for access tokens, and the prefix of account ids where those are prefixed.
const ACCESS_ENTRY: &str = "dev";
/// Name of the trust entry for ID tokens.
const ID_ENTRY: &str = "dev-id";
/// Names become subjects by hashing in this namespace (UUID version 5), so a name is the same player in every run.
const SUBJECTS: Uuid = Uuid::from_u128(0x9d1f_4a5e_70c3_4b5f_8c16_6b69_7a75_6e61);
/// Longest name in bytes.
const MAX_NAME_BYTES: usize = 128;

/// Which of Cognito's two tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenUse {
    /// Names the client in `client_id`.
    Access,
    /// Names the client in `aud`.
    Id,
}

impl TokenUse {
    /// The value of `token_use`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Id => "id",
        }
    }
}

/// The development identity provider: vouches for anybody under any name.
pub struct DevProvider {
    issuer: String,
    token_expiry_sec: u64,
    clock: Clock,
    entropy: Entropy,
    /// Guards the keys; changed by a rotation alone, and no await happens under it.
    ring: RwLock<KeyRing>,
    held: HeldKeys,
    grants: Grants,
    /// For logout tokens to the game server, which is on loopback.
    back_channel: reqwest::Client,
    /// What the login page and the start-up lines show: the game server's address and its key for clients.
    server: Option<(String, String)>,
}

impl DevProvider {
    /// Where the provider keeps its keys.
    pub fn folder(data_dir: &Path) -> PathBuf {
        data_dir.join("dev_provider")
    }

    /// A provider that answers at `address`, with the keys in `dir`, which are made when there are none. Making them takes some
    /// tenths of a second of processor time.
    ///
    /// # Errors
    /// `address` is not loopback; the folder or the keys cannot be read or written.
    pub fn load_or_create(
        dir: &Path,
        clock: Clock,
        entropy: Entropy,
        config: &config::DevProvider,
        address: SocketAddr,
    ) -> io::Result<Self> {
        super::require_loopback(address)?;
        let ring = KeyRing::load_or_create(dir)?;
        let issuer = format!("http://{address}");
        ring.remember_issuer(&issuer)?;
        Self::with_keys(ring, issuer, clock, entropy, config)
    }

    /// The provider as another process, which only wants tokens of it: its issuer is the one that served last, or else the
    /// configured address.
    ///
    /// # Errors
    /// As [`DevProvider::load_or_create`]; the port is 0 and no provider has served yet.
    pub fn for_minting(dir: &Path, clock: Clock, entropy: Entropy, config: &config::DevProvider) -> io::Result<Self> {
        let ring = KeyRing::load_or_create(dir)?;
        let issuer = match (config.port, ring.last_issuer()) {
            (_, Some(issuer)) => issuer,
            (0, None) => {
                return Err(io::Error::other("dev_provider.port is 0: start the server first, it takes a free one"));
            }
            (port, None) => {
                let ip = config.address.parse().map_err(io::Error::other)?;
                format!("http://{}", SocketAddr::new(ip, port))
            }
        };
        Self::with_keys(ring, issuer, clock, entropy, config)
    }

    fn with_keys(
        ring: KeyRing,
        issuer: String,
        clock: Clock,
        entropy: Entropy,
        config: &config::DevProvider,
    ) -> io::Result<Self> {
        let back_channel = reqwest::Client::builder().redirect(Policy::none()).no_proxy().tls_certs_only([]);
        let provider = Self {
            issuer,
            token_expiry_sec: config.token_expiry_sec,
            clock,
            entropy,
            ring: RwLock::new(ring),
            held: HeldKeys::default(),
            grants: Grants::default(),
            back_channel: back_channel.build().map_err(io::Error::other)?,
            server: None,
        };
        provider.publish()?;
        Ok(provider)
    }

    /// Says which game server the login page is to sign in at: its address (`http://127.0.0.1:7350`) and its key for clients.
    #[must_use]
    pub fn with_server(mut self, url: &str, server_key: &str) -> Self {
        self.server = Some((url.to_owned(), server_key.to_owned()));
        self
    }

    /// `iss` of its tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The trust entries for its access and ID tokens; one name is one account id in both. They hold its keys in this process, so
    /// nothing is fetched. Their account ids are prefixed where those of `others` are.
    pub fn trusted(&self, others: &Identity) -> Vec<Trusted> {
        let prefixed = others.trust.iter().any(|entry| entry.account_id == AccountId::Prefixed);
        let entry = |name: &str, kind: TokenUse, claim: AudienceClaim| Trusted {
            entry: TrustEntry {
                name: name.into(),
                issuers: vec![self.issuer.clone()],
                jwks: KeySource::Inline(String::new()),
                algorithms: vec![Algorithm::RS256],
                audience: Audience { claim, any_of: vec![CLIENT_ID.into()] },
                token_type: WantedType {
                    claim: "token_use".into(),
                    equals: kind.as_str().into(),
                    ..WantedType::default()
                },
                max_lifetime_sec: MAX_LIFETIME_SEC,
                account_id: if prefixed { AccountId::Prefixed } else { AccountId::Sub },
                ..TrustEntry::default()
            },
            keys: self.held.clone(),
        };
        vec![
            entry(ACCESS_ENTRY, TokenUse::Access, AudienceClaim::ClientId),
            entry(ID_ENTRY, TokenUse::Id, AudienceClaim::Aud),
        ]
    }

    /// The sign-in page as its client.
    pub fn login_client(&self) -> LoginClient {
        LoginClient {
            name: ACCESS_ENTRY.into(),
            entry: ID_ENTRY.into(),
            issuer: self.issuer.clone(),
            client_id: CLIENT_ID.into(),
            authorization_endpoint: format!("{}/authorize", self.issuer),
            token_endpoint: format!("{}/token", self.issuer),
            require_iss: true,
            renew: true,
            ..LoginClient::default()
        }
    }

    /// The subject that stands for `name`: the same in every run.
    pub fn subject(name: &str) -> String {
        Uuid::new_v5(&SUBJECTS, name.as_bytes()).to_string()
    }

    /// A token for `name`, good for `lifetime_sec` (by default `dev_provider.token_expiry_sec`).
    ///
    /// # Errors
    /// The name is empty, longer than 128 bytes or has control characters; the lifetime is 0 or above a year.
    pub fn mint(&self, name: &str, kind: TokenUse, lifetime_sec: Option<u64>) -> Result<String, Error> {
        Self::judge_name(name)?;
        let lifetime = lifetime_sec.unwrap_or(self.token_expiry_sec);
        if !(1..=MAX_LIFETIME_SEC).contains(&lifetime) {
            return Err(Error::invalid_argument("Lifetime must be 1 second to a year."));
        }
        let auth_time = self.clock.unix_seconds();
        let signed_in = SignedIn { user: name.to_owned(), session: self.entropy.uuid(), auth_time, nonce: None };
        self.sign(kind.into(), &self.claims(&signed_in, kind, lifetime))
    }

    /// A token for a user who signed in on the page.
    pub(super) fn mint_for(&self, signed_in: &SignedIn, kind: TokenUse) -> Result<String, Error> {
        self.sign(kind.into(), &self.claims(signed_in, kind, self.token_expiry_sec))
    }

    pub(super) fn sign_logout(&self, claims: &Value) -> Result<String, Error> {
        self.sign(Purpose::Logout, claims)
    }

    fn sign(&self, purpose: Purpose, claims: &Value) -> Result<String, Error> {
        let signed = self.ring.read().sign(purpose, claims);
        signed.map_err(|error| Error::internal("Token could not be signed.", error))
    }

    pub(super) fn judge_name(name: &str) -> Result<(), Error> {
        let named = (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.chars().any(char::is_control);
        if named {
            return Ok(());
        }
        Err(Error::invalid_argument("Name must be 1-128 bytes without control characters."))
    }

    pub(super) fn exchange(
        &self,
        code: &str,
        redirect_uri: &str,
        verifier: &str,
    ) -> Result<(SignedIn, String), InvalidGrant> {
        self.grants.exchange(code, redirect_uri, verifier, &self.clock, &self.entropy)
    }

    pub(super) fn refresh(&self, token: &str) -> Result<(SignedIn, String), InvalidGrant> {
        self.grants.refresh(token, &self.clock, &self.entropy)
    }

    /// Cognito's claims (developer guide, "Understanding the access token" and "the identity token"); ID tokens also have `sid`.
    fn claims(&self, signed_in: &SignedIn, kind: TokenUse, lifetime: u64) -> Value {
        let (now, name) = (self.clock.unix_seconds(), signed_in.user.as_str());
        let mut claims = json!({
            "sub": Self::subject(name),
            "iss": self.issuer,
            "token_use": kind.as_str(),
            "origin_jti": self.entropy.uuid().to_string(),
            "event_id": self.entropy.uuid().to_string(),
            "jti": self.entropy.uuid().to_string(),
            "auth_time": signed_in.auth_time,
            "iat": now,
            "exp": now.saturating_add_unsigned(lifetime),
        });
        match kind {
            TokenUse::Access => {
                claims["client_id"] = CLIENT_ID.into();
                claims["username"] = name.into();
                claims["scope"] = "aws.cognito.signin.user.admin".into();
            }
            TokenUse::Id => {
                claims["aud"] = CLIENT_ID.into();
                claims["cognito:username"] = name.into();
                claims["sid"] = signed_in.session.to_string().into();
                if let Some(nonce) = &signed_in.nonce {
                    claims["nonce"] = nonce.as_str().into();
                }
            }
        }
        claims
    }

    pub(super) fn grants(&self) -> &Grants {
        &self.grants
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn entropy(&self) -> &Entropy {
        &self.entropy
    }

    pub(super) fn back_channel(&self) -> &reqwest::Client {
        &self.back_channel
    }

    pub(super) fn server_url(&self) -> Option<&str> {
        self.server.as_ref().map(|(url, _)| url.as_str())
    }

    /// Seconds that its tokens are good for.
    pub(super) fn token_expiry_sec(&self) -> u64 {
        self.token_expiry_sec
    }

    /// The public keys (RFC 7517), those before the last rotations included.
    pub fn key_set(&self) -> Value {
        self.ring.read().public()
    }

    /// Makes new keys; tokens signed by the old ones stay good. Costs some tenths of a second of processor time.
    ///
    /// # Errors
    /// The keys cannot be written; then the old ones stay.
    pub fn rotate(&self) -> io::Result<()> {
        // Made outside of the lock: minting goes on meanwhile.
        let rotated = self.ring.read().rotated()?;
        *self.ring.write() = rotated;
        self.publish()
    }

    fn publish(&self) -> io::Result<()> {
        let set = self.key_set().to_string();
        self.held.replace(Keys::parse(set.as_bytes(), usize::MAX, usize::MAX).map_err(io::Error::other)?);
        Ok(())
    }

    /// A shell line that gets a token for `name` and signs in with it through the bridge.
    pub fn curl_line(&self, name: &str) -> String {
        let (url, server_key) = self
            .server
            .as_ref()
            .map_or(("http://127.0.0.1:7350", "defaultkey"), |(url, key)| (url.as_str(), key.as_str()));
        format!(
            "curl -u {}: '{url}/v2/account/authenticate/custom' -d \"{{\\\"id\\\":\\\"$(curl -s {}/token --data-urlencode {} -d format=text)\\\"}}\"",
            shell_quoted(server_key),
            self.issuer,
            shell_quoted(&format!("user={name}")),
        )
    }
}

/// Longest lifetime of a token: a year, so that load tests can prepare theirs.
const MAX_LIFETIME_SEC: u64 = 366 * 86_400;

/// Text as one word of a POSIX shell.
fn shell_quoted(text: &str) -> String {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_=.".contains(&b)) && !text.is_empty();
    if plain { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

impl std::fmt::Debug for DevProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DevProvider").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// Shared by the server's connections.
pub(super) type Shared = Arc<DevProvider>;
