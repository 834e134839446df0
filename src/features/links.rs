//! Linking and unlinking what the caller's account signs in by (spec/auth-and-accounts.md section 16).

use super::{Caller, Services, replay, revocation, rules, tenancy};
use crate::{
    config::Secret,
    error::Error,
    hooks::{AuthenticateRequest, Authenticated, HookContext, Method, Operation},
    store::{Linked, NewIdentifier, StoreError, Unlink},
};
use kizuna_protocol::api;
use std::collections::BTreeMap;

const LAST_ONE: &str = "Cannot unlink last account identifier. Check profile exists and is not last link.";

/// Gives the caller's account a custom id, in place of the one that it has; with the bridge, by identity token.
///
/// # Errors
/// What a hook refuses; 400 for an id that does not fit; 409 when another account has it.
pub async fn link_custom(services: &Services, caller: &Caller, account: api::AccountCustom) -> Result<(), Error> {
    let hooked =
        Hooked::before(services, caller, asked(Operation::Link, Method::Custom, account.id, account.vars)).await?;
    rules::custom_id_to_link(&hooked.request.id)?;
    let linked = hooked.link_custom().await;
    match linked? {
        Linked::Done => hooked.after().await,
        Linked::InUse | Linked::NoSuchUser => Err(Error::already_exists("Custom ID is already in use.")),
    }
}

/// Gives the caller's account one more device id.
///
/// # Errors
/// As [`link_custom`].
pub async fn link_device(services: &Services, caller: &Caller, account: api::AccountDevice) -> Result<(), Error> {
    let hooked =
        Hooked::before(services, caller, asked(Operation::Link, Method::Device, account.id, account.vars)).await?;
    rules::device_id(&hooked.request.id)?;
    let linked = services.store.link(caller.user_id, NewIdentifier::Device(hooked.request.id.clone())).await;
    match linked.map_err(|error| error.into_error("Error linking Device ID."))? {
        Linked::Done => hooked.after().await,
        Linked::InUse => Err(Error::already_exists("Device ID already in use.")),
        Linked::NoSuchUser => Err(Error::internal("Error linking Device ID.", "the caller's account is gone")),
    }
}

/// Gives the caller's account an email address and a password, in place of those that it has.
///
/// # Errors
/// As [`link_custom`]; 503 when too many passwords are being hashed.
pub async fn link_email(services: &Services, caller: &Caller, account: api::AccountEmail) -> Result<(), Error> {
    let mut request = asked(Operation::Link, Method::Email, account.email, account.vars);
    request.password = Some(Secret::from(account.password.as_str()));
    let hooked = Hooked::before(services, caller, request).await?;
    let (email, password) = email_and_password(&hooked.request)?;
    let password_hash = services.passwords.hash(password).await?;
    let linked = services.store.link(caller.user_id, NewIdentifier::Email { email, password_hash }).await;
    match linked.map_err(|error| error.into_error("Error while trying to link email."))? {
        Linked::Done => hooked.after().await,
        Linked::InUse | Linked::NoSuchUser => Err(Error::already_exists("Email is already in use.")),
    }
}

fn email_and_password(request: &AuthenticateRequest) -> Result<(String, &str), Error> {
    let password = request.password.as_ref().map_or("", Secret::expose);
    if request.id.is_empty() || password.is_empty() {
        return Err(Error::invalid_argument("Email address and password is required."));
    }
    rules::email_characters(&request.id)?;
    rules::password_long_enough(password)?;
    rules::email_shape(&request.id)?;
    rules::password_fits(password)?;
    Ok((rules::lower_case(&request.id), password))
}

/// Takes the custom id from the caller's account. With the bridge, an id that is given must be a token for it.
///
/// # Errors
/// What a hook refuses; 403 when it is the last way to sign in, or another's.
pub async fn unlink_custom(services: &Services, caller: &Caller, account: api::AccountCustom) -> Result<(), Error> {
    let hooked =
        Hooked::before(services, caller, asked(Operation::Unlink, Method::Custom, account.id, account.vars)).await?;
    let given = Some(hooked.request.id.clone()).filter(|id| !id.is_empty());
    hooked.unlink(Unlink::Custom(given), "Error while trying to unlink Custom ID.").await
}

/// Takes a device id from the caller's account.
///
/// # Errors
/// 400 without an id; else as [`unlink_custom`].
pub async fn unlink_device(services: &Services, caller: &Caller, account: api::AccountDevice) -> Result<(), Error> {
    let hooked =
        Hooked::before(services, caller, asked(Operation::Unlink, Method::Device, account.id, account.vars)).await?;
    if hooked.request.id.is_empty() {
        return Err(Error::invalid_argument("A device ID must be supplied."));
    }
    let device = hooked.request.id.clone();
    hooked.unlink(Unlink::Device(device), "Error while trying to unlink Device ID.").await
}

/// Takes email address and password from the caller's account.
///
/// # Errors
/// As [`unlink_custom`].
pub async fn unlink_email(services: &Services, caller: &Caller, account: api::AccountEmail) -> Result<(), Error> {
    let mut request = asked(Operation::Unlink, Method::Email, account.email, account.vars);
    request.password = Some(Secret::from(account.password.as_str()));
    let hooked = Hooked::before(services, caller, request).await?;
    let given = Some(rules::lower_case(&hooked.request.id)).filter(|email| !email.is_empty());
    hooked.unlink(Unlink::Email(given), "Error while trying to unlink email.").await
}

fn asked(operation: Operation, method: Method, id: String, vars: BTreeMap<String, String>) -> AuthenticateRequest {
    let username = String::new();
    AuthenticateRequest { operation, method, id, password: None, vars, username, create: None, identity: None }
}

/// A request between its `before` and its `after` hooks.
struct Hooked<'a> {
    services: &'a Services,
    caller: &'a Caller,
    context: HookContext,
    request: AuthenticateRequest,
}

impl<'a> Hooked<'a> {
    async fn before(
        services: &'a Services,
        caller: &'a Caller,
        mut request: AuthenticateRequest,
    ) -> Result<Self, Error> {
        let links = request.operation == Operation::Link;
        if links {
            tenancy::judge_method(services, request.method)?;
        }
        request.vars = rules::client_vars(request.vars, &services.metrics);
        let context = caller.hook_context();
        let request = services.hooks.before(&context, request).await?;
        revocation::still_counts(services, &caller.client, request.identity.as_deref())?;
        if links && tenancy::of_request(services, &request)? != caller.tenant {
            return Err(Error::permission_denied("The identity token is of another tenant."));
        }
        Ok(Self { services, caller, context, request })
    }

    async fn link_custom(&self) -> Result<Linked, Error> {
        let failed = |error: StoreError| error.into_error("Error while trying to link Custom ID.");
        let (store, user_id) = (&self.services.store, self.caller.user_id);
        let id = || NewIdentifier::Custom(self.request.id.clone());
        if let Some(token_use) = replay::of_link(self.services, &self.request, user_id) {
            match store.link_by_token(user_id, id(), token_use).await.map_err(failed)? {
                Ok(linked) => return Ok(linked),
                Err(earlier) => replay::link_again(self.services, &self.context, &self.request, &earlier, user_id)?,
            }
        }
        store.link(user_id, id()).await.map_err(failed)
    }

    async fn unlink(self, what: Unlink, failed: &'static str) -> Result<(), Error> {
        let unlinked = self.services.store.unlink(self.caller.user_id, what).await;
        match unlinked.map_err(|error| error.into_error(failed))? {
            true => self.after().await,
            false => Err(Error::permission_denied(LAST_ONE)),
        }
    }

    async fn after(self) -> Result<(), Error> {
        let (user_id, username) = (self.caller.user_id, self.caller.username.to_string());
        let outcome = Authenticated { user_id, username, created: false };
        self.services.hooks.after(&self.context, &self.request, &outcome).await;
        Ok(())
    }
}

#[cfg(test)]
#[path = "links_tests.rs"]
mod tests;
