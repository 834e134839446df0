//! One provider that the sign-in page sends players to.

use super::{
    discovery::{Discovered, Endpoints, Source, judge_endpoint},
    transport::{Transport, TransportError},
};
use crate::{
    clock::Clock,
    config::{self, ConfigError, Secret},
};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet,
    ExtraTokenFields, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError, Scope,
    StandardErrorResponse, StandardRevocableToken, StandardTokenResponse, TokenResponse, TokenUrl,
    basic::{
        BasicErrorResponse, BasicErrorResponseType, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
        BasicTokenType,
    },
};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt, sync::Arc};

/// Why a provider gives no tokens. Says nothing of what was sent or received.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The provider knows the code or refresh token no more (`invalid_grant`): the sign-in is over.
    #[error("the provider refuses the grant")]
    InvalidGrant,
    /// The provider cannot be reached or understood, or refuses this server's configuration.
    #[error("the provider is of no help: {0}")]
    Unavailable(String),
}

/// What the provider gave for a code or a refresh token.
pub struct ProviderTokens {
    /// The ID token, not judged yet. Left out by some providers at refresh (OpenID Connect Core 1.0 section 12.2).
    pub id_token: Option<String>,
    /// The next refresh token, if it gives one.
    pub refresh_token: Option<Secret>,
}

/// What a sign-in asks the provider for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Where the provider sends the browser back to.
    pub redirect_uri: &'a str,
    /// `state`: what the answer must repeat.
    pub state: &'a str,
    /// `nonce`: what the ID token must repeat.
    pub nonce: &'a str,
    /// The PKCE verifier (RFC 7636 section 4.1), of which the provider is shown the challenge.
    pub verifier: &'a str,
}

/// A provider, and this server as its client.
pub struct LoginProvider {
    /// Name of the client in the configuration.
    pub name: String,
    /// Name of the trust entry that must judge its ID tokens.
    pub entry: String,
    /// `iss` of its ID tokens and of its answers.
    pub issuer: String,
    /// Whether sessions are renewed with its refresh tokens.
    pub renew: bool,
    /// `client_id`.
    pub client_id: String,
    secret: Secret,
    scopes: Vec<String>,
    require_iss: bool,
    source: Source,
    transport: Arc<Transport>,
}

impl LoginProvider {
    /// Every provider of the configuration; nothing is fetched yet.
    ///
    /// # Errors
    /// An address is neither https nor loopback; no TLS on this machine.
    pub fn all(
        config: &config::Login,
        clients: &[config::LoginClient],
        clock: &Clock,
    ) -> Result<Vec<Self>, ConfigError> {
        let https = clients.iter().any(|client| client.issuer.starts_with("https:"));
        let transport = Arc::new(Transport::new(config, https)?);
        clients.iter().enumerate().map(|(index, client)| Self::new(config, client, index, &transport, clock)).collect()
    }

    fn new(
        config: &config::Login,
        client: &config::LoginClient,
        index: usize,
        transport: &Arc<Transport>,
        clock: &Clock,
    ) -> Result<Self, ConfigError> {
        let endpoint = |key: &str, address: &str| {
            judge_endpoint(address, &client.issuer).ok_or_else(|| {
                ConfigError::new(
                    format!("login.client[{index}].{key}"),
                    "allowed is an https address, or one on loopback",
                )
            })
        };
        let fixed = !client.token_endpoint.is_empty();
        let source = if fixed {
            Source::Fixed(Endpoints {
                authorization: endpoint("authorization_endpoint", &client.authorization_endpoint)?,
                token: endpoint("token_endpoint", &client.token_endpoint)?,
                promises_iss: client.require_iss,
                secret_in_body: false,
            })
        } else {
            endpoint("issuer", &client.issuer)?;
            let refresh = config.discovery_refresh_sec;
            Source::Discovered(Discovered::new(&client.issuer, refresh, Arc::clone(transport), clock.clone()))
        };
        Ok(Self {
            name: client.name.clone(),
            entry: client.entry.clone(),
            issuer: client.issuer.clone(),
            renew: client.renew,
            client_id: client.client_id.clone(),
            secret: client.client_secret.clone(),
            scopes: client.scopes.clone(),
            require_iss: client.require_iss,
            source,
            transport: Arc::clone(transport),
        })
    }

    /// Where to send the browser (RFC 6749 section 4.1.1, RFC 7636 section 4.3).
    ///
    /// # Errors
    /// The endpoints cannot be found out.
    pub async fn authorization_url(&self, asked: Asked<'_>) -> Result<Url, ProviderError> {
        let client = self.client(&*self.endpoints().await?, asked.redirect_uri)?;
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(asked.verifier.to_owned()));
        let (url, _) = client
            .authorize_url(|| CsrfToken::new(asked.state.to_owned()))
            .add_scopes(self.scopes.iter().cloned().map(Scope::new))
            .add_extra_param("nonce", asked.nonce)
            .set_pkce_challenge(challenge)
            .url();
        Ok(url)
    }

    /// Whether the provider's answer must name its issuer (RFC 9207).
    ///
    /// # Errors
    /// As [`LoginProvider::authorization_url`].
    pub async fn must_name_issuer(&self) -> Result<bool, ProviderError> {
        Ok(self.require_iss || self.endpoints().await?.promises_iss)
    }

    /// Exchanges a code (RFC 6749 section 4.1.3).
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn exchange(
        &self,
        code: &str,
        redirect_uri: &str,
        verifier: &str,
    ) -> Result<ProviderTokens, ProviderError> {
        let client = self.client(&*self.endpoints().await?, redirect_uri)?;
        let request = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.to_owned()));
        let answer = request.request_async(&*self.transport).await;
        answer.map(|response| tokens(&response)).map_err(|error| self.refused(error))
    }

    /// Exchanges a refresh token (RFC 6749 section 6).
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn refresh(&self, token: &Secret) -> Result<ProviderTokens, ProviderError> {
        let endpoints = self.endpoints().await?;
        let client = self.client(&endpoints, &self.issuer)?;
        let token = RefreshToken::new(token.expose().to_owned());
        let request = client.exchange_refresh_token(&token);
        let answer = request.request_async(&*self.transport).await;
        answer.map(|response| tokens(&response)).map_err(|error| self.refused(error))
    }

    async fn endpoints(&self) -> Result<Cow<'_, Endpoints>, ProviderError> {
        match &self.source {
            Source::Fixed(endpoints) => Ok(Cow::Borrowed(endpoints)),
            Source::Discovered(discovered) => discovered.endpoints().await.map(Cow::Owned).map_err(|error| {
                tracing::warn!(client = self.name, %error, "the provider's discovery document cannot be used");
                ProviderError::Unavailable(format!("discovery: {error}"))
            }),
        }
    }

    fn client(&self, endpoints: &Endpoints, redirect_uri: &str) -> Result<ConfiguredClient, ProviderError> {
        let redirect_uri = RedirectUrl::new(redirect_uri.to_owned())
            .map_err(|_| ProviderError::Unavailable("redirect_uri is no address".to_owned()))?;
        let client = Client::new(ClientId::new(self.client_id.clone()))
            .set_auth_uri(AuthUrl::from_url(endpoints.authorization.clone()))
            .set_token_uri(TokenUrl::from_url(endpoints.token.clone()))
            .set_redirect_uri(redirect_uri);
        if self.secret.expose().is_empty() {
            return Ok(client);
        }
        let in_body = endpoints.secret_in_body;
        let auth_type = if in_body { AuthType::RequestBody } else { AuthType::BasicAuth };
        Ok(client.set_client_secret(ClientSecret::new(self.secret.expose().to_owned())).set_auth_type(auth_type))
    }

    /// Of what the provider said, only the names of RFC 6749 section 5.2 go on: its own texts and bodies stay out of logs.
    fn refused(&self, error: RequestTokenError<TransportError, BasicErrorResponse>) -> ProviderError {
        let why = match error {
            RequestTokenError::ServerResponse(said) => match said.error() {
                BasicErrorResponseType::InvalidGrant => return ProviderError::InvalidGrant,
                BasicErrorResponseType::Extension(_) => "an error of its own".to_owned(),
                known => known.as_ref().to_owned(),
            },
            RequestTokenError::Request(error) => error.to_string(),
            RequestTokenError::Parse(..) => "an answer that is no token response".to_owned(),
            RequestTokenError::Other(_) => "an answer that is no JSON".to_owned(),
        };
        tracing::warn!(client = self.name, why, "the provider's token endpoint gives no tokens");
        ProviderError::Unavailable(why)
    }
}

fn tokens(response: &StandardTokenResponse<IdToken, BasicTokenType>) -> ProviderTokens {
    ProviderTokens {
        refresh_token: response.refresh_token().map(|token| Secret::from(token.secret().as_str())),
        id_token: response.extra_fields().id_token.clone(),
    }
}

/// What OpenID Connect adds to a token response.
#[derive(Deserialize, Serialize)]
struct IdToken {
    id_token: Option<String>,
}

impl ExtraTokenFields for IdToken {}

impl fmt::Debug for IdToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdToken")
    }
}

type ConfiguredClient = Client<
    StandardErrorResponse<BasicErrorResponseType>,
    StandardTokenResponse<IdToken, BasicTokenType>,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

impl fmt::Debug for LoginProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginProvider").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for ProviderTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProviderTokens")
    }
}
