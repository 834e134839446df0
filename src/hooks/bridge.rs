//! The identity bridge: a custom id must be an identity token, and becomes the account id that the token proves.

use super::{AuthenticateRequest, BeforeAuthenticate, HookContext, Method, Operation};
use crate::{error::Error, identity::Verifier};
use async_trait::async_trait;
use std::sync::Arc;

/// Stands before everything that names a custom id. While nobody is trusted, custom ids are plain texts and pass.
pub struct Bridge {
    verifier: Arc<Verifier>,
}

impl Bridge {
    /// A bridge that believes `verifier`.
    pub fn new(verifier: Arc<Verifier>) -> Self {
        Self { verifier }
    }
}

#[async_trait]
impl BeforeAuthenticate for Bridge {
    fn name(&self) -> &str {
        "bridge"
    }

    async fn before(
        &self,
        _context: &HookContext,
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
            None => Arc::new(self.verifier.verify(&request.id).await?),
        };
        request.id.clone_from(&identity.account_id);
        request.vars.extend(identity.vars.clone());
        request.identity = Some(identity);
        Ok(request)
    }
}
