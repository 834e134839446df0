//! Sessions that last as long as the provider says: its refresh token is kept, encrypted, and spent when the session is refreshed.

use super::{Login, verified};
use crate::{
    audit::Source,
    clock::Entropy,
    config::{self, ConfigError, Secret, write_private},
    error::Error,
    features::{Client, Services, revocation},
    identity::{
        ScopeKey,
        login::{LoginProvider, ProviderError},
        session::SessionClaims,
    },
    store::ProviderSession,
};
use serde::{Deserialize, Serialize};
use std::{fs, io, path::Path, sync::Arc};
use tokio::sync::{Mutex, OwnedMutexGuard};
use uuid::Uuid;

const KEY_FILE: &str = "login.key";
const STORE_FAILED: &str = "Error keeping the sign-in.";
const ENDED: &str = "The identity provider has ended this sign-in.";

/// One renewal at a time for a session: of two at once, the second would show a spent refresh token, which ends the session at
/// many providers. Sessions share these turns.
pub(super) struct Turns([Arc<Mutex<()>>; 256]);

impl Default for Turns {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Arc::default()))
    }
}

impl Turns {
    async fn take(&self, session: Uuid) -> OwnedMutexGuard<()> {
        Arc::clone(&self.0[usize::from(session.as_bytes()[15])]).lock_owned().await
    }
}

/// What is encrypted in the store.
#[derive(Deserialize, Serialize)]
struct Kept {
    subject: String,
    token: String,
}

/// Keeps a provider's refresh token for a new session. Where a player has too many, the oldest session ends.
pub(super) async fn keep(
    services: &Services,
    provider: &LoginProvider,
    claims: &SessionClaims,
    subject: &str,
    token: &Secret,
) -> Result<(), Error> {
    let token_id = claims.token_id.ok_or_else(|| Error::internal(STORE_FAILED, "a session without an id"))?;
    let row = row(services, provider, claims.user_id, token_id, subject, token)?;
    let most = services.login.settings.max_sign_ins_per_user;
    let scopes = claims.origin.iter().flat_map(|origin| origin.scopes()).map(ScopeKey::to_u128).collect();
    let dropped = services.store.put_provider_session(row, scopes, most).await;
    let dropped = dropped.map_err(|error| error.into_error(STORE_FAILED))?;
    match dropped.is_empty() {
        true => Ok(()),
        false => revocation::end_chains(services, claims.user_id, &dropped, Source::TooManySignIns).await,
    }
}

fn row(
    services: &Services,
    provider: &LoginProvider,
    user_id: Uuid,
    token_id: Uuid,
    subject: &str,
    token: &Secret,
) -> Result<ProviderSession, Error> {
    let now = services.clock.unix_seconds();
    let session = &services.config.session;
    let longest = session.token_expiry_sec.max(session.refresh_token_expiry_sec);
    let kept = Kept { subject: subject.to_owned(), token: token.expose().to_owned() };
    let kept = serde_json::to_vec(&kept).map_err(|error| Error::internal(STORE_FAILED, error))?;
    let sealed = services.login.stored.seal(&kept, user_id.as_bytes(), &services.entropy);
    Ok(ProviderSession {
        token_id,
        user_id,
        client: provider.name.clone(),
        sealed: sealed.map_err(|error| Error::internal(STORE_FAILED, error))?,
        renewed_unix: now,
        expires_unix: now.saturating_add_unsigned(longest).saturating_add(1),
    })
}

/// Asks the provider whether the sign-in behind a session still stands: call it before the session is refreshed. Sessions that did
/// not come through a client with `renew` pass.
///
/// # Errors
/// 401 when the provider has ended it; the session is over then. 503 while the provider cannot be asked for longer than
/// `login.renew_grace_sec`.
pub async fn renew(services: &Services, client: &Client, chain: &SessionClaims) -> Result<(), Error> {
    let login = &services.login;
    let (Some(token_id), Some(_)) = (chain.token_id, &chain.origin) else { return Ok(()) };
    if !login.providers.iter().any(|provider| provider.renew) {
        return Ok(());
    }
    if due(services, chain, token_id)?.is_none() {
        return Ok(());
    }
    let turn = login.renewals.take(token_id).await;
    let Some(kept) = due(services, chain, token_id)? else { return Ok(()) };
    // In a task of its own: a client that goes away meanwhile must not take the provider's next refresh token with it, when the
    // one that is kept has been spent. There are no more such tasks than turns.
    let (services, client) = (services.clone(), *client);
    let asking = tokio::spawn(async move {
        let _turn = turn;
        ask_and_keep(&services, &client, kept).await
    });
    asking.await.unwrap_or_else(|error| Err(Error::internal(STORE_FAILED, error)))
}

/// What is kept for a session whose provider is to be asked now.
fn due(services: &Services, chain: &SessionClaims, token_id: Uuid) -> Result<Option<ProviderSession>, Error> {
    let login = &services.login;
    let found = services.store.provider_session(token_id).map_err(|error| error.into_error(STORE_FAILED))?;
    Ok(found.filter(|kept| {
        let renews = login.provider(Some(&kept.client)).is_ok_and(|(_, provider)| provider.renew);
        kept.user_id == chain.user_id && renews && !(0..every(login)).contains(&age(services, kept))
    }))
}

/// Seconds since the provider was asked.
fn age(services: &Services, kept: &ProviderSession) -> i64 {
    services.clock.unix_seconds().saturating_sub(kept.renewed_unix)
}

fn every(login: &Login) -> i64 {
    i64::try_from(login.settings.renew_every_sec).unwrap_or(i64::MAX)
}

async fn ask_and_keep(services: &Services, client: &Client, kept: ProviderSession) -> Result<(), Error> {
    let login = &services.login;
    let (_, provider) = login.provider(Some(&kept.client))?;
    match ask(services, client, provider, &kept).await {
        Ok(renewed) => {
            let stored = services.store.renew_provider_session(renewed).await;
            stored.map_err(|error| error.into_error(STORE_FAILED))
        }
        Err(Trouble::Over) => {
            let chain = (kept.token_id, kept.expires_unix);
            revocation::end_chains(services, kept.user_id, &[chain], Source::Provider).await?;
            super::count(services, "ended");
            Err(Error::unauthenticated(ENDED))
        }
        Err(Trouble::Later(error)) => {
            let longest = every(login).saturating_add_unsigned(login.settings.renew_grace_sec);
            if age(services, &kept) < longest { Ok(()) } else { Err(error) }
        }
    }
}

enum Trouble {
    /// The sign-in is over.
    Over,
    /// Nobody can say.
    Later(Error),
}

async fn ask(
    services: &Services,
    client: &Client,
    provider: &LoginProvider,
    row: &ProviderSession,
) -> Result<ProviderSession, Trouble> {
    let opened = services.login.stored.open(&row.sealed, row.user_id.as_bytes()).ok();
    let kept = opened.and_then(|text| serde_json::from_slice::<Kept>(&text).ok());
    // Another key than the one it was encrypted by: without its refresh token the session cannot be renewed.
    let Kept { subject, token } = kept.ok_or(Trouble::Over)?;
    let token = Secret::from(token.as_str());
    let tokens = provider.refresh(&token).await.map_err(|error| match error {
        ProviderError::InvalidGrant => Trouble::Over,
        ProviderError::Unavailable(_) => Trouble::Later(super::unavailable(error)),
    })?;
    if let Some(id_token) = &tokens.id_token {
        // OpenID Connect Core 1.0 section 12.2: the same issuer, subject and audience.
        let identity = verified(services, client, provider, id_token, None).await.map_err(|error| {
            if error.code() == kizuna_protocol::code::Code::Unavailable { Trouble::Later(error) } else { Trouble::Over }
        })?;
        if identity.subject != subject {
            return Err(Trouble::Over);
        }
    }
    let next = tokens.refresh_token.unwrap_or(token);
    self::row(services, provider, row.user_id, row.token_id, &subject, &next).map_err(Trouble::Later)
}

/// The secret of `login.encryption_key`, or the one in the key file, which is made when there is none and one is `needed`.
pub(super) fn secret(
    settings: &config::Login,
    data_dir: &Path,
    needed: bool,
    entropy: &Entropy,
) -> Result<Vec<u8>, ConfigError> {
    let configured = settings.encryption_key.expose();
    if !configured.is_empty() {
        return Ok(configured.as_bytes().to_vec());
    }
    if !needed {
        return Ok(vec![0; 32]);
    }
    let path = data_dir.join(KEY_FILE);
    let fault = |error: io::Error| ConfigError::new("login.encryption_key", format!("{}: {error}", path.display()));
    match fs::read(&path) {
        Ok(key) if key.len() == 32 => Ok(key),
        Ok(_) => Err(fault(io::Error::other("is broken; delete it, and players sign in anew"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut key = vec![0; 32];
            entropy.fill(&mut key);
            fs::create_dir_all(data_dir).and_then(|()| write_private(&path, &key)).map_err(fault)?;
            Ok(key)
        }
        Err(error) => Err(fault(error)),
    }
}
