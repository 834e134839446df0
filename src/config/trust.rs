//! Trust entries: whose identity tokens are accepted, and what must be in them. The judgement is in `identity`.

use super::{document::Secret, sections::section};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

section! {
    /// One issuer whose identity tokens sign players in; repeat the section for more. With a Cognito preset, `region`,
    /// `user_pool_id` and `audience.any_of` are enough. Two entries may have the same issuer (say, for access and ID tokens) when
    /// their `token_type` looks for different values in the same place; their subjects are then the same people.
    TrustEntry {
        /// Short name of this entry, in metrics and, with `account_id = "prefixed"`, in account ids: 1 to 32 of a-z, 0-9, - and _.
        name: String = String::new(),
        /// A provider whose shape is known: "cognito-access", "cognito-id", or "" to say everything here.
        preset: Preset = Preset::None,
        /// Cognito preset: the region of the user pool, such as "eu-west-1".
        region: String = String::new(),
        /// Cognito preset: the user pool's id, such as "eu-west-1_AbCdEf123".
        user_pool_id: String = String::new(),
        /// Exact values of `iss`: the names of one provider, whose subjects are the same people. A token whose `iss` differs by
        /// one byte is not this entry's. Empty with a Cognito preset: the pool's two names.
        issuers: Vec<String> = Vec::new(),
        /// Where the issuer's keys are: { url = "https://..." }, { file = "keys.json" } or { inline = '{"keys":[...]}' }. "" as url: issuer + "/.well-known/jwks.json".
        jwks: KeySource = KeySource::default(),
        /// Signature algorithms to accept: "RS256", "ES256", "EdDSA".
        algorithms: Vec<Algorithm> = vec![Algorithm::RS256],
        /// Which claim names the client application ("aud", "client_id", "azp", or "any" to check none), and the values to accept.
        audience: Audience = Audience::default(),
        /// What says which kind of token it is: { claim = "token_use", equals = "access" }, { header = "typ", equals = "at+jwt" } or { any = true }.
        token_type: TokenType = TokenType::default(),
        /// Seconds by which clocks may differ, 0 to 300.
        skew_sec: u64 = 60,
        /// Greatest age in seconds since `iat`; 0 asks for none.
        max_age_sec: u64 = 0,
        /// Longest lifetime, `exp` less `iat`, in seconds that a token may have.
        max_lifetime_sec: u64 = 86_400,
        /// The account's custom id: "sub" is the subject itself; "prefixed" is name:subject, with the name of the first entry of the
        /// same issuer. Several issuers need "prefixed" in every entry: bare subjects of two issuers could be one id.
        account_id: AccountId = AccountId::Sub,
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the variants are the configuration's words")]
pub enum KeySource {
    Url(String),
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
