//! The walls between tenants where accounts are concerned: who may sign in, and whom a lookup finds. Streams have theirs in their
//! key ([`crate::realtime::StreamKey`]), session tokens in their judgement. docs/tenants.md is the whole of it.

use super::Services;
use crate::{
    error::Error,
    hooks::{AuthenticateRequest, Method},
    identity::{Tenant, VerifiedIdentity},
    store::User,
};
use uuid::Uuid;

const LOOKUP_FAILED: &str = "Error finding user account.";

/// Whether a way to sign in can prove a tenant at all. Asked before anything is done for the request.
///
/// # Errors
/// 403 for every method but the custom id, with tenancy on.
pub(super) fn judge_method(services: &Services, method: Method) -> Result<(), Error> {
    match services.config.tenancy.enabled && method != Method::Custom {
        true => Err(Error::permission_denied("With tenants, only an identity token signs in.")),
        false => Ok(()),
    }
}

/// The tenant that a request proves, after its hooks; [`Tenant::NONE`] without tenancy.
///
/// # Errors
/// 403 when it proves none, with tenancy on.
pub(super) fn of_request(services: &Services, request: &AuthenticateRequest) -> Result<Tenant, Error> {
    if !services.config.tenancy.enabled {
        return Ok(Tenant::NONE);
    }
    judge_method(services, request.method)?;
    let named = request.identity.as_ref().and_then(|identity| identity.tenant.as_deref());
    named.map(Tenant::named).ok_or_else(|| Error::permission_denied("The identity token names no tenant."))
}

/// Whether an identity token that comes with a refresh names the tenant of its session.
///
/// # Errors
/// 403 when it names another or none, with tenancy on.
pub(super) fn stays(services: &Services, tenant: Tenant, identity: &VerifiedIdentity) -> Result<(), Error> {
    let named = identity.tenant.as_deref().map_or(Tenant::NONE, Tenant::named);
    match services.config.tenancy.enabled && named != tenant {
        true => Err(Error::permission_denied("The identity token names another tenant than the session's.")),
        false => Ok(()),
    }
}

/// Whether an account is one of `tenant`. An account from before tenancy was switched on becomes one of the first tenant that its
/// identity token names.
///
/// # Errors
/// 403 for an account of another tenant.
pub(super) async fn admit(services: &Services, user_id: Uuid, tenant: Tenant) -> Result<(), Error> {
    let Some(key) = tenant.key() else { return Ok(()) };
    let failed = |error: crate::store::StoreError| error.into_error(LOOKUP_FAILED);
    let bound = match services.store.tenant_of(user_id).map_err(failed)? {
        Some(bound) => bound,
        None => services.store.bind_tenant(user_id, key.to_u128()).await.map_err(failed)?,
    };
    match bound == key.to_u128() {
        true => Ok(()),
        false => Err(Error::permission_denied("User account belongs to another tenant.")),
    }
}

/// Those of `users` whom somebody of `tenant` may know of.
///
/// # Errors
/// When the store cannot be read.
pub(super) fn visible(services: &Services, tenant: Tenant, mut users: Vec<User>) -> Result<Vec<User>, Error> {
    let Some(key) = tenant.key() else { return Ok(users) };
    let mut failure = None;
    users.retain(|user| match services.store.tenant_of(user.id) {
        Ok(bound) => bound == Some(key.to_u128()),
        Err(error) => {
            failure = Some(error);
            false
        }
    });
    failure.map_or(Ok(users), |error| Err(error.into_error("Error retrieving user accounts.")))
}
