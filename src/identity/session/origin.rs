//! Where a session came from: the claim `idn` of sessions that an identity token opened. Others have none, and exactly Nakama's
//! claims.

use super::claims::write_text;
use crate::identity::{ScopeKey, ScopeKind};
use serde::Deserialize;
use std::{fmt::Write as _, sync::Arc};

/// The identity token behind a session, as far as the session must remember it. It stays the same over a refresh chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The name of the trust entry.
    pub entry: Arc<str>,
    /// The issuer, as [`crate::identity::ScopeKind::Issuer`].
    pub issuer: ScopeKey,
    /// The sign-in at the issuer, if it names one.
    pub family: Option<ScopeKey>,
    /// The player as the issuer's events name one, [`ScopeKey::subject`], where the account is made of another claim than `sub`: no
    /// account is found by it then.
    pub player: Option<ScopeKey>,
    /// The tenant, where the entry names one.
    pub tenant: Option<Arc<str>>,
    /// When the player proved who it is, in seconds since 1970: `auth_time`, else `iat`, else when the token was presented.
    pub proven_unix: i64,
    /// The version of the mapping that made the variables.
    pub mapping_version: u32,
}

impl Origin {
    /// The groups that the session belongs to: the end of any ends it.
    pub fn scopes(&self) -> impl Iterator<Item = ScopeKey> {
        let tenant = self.tenant.as_deref().map(|tenant| ScopeKey::new(ScopeKind::Tenant, tenant));
        [Some(self.issuer), self.family, self.player, tenant].into_iter().flatten()
    }

    pub(super) fn write_json(&self, json: &mut String) {
        json.push_str("{\"ent\":");
        write_text(json, &self.entry);
        let _ = write!(json, ",\"iss\":\"{}\"", self.issuer);
        if let Some(family) = self.family {
            let _ = write!(json, ",\"fam\":\"{family}\"");
        }
        if let Some(player) = self.player {
            let _ = write!(json, ",\"sub\":\"{player}\"");
        }
        if let Some(tenant) = &self.tenant {
            json.push_str(",\"ten\":");
            write_text(json, tenant);
        }
        let _ = write!(json, ",\"at\":{},\"ver\":{}}}", self.proven_unix, self.mapping_version);
    }
}

/// The claim as it stands in a token.
#[derive(Deserialize)]
pub(super) struct Written {
    ent: String,
    iss: String,
    fam: Option<String>,
    sub: Option<String>,
    ten: Option<String>,
    at: i64,
    ver: u32,
}

impl Written {
    /// `None` where a key is none: such a token is not ours.
    pub(super) fn read(self) -> Option<Origin> {
        let key = |text: Option<String>| match text {
            Some(text) => ScopeKey::parse(&text).map(Some),
            None => Some(None),
        };
        Some(Origin {
            entry: self.ent.into(),
            issuer: ScopeKey::parse(&self.iss)?,
            family: key(self.fam)?,
            player: key(self.sub)?,
            tenant: self.ten.map(Into::into),
            proven_unix: self.at,
            mapping_version: self.ver,
        })
    }
}
