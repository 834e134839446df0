//! Match tokens: claims `mid` and `exp`, no `uid`, signed with the session key (spec/realtime-core.md 8.3). With tenancy also `ten`,
//! the tenant's key: they are good for its players alone.

use super::claims::{Text, TokenRefusal, write_text};
use crate::identity::{ScopeKey, Tenant};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use std::{fmt, fmt::Write as _};
use uuid::Uuid;

/// Seconds that a match token is good for.
const LIFETIME: i64 = 30;

/// The match that a token leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchToken {
    /// The match.
    pub match_id: Uuid,
    /// The node that runs it; empty for relayed matches.
    pub node: String,
}

pub(super) fn to_json(match_id: &str, tenant: Tenant, now: i64) -> String {
    let mut json = format!("{{\"exp\":{},\"mid\":", now.saturating_add(LIFETIME));
    write_text(&mut json, match_id);
    if let Some(tenant) = tenant.key() {
        let _ = write!(json, ",\"ten\":\"{tenant}\"");
    }
    json.push('}');
    json
}

pub(super) fn read(payload: &[u8], tenant: Tenant, now: i64) -> Result<MatchToken, TokenRefusal> {
    let raw: Payload<'_> = serde_json::from_slice(payload).map_err(|_| TokenRefusal::Claims)?;
    let of_tenant = match &raw.tenant {
        Some(text) => Some(ScopeKey::parse(&text.0).ok_or(TokenRefusal::Claims)?),
        None => None,
    };
    if raw.is_session_token || of_tenant != tenant.key() {
        return Err(TokenRefusal::Claims);
    }
    if raw.expires.is_some_and(|exp| now >= exp) {
        return Err(TokenRefusal::Expired);
    }
    // Ours have no `nbf`; one that says so is not good before then, as with Nakama.
    if raw.not_before.is_some_and(|nbf| now < nbf) {
        return Err(TokenRefusal::Claims);
    }
    let mid = raw.match_id.ok_or(TokenRefusal::Claims)?.0;
    let (match_id, node) = mid.split_once('.').ok_or(TokenRefusal::Claims)?;
    let match_id = Uuid::try_parse(match_id).map_err(|_| TokenRefusal::Claims)?;
    Ok(MatchToken { match_id, node: node.to_owned() })
}

#[derive(Default)]
struct Payload<'a> {
    match_id: Option<Text<'a>>,
    tenant: Option<Text<'a>>,
    expires: Option<i64>,
    not_before: Option<i64>,
    is_session_token: bool,
}

impl<'de> Deserialize<'de> for Payload<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PayloadVisitor)
    }
}

struct PayloadVisitor;

impl<'de> Visitor<'de> for PayloadVisitor {
    type Value = Payload<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of claims")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut payload = Payload::default();
        while let Some(Text(name)) = members.next_key::<Text<'de>>()? {
            match &*name {
                "mid" => payload.match_id = Some(members.next_value()?),
                "ten" => payload.tenant = Some(members.next_value()?),
                "exp" => payload.expires = Some(members.next_value()?),
                "nbf" => payload.not_before = Some(members.next_value()?),
                other => {
                    payload.is_session_token |= other.eq_ignore_ascii_case("uid");
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(payload)
    }
}
