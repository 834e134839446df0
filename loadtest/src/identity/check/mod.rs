//! Replays the kit against a server over the wire, and plays a provider that misbehaves.

mod provider;
mod replay;

use super::{args::CheckOptions, corpus};
use crate::{http::HttpConnection, nakama::Api, progress, target::Target};
use bytes::Bytes;
use hyper::StatusCode;
use serde_json::json;
use std::time::Duration;
use tokio::time::sleep;

/// Checks a server; false when it failed a case.
///
/// # Errors
/// The kit cannot be read, the provider cannot listen, or the server cannot be reached.
pub fn run(options: &CheckOptions) -> Result<bool, String> {
    if options.print_trust {
        print_trust(options);
        return Ok(true);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        let mut check = Check::new(options)?;
        if !options.only_provider {
            replay::run(&mut check, options).await?;
        }
        if let Some(address) = options.provider {
            provider::run(&mut check, options, address).await?;
        }
        progress::print(&format!("{} passed, {} failed\n", check.passed, check.failed));
        Ok(check.failed == 0)
    })
}

/// The provider's part comes first: it has the table that the entries of the kit stand below.
fn print_trust(options: &CheckOptions) {
    const FOLDER: &str = "tests/identity";
    progress::print(&match (options.provider, options.only_provider) {
        (None, _) => corpus::trust(FOLDER),
        (Some(address), true) => super::provider::trust(address),
        (Some(address), false) => super::provider::trust(address) + &corpus::entries(FOLDER),
    });
}

/// How often a token that is put off is presented again.
const TRIES: usize = 3;

/// A server under test, and what it has shown so far.
struct Check {
    api: Api,
    http: HttpConnection,
    quiet: bool,
    passed: u64,
    failed: u64,
}

/// What a server made of a token.
enum Answer {
    /// It signed somebody in: the session token.
    Session(String),
    /// It refused, and said why: a status from 400 to 499.
    Refused(StatusCode, Bytes),
    /// It could not tell: a status from 500 on.
    Failed(StatusCode),
    /// Something else, in words.
    Other(String),
}

impl Check {
    fn new(options: &CheckOptions) -> Result<Self, String> {
        let api = Api::new(Target::new(options.base.clone(), options.timeout, 1), &options.server_key)?;
        Ok(Self { http: HttpConnection::new(&api.target), api, quiet: options.quiet, passed: 0, failed: 0 })
    }

    /// Presents a token as the id of an account.
    async fn present(&mut self, token: &str) -> Answer {
        let body = json!({ "id": token }).to_string().into();
        match self.api.authenticate(&mut self.http, body).await {
            Ok(answer) => judged(answer),
            Err(fault) => Answer::Other(fault.to_string()),
        }
    }

    /// As [`Check::present`], again after `wait` while the server puts it off: it does so with unknown keys that it may not look for
    /// at once.
    async fn present_until_judged(&mut self, token: &str, wait: Duration) -> Answer {
        let mut answer = self.present(token).await;
        for _ in 0..TRIES {
            if !matches!(answer, Answer::Failed(StatusCode::SERVICE_UNAVAILABLE)) {
                break;
            }
            sleep(wait).await;
            answer = self.present(token).await;
        }
        answer
    }

    /// Writes down how a case ended: `found` names what was wrong, if anything was.
    fn note(&mut self, name: &str, expected: &str, found: Result<(), String>) {
        match found {
            Ok(()) => {
                self.passed += 1;
                if !self.quiet {
                    progress::print(&format!("pass  {name}: {expected}\n"));
                }
            }
            Err(found) => {
                self.failed += 1;
                progress::print(&format!("FAIL  {name}: expected {expected}, got {found}\n"));
            }
        }
    }
}

fn judged((status, body): (StatusCode, Bytes)) -> Answer {
    match status.as_u16() {
        200 => match crate::nakama::text_field(&body, "token") {
            Some(token) => Answer::Session(token),
            None => Answer::Other("status 200 without a session token".into()),
        },
        400..=499 => Answer::Refused(status, body),
        500..=599 => Answer::Failed(status),
        other => Answer::Other(format!("status {other}")),
    }
}

impl Answer {
    fn in_words(&self) -> String {
        match self {
            Self::Session(_) => "a session".into(),
            Self::Refused(status, _) => format!("refused with status {}", status.as_u16()),
            Self::Failed(status) => format!("status {}", status.as_u16()),
            Self::Other(what) => what.clone(),
        }
    }

    fn accepted(self) -> Result<String, String> {
        match self {
            Self::Session(token) => Ok(token),
            other => Err(other.in_words()),
        }
    }

    /// The token is judged and refused.
    fn refused(&self) -> Result<(), String> {
        match self {
            Self::Refused(..) => Ok(()),
            other => Err(other.in_words()),
        }
    }

    /// Nobody is signed in, be it that the token is refused or that it cannot be judged now.
    fn not_accepted(&self) -> Result<(), String> {
        match self {
            Self::Refused(..) | Self::Failed(_) => Ok(()),
            other => Err(other.in_words()),
        }
    }
}
