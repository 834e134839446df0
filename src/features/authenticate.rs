//! Signing in by custom id, device id, email address or username (spec/auth-and-accounts.md sections 9 to 11).

use super::{
    Client, Services,
    replay::{self, Opening},
    revocation, rules, session, tenancy, throttle,
};
use crate::{
    audit::Event,
    config::Secret,
    error::Error,
    hooks::{AuthenticateRequest, Authenticated, HookContext, Method, Operation},
    identity::{
        IDENTITY_REFUSED, RESERVED_VARS, ScopeKey, Tenant, VerifiedIdentity,
        session::{Origin, TokenPair},
    },
    store::{Created, EarlierUse, Identifier, Login, NewIdentifier, NewUser, StoreError, TokenUse},
    telemetry::KindLabels,
};
use kizuna_protocol::{api, code::Code};
use std::{collections::BTreeMap, sync::Arc};
use uuid::Uuid;

const LOOKUP_FAILED: &str = "Error finding user account.";
const CREATE_FAILED: &str = "Error finding or creating user account.";
/// Letters of a username that nobody chose.
const GENERATED_USERNAME: usize = 10;
/// Letters behind a username that a provider gives, where it is taken; and how many of them are tried.
const SUFFIX: usize = 5;
const MAX_SUFFIXES: usize = 4;

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

/// Signs in whom an identity token has proved already: the sign-in page. Hooks run as for [`authenticate_custom`]. The limit of an
/// address does not count: who comes here was at the provider, and would lose a code that is good once.
///
/// # Errors
/// As [`authenticate_custom`].
pub async fn authenticate_verified(
    services: &Services,
    client: &Client,
    identity: VerifiedIdentity,
) -> Result<api::Session, Error> {
    let asked = asked(Method::Custom, identity.account_id.clone(), String::new(), None);
    admit(services, client, AuthenticateRequest { identity: Some(Arc::new(identity)), ..asked }).await
}

async fn sign_in(services: &Services, client: &Client, request: AuthenticateRequest) -> Result<api::Session, Error> {
    throttle::sign_in(services, client)?;
    admit(services, client, request).await
}

/// A session, or a line in the audit log.
async fn admit(services: &Services, client: &Client, request: AuthenticateRequest) -> Result<api::Session, Error> {
    let method = request.method.as_str();
    open(services, client, request).await.inspect_err(|error| {
        let why = match error.code() {
            // Written down already, with the step.
            Code::Unauthenticated if error.message() == IDENTITY_REFUSED => return,
            Code::Unauthenticated => "credentials",
            Code::PermissionDenied => "not_admitted",
            Code::NotFound => "no_account",
            _ => return,
        };
        services.audit.record(Event::SignInRefused { method, why, address: client.address });
    })
}

async fn open(services: &Services, client: &Client, mut request: AuthenticateRequest) -> Result<api::Session, Error> {
    tenancy::judge_method(services, request.method)?;
    request.vars = rules::client_vars(request.vars, &services.metrics);
    rules::vars_fit(&request.vars, &services.config.session)?;
    let context = client.hook_context();
    let request = services.hooks.before(&context, request).await?;
    revocation::still_counts(services, client, request.identity.as_deref())?;
    let tenant = tenancy::of_request(services, &request)?;
    let credentials = Credentials::of(&request)?;
    rules::wanted_username(&request.username)?;
    let (vars, origin) = session_of(services, &request);
    session::not_too_old(services, services.clock.unix_seconds(), origin.as_ref())?;
    // Taken before the account is looked at: a ban, a deletion or a log-out that comes in between ends this sign-in, too.
    let opening =
        Opening { token_id: services.tokens.new_token_id(), issued_unix: services.clock.unix_seconds(), vars };
    let (context, request, credentials) = (&context, &request, &credentials);
    let origin = origin.as_ref();
    let attempt = Attempt { services, context, request, credentials, tenant, opening: &opening, origin };
    let admitted = attempt.run().await?;
    let (account, opening, is_new) = match admitted {
        Admitted::Now(account) => (account, opening, true),
        Admitted::Again(account, earlier) => (account, earlier, false),
    };
    revocation::still_counts(services, client, request.identity.as_deref())?;
    if services.config.session.single_session {
        revocation::end_older(services, account.user_id, opening.token_id).await?;
    }
    let pair = pair(services, request, &account, &opening);
    session::note_length(services, &pair, origin)?;
    if is_new {
        services.metrics.logins.get_or_create(&KindLabels { kind: request.method.as_str() }).inc();
        services.audit.record(Event::SignIn {
            user_id: account.user_id,
            method: request.method.as_str(),
            entry: origin.map(|origin| Arc::clone(&origin.entry)),
            tenant: origin.and_then(|origin| origin.tenant.clone()),
            created: account.created,
            address: client.address,
        });
        services.hooks.after(context, request, &account).await;
    }
    Ok(api::Session { created: account.created, token: pair.token, refresh_token: pair.refresh_token })
}

/// The same account, opening and identity token make the same pair.
fn pair(services: &Services, request: &AuthenticateRequest, account: &Authenticated, opening: &Opening) -> TokenPair {
    let Opening { token_id, issued_unix, vars } = opening;
    let origin = request.identity.as_ref().map(|identity| identity.origin(*issued_unix));
    services.tokens.issue_as_of(*issued_unix, *token_id, account.user_id, &account.username, vars, origin.as_ref())
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
    tenant: Tenant,
    opening: &'a Opening,
    origin: Option<&'a Origin>,
}

/// Who is let in.
enum Admitted {
    /// With a new session.
    Now(Authenticated),
    /// With the session of an earlier use of the same identity token.
    Again(Authenticated, Opening),
}

impl Attempt<'_> {
    async fn run(&self) -> Result<Admitted, Error> {
        let found = self.services.store.find_login(self.credentials.identifier());
        match found.map_err(|error| error.into_error(LOOKUP_FAILED))? {
            Some(login) => self.existing(login).await,
            None => self.missing().await,
        }
    }

    /// The ban is looked at before the password: spec section 8.
    async fn existing(&self, login: Login) -> Result<Admitted, Error> {
        if login.disabled {
            return Err(Error::permission_denied("User account banned."));
        }
        if let Some(password) = self.credentials.password() {
            let hash = login.password.unwrap_or_default();
            if hash.is_empty() || !self.services.passwords.verify(password, &hash).await? {
                return Err(Error::unauthenticated("Invalid credentials."));
            }
        }
        tenancy::admit(self.services, login.user_id, self.tenant).await?;
        self.fits(&login.username)?;
        let account = Authenticated { user_id: login.user_id, username: login.username, created: false };
        let notices = self.services.hooks.notices(self.context, self.request, &account);
        let stores = !notices.is_empty();
        let failed = |error: StoreError| error.into_error(LOOKUP_FAILED);
        if let Some(token_use) = self.token_use(&account) {
            let earlier = self.services.store.use_token(token_use, notices).await.map_err(failed)?;
            if let Some(earlier) = earlier {
                return self.again(&earlier, account.user_id);
            }
        } else if stores {
            self.services.store.put_notices(notices).await.map_err(failed)?;
        }
        if stores {
            self.services.hooks.notices_stored();
        }
        Ok(Admitted::Now(account))
    }

    /// Whether the session token of a player of that name is short enough: judged before anything is written or used up.
    fn fits(&self, username: &str) -> Result<(), Error> {
        session::fits(self.services, username, &self.opening.vars, self.origin)
    }

    fn token_use(&self, account: &Authenticated) -> Option<TokenUse> {
        replay::of_sign_in(self.services, self.request, account, self.opening)
    }

    fn again(&self, earlier: &EarlierUse, user_id: Uuid) -> Result<Admitted, Error> {
        let (account, opening) = replay::again(self.services, self.context, self.request, earlier, user_id)?;
        Ok(Admitted::Again(account, opening))
    }

    async fn missing(&self) -> Result<Admitted, Error> {
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

    async fn create(&self, identifier: NewIdentifier) -> Result<Admitted, Error> {
        let user_id = self.services.entropy.user_id(&self.services.clock);
        let tenant = self.tenant.key().map(ScopeKey::to_u128);
        for attempt in 0..=MAX_SUFFIXES {
            let account = Authenticated { user_id, username: self.username(attempt), created: true };
            self.fits(&account.username)?;
            let notices = self.services.hooks.notices(self.context, self.request, &account);
            let (id, username, token_use) = (user_id, account.username.clone(), self.token_use(&account));
            let new = NewUser { id, username, identifier: identifier.clone(), tenant, token_use, notices };
            let created = self.services.store.create_user(new).await;
            match created.map_err(|error| error.into_error(CREATE_FAILED))? {
                Created::New => {
                    self.services.metrics.accounts_created.inc();
                    self.services.hooks.notices_stored();
                    return Ok(Admitted::Now(account));
                }
                // The account that it was used for is gone.
                Created::TokenUsed(earlier) => return self.again(&earlier, user_id),
                // Somebody was faster with the same identifier.
                Created::Existing(login) => return self.existing(login).await,
                // The provider's name for a player is a wish, not a demand.
                Created::UsernameTaken if self.wish().is_some() => {}
                Created::UsernameTaken => break,
            }
        }
        Err(Error::already_exists("Username is already in use."))
    }

    /// The name that the identity token gives, where the client asks for none and the session token has room for it.
    fn wish(&self) -> Option<&str> {
        let wish = self.request.identity.as_ref().and_then(|identity| identity.username.as_deref());
        let wish = wish.filter(|_| self.request.username.is_empty())?;
        let longest = format!("{wish}-{}", "x".repeat(SUFFIX));
        self.services.tokens.fits(&longest, &self.opening.vars, self.origin).is_ok().then_some(wish)
    }

    /// The username to try: after the first time a wish has a suffix, at the last it is given up.
    fn username(&self, attempt: usize) -> String {
        match self.wish() {
            Some(wish) if attempt == 0 => wish.to_owned(),
            Some(wish) if attempt < MAX_SUFFIXES => {
                format!("{wish}-{}", self.services.entropy.letters(SUFFIX))
            }
            _ if self.request.username.is_empty() => self.services.entropy.letters(GENERATED_USERNAME),
            _ => self.request.username.clone(),
        }
    }
}

#[cfg(test)]
#[path = "authenticate_tests.rs"]
mod tests;
