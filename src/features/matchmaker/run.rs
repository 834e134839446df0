//! When passes take place, and what becomes of their matches.

use super::{super::Services, Matchmaker, matched, pool::Watch, stats::Completion};
use crate::lifecycle::Lifecycle;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::{MissedTickBehavior, interval};

/// Passes every `matchmaker.interval_sec` until the server stops. A pass runs on a thread of its own, so sockets go on meanwhile; two
/// never run at once, and those that fall due while one runs are one.
pub async fn run(services: Arc<Services>, life: Lifecycle) {
    let mut ticks = interval(Duration::from_secs(services.config.matchmaker.interval_sec));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    // The first tick comes at once, and there is nothing to match yet.
    ticks.tick().await;
    loop {
        services.matchmaker.plan(&services);
        tokio::select! {
            () = life.draining() => return,
            _ = ticks.tick() => {}
        }
        let (passing, stopping) = (services.clone(), life.clone());
        let pass = tokio::task::spawn_blocking(move || passing.matchmaker.pass(&passing, &|| stopping.is_draining()));
        if let Err(error) = pass.await {
            tracing::error!(%error, "a pass of the matchmaker has failed; the next one begins anew");
            services.matchmaker.forget_pass();
        }
    }
}

impl Matchmaker {
    fn plan(&self, services: &Services) {
        let interval = i64::try_from(services.config.matchmaker.interval_sec * 1_000).unwrap_or(i64::MAX);
        let next = services.clock.unix_millis().saturating_add(interval);
        self.0.next_pass_unix_ms.store(next, Ordering::Relaxed);
    }

    /// One pass: brings the pool up to date, matches, and tells who was matched. Blocks for as long as it takes.
    pub(super) fn pass(&self, services: &Services, is_stopped: &dyn Fn() -> bool) {
        let mut pool = self.0.pool.lock();
        let (changes, census) = {
            let mut waiting = self.0.waiting.lock();
            (waiting.take_changes(), waiting.census())
        };
        pool.apply(changes);
        self.0.stats.lock().begin_pass(census);
        let started = services.clock.unix_micros();
        let patience = patience_micros(services);
        let is_late = || services.clock.unix_micros().saturating_sub(started) >= patience;
        let outcome = pool.pass(Watch { is_late: &is_late, is_stopped });
        let mut completions = Vec::new();
        for tickets in &outcome.matches {
            if self.0.waiting.lock().take_all(tickets) {
                services.metrics.matchmaker_matches.inc();
                matched::announce(services, tickets);
                completions.extend(
                    tickets
                        .iter()
                        .flat_map(|ticket| ticket.sessions().map(|_| (ticket.draft.tenant, ticket.created_micros))),
                );
            } else {
                // Somebody is gone: those who are left go on waiting, and can be found as before.
                let waiting = self.0.waiting.lock();
                tickets.iter().filter(|ticket| waiting.contains(ticket)).for_each(|ticket| pool.add(ticket));
            }
        }
        let completed_micros = services.clock.unix_micros();
        services.metrics.matchmaker_pass_seconds.observe(completed_micros.saturating_sub(started) as f64 / 1e6);
        if outcome.cut_short > 0 {
            tracing::warn!(
                tickets = outcome.cut_short,
                steps = outcome.steps,
                "a pass of the matchmaker has reached matchmaker.max_steps"
            );
        }
        let completion = |(tenant, created_micros)| Completion { tenant, created_micros, completed_micros };
        self.0.stats.lock().end_pass(completions.into_iter().map(completion));
    }

    /// What a pass knew is in doubt: the next one is told of every ticket.
    pub(super) fn forget_pass(&self) {
        let mut pool = self.0.pool.lock();
        self.0.waiting.lock().tell_everything();
        pool.clear();
    }
}

/// How long a pass asks both sides: `rev_threshold` intervals; without a threshold, always.
fn patience_micros(services: &Services) -> i64 {
    let settings = &services.config.matchmaker;
    let micros = settings.interval_sec.saturating_mul(settings.rev_threshold).saturating_mul(1_000_000);
    if settings.rev_threshold == 0 { i64::MAX } else { i64::try_from(micros).unwrap_or(i64::MAX) }
}
