//! Tickets that wait for a pass of the matchmaker, by the configuration as shipped. benches/matchmaker.rs measures more shapes, and
//! larger pools.

use kizuna::{
    config,
    features::matchmaker::{Counts, Draft, Entry, Outcome, Pool, Properties, Rules, Ticket, TicketLimits, Watch},
    identity::Tenant,
    search::Expressions,
};
use std::{collections::BTreeMap, sync::Arc};
use uuid::Uuid;

const TICKETS: u64 = 1_000;

/// A pool that has taken them in.
pub(crate) struct Waiting(Pool);

impl Waiting {
    pub(crate) fn one_against_one() -> Self {
        Self::new(Counts { min: 2, max: 2, multiple: 1 }, ranged)
    }

    pub(crate) fn two_to_four() -> Self {
        Self::new(Counts { min: 2, max: 4, multiple: 1 }, ranged)
    }

    pub(crate) fn nobody_fits() -> Self {
        Self::new(Counts { min: 2, max: 2, multiple: 1 }, |player| {
            format!("+properties.mode:none{} +properties.rank:>=0", player.order)
        })
    }

    fn new(counts: Counts, query: fn(&Player) -> String) -> Self {
        let shipped = config::Matchmaker::default();
        let mut pool = Pool::new(Rules {
            max_intervals: shipped.max_intervals,
            mutual: shipped.rev_precision,
            largest: shipped.max_users,
            steps: shipped.max_steps,
        });
        let limits = TicketLimits {
            query_bytes: shipped.max_query_bytes,
            properties: shipped.max_properties,
            expressions: Expressions::at_most(shipped.max_expressions),
        };
        (1..=TICKETS).for_each(|order| {
            let player = Player::new(order);
            pool.add(&player.ticket(counts, query(&player), &limits));
        });
        Self(pool)
    }

    pub(crate) fn pass(&mut self) -> Outcome {
        self.0.pass(Watch::NEVER)
    }
}

struct Player {
    order: u64,
    mode: String,
    rank: f64,
}

impl Player {
    fn new(order: u64) -> Self {
        // Without an order that anything could profit from, the same in every run.
        let spread = order.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        Self { order, mode: format!("mode{}", spread % 10), rank: (spread / 16 % 3_000) as f64 }
    }

    fn ticket(&self, counts: Counts, query: String, limits: &TicketLimits) -> Arc<Ticket> {
        let id = Uuid::from_u128(u128::from(self.order) << 32);
        let draft = Draft {
            tenant: Tenant::NONE,
            entries: vec![Entry { session_id: id, user_id: id, username: String::new() }],
            party: None,
            counts,
            query,
            properties: Properties {
                strings: BTreeMap::from([("mode".to_owned(), self.mode.clone())]),
                numbers: BTreeMap::from([("rank".to_owned(), self.rank)]),
            },
        };
        let ticket = Ticket::new(id, self.order as i64, draft, limits).expect("a good ticket");
        Arc::new(ticket.with_order(self.order))
    }
}

/// A term and a range around one's own rank, as games ask for.
fn ranged(player: &Player) -> String {
    let (low, high) = ((player.rank - 100.0).max(0.0), player.rank + 100.0);
    format!("+properties.mode:{} +properties.rank:>={low} +properties.rank:<={high}", player.mode)
}
