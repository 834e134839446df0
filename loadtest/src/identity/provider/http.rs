//! The provider over HTTP: discovery, key set and tokens, and being told how to behave.

use super::{Provider, Signer};
use crate::identity::args::{Discovery, KeySets, Told};
use bytes::Bytes;
use clap::ValueEnum;
use futures_util::stream;
use http_body_util::{BodyExt, Full, Limited, StreamBody, combinators::BoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Frame, Incoming},
    header::{CONTENT_TYPE, LOCATION, ORIGIN},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use std::{convert::Infallible, sync::Arc, sync::atomic::Ordering::Relaxed, time::Duration};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};

/// Connections open at once; one more waits to be accepted.
const MAX_CONNECTIONS: usize = 256;
/// Largest request body in bytes.
const MAX_BODY_BYTES: usize = 16 * 1024;
/// Keys of a crowded set: far more than anybody takes, in less than 256 KiB.
const CROWD: usize = 2_000;
/// Bytes of a huge set.
const HUGE: usize = 16 << 20;
/// How late a late answer comes.
const LATE: Duration = Duration::from_secs(2);
/// Between two bytes of a dripping answer.
const DRIP: Duration = Duration::from_millis(50);

type Body = BoxBody<Bytes, Infallible>;
/// An answer, or none: the connection breaks off.
type Outcome = Result<Response<Body>, String>;

/// Serves until it is dropped.
pub(super) async fn accept(listener: TcpListener, provider: Arc<Provider>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else { continue };
        let provider = provider.clone();
        connections.spawn(async move {
            let _place = place;
            let service = service_fn(|request| answer(request, provider.clone()));
            let mut server = http1::Builder::new();
            let connection = server.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
            let _ = connection.await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(request: Request<Incoming>, provider: Arc<Provider>) -> Outcome {
    // No page of a browser may make tokens or keys.
    if request.headers().contains_key(ORIGIN) {
        return Ok(text(StatusCode::FORBIDDEN, "not for browsers"));
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/.well-known/openid-configuration") => discovery(&provider),
        (&Method::GET, "/.well-known/jwks.json") => key_set(&provider).await,
        (&Method::GET, "/elsewhere/jwks.json") => Ok(json_answer(&provider.ring.lock().strangers_set())),
        (&Method::GET, "/counts") => Ok(json_answer(&provider.counts())),
        (&Method::POST, "/token") => Ok(told_or_refused(token(request, &provider).await)),
        (&Method::POST, "/rotate") => Ok(told_or_refused(rotate(request, &provider).await)),
        (&Method::POST, "/behaviour") => Ok(told_or_refused(behave(request, &provider).await)),
        _ => Ok(text(StatusCode::NOT_FOUND, "not here")),
    }
}

fn discovery(provider: &Provider) -> Outcome {
    provider.discovery_reads.fetch_add(1, Relaxed);
    let right = provider.discovery();
    let with = |name: &str, value: String| {
        let mut changed = right.clone();
        changed[name] = json!(value);
        json_answer(&changed)
    };
    match provider.told().discovery {
        Discovery::Right => Ok(json_answer(&right)),
        Discovery::WrongIssuer => Ok(with("issuer", "https://evil.example".into())),
        Discovery::ForeignKeys => Ok(with("jwks_uri", format!("{}/elsewhere/jwks.json", provider.issuer))),
        Discovery::Html => Ok(html()),
        Discovery::Error => Ok(text(StatusCode::INTERNAL_SERVER_ERROR, "out of order")),
        Discovery::Away => Err("away".into()),
    }
}

async fn key_set(provider: &Provider) -> Outcome {
    provider.key_set_reads.fetch_add(1, Relaxed);
    let right = provider.ring.lock().key_set();
    match provider.told().key_sets {
        KeySets::Right => Ok(json_answer(&right)),
        KeySets::Late => {
            tokio::time::sleep(LATE).await;
            Ok(json_answer(&right))
        }
        KeySets::Hang => std::future::pending().await,
        KeySets::Drip => Ok(dripping(right.to_string().into())),
        KeySets::Crowd => Ok(json_answer(&crowded(right))),
        KeySets::Huge => Ok(json_answer(&json!({ "keys": right["keys"], "pad": "x".repeat(HUGE) }))),
        KeySets::Error => Ok(text(StatusCode::INTERNAL_SERVER_ERROR, "out of order")),
        KeySets::Missing => Ok(text(StatusCode::NOT_FOUND, "not here")),
        KeySets::Redirect => {
            let mut answer = text(StatusCode::FOUND, "");
            let there = format!("{}/elsewhere/jwks.json", provider.issuer);
            answer.headers_mut().insert(LOCATION, there.parse().map_err(|_| "no header".to_owned())?);
            Ok(answer)
        }
        KeySets::Html => Ok(html()),
        KeySets::Cut => Ok(with_type("application/json", right.to_string().split_off(20).into())),
        KeySets::NoList => Ok(json_answer(&json!({ "keys": right["keys"][0] }))),
        KeySets::Empty => Ok(json_answer(&json!({ "keys": [] }))),
        KeySets::Away => Err("away".into()),
    }
}

/// The right keys, then a crowd of others that are well formed.
fn crowded(mut set: Value) -> Value {
    if let Some(keys) = set["keys"].as_array_mut() {
        // The Ed25519 key of RFC 8037, appendix A.2.
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        keys.extend(
            (0..CROWD)
                .map(|number| json!({ "kty": "OKP", "crv": "Ed25519", "kid": format!("crowd-{number}"), "x": x })),
        );
    }
    set
}

fn dripping(body: Bytes) -> Response<Body> {
    let drops = stream::unfold(0, move |at| {
        let drop = body.get(at..=at).map(Bytes::copy_from_slice);
        async move {
            tokio::time::sleep(DRIP).await;
            drop.map(|drop| (Ok::<_, Infallible>(Frame::data(drop)), at + 1))
        }
    });
    let mut answer = Response::new(BodyExt::boxed(StreamBody::new(Box::pin(drops))));
    answer.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    answer
}

/// `user`, and if wanted `use`, `ttl`, `signer`.
async fn token(request: Request<Incoming>, provider: &Provider) -> Result<Value, String> {
    let form = form(request).await?;
    let user = field(&form, "user").filter(|user| !user.is_empty()).ok_or("user is missing")?;
    let lifetime = field(&form, "ttl").map_or(Ok(super::LIFETIME), str::parse).map_err(|_| "ttl must be seconds")?;
    let signer = field(&form, "signer").map_or(Ok(Signer::Current), |name| Signer::from_str(name, true))?;
    let (access, id) = (provider.mint(user, "access", lifetime, signer)?, provider.mint(user, "id", lifetime, signer)?);
    let asked = if field(&form, "use") == Some("id") { &id } else { &access };
    Ok(
        json!({ "token": asked, "access_token": access, "id_token": id, "token_type": "Bearer", "expires_in": lifetime }),
    )
}

/// `step`: publish, sign, or both (when left out); `keep`: how many of the newest keys stay published.
async fn rotate(request: Request<Incoming>, provider: &Provider) -> Result<Value, String> {
    let form = form(request).await?;
    let step = field(&form, "step").unwrap_or("both");
    if !["publish", "sign", "both"].contains(&step) {
        return Err("step must be publish, sign or both".into());
    }
    if step != "sign" {
        provider.publish().await?;
    }
    if step != "publish" {
        provider.switch();
    }
    if let Some(keep) = field(&form, "keep") {
        provider.withdraw(keep.parse().map_err(|_| "keep must be a number")?);
    }
    Ok(provider.ring.lock().key_set())
}

/// `key-sets` and `discovery`, as the options of the command.
async fn behave(request: Request<Incoming>, provider: &Provider) -> Result<Value, String> {
    let form = form(request).await?;
    let mut told = provider.told();
    if let Some(name) = field(&form, "key-sets") {
        told.key_sets = KeySets::from_str(name, true)?;
    }
    if let Some(name) = field(&form, "discovery") {
        told.discovery = Discovery::from_str(name, true)?;
    }
    provider.tell(told);
    Ok(behaviour(told))
}

fn behaviour(told: Told) -> Value {
    let name = |value: Option<clap::builder::PossibleValue>| value.map(|value| value.get_name().to_owned());
    json!({ "key-sets": name(told.key_sets.to_possible_value()), "discovery": name(told.discovery.to_possible_value()) })
}

/// Query and body, both as forms.
async fn form(request: Request<Incoming>) -> Result<Vec<(String, String)>, String> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let body = Limited::new(request.into_body(), MAX_BODY_BYTES).collect().await;
    let body = body.map_err(|_| "the body is larger than 16 KiB, or broke off")?.to_bytes();
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(format!("{query}&{body}").split('&').filter_map(|pair| pair.split_once('=')).map(decoded).collect())
}

fn decoded((name, value): (&str, &str)) -> (String, String) {
    (percent(name), percent(value))
}

/// The text behind `%XX` and `+`.
fn percent(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match (first, escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn field<'a>(form: &'a [(String, String)], name: &str) -> Option<&'a str> {
    form.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
}

fn told_or_refused(outcome: Result<Value, String>) -> Response<Body> {
    match outcome {
        Ok(value) => json_answer(&value),
        Err(why) => text(StatusCode::BAD_REQUEST, why),
    }
}

fn html() -> Response<Body> {
    with_type("text/html", "<!doctype html><title>Sign in</title>".into())
}

fn json_answer(body: &Value) -> Response<Body> {
    with_type("application/json", body.to_string().into())
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut answer = with_type("text/plain", text.into());
    *answer.status_mut() = status;
    answer
}

fn with_type(kind: &'static str, body: Bytes) -> Response<Body> {
    let mut answer = Response::new(Full::new(body).boxed());
    answer.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_decoded() {
        assert_eq!(percent("Zo%C3%AB+B%"), "Zoë B%");
    }

    #[test]
    fn a_crowd_stays_below_the_usual_limit_of_a_key_set() {
        let set = crowded(json!({ "keys": [] })).to_string();
        assert!(set.len() < 256 * 1024 - 8_192, "{}", set.len());
    }
}
