//! What must outlive every stop, a SIGKILL included: accounts, and the end of a session that was logged out.

use super::world::World;
use crate::{http::HttpConnection, nakama::Session, scenario::noise, stats::Fault};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// Players of earlier lives who are looked for after each start.
const SAMPLE: u64 = 50;
/// How long a server that has just started may take until it signs players in, and from one try to the next.
const PATIENCE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(50);

pub(super) struct Survivors {
    world: Arc<World>,
    /// Those who were there when the server was stopped.
    sample: Vec<(String, Uuid)>,
    /// Logged out, one before each stop.
    ended: Vec<Session>,
}

impl Survivors {
    pub(super) fn new(world: Arc<World>) -> Self {
        Self { world, sample: Vec::new(), ended: Vec::new() }
    }

    /// Before a stop: remembers some players, and logs one more session out.
    pub(super) async fn prepare(&mut self) {
        let stops = self.ended.len() as u64;
        let any = |number| self.world.book.any(noise(stops << 32 | number));
        self.sample = (0..SAMPLE).filter_map(any).collect();
        match self.log_out().await {
            Ok(session) => self.ended.push(session),
            Err(fault) => self.world.failed("log-out", &fault),
        }
    }

    async fn log_out(&self) -> Result<Session, Fault> {
        let mut http = HttpConnection::new(&self.world.run.api.target);
        let session = self.world.sign_in_over(&mut http, &format!("leaver-{}", self.ended.len())).await?;
        self.world.run.api.account(&mut http, &session.token).await?;
        self.world.run.api.log_out(&mut http, &session).await?;
        Ok(session)
    }

    /// After the next start: looks for all of them.
    pub(super) async fn look(&mut self) {
        let mut http = HttpConnection::new(&self.world.run.api.target);
        for (name, before) in std::mem::take(&mut self.sample) {
            match self.user(&mut http, &name).await {
                Ok(Some(user_id)) if user_id == before => {}
                Ok(_) => self.world.failed("survivor", &Fault::new("came back as another user")),
                Err(fault) => self.world.failed("survivor", &fault),
            }
        }
        for session in &self.ended {
            match self.world.run.api.account(&mut http, &session.token).await {
                Err(fault) if fault.0.starts_with("http 401") => {}
                Ok(_) => self.world.failed("log-out", &Fault::new("a session that was logged out is good again")),
                Err(fault) => self.world.failed("log-out", &fault),
            }
        }
    }

    async fn user(&self, http: &mut HttpConnection, name: &str) -> Result<Option<Uuid>, Fault> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.world.sign_in_over(http, name).await {
                Ok(session) => return Ok(session.user_id()),
                Err(fault) if Instant::now() >= until => return Err(fault),
                Err(fault) => self.world.failed("login", &fault),
            }
            sleep(RETRY).await;
        }
    }
}
