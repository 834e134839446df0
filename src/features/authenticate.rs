//! Signing in by custom id, device id, email address or username (spec/auth-and-accounts.md sections 9 to 11).

use super::{Client, Services, revocation, rules, session};
use crate::{
    config::Secret,
    error::Error,
    hooks::{AuthenticateRequest, Authenticated, HookContext, Method, Operation},
    identity::{RESERVED_VARS, VerifiedIdentity, session::Origin},
    store::{Created, Identifier, Login, NewIdentifier, NewUser},
    telemetry::KindLabels,
};
use kizuna_protocol::api;
use std::{collections::BTreeMap, sync::Arc};

const LOOKUP_FAILED: &str = "Error finding user account.";
const CREATE_FAILED: &str = "Error finding or creating user account.";
/// Letters of a username that nobody chose.
const GENERATED_USERNAME: usize = 10;

/// Signs in by custom id; with the identity bridge, by identity token.
///
/// # Errors
/// What a hook refuses; 400 for a malformed request; 401, 403, 404 and 409 as the spec says; 503 when a limit is reached.
pub async fn authenticate_custom(
    services: &Services,
    client: &Client,
    request: api::AuthenticateCustomRequest,
) -> Result<api::Session, Error> {
    let account = request.account.unwrap_or_default();
    let asked = asked(Method::Custom, account.id, request.username, request.create);
    sign_in(services, client, AuthenticateRequest { vars: account.vars, ..asked }).await
}

/// Signs in by device id.
///
/// # Errors
/// As [`authenticate_custom`].
pub async fn authenticate_device(
    services: &Services,
    client: &Client,
    request: api::AuthenticateDeviceRequest,
) -> Result<api::Session, Error> {
    let account = request.account.unwrap_or_default();
    let asked = asked(Method::Device, account.id, request.username, request.create);
    sign_in(services, client, AuthenticateRequest { vars: account.vars, ..asked }).await
}

/// Signs in by email address and password, or by username and password.
///
/// # Errors
/// As [`authenticate_custom`].
pub async fn authenticate_email(
    services: &Services,
    client: &Client,
    request: api::AuthenticateEmailRequest,
) -> Result<api::Session, Error> {
    let password = request.account.as_ref().map(|account| Secret::from(account.password.as_str()));
    let account = request.account.unwrap_or_default();
    let asked = asked(Method::Email, account.email, request.username, request.create);
    sign_in(services, client, AuthenticateRequest { vars: account.vars, password, ..asked }).await
}

fn asked(method: Method, id: String, username: String, create: Option<bool>) -> AuthenticateRequest {
    let (operation, vars) = (Operation::Authenticate, Default::default());
    AuthenticateRequest { operation, method, id, password: None, vars, username, create, identity: None }
}

/// Signs in whom an identity token has proved already: the sign-in page and the token exchange. Hooks run as for
/// [`authenticate_custom`].
///
/// # Errors
/// As [`authenticate_custom`].
pub async fn authenticate_verified(
    services: &Services,
    client: &Client,
    identity: VerifiedIdentity,
) -> Result<api::Session, Error> {
    let asked = asked(Method::Custom, identity.account_id.clone(), String::new(), None);
    sign_in(services, client, AuthenticateRequest { identity: Some(Arc::new(identity)), ..asked }).await
}

async fn sign_in(
    services: &Services,
    client: &Client,
    mut request: AuthenticateRequest,
) -> Result<api::Session, Error> {
    request.vars = rules::client_vars(request.vars, &services.metrics);
    let context = client.hook_context();
    let request = services.hooks.before(&context, request).await?;
    let credentials = Credentials::of(&request)?;
    rules::wanted_username(&request.username)?;
    let (vars, origin) = session_of(services, &request);
    session::not_too_old(services, services.clock.unix_seconds(), origin.as_ref())?;
    // Taken before the account is looked at: a ban, a deletion or a log-out that comes in between ends this sign-in, too.
    let token_id = services.tokens.new_token_id();
    let attempt = Attempt { services, context: &context, request: &request, credentials: &credentials };
    let account = attempt.run().await?;
    if services.config.session.single_session {
        revocation::end_older(services, account.user_id, token_id).await?;
    }
    services.metrics.logins.get_or_create(&KindLabels { kind: request.method.as_str() }).inc();
    let pair = services.tokens.issue(token_id, account.user_id, &account.username, &vars, origin.as_ref());
    services.hooks.after(&context, &request, &account).await;
    Ok(api::Session { created: account.created, token: pair.token, refresh_token: pair.refresh_token })
}

/// Variables and origin of the new session: what the identity token says goes before what client and hooks say.
fn session_of(services: &Services, request: &AuthenticateRequest) -> (BTreeMap<String, String>, Option<Origin>) {
    let mut vars = request.vars.clone();
    vars.retain(|name, _| !name.starts_with(RESERVED_VARS));
    let origin = request.identity.as_ref().map(|identity| {
        vars.extend(identity.vars.clone());
        identity.origin(services.clock.unix_seconds())
    });
    (vars, origin)
}

/// What somebody signs in by, in its right form.
enum Credentials<'a> {
    Custom(&'a str),
    Device(&'a str),
    Email { email: String, password: &'a str },
    Username { username: &'a str, password: &'a str },
}

impl<'a> Credentials<'a> {
    fn of(request: &'a AuthenticateRequest) -> Result<Self, Error> {
        match request.method {
            Method::Custom => rules::custom_id(&request.id).map(|()| Self::Custom(&request.id)),
            Method::Device => rules::device_id(&request.id).map(|()| Self::Device(&request.id)),
            Method::Email => Self::of_email(request),
        }
    }

    fn of_email(request: &'a AuthenticateRequest) -> Result<Self, Error> {
        let password = request.password.as_ref().map(Secret::expose);
        let password = password.ok_or_else(|| Error::invalid_argument("Email address and password is required."))?;
        if request.id.is_empty() {
            rules::password_long_enough(password)?;
            if request.username.is_empty() {
                return Err(Error::invalid_argument("Username is required when email address is not supplied."));
            }
            return Ok(Self::Username { username: &request.username, password });
        }
        rules::email_characters(&request.id)?;
        rules::email_shape(&request.id)?;
        rules::password_long_enough(password)?;
        Ok(Self::Email { email: rules::lower_case(&request.id), password })
    }

    fn identifier(&self) -> Identifier<'_> {
        match self {
            Self::Custom(id) => Identifier::Custom(id),
            Self::Device(id) => Identifier::Device(id),
            Self::Email { email, .. } => Identifier::Email(email),
            Self::Username { username, .. } => Identifier::Username(username),
        }
    }

    fn password(&self) -> Option<&'a str> {
        match self {
            Self::Custom(_) | Self::Device(_) => None,
            Self::Email { password, .. } | Self::Username { password, .. } => Some(password),
        }
    }
}

/// One request on its way from credentials to an account.
struct Attempt<'a> {
    services: &'a Services,
    context: &'a HookContext,
    request: &'a AuthenticateRequest,
    credentials: &'a Credentials<'a>,
}

impl Attempt<'_> {
    async fn run(&self) -> Result<Authenticated, Error> {
        let found = self.services.store.find_login(self.credentials.identifier());
        match found.map_err(|error| error.into_error(LOOKUP_FAILED))? {
            Some(login) => self.existing(login).await,
            None => self.missing().await,
        }
    }

    /// The ban is looked at before the password: spec section 8.
    async fn existing(&self, login: Login) -> Result<Authenticated, Error> {
        if login.disabled {
            return Err(Error::permission_denied("User account banned."));
        }
        if let Some(password) = self.credentials.password() {
            let hash = login.password.unwrap_or_default();
            if hash.is_empty() || !self.services.passwords.verify(password, &hash).await? {
                return Err(Error::unauthenticated("Invalid credentials."));
            }
        }
        let account = Authenticated { user_id: login.user_id, username: login.username, created: false };
        let notices = self.services.hooks.notices(self.context, self.request, &account);
        if !notices.is_empty() {
            self.services.store.put_notices(notices).await.map_err(|error| error.into_error(LOOKUP_FAILED))?;
            self.services.hooks.notices_stored();
        }
        Ok(account)
    }

    async fn missing(&self) -> Result<Authenticated, Error> {
        let identifier = match self.credentials {
            _ if self.request.create == Some(false) => None,
            Credentials::Custom(id) => Some(NewIdentifier::Custom((*id).to_owned())),
            Credentials::Device(id) => Some(NewIdentifier::Device((*id).to_owned())),
            Credentials::Email { email, password } => {
                rules::password_fits(password)?;
                let password_hash = self.services.passwords.hash(password).await?;
                Some(NewIdentifier::Email { email: email.clone(), password_hash })
            }
            Credentials::Username { .. } => None,
        };
        match identifier {
            Some(identifier) => self.create(identifier).await,
            None => Err(Error::not_found("User account not found.")),
        }
    }

    async fn create(&self, identifier: NewIdentifier) -> Result<Authenticated, Error> {
        let account = Authenticated {
            user_id: self.services.entropy.user_id(&self.services.clock),
            username: self.username(),
            created: true,
        };
        let notices = self.services.hooks.notices(self.context, self.request, &account);
        let (id, username) = (account.user_id, account.username.clone());
        let created = self.services.store.create_user(NewUser { id, username, identifier, notices }).await;
        match created.map_err(|error| error.into_error(CREATE_FAILED))? {
            Created::New => {
                self.services.metrics.accounts_created.inc();
                self.services.hooks.notices_stored();
                Ok(account)
            }
            // Somebody was faster with the same identifier.
            Created::Existing(login) => self.existing(login).await,
            Created::UsernameTaken => Err(Error::already_exists("Username is already in use.")),
        }
    }

    fn username(&self) -> String {
        match self.request.username.is_empty() {
            true => self.services.entropy.letters(GENERATED_USERNAME),
            false => self.request.username.clone(),
        }
    }
}

#[cfg(test)]
#[path = "authenticate_tests.rs"]
mod tests;
