//! The sign-in page: from a game's wish to sign a player in, by way of the identity provider's page, to a session for the game
//! (docs/login.md). The game never meets the provider's tokens, and the session never stands in an address: what the game is
//! handed there is a code, good once, for a minute, and only together with the verifier that the game kept (RFC 7636).

pub mod device;
mod expiring;
mod finished;
mod renewal;
mod return_to;

use super::{Client, Services, authenticate, rules};
use crate::{
    audit::Event,
    clock::{Clock, Entropy},
    config::{self, Config, ConfigError, LoginClient, Secret},
    error::Error,
    identity::{
        Expected, Step, VerifiedIdentity,
        login::{Asked, LoginProvider, ProviderError, ProviderTokens, Sealer},
    },
    telemetry::KindLabels,
};
use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, digest},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use device::Devices;
use expiring::Expiring;
use finished::{Finished, Refused};
use kizuna_protocol::{api, code::Code};
use parking_lot::Mutex;
pub use renewal::renew;
use reqwest::Url;
use return_to::ReturnTo;
use serde::{Deserialize, Serialize};

/// Longest `return_to` and longest `state` of a game, in bytes: they travel in a cookie.
const MAX_RETURN_TO: usize = 1_024;
const MAX_GAME_STATE: usize = 512;
/// `code_challenge` by S256 (RFC 7636 section 4.2): 32 bytes in base64url.
const CHALLENGE_LENGTH: usize = 43;

/// What the sign-in page works with.
pub struct Login {
    settings: config::Login,
    /// This server as browsers see it, without a slash at its end; empty while there is no provider.
    public_url: String,
    providers: Vec<LoginProvider>,
    cookies: Sealer,
    stored: Sealer,
    /// `state` values that came back.
    finished: Mutex<Finished>,
    codes: Mutex<Expiring<Digest, Handed>>,
    devices: Devices,
    renewals: renewal::Turns,
}

/// SHA-256 of a code; the code itself is not kept.
type Digest = [u8; 32];

/// Who signed in, until the game takes the session.
struct Proof {
    identity: VerifiedIdentity,
    refresh_token: Option<Secret>,
    /// The provider's place in the list.
    provider: usize,
}

struct Handed {
    proof: Proof,
    /// Of the game's verifier.
    challenge: String,
}

/// What a game asks `/bridge/login` for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish<'a> {
    /// Name of the provider's client; the first one if left out.
    pub client: Option<&'a str>,
    /// Where to send the player in the end.
    pub return_to: Option<&'a str>,
    /// What the game wants to be told again there.
    pub state: Option<&'a str>,
    /// SHA-256 of the game's verifier in base64url.
    pub code_challenge: Option<&'a str>,
    /// How it was made; must be "S256".
    pub code_challenge_method: Option<&'a str>,
}

/// A sign-in that begins: the provider's page, and what the browser must bring back.
pub struct Begun {
    /// Where the browser goes.
    pub location: Url,
    /// The value of the cookie that binds the sign-in to this browser.
    pub cookie: String,
}

/// What the provider's answer says, and the cookie that came with it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answered<'a> {
    /// `state`.
    pub state: Option<&'a str>,
    /// `code`.
    pub code: Option<&'a str>,
    /// `error`.
    pub error: Option<&'a str>,
    /// `iss` (RFC 9207).
    pub iss: Option<&'a str>,
    /// The cookie of [`Begun`].
    pub cookie: Option<&'a str>,
}

/// How a sign-in ends for the browser.
pub enum Landing {
    /// To the game.
    Return(Url),
    /// A device waits for this: the player goes on there.
    Device,
}

/// A sign-in under way; the browser keeps it, encrypted.
#[derive(Deserialize, Serialize)]
struct Pending {
    state: String,
    nonce: String,
    verifier: String,
    provider: String,
    expires: i64,
    goal: Goal,
}

#[derive(Deserialize, Serialize)]
enum Goal {
    Game { return_to: String, state: Option<String>, challenge: String },
    Device { user_code: String },
}

impl Login {
    /// A sign-in page for the providers of `config` and those `built_in`, for a server that listens at `http`.
    ///
    /// # Errors
    /// A client or an address that cannot be used; the key file cannot be read or written.
    pub fn new(
        config: &Config,
        built_in: Vec<LoginClient>,
        http: std::net::SocketAddr,
        clock: &Clock,
        entropy: &Entropy,
    ) -> Result<Self, ConfigError> {
        let settings = config.login.clone();
        let clients: Vec<_> = settings.client.iter().cloned().chain(built_in).collect();
        let public_url = match settings.public_url.trim_end_matches('/') {
            "" => format!("http://{http}"),
            url => url.to_owned(),
        };
        let secret = renewal::secret(&settings, &config.data_dir, !clients.is_empty(), entropy)?;
        let sealer = |purpose| {
            Sealer::new(&secret, purpose).map_err(|broken| ConfigError::new("login.encryption_key", broken.to_string()))
        };
        Ok(Self {
            providers: LoginProvider::all(&settings, &clients, clock)?,
            public_url,
            cookies: sealer("sign-ins under way")?,
            stored: sealer("refresh tokens of providers")?,
            finished: Mutex::new(Finished::new(&settings)),
            codes: Mutex::new(Expiring::new(settings.code_sec, settings.max_codes)),
            devices: Devices::new(&settings),
            renewals: renewal::Turns::default(),
            settings,
        })
    }

    /// Whether there is a provider to sign in at.
    pub fn is_on(&self) -> bool {
        !self.providers.is_empty()
    }

    /// This server as browsers see it, without a slash at its end.
    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    /// Seconds that a sign-in may take.
    pub fn sign_in_sec(&self) -> u64 {
        self.settings.sign_in_sec
    }

    fn redirect_uri(&self) -> String {
        format!("{}/bridge/callback", self.public_url)
    }

    fn provider(&self, name: Option<&str>) -> Result<(usize, &LoginProvider), Error> {
        let found = match name {
            None => self.providers.first().map(|provider| (0, provider)),
            Some(name) => self.providers.iter().enumerate().find(|(_, provider)| provider.name == name),
        };
        found.ok_or_else(|| Error::not_found("There is no such login client."))
    }
}

/// Begins a sign-in for a game that has a browser: checks what the game asks for before anybody is sent anywhere.
///
/// # Errors
/// 400 for a request that is not in order, 404 for an unknown client, 503 while the provider cannot be found.
pub async fn begin(services: &Services, wish: Wish<'_>) -> Result<Begun, Error> {
    let login = &services.login;
    let return_to = wish.return_to.filter(|url| url.len() <= MAX_RETURN_TO);
    let return_to = return_to.ok_or_else(|| Error::invalid_argument("return_to is missing, or too long."))?;
    ReturnTo::judge(return_to, &login.settings.return_to)?;
    if wish.state.is_some_and(|state| state.len() > MAX_GAME_STATE) {
        return Err(Error::invalid_argument("state is longer than 512 bytes."));
    }
    let challenge = wish.code_challenge.filter(|challenge| challenge.len() == CHALLENGE_LENGTH);
    let (Some(challenge), Some("S256")) = (challenge, wish.code_challenge_method) else {
        return Err(Error::invalid_argument(
            "code_challenge (S256, RFC 7636) and code_challenge_method=S256 are needed.",
        ));
    };
    let goal = Goal::Game {
        return_to: return_to.to_owned(),
        state: wish.state.map(str::to_owned),
        challenge: challenge.to_owned(),
    };
    begin_for(services, wish.client, goal).await
}

async fn begin_for(services: &Services, client: Option<&str>, goal: Goal) -> Result<Begun, Error> {
    let login = &services.login;
    let (_, provider) = login.provider(client)?;
    let pending = Pending {
        state: random(&services.entropy),
        nonce: random(&services.entropy),
        verifier: random(&services.entropy),
        provider: provider.name.clone(),
        expires: services.clock.unix_seconds().saturating_add_unsigned(login.settings.sign_in_sec),
        goal,
    };
    let redirect_uri = login.redirect_uri();
    let asked = Asked {
        redirect_uri: &redirect_uri,
        state: &pending.state,
        nonce: &pending.nonce,
        verifier: &pending.verifier,
    };
    let location = provider.authorization_url(asked).await.map_err(unavailable)?;
    let unsealed = serde_json::to_vec(&pending).map_err(|error| Error::internal("Sign-in cannot begin.", error))?;
    let sealed = login.cookies.seal(&unsealed, b"", &services.entropy);
    let sealed = sealed.map_err(|error| Error::internal("Sign-in cannot begin.", error))?;
    count(services, "begun");
    Ok(Begun { location, cookie: URL_SAFE_NO_PAD.encode(sealed) })
}

/// The provider's answer: judged, exchanged, verified, handed on.
///
/// # Errors
/// 400 for an answer that belongs to no sign-in of this browser, 429 and 503 when as many as may have been finished lately by its
/// network or by all; nobody is sent anywhere then. Any later fault, too, when a device waits; a game is told of it where it wants the player to return.
pub async fn finish(services: &Services, client: &Client, answer: Answered<'_>) -> Result<Landing, Error> {
    let pending = pending_of(services, client, answer)?;
    let proof = proven(services, client, &pending, answer).await;
    count(services, if proof.is_ok() { "proven" } else { "failed" });
    match &pending.goal {
        Goal::Device { user_code } => {
            let outcome = proof.as_ref().map(drop).map_err(Clone::clone);
            device::settle(services, user_code, proof.ok())?;
            outcome.map(|()| Landing::Device)
        }
        Goal::Game { return_to, state, challenge } => {
            // Judged again: the cookie may be older than the configuration.
            let return_to = ReturnTo::judge(return_to, &services.login.settings.return_to)?;
            let handed = proof.and_then(|proof| hand_out(services, proof, challenge));
            let mut said = match &handed {
                Ok(code) => vec![("code", code.as_str())],
                Err(error) => vec![("error", name_of(error)), ("error_description", error.message())],
            };
            said.extend(state.iter().map(|state| ("state", state.as_str())));
            Ok(Landing::Return(return_to.with(&said)))
        }
    }
}

/// The sign-in that an answer belongs to: this browser's, not over, not finished before. From here on it is finished.
fn pending_of(services: &Services, client: &Client, answer: Answered<'_>) -> Result<Pending, Error> {
    let (login, now) = (&services.login, services.clock.unix_seconds());
    let strange = || {
        count(services, "strange");
        Error::invalid_argument(
            "This sign-in was not begun in this browser, has been used, or took too long. Please begin again in the game.",
        )
    };
    let pending = unsealed(login, answer.cookie).filter(|pending| {
        let state = answer.state.unwrap_or_default();
        verify_slices_are_equal(state.as_bytes(), pending.state.as_bytes()).is_ok() && pending.expires > now
    });
    let pending = pending.ok_or_else(strange)?;
    let network = client.address.map(rules::network_of);
    match login.finished.lock().note(&pending.state, network, now) {
        Ok(()) => Ok(pending),
        Err(Refused::Again) => Err(strange()),
        Err(Refused::ShareUsedUp) => {
            let message = "Too many players sign in from this address right now. Try again later.";
            Err(Error::new(Code::ResourceExhausted, message))
        }
        Err(Refused::Full) => Err(Error::unavailable("Too many players sign in right now. Try again.")),
    }
}

fn unsealed(login: &Login, cookie: Option<&str>) -> Option<Pending> {
    let sealed = URL_SAFE_NO_PAD.decode(cookie?).ok()?;
    serde_json::from_slice(&login.cookies.open(&sealed, b"").ok()?).ok()
}

async fn proven(services: &Services, client: &Client, pending: &Pending, answer: Answered<'_>) -> Result<Proof, Error> {
    let login = &services.login;
    let (place, provider) = login.provider(Some(&pending.provider))?;
    // Another provider's answer ends here, before its code goes to this one (RFC 9207 section 2.4).
    let right_issuer = match answer.iss {
        Some(iss) => iss == provider.issuer,
        None => !provider.must_name_issuer().await.map_err(unavailable)?,
    };
    if !right_issuer {
        return Err(refused("its answer names another issuer, or none"));
    }
    if let Some(error) = answer.error {
        tracing::debug!(client = provider.name, denied = error == "access_denied", "the provider signs nobody in");
        return Err(Error::permission_denied("The identity provider did not sign you in."));
    }
    let code = answer.code.ok_or_else(|| refused("its answer has no code"))?;
    let tokens = provider.exchange(code, &login.redirect_uri(), &pending.verifier).await;
    let ProviderTokens { id_token, refresh_token } = tokens.map_err(|error| match error {
        ProviderError::InvalidGrant => refused("it does not know its own code"),
        ProviderError::Unavailable(_) => unavailable(error),
    })?;
    let id_token = id_token.ok_or_else(|| refused("it gives no ID token"))?;
    let identity = verified(services, client, provider, &id_token, Some(&pending.nonce)).await?;
    Ok(Proof { identity, refresh_token, provider: place })
}

/// Judges an ID token by the steps of the bridge, and by what OpenID Connect Core 1.0 section 3.1.3.7 asks for beyond them. A
/// sign-in has a nonce; a renewal has none.
async fn verified(
    services: &Services,
    client: &Client,
    provider: &LoginProvider,
    id_token: &str,
    nonce: Option<&str>,
) -> Result<VerifiedIdentity, Error> {
    let expected = Expected { entry: &provider.entry, nonce };
    let identity = services.verifier.verify_expecting(id_token, expected).await;
    let identity = identity.inspect_err(|refusal| services.note_refusal(refusal, client.address))?;
    let refused_at = |step: Step, why| {
        let (entry, step) = (Some(identity.entry.clone()), step.as_str());
        services.audit.record(Event::IdentityRefused { entry, step, address: client.address });
        refused(why)
    };
    if *identity.issuer != *provider.issuer {
        return Err(refused_at(Step::Issuer, "its ID token is another issuer's, or of another kind"));
    }
    let ours = |value: &serde_json::Value| value.as_str() == Some(&provider.client_id);
    let (for_us, alone) = match identity.claims.get("aud") {
        Some(serde_json::Value::Array(all)) => (all.iter().any(ours), all.len() == 1),
        Some(one) => (ours(one), true),
        None => (false, true),
    };
    let party = identity.claims.get("azp").map(ours);
    if !for_us || party == Some(false) || (party.is_none() && !alone) {
        return Err(refused_at(Step::Client, "its ID token is for another client"));
    }
    Ok(identity)
}

fn hand_out(services: &Services, proof: Proof, challenge: &str) -> Result<String, Error> {
    let code = random(&services.entropy);
    let handed = Handed { proof, challenge: challenge.to_owned() };
    let inserted = services.login.codes.lock().insert(digest_of(&code), handed, services.clock.unix_seconds());
    inserted.map_err(|_| Error::unavailable("Too many sign-ins wait for their games. Try again."))?;
    Ok(code)
}

/// The session for a code that the game was handed; `verifier` shows that it is the game that began. A code is good once, also
/// when the verifier is wrong.
///
/// # Errors
/// 401 for a code or verifier that is not good; then as signing in.
pub async fn redeem(services: &Services, client: &Client, code: &str, verifier: &str) -> Result<api::Session, Error> {
    let handed = services.login.codes.lock().take(&digest_of(code), services.clock.unix_seconds());
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
    let fits = |handed: &Handed| verify_slices_are_equal(challenge.as_bytes(), handed.challenge.as_bytes()).is_ok();
    let handed = handed.filter(fits).ok_or_else(|| Error::unauthenticated("Code or verifier refused."))?;
    sign_in(services, client, handed.proof).await
}

/// Signs in whom a provider proved, and keeps the provider's refresh token where sessions are renewed with it.
async fn sign_in(services: &Services, client: &Client, proof: Proof) -> Result<api::Session, Error> {
    let Proof { identity, refresh_token, provider } = proof;
    let provider = &services.login.providers[provider];
    if provider.renew && refresh_token.is_none() {
        tracing::warn!(client = provider.name, "the provider gives no refresh token, which renew needs");
        return Err(Error::unavailable("The identity provider is not set up for this sign-in."));
    }
    let subject = identity.subject.clone();
    let session = authenticate::authenticate_verified(services, client, identity).await?;
    if let Some(token) = refresh_token.filter(|_| provider.renew) {
        let claims = services.tokens.verify_session(&session.token);
        let claims = claims.map_err(|_| Error::unauthenticated("This sign-in has been ended meanwhile."))?;
        renewal::keep(services, provider, &claims, &subject, &token).await?;
    }
    Ok(session)
}

/// The error's name for the address to return to (RFC 6749 section 4.1.2.1).
fn name_of(error: &Error) -> &'static str {
    match error.code() {
        Code::PermissionDenied | Code::Unauthenticated => "access_denied",
        Code::Unavailable => "temporarily_unavailable",
        _ => "server_error",
    }
}

/// The one public answer for every fault of a provider's tokens, as in the bridge.
fn refused(why: &'static str) -> Error {
    tracing::debug!(why, "a provider's answer is refused");
    Error::unauthenticated("Identity token refused.")
}

fn unavailable(_: ProviderError) -> Error {
    Error::unavailable("The identity provider cannot be reached right now.")
}

fn count(services: &Services, kind: &'static str) {
    services.metrics.login_page.get_or_create(&KindLabels { kind }).inc();
}

/// 32 random bytes in base64url.
fn random(entropy: &Entropy) -> String {
    let mut bytes = [0; 32];
    entropy.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn digest_of(code: &str) -> Digest {
    let mut kept = [0; 32];
    kept.copy_from_slice(digest(&SHA256, code.as_bytes()).as_ref());
    kept
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("providers", &self.providers).finish_non_exhaustive()
    }
}
