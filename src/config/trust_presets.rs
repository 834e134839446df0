//! What is known of providers, so that an entry need not say it. Each preset is written out into the entry before anything judges
//! it; what the entry says itself stays.

use super::{
    load::ConfigError,
    trust::{Audience, AudienceClaim, KeySource, Preset, TokenType, TrustEntry},
    trust_mapping::{ClaimPath, at_entry},
};

/// The placeholder of Entra's issuer names.
pub const TENANT_PLACEHOLDER: &str = "{tenantid}";
/// Firebase: `auth_time` must be there and past, however long ago. Ten years.
const ANY_AUTH_AGE_SEC: u64 = 10 * 365 * 86_400;

/// One exact issuer name of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExactIssuer {
    /// `iss`.
    pub name: String,
    /// What the claim `tid` must be, where the name was made of a template.
    pub tenant: Option<String>,
}

impl TrustEntry {
    /// The entry with what its preset knows written out. What the entry says itself stays, except that a Cognito access token
    /// names its client in `client_id` only.
    #[must_use]
    pub fn with_preset(&self) -> Self {
        let mut entry = self.clone();
        match self.preset {
            Preset::None => {}
            Preset::CognitoAccess => entry.cognito(AudienceClaim::ClientId, "access"),
            Preset::CognitoId => entry.cognito(AudienceClaim::Aud, "id"),
            Preset::Auth0 => entry.kinds_told_apart_by_audience(),
            Preset::Keycloak => entry.keycloak(),
            Preset::Firebase => entry.firebase(),
            Preset::Google => entry.google(),
            Preset::Apple => entry.apple(),
            Preset::Entra => entry.entra(),
            Preset::Okta => entry.okta(),
            Preset::Oidc => entry.oidc(),
        }
        entry
    }

    /// Every value of `iss` that is this entry's, its templates filled in.
    pub fn exact_issuers(&self) -> Vec<ExactIssuer> {
        let of_name = |name: &String| match name.contains(TENANT_PLACEHOLDER) {
            false => vec![ExactIssuer { name: name.clone(), tenant: None }],
            true => self
                .tenants
                .iter()
                .map(|tenant| ExactIssuer {
                    name: name.replace(TENANT_PLACEHOLDER, tenant),
                    tenant: Some(tenant.clone()),
                })
                .collect(),
        };
        self.issuers.iter().flat_map(of_name).collect()
    }

    /// Source: Cognito developer guide, "Verifying a JSON web token" (claims); `IssuerConfigurationType` (the two issuers).
    fn cognito(&mut self, client_claim: AudienceClaim, token_use: &str) {
        if self.issuers.is_empty() {
            self.issuers = cognito_issuers(&self.region, &self.replica_regions, &self.user_pool_id);
        }
        if self.audience.claim != AudienceClaim::Any {
            self.audience.claim = client_claim;
        }
        self.kind(TokenType { claim: "token_use".into(), equals: token_use.into(), ..TokenType::default() });
    }

    /// Access tokens: `azp` is the client, `aud` the services that it may call. The payload's `typ` tells the kinds apart;
    /// refresh tokens are signed tokens, too.
    ///
    /// Source: Keycloak server administration guide, "Token types" and "Audience support".
    fn keycloak(&mut self) {
        self.keys_below("/protocol/openid-connect/certs");
        self.client_in(AudienceClaim::Azp);
        self.kind(TokenType { claim: "typ".into(), equals: "Bearer".into(), ..TokenType::default() });
    }

    /// Source: Firebase documentation, "Verify ID tokens using a third-party JWT library".
    fn firebase(&mut self) {
        self.issued_by(&[&format!("https://securetoken.google.com/{}", self.project)]);
        self.keys_at("https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com");
        if self.audience == Audience::default() && !self.project.is_empty() {
            self.audience.any_of = vec![self.project.clone()];
        }
        if self.max_auth_age_sec == 0 {
            self.max_auth_age_sec = ANY_AUTH_AGE_SEC;
        }
        self.kinds_told_apart_by_audience();
    }

    /// Both spellings of the issuer are in use.
    ///
    /// Source: Google Identity documentation, "Verify the Google ID token on your server side".
    fn google(&mut self) {
        self.issued_by(&["https://accounts.google.com", "accounts.google.com"]);
        self.keys_at("https://www.googleapis.com/oauth2/v3/certs");
        self.kinds_told_apart_by_audience();
    }

    /// Source: Apple developer documentation, "Verifying a user" (Sign in with Apple REST API).
    fn apple(&mut self) {
        self.issued_by(&["https://appleid.apple.com"]);
        self.keys_at("https://appleid.apple.com/auth/keys");
        self.kinds_told_apart_by_audience();
    }

    /// Tokens of version 2. `sub` is another for each application, so the player is (`tid`, `oid`).
    ///
    /// Source: Microsoft identity platform, "Access token claims reference" and "Secure applications and APIs by validating claims".
    fn entra(&mut self) {
        self.issued_by(&["https://login.microsoftonline.com/{tenantid}/v2.0"]);
        self.keys_at("https://login.microsoftonline.com/common/discovery/v2.0/keys");
        self.kind(TokenType { claim: "ver".into(), equals: "2.0".into(), ..TokenType::default() });
        if self.subject == Self::default().subject {
            self.subject = vec![ClaimPath::from("tid"), ClaimPath::from("oid")];
        }
    }

    /// Access tokens of a custom authorization server: `cid` is the client, and is in no other kind of token. `sub` is the login,
    /// which may change and be given to another; `uid` stays.
    ///
    /// Source: Okta developer documentation, "OpenID Connect & OAuth 2.0 API", "Access token".
    fn okta(&mut self) {
        self.keys_below("/v1/keys");
        self.client_in(AudienceClaim::Cid);
        self.kinds_told_apart_by_audience();
        if self.subject == Self::default().subject {
            self.subject = vec![ClaimPath::from("uid")];
        }
    }

    /// ID tokens of any provider (OpenID Connect Discovery 1.0 section 4).
    fn oidc(&mut self) {
        if self.jwks == KeySource::default() {
            self.jwks = KeySource::Discovery;
        }
        self.kinds_told_apart_by_audience();
    }

    fn issued_by(&mut self, issuers: &[&str]) {
        if self.issuers.is_empty() {
            self.issuers = issuers.iter().map(|&issuer| issuer.to_owned()).collect();
        }
    }

    fn keys_at(&mut self, url: &str) {
        if self.jwks == KeySource::default() {
            self.jwks = KeySource::Url(url.to_owned());
        }
    }

    /// The keys of the one issuer, below its name.
    fn keys_below(&mut self, path: &str) {
        if let [issuer] = self.issuers.as_slice() {
            self.keys_at(&format!("{}{path}", issuer.trim_end_matches('/')));
        }
    }

    fn client_in(&mut self, claim: AudienceClaim) {
        if self.audience.claim == AudienceClaim::default() {
            self.audience.claim = claim;
        }
    }

    fn kind(&mut self, kind: TokenType) {
        if self.token_type == TokenType::default() {
            self.token_type = kind;
        }
    }

    /// The provider has no claim for the kind: another kind of token is for another audience, or names it in another claim.
    fn kinds_told_apart_by_audience(&mut self) {
        self.kind(TokenType { any: true, ..TokenType::default() });
    }
}

/// The names under which a user pool may issue: the one before 2026, in each of its regions, and the one since, which is that of
/// the primary region everywhere.
fn cognito_issuers(region: &str, replicas: &[String], pool: &str) -> Vec<String> {
    let domain = |region: &str| if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    let before = |region: &str| format!("https://cognito-idp.{region}.{}/{pool}", domain(region));
    let since = format!("https://issuer-cognito-idp.{region}.{}/{pool}", domain(region));
    [before(region), since].into_iter().chain(replicas.iter().map(|region| before(region))).collect()
}

/// Judges whether an entry says what its preset needs.
pub(super) fn judge_preset(entry: &TrustEntry, index: usize) -> Result<(), ConfigError> {
    let hold =
        |holds: bool, key: &str, allowed| if holds { Ok(()) } else { Err(at_entry(index, (key.to_owned(), allowed))) };
    let named = !entry.issuers.is_empty();
    match entry.preset {
        Preset::None | Preset::Google | Preset::Apple => Ok(()),
        Preset::CognitoAccess | Preset::CognitoId => {
            hold(named || is_region(&entry.region), "region", "the user pool's region, such as \"eu-west-1\"")?;
            hold(
                entry.replica_regions.iter().all(|region| is_region(region)),
                "replica_regions",
                "regions, such as \"us-east-1\"",
            )?;
            let pool = entry.user_pool_id.strip_prefix(&entry.region).and_then(|rest| rest.strip_prefix('_'));
            let pool = pool.is_some_and(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric()));
            hold(named || pool, "user_pool_id", "the region, _ and letters or digits, such as \"eu-west-1_AbCdEf123\"")
        }
        Preset::Auth0 => hold(
            named && entry.issuers.iter().all(|issuer| issuer.ends_with('/')),
            "issuers",
            "the tenant's address with the slash at its end, such as \"https://example.eu.auth0.com/\"",
        ),
        Preset::Keycloak => hold(
            entry.issuers.len() == 1 && !entry.issuers[0].ends_with('/'),
            "issuers",
            "the one realm's address, such as \"https://sso.example.com/realms/game\"",
        ),
        Preset::Okta => hold(
            entry.issuers.len() == 1 && entry.issuers[0].contains("/oauth2/"),
            "issuers",
            "one custom authorization server, such as \"https://example.okta.com/oauth2/default\": tokens of the others cannot be verified",
        ),
        Preset::Oidc => hold(entry.issuers.len() == 1, "issuers", "the one issuer to discover"),
        Preset::Firebase => {
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-:.".contains(&b);
            let project = !entry.project.is_empty() && entry.project.bytes().all(plain);
            hold(named || project, "project", "the project's id, such as \"my-game-1a2b3\"")
        }
        Preset::Entra => hold(
            !entry.tenants.is_empty() && entry.tenants.iter().all(|tenant| is_directory_id(tenant)),
            "tenants",
            "at least one directory id in lower case, such as \"8eaef023-2b34-4da1-9baa-8bc8c9d6a490\": whose players are let in",
        ),
    }
}

fn is_region(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// A UUID as `iss` has it. Not "common" or "organizations", which stand for everybody.
fn is_directory_id(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok() && text == text.to_ascii_lowercase()
}
