//! Who the players are: the bodies that they sign in with, made before anything is measured.

use crate::{
    args::{IdentityOptions, TokenUse},
    http::HttpConnection,
    keys::SigningKey,
    target::{Base, Target},
};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http_body_util::Full;
use hyper::{Request, StatusCode, Uri, header};
use serde_json::json;
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};
use uuid::Uuid;

/// Where the custom ids of players come from.
#[derive(Debug)]
pub enum Identities {
    /// `PREFIX-NUMBER`.
    Plain {
        /// Tells runs apart.
        prefix: String,
    },
    /// Identity tokens signed here.
    Signed(Box<Signer>),
    /// Lines of a file, one for each player.
    Listed(Vec<String>),
    /// Identity tokens from a provider.
    Minted(Box<Mint>),
}

/// Signs identity tokens in the shape of Amazon Cognito's.
#[derive(Debug)]
pub struct Signer {
    key: SigningKey,
    kid: String,
    issuer: String,
    client_id: String,
    token_use: TokenUse,
    lifetime: Duration,
    prefix: String,
    /// Tokens signed so far: makes each `jti` unique.
    signed: AtomicU64,
}

/// A provider that answers a form or a query with tokens, such as a development identity provider.
#[derive(Debug)]
pub struct Mint {
    target: Target,
    path: String,
    /// Empty: the request is a GET.
    body: String,
    token_use: TokenUse,
    prefix: String,
}

impl Identities {
    /// As the options say.
    ///
    /// # Errors
    /// A key or token file cannot be read or written, or an address is wrong.
    pub fn open(options: &IdentityOptions, prefix: &str, timeout: Duration) -> Result<Self, String> {
        let prefix = if prefix.is_empty() { random_prefix()? } else { prefix.to_owned() };
        if let Some(source) = &options.jwt_key {
            return Ok(Self::Signed(Box::new(Signer::open(source, options, prefix)?)));
        }
        if let Some(file) = &options.tokens {
            let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned);
            return Ok(Self::Listed(lines.collect()));
        }
        if let Some(url) = &options.mint {
            return Ok(Self::Minted(Box::new(Mint::open(url, options, prefix, timeout)?)));
        }
        Ok(Self::Plain { prefix })
    }

    /// The bodies that these players sign in with, in order. Every call makes fresh tokens.
    ///
    /// # Errors
    /// Signing failed, the provider refused, or the file has too few lines.
    pub async fn bodies(self: &Arc<Self>, players: Vec<u64>) -> Result<Vec<Bytes>, String> {
        if let Self::Minted(mint) = &**self {
            return mint.bodies(players).await;
        }
        let this = self.clone();
        let made = tokio::task::spawn_blocking(move || this.bodies_in_parallel(&players));
        made.await.map_err(|error| error.to_string())?
    }

    fn bodies_in_parallel(&self, players: &[u64]) -> Result<Vec<Bytes>, String> {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let share = players.len().div_ceil(workers).max(1);
        thread::scope(|scope| {
            let parts: Vec<_> = players
                .chunks(share)
                .map(|part| scope.spawn(|| part.iter().map(|player| self.body(*player)).collect::<Result<Vec<_>, _>>()))
                .collect();
            let mut bodies = Vec::with_capacity(players.len());
            for part in parts {
                bodies.extend(part.join().map_err(|_| "signing broke off".to_owned())??);
            }
            Ok(bodies)
        })
    }

    fn body(&self, player: u64) -> Result<Bytes, String> {
        match self {
            Self::Plain { prefix } => Ok(account(&format!("{prefix}-{player:08}"))),
            Self::Signed(signer) => Ok(account(&signer.token(player, unix_seconds())?)),
            Self::Listed(lines) => {
                let line = usize::try_from(player).ok().and_then(|player| lines.get(player));
                line.map(|line| account(line))
                    .ok_or_else(|| format!("the token file has {} lines, player {player} needs one more", lines.len()))
            }
            Self::Minted(_) => Err("minted tokens come from the provider".into()),
        }
    }
}

impl Signer {
    fn open(source: &str, options: &IdentityOptions, prefix: String) -> Result<Self, String> {
        let key = if source == "generate" { SigningKey::generate()? } else { SigningKey::read(source.as_ref())? };
        if let Some(file) = &options.jwks_out {
            fs::write(file, key.to_jwks()).map_err(|error| format!("{}: {error}", file.display()))?;
        }
        Ok(Self {
            kid: options.kid.clone().unwrap_or_else(|| key.kid.clone()),
            key,
            issuer: options.issuer.clone(),
            client_id: options.client_id.clone(),
            token_use: options.token_use,
            lifetime: options.token_lifetime,
            prefix,
            signed: AtomicU64::new(0),
        })
    }

    /// The token of `player`, issued at `now` (seconds since 1970).
    fn token(&self, player: u64, now: u64) -> Result<String, String> {
        let name = format!("{}-{player:08}", self.prefix);
        let subject = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string();
        let number = self.signed.fetch_add(1, Relaxed);
        let serial = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{name}@{now}#{number}").as_bytes()).to_string();
        let mut claims = json!({
            "sub": subject,
            "iss": self.issuer,
            "token_use": self.token_use.name(),
            "auth_time": now,
            "iat": now,
            "exp": now + self.lifetime.as_secs(),
            "jti": serial,
            "origin_jti": subject,
        });
        match self.token_use {
            TokenUse::Access => {
                claims["client_id"] = json!(self.client_id);
                claims["username"] = json!(name);
                claims["scope"] = json!("aws.cognito.signin.user.admin");
            }
            TokenUse::Id => {
                claims["aud"] = json!(self.client_id);
                claims["cognito:username"] = json!(name);
            }
        }
        self.key.sign(&json!({ "kid": self.kid, "alg": "RS256" }), &claims)
    }
}

impl Mint {
    fn open(url: &str, options: &IdentityOptions, prefix: String, timeout: Duration) -> Result<Self, String> {
        let address: Uri = url.replace("{name}", "NAME").parse().map_err(|error| format!("{url}: {error}"))?;
        let authority = address.authority().ok_or_else(|| format!("{url}: expected http://HOST:PORT/PATH"))?;
        let base: Base = format!("http://{authority}").parse()?;
        let path = url.split_once(authority.as_str()).map_or("/", |(_, path)| path).to_owned();
        let (body, token_use) = (options.mint_body.clone(), options.token_use);
        Ok(Self { target: Target::new(base, timeout, 1), path, body, token_use, prefix })
    }

    async fn bodies(&self, players: Vec<u64>) -> Result<Vec<Bytes>, String> {
        const CONNECTIONS: usize = 8;
        let share = players.len().div_ceil(CONNECTIONS).max(1);
        let parts: Vec<Vec<u64>> = players.chunks(share).map(<[u64]>::to_vec).collect();
        let parts = stream::iter(parts).map(|part| self.part(part)).buffered(CONNECTIONS);
        Ok(parts.try_collect::<Vec<_>>().await?.concat())
    }

    async fn part(&self, players: Vec<u64>) -> Result<Vec<Bytes>, String> {
        let mut http = HttpConnection::new(&self.target);
        let mut bodies = Vec::with_capacity(players.len());
        for player in players {
            bodies.push(account(&self.token(&mut http, player).await?));
        }
        Ok(bodies)
    }

    async fn token(&self, http: &mut HttpConnection, player: u64) -> Result<String, String> {
        let name = format!("{}-{player:08}", self.prefix);
        let fill = |text: &str| text.replace("{name}", &name);
        let request = Request::builder().uri(fill(&self.path)).header(header::HOST, &self.target.base.authority);
        let request = match self.body.as_str() {
            "" => request.method("GET").body(Full::new(Bytes::new())),
            form => request
                .method("POST")
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(Full::new(fill(form).into())),
        };
        let request = request.map_err(|error| format!("provider: {error}"))?;
        let (status, answer) = http.call(request).await.map_err(|fault| format!("provider: {fault}"))?;
        let field = format!("{}_token", self.token_use.name());
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap_or_default();
        match answer.get(&field).and_then(serde_json::Value::as_str) {
            Some(token) if status == StatusCode::OK => Ok(token.to_owned()),
            _ => Err(format!("provider: answered {status} without {field}")),
        }
    }
}

/// The body of an `authenticate/custom` request.
pub(crate) fn account(id: &str) -> Bytes {
    json!({ "id": id }).to_string().into()
}

fn random_prefix() -> Result<String, String> {
    let mut bytes = [0; 4];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| "the system gave no randomness".to_owned())?;
    Ok(format!("load-{:08x}", u32::from_be_bytes(bytes)))
}

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the harness has no other clock to take the date from")]
pub fn unix_seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use serde_json::Value;

    fn signer(token_use: TokenUse) -> Signer {
        let key = SigningKey::generate().unwrap();
        Signer {
            kid: key.kid.clone(),
            key,
            issuer: "https://issuer.test/pool".into(),
            client_id: "game".into(),
            token_use,
            lifetime: Duration::from_secs(60),
            prefix: "p".into(),
            signed: AtomicU64::new(0),
        }
    }

    fn parts(token: &str) -> (Value, Value) {
        let part = |text: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
        let parts: Vec<_> = token.split('.').collect();
        assert_eq!(parts.len(), 3);
        (part(parts[0]), part(parts[1]))
    }

    #[test]
    fn access_tokens_have_the_claims_of_cognito() {
        let signer = signer(TokenUse::Access);
        let (header, claims) = parts(&signer.token(7, 1_000).unwrap());
        assert_eq!((&header["alg"], &header["kid"]), (&json!("RS256"), &json!(signer.kid)));
        for (name, value) in [
            ("iss", json!("https://issuer.test/pool")),
            ("client_id", json!("game")),
            ("token_use", json!("access")),
            ("iat", json!(1_000)),
            ("auth_time", json!(1_000)),
            ("exp", json!(1_060)),
        ] {
            assert_eq!(claims[name], value, "{name}");
        }
        assert!(claims["jti"].is_string() && claims.get("aud").is_none());
    }

    #[test]
    fn a_player_keeps_the_subject_in_every_token() {
        let signer = signer(TokenUse::Id);
        let (_, first) = parts(&signer.token(7, 1_000).unwrap());
        let (_, second) = parts(&signer.token(7, 1_000).unwrap());
        let (_, other) = parts(&signer.token(8, 1_000).unwrap());
        assert_eq!(first["sub"], second["sub"]);
        assert_ne!(first["jti"], second["jti"]);
        assert_ne!(first["sub"], other["sub"]);
        assert_eq!((&first["aud"], &first["token_use"]), (&json!("game"), &json!("id")));
    }

    #[tokio::test]
    async fn bodies_come_in_the_order_of_the_players() {
        let plain = Arc::new(Identities::Plain { prefix: "p".into() });
        let bodies = plain.bodies((0..101).collect()).await.unwrap();
        assert_eq!((bodies.len(), &bodies[100][..]), (101, &br#"{"id":"p-00000100"}"#[..]));
        let listed = Arc::new(Identities::Listed(vec!["a".into()]));
        assert!(listed.bodies(vec![0, 1]).await.is_err());
    }
}
