//! The walls between tenants where accounts are concerned: who may sign in, and whom a lookup finds. Streams have theirs in their
//! key ([`crate::realtime::StreamKey`]), session tokens in their judgement. docs/tenants.md is the whole of it.

use super::Services;
use crate::{
    error::Error,
    hooks::{AuthenticateRequest, Method},
    identity::Tenant,
    store::StoreError,
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

/// Whether an account is one of `tenant`. An account from before tenancy was switched on becomes one of the first tenant that its
/// identity token names.
///
/// # Errors
/// 403 for an account of another tenant.
pub(super) async fn admit(services: &Services, user_id: Uuid, tenant: Tenant) -> Result<(), Error> {
    let Some(key) = tenant.key() else { return Ok(()) };
    let failed = |error: StoreError| error.into_error(LOOKUP_FAILED);
    let bound = match services.store.tenant_of(user_id).map_err(failed)? {
        Some(bound) => bound,
        None => services.store.bind_tenant(user_id, key.to_u128()).await.map_err(failed)?,
    };
    match bound == key.to_u128() {
        true => Ok(()),
        false => Err(Error::permission_denied("User account belongs to another tenant.")),
    }
}

/// Those of `all` whose users, which `user_of` names, somebody of `tenant` may know of.
///
/// # Errors
/// When the store cannot be read.
pub(super) fn visible<T>(
    services: &Services,
    tenant: Tenant,
    mut all: Vec<T>,
    user_of: impl Fn(&T) -> Uuid,
) -> Result<Vec<T>, Error> {
    let mut failure = None;
    all.retain(|one| match is_visible(services, tenant, user_of(one)) {
        Ok(is_visible) => is_visible,
        Err(error) => {
            failure = Some(error);
            false
        }
    });
    failure.map_or(Ok(all), Err)
}

/// Whether somebody of `tenant` may know of a user.
///
/// # Errors
/// When the store cannot be read.
pub(super) fn is_visible(services: &Services, tenant: Tenant, user_id: Uuid) -> Result<bool, Error> {
    let Some(key) = tenant.key() else { return Ok(true) };
    let bound = services.store.tenant_of(user_id);
    let bound = bound.map_err(|error| error.into_error("Error retrieving user accounts."))?;
    Ok(bound == Some(key.to_u128()))
}
