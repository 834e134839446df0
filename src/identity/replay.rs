//! The refusal of a token that was used before. Whether it was, the sign-in finds out, since it takes the store.

use super::{Reason, Refusal, VerifiedIdentity, Verifier};
use std::sync::Arc;

impl Verifier {
    /// Counts and notes that `identity`, though verified, is refused: its token was used before.
    pub fn refuse_replay(&self, identity: &VerifiedIdentity) -> Refusal {
        let refusal = Refusal {
            reason: Reason::Replayed,
            entry: Some(Arc::clone(&identity.entry)),
            issuer: Some(Arc::clone(&identity.issuer)),
        };
        self.metrics().refused(&refusal);
        tracing::debug!(step = "replay", entry = &*identity.entry, reason = %refusal, "identity token refused");
        refusal
    }
}
