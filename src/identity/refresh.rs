//! What trust entries say of refreshing the sessions that they opened.

use super::{Verifier, scope::ScopeKey, scope::ScopeKind, session::Origin, trust::Entry};

/// What a refresh of a bridged session needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshRule {
    /// The refresh token; an identity token renews what the session says of its player.
    TokenAlone,
    /// A current identity token beside it.
    Represent,
}

impl Verifier {
    /// The rule for sessions of this origin; `None` when nobody trusts its issuer any more. An entry that was renamed is known by
    /// the issuer; of several that have it, the strictest counts.
    pub fn refresh_rule(&self, origin: &Origin) -> Option<RefreshRule> {
        let mut trusting = self.entries.iter().filter(|entry| entry.has_issuer(origin.issuer)).peekable();
        trusting.peek()?;
        let (named, others): (Vec<_>, Vec<_>) = trusting.partition(|entry| entry.name == origin.entry);
        let judging = if named.is_empty() { others } else { named };
        match judging.iter().any(|entry| entry.represent_at_refresh) {
            true => Some(RefreshRule::Represent),
            false => Some(RefreshRule::TokenAlone),
        }
    }
}

impl Entry {
    fn has_issuer(&self, issuer: ScopeKey) -> bool {
        self.issuers.iter().any(|known| ScopeKey::new(ScopeKind::Issuer, &known.name) == issuer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        config::{Audience, AudienceClaim, Identity, KeySource, TokenType, TrustEntry},
        identity::Metrics,
    };

    const KEYS: &str =
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    fn entry(name: &str, kind: &str, represent_at_refresh: bool) -> TrustEntry {
        TrustEntry {
            name: name.into(),
            issuers: vec!["https://id.example".into()],
            jwks: KeySource::Inline(KEYS.into()),
            audience: Audience { claim: AudienceClaim::Aud, any_of: vec!["game".into()] },
            token_type: TokenType { claim: "use".into(), equals: kind.into(), ..Default::default() },
            represent_at_refresh,
            ..Default::default()
        }
    }

    fn origin(entry: &str, issuer: &str) -> Origin {
        Origin {
            entry: entry.into(),
            issuer: ScopeKey::new(ScopeKind::Issuer, issuer),
            family: None,
            player: None,
            tenant: None,
            proven_unix: 0,
            mapping_version: 0,
        }
    }

    #[tokio::test]
    async fn the_entry_that_opened_a_session_says_how_it_is_refreshed() {
        let trust = vec![entry("access", "access", false), entry("id", "id", true)];
        let config = Identity { trust, ..Default::default() };
        let verifier = Verifier::new(&config, &[], Clock::manual(0), Metrics::default()).expect("both entries fit");
        let rule = |entry, issuer| verifier.refresh_rule(&origin(entry, issuer));
        assert_eq!(rule("access", "https://id.example"), Some(RefreshRule::TokenAlone));
        assert_eq!(rule("id", "https://id.example"), Some(RefreshRule::Represent));
        assert_eq!(rule("renamed", "https://id.example"), Some(RefreshRule::Represent), "the strictest");
        assert_eq!(rule("access", "https://other.example"), None, "no longer trusted");
    }
}
