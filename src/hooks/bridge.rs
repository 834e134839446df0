//! The identity bridge: a custom id must be an identity token, and becomes the account id that the token proves.

use super::{AuthenticateRequest, BeforeAuthenticate, HookContext, Method, Operation};
use crate::{
    audit::{Audit, Event},
    error::Error,
    identity::{Refusal, VerifiedIdentity, Verifier},
};
use async_trait::async_trait;
use std::sync::Arc;

/// Stands before everything that names a custom id. While nobody is trusted, custom ids are plain texts and pass.
pub struct Bridge {
    verifier: Arc<Verifier>,
    audit: Audit,
}

impl Bridge {
    /// A bridge that believes `verifier`, and writes down what it refuses.
    pub fn new(verifier: Arc<Verifier>, audit: Audit) -> Self {
        Self { verifier, audit }
    }

    async fn verify(&self, context: &HookContext, token: &str) -> Result<VerifiedIdentity, Refusal> {
        let verified = self.verifier.verify(token).await;
        if let Err(refusal) = &verified {
            let (entry, step) = (refusal.entry.clone(), refusal.step().as_str());
            self.audit.record(Event::IdentityRefused { entry, step, address: context.client_address });
        }
        verified
    }
}

#[async_trait]
impl BeforeAuthenticate for Bridge {
    fn name(&self) -> &str {
        "bridge"
    }

    async fn before(
        &self,
        context: &HookContext,
        mut request: AuthenticateRequest,
    ) -> Result<AuthenticateRequest, Error> {
        // Unlinking "whatever is there" names nobody, so there is nothing to prove.
        let names_nobody = request.operation == Operation::Unlink && request.id.is_empty();
        if request.method != Method::Custom || names_nobody || !self.verifier.trusts_anybody() {
            return Ok(request);
        }
        // Proved already: by the sign-in page, or by a token exchange.
        let identity = match request.identity.take() {
            Some(identity) => identity,
            None => Arc::new(self.verify(context, &request.id).await?),
        };
        request.id.clone_from(&identity.account_id);
        request.vars.extend(identity.vars.clone());
        request.identity = Some(identity);
        Ok(request)
    }
}
