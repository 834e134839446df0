//! How busy the matchmaker is (spec/matchmaker.md 12), as of the last pass.

use super::super::{Caller, Services};
use crate::{error::Error, identity::Tenant};
use kizuna_protocol::api;
use prost_types::Timestamp;
use std::collections::{HashMap, VecDeque};

/// Users who are told about, over all tenants.
const REMEMBERED: usize = 1_024;
/// And shown to one who asks.
const SHOWN: usize = 10;

/// One user who was matched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completion {
    pub(super) tenant: Tenant,
    pub(super) created_micros: i64,
    pub(super) completed_micros: i64,
}

/// As of the last pass.
#[derive(Debug, Default)]
pub(super) struct Stats {
    /// Of each tenant with tickets: how many, and when the oldest was made.
    census: HashMap<Tenant, (usize, i64)>,
    completions: VecDeque<Completion>,
}

impl Stats {
    pub(super) fn begin_pass(&mut self, census: HashMap<Tenant, (usize, i64)>) {
        self.census = census;
    }

    pub(super) fn end_pass(&mut self, completions: impl IntoIterator<Item = Completion>) {
        self.completions.extend(completions);
        let old = self.completions.len().saturating_sub(REMEMBERED);
        self.completions.drain(..old);
    }

    pub(super) fn of(&self, tenant: Tenant) -> api::MatchmakerStats {
        let (tickets, oldest) = self.census.get(&tenant).copied().unwrap_or_default();
        let newest = self.completions.iter().rev().filter(|completion| completion.tenant == tenant).take(SHOWN);
        let mut completions: Vec<_> = newest
            .map(|completion| api::MatchmakerCompletionStats {
                create_time: Some(timestamp(completion.created_micros)),
                complete_time: Some(timestamp(completion.completed_micros)),
            })
            .collect();
        completions.reverse();
        api::MatchmakerStats {
            ticket_count: i32::try_from(tickets).unwrap_or(i32::MAX),
            oldest_ticket_create_time: (tickets > 0).then(|| timestamp(oldest)),
            completions,
        }
    }
}

fn timestamp(micros: i64) -> Timestamp {
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or(0);
    Timestamp { seconds: micros.div_euclid(1_000_000), nanos }
}

/// `GET /v2/matchmaker/stats`: of the caller's tenant.
///
/// # Errors
/// None.
pub async fn stats(services: &Services, caller: &Caller) -> Result<api::MatchmakerStats, Error> {
    let stats = services.matchmaker.stats().lock().of(caller.tenant);
    std::future::ready(Ok(stats)).await
}
