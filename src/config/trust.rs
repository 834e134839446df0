//! Trust entries: whose identity tokens are accepted, and what must be in them. The judgement is in `identity`.

use super::{
    document::Secret,
    sections::section,
    trust_mapping::{ClaimPath, TenantRule, VarRule},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

section! {
    /// One issuer whose identity tokens sign players in; repeat the section for more. A preset knows a provider's shape, and says
    /// what it needs besides `audience.any_of` (docs/identity.md); what an entry says itself goes before its preset. Two entries
    /// may have the same issuer (say, for access and ID tokens) when their `token_type` looks for different values in the same
    /// place; their subjects are then the same people.
    TrustEntry {
        /// Short name of this entry, in metrics and, with `account_id = "prefixed"`, in account ids: 1 to 32 of a-z, 0-9, - and _.
        name: String = String::new(),
        /// A provider whose shape is known: "cognito-access", "cognito-id", "auth0", "keycloak", "firebase", "google", "apple",
        /// "entra", "okta", "oidc" (any other, by discovery), or "" to say everything here.
        preset: Preset = Preset::None,
        /// Cognito presets: the (primary) region of the user pool, such as "eu-west-1".
        region: String = String::new(),
        /// Cognito presets: further regions that the pool is replicated to; they issue under names of their own.
        replica_regions: Vec<String> = Vec::new(),
        /// Cognito presets: the user pool's id, such as "eu-west-1_AbCdEf123".
        user_pool_id: String = String::new(),
        /// Firebase preset: the project's id.
        project: String = String::new(),
        /// What takes the place of `{tenantid}` in `issuers`, for providers that issue under a name for each tenant (Entra ID:
        /// directory ids). Only these tenants are believed, and the claim `tid` must be the one in `iss`.
        tenants: Vec<String> = Vec::new(),
        /// Exact values of `iss`: the names of one provider, whose subjects are the same people. A token whose `iss` differs by
        /// one byte is not this entry's. Presets that know them: cognito, firebase, google, apple, entra.
        issuers: Vec<String> = Vec::new(),
        /// Where the issuer's keys are: { url = "https://..." }, "discovery" (what the issuer + "/.well-known/openid-configuration"
        /// says), { file = "keys.json" } or { inline = '{"keys":[...]}' }. "" as url: issuer + "/.well-known/jwks.json".
        jwks: KeySource = KeySource::default(),
        /// Signature algorithms to accept: "RS256", "ES256", "EdDSA".
        algorithms: Vec<Algorithm> = vec![Algorithm::RS256],
        /// Which claim names the client application ("aud", "client_id", "azp", "cid", or "any" to check none), and the values to accept.
        audience: Audience = Audience::default(),
        /// Values of `azp` to accept, beside `audience`: the applications that may ask for a token for that audience. Empty: not looked at.
        authorized_parties: Vec<String> = Vec::new(),
        /// What says which kind of token it is: { claim = "token_use", equals = "access" }, { header = "typ", equals = "at+jwt" } or { any = true }.
        token_type: TokenType = TokenType::default(),
        /// Seconds by which clocks may differ, 0 to 300.
        skew_sec: u64 = 60,
        /// Greatest age in seconds since `iat`; 0 asks for none.
        max_age_sec: u64 = 0,
        /// Greatest age in seconds since `auth_time`, when the player signed in at the provider; the claim must then be there, and
        /// be past. 0 asks for none.
        max_auth_age_sec: u64 = 0,
        /// Longest lifetime, `exp` less `iat`, in seconds that a token may have.
        max_lifetime_sec: u64 = 86_400,
        /// "required": the claim `nonce` must be one that POST /bridge/nonce handed out and that no token has brought back: a token
        /// that has signed in once is then worth nothing to a thief. "ignored" does not look at it.
        nonce: NonceRule = NonceRule::Ignored,
        /// The claim that names the player; of several, all are joined by ":". A name, or a path such as ["firebase", "user"].
        subject: Vec<ClaimPath> = vec![ClaimPath::from("sub")],
        /// The account's custom id: "sub" is the subject itself; "prefixed" is name:subject, with the name of the first entry of the
        /// same issuer. Several issuers need "prefixed" in every entry: bare subjects of two issuers could be one id.
        account_id: AccountId = AccountId::Sub,
        /// Claims that become session variables, named "idp." and the name here. For each, with what it is unless said:
        /// { claims = ["role", ["realm_access", "roles"]] (the first that is there counts; a list is a path into objects),
        /// type = "string" ("number", "bool", "list" joined by ",", "scope" joined by spaces), required = false, any_of = [] (a value
        /// to have, of lists at least one), keep = [] (members of a list to take; others are left out), max_bytes = 256,
        /// overflow = "refuse" ("omit": too long a value is left out, and idp.NAME_omitted is "true") }.
        vars: BTreeMap<String, VarRule> = BTreeMap::new(),
        /// The player's tenant: { claims = ["tenant_id"], any_of = ["acme"] } takes it from the first claim that is there, and refuses
        /// a token without one; { value = "acme" } is one tenant for all players of this entry. Without either there is none.
        tenant: TenantRule = TenantRule::default(),
        /// Claims to make a new player's username of, where the client wants none; the first that is there counts. Cleaned, and with
        /// a suffix where it is taken.
        username: Vec<ClaimPath> = Vec::new(),
        /// True: a session from this entry is refreshed only with a current identity token of the same player, sent as the variable
        /// `idp.token`; see docs/sessions.md.
        represent_at_refresh: bool = false,
        /// Log-out tokens of OIDC Back-Channel Logout at POST /bridge/backchannel-logout, for the clients of `audience.any_of`:
        /// "off"; "session" ends the sign-in that the token names by `sid` (the player's every session where it names none);
        /// "player" always ends every session of the player: right where identity tokens carry no `sid`.
        backchannel_logout: BackchannelLogout = BackchannelLogout::Off,
        /// Values of `aud` in security event tokens (OpenID Shared Signals) of this issuer to take at POST /bridge/events. Empty: none
        /// is taken.
        events_audience: Vec<String> = Vec::new(),
        /// What the Authorization header of such a delivery must be; "" looks at none.
        events_authorization: Secret = "".into(),
    }
}

/// Whose sessions a log-out token ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the variants are the configuration's words")]
pub enum BackchannelLogout {
    #[default]
    Off,
    Session,
    Player,
}

/// Where a trust entry's keys come from. Exactly one is set; an empty `url` means the issuer's own address.
///
/// `Discovery` asks the issuer's own configuration document, and believes it only if it names exactly that issuer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the variants are the configuration's words")]
pub enum KeySource {
    Url(String),
    Discovery,
    File(PathBuf),
    Inline(String),
}

impl Default for KeySource {
    fn default() -> Self {
        Self::Url(String::new())
    }
}

/// A provider whose claims are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the variants are the configuration's words")]
pub enum Preset {
    #[default]
    #[serde(rename = "")]
    None,
    #[serde(rename = "cognito-access")]
    CognitoAccess,
    #[serde(rename = "cognito-id")]
    CognitoId,
    #[serde(rename = "auth0")]
    Auth0,
    #[serde(rename = "keycloak")]
    Keycloak,
    #[serde(rename = "firebase")]
    Firebase,
    #[serde(rename = "google")]
    Google,
    #[serde(rename = "apple")]
    Apple,
    #[serde(rename = "entra")]
    Entra,
    #[serde(rename = "okta")]
    Okta,
    #[serde(rename = "oidc")]
    Oidc,
}

/// Whether a token must carry a nonce of this server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the variants are the configuration's words")]
pub enum NonceRule {
    #[default]
    Ignored,
    Required,
}

/// A signature algorithm (RFC 7518 section 3.1, RFC 8037). Symmetric ones cannot be configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the variants are the RFC's words")]
pub enum Algorithm {
    RS256,
    ES256,
    EdDSA,
}

/// Which claim names the client application, and which values are accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audience {
    /// The claim to look at.
    pub claim: AudienceClaim,
    /// The accepted values; one match is enough.
    pub any_of: Vec<String>,
}

/// The claim that names the client application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the variants are the claims' names")]
pub enum AudienceClaim {
    #[default]
    Aud,
    ClientId,
    Azp,
    Cid,
    /// Not checked: only by saying so.
    Any,
}

/// What says that a token is of the wanted kind (RFC 8725 section 3.11).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenType {
    /// A payload claim, such as `token_use`.
    pub claim: String,
    /// A header parameter, such as `typ`.
    pub header: String,
    /// The value that it must have.
    pub equals: String,
    /// True: every kind is accepted, by saying so.
    pub any: bool,
}

/// What becomes of a verified subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountId {
    /// The bare subject.
    #[default]
    Sub,
    /// `name:subject`, or `name:h:hash` where the subject cannot be part of a custom id.
    Prefixed,
}
