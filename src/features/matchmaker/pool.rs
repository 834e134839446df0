//! The tickets as the pass knows them, and the pass itself (spec/matchmaker.md 9): no lock, no clock, no socket. Two runs over the
//! same tickets form the same matches.

use super::{
    groups::Groups,
    shapes::{Shape, Shapes},
    ticket::Ticket,
    waiting::Change,
};
use crate::{
    identity::Tenant,
    search::{Filter, Index, Reach, Steps},
};
use std::{
    collections::{BTreeMap, HashMap},
    ops::ControlFlow,
    sync::Arc,
};

/// Users from which on it is worth to count those who could come before groups are made of them.
const COUNTED_FIRST: u32 = 16;

/// Shares that one ticket may use up at once while less than half of what is shared is used: a search of a pool that is still full
/// costs more than one after many have been matched.
const SHARES_IN_ADVANCE: u64 = 16;

/// The part of a pass that no advance exceeds.
const LARGEST_ADVANCE: u64 = 64;

/// Steps of a search that one ticket costs which it looks at, beside what the queries do.
const STEPS_OF_LOOK: u64 = 32;

/// Steps that every ticket costs that searches.
const STEPS_OF_SEARCHER: u64 = 16;

/// Queries of one tenant that are remembered to have matched nothing, until the next pass.
const REMEMBERED: usize = 1_024;

/// By what rules tickets are matched.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Passes in which a ticket insists on its largest number of users; after them it no longer searches.
    pub max_intervals: u32,
    /// Whether both sides' queries have to take the other.
    pub mutual: bool,
    /// Users of one match; a ticket that wants more wants so many.
    pub largest: u32,
    /// Steps ([`Steps`]) that one pass takes, over all tickets that search. Each of these has an equal share of half of them; of the
    /// other half, one that needs more than its share has some in advance, as long as it lasts. What one leaves over is for those
    /// after it. One that has used up its share searches again in the next pass: half of the steps are for such tickets
    /// alone, the oldest first, without shares. One that all of that half is not enough for has searched as far as it ever will.
    pub steps: u64,
}

/// What a pass asks of the world while it runs.
#[derive(Clone, Copy)]
pub struct Watch<'w> {
    /// Whether it takes so long that one side's query is enough for the rest of it.
    pub is_late: &'w dyn Fn() -> bool,
    /// Whether it should end at once.
    pub is_stopped: &'w dyn Fn() -> bool,
}

impl Watch<'static> {
    /// A pass that takes no time.
    pub const NEVER: Self = Self { is_late: &|| false, is_stopped: &|| false };
}

/// What a pass came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The matches: the tickets of each, the one that found the others last.
    pub matches: Vec<Vec<Arc<Ticket>>>,
    /// Steps that all searches took.
    pub steps: u64,
    /// Tickets that had used up their share; they search again in the next pass.
    pub cut_short: usize,
}

/// The pool.
#[derive(Debug)]
pub struct Pool {
    rules: Rules,
    /// Tickets of one tenant are never seen by a search of another's.
    grounds: HashMap<Tenant, Ground>,
    /// Those that search, oldest first.
    active: BTreeMap<u64, Arc<Ticket>>,
}

impl Pool {
    /// An empty pool.
    pub fn new(rules: Rules) -> Self {
        Self { rules, grounds: HashMap::new(), active: BTreeMap::new() }
    }

    /// Forgets every ticket.
    pub(super) fn clear(&mut self) {
        self.grounds.clear();
        self.active.clear();
    }

    pub(super) fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Added(ticket) => self.add(&ticket),
                Change::Removed(ticket) => self.remove(&ticket),
            }
        }
    }

    /// Takes a ticket in, or back in.
    pub fn add(&mut self, ticket: &Arc<Ticket>) {
        self.grounds.entry(ticket.draft.tenant).or_default().add(ticket);
        if !ticket.is_passive() {
            self.active.insert(ticket.order, ticket.clone());
        }
    }

    /// Lets a ticket go; one that is not there changes nothing.
    pub fn remove(&mut self, ticket: &Arc<Ticket>) {
        self.active.remove(&ticket.order);
        let tenant = ticket.draft.tenant;
        let Some(ground) = self.grounds.get_mut(&tenant) else { return };
        ground.remove(ticket, self.rules.largest);
        if ground.tickets.is_empty() {
            self.grounds.remove(&tenant);
        }
    }

    /// Tickets that search.
    pub fn active(&self) -> usize {
        self.active.len()
    }

    /// One pass: every active ticket searches once, oldest first. Matched tickets leave the pool.
    pub fn pass(&mut self, watch: Watch<'_>) -> Outcome {
        let searchers: Vec<Arc<Ticket>> = self.active.values().cloned().collect();
        let mut outcome = Outcome::default();
        let mut budget = Budget::of(self.rules.steps, &searchers);
        let mut is_mutual = self.rules.mutual;
        self.grounds.values_mut().for_each(|ground| ground.matched_nothing.clear());
        for (at, ticket) in searchers.iter().enumerate() {
            let share = budget.share(ticket, searchers.len() - at, self.rules.largest);
            if !self.active.contains_key(&ticket.order) {
                continue;
            }
            if (watch.is_stopped)() {
                break;
            }
            is_mutual &= !(watch.is_late)();
            let passes = ticket.passes().saturating_add(1);
            let counts = ticket.counts();
            let is_last = passes >= self.rules.max_intervals || counts.min == counts.max;
            let terms = Terms { insists: !is_last, mutual: is_mutual, largest: self.rules.largest };
            let Some(ground) = self.grounds.get_mut(&ticket.draft.tenant) else { continue };
            let steps = Steps::at_most(share);
            steps.take(STEPS_OF_SEARCHER);
            let searched = ground.search(ticket, terms, &steps);
            budget.spend(ticket, steps.taken());
            outcome.steps += steps.taken();
            outcome.cut_short += usize::from(searched.is_cut_short);
            let is_to_go_on = searched.is_cut_short && share < self.rules.steps / 2;
            let is_passive = is_last && searched.found.is_none() && !is_to_go_on;
            ticket.set_searched(passes, is_passive, is_to_go_on);
            if is_passive {
                self.active.remove(&ticket.order);
            }
            if let Some(tickets) = searched.found {
                tickets.iter().for_each(|ticket| self.remove(ticket));
                outcome.matches.push(tickets);
            }
        }
        outcome
    }
}

/// What is left of [`Rules::steps`].
struct Budget {
    shared: u64,
    /// Nobody has steps in advance once no more than this is left.
    halfway: u64,
    largest_advance: u64,
    /// For those that were cut short.
    reserved: u64,
}

impl Budget {
    fn of(steps: u64, searchers: &[Arc<Ticket>]) -> Self {
        let reserved = if searchers.iter().any(|ticket| ticket.was_cut_short()) { steps / 2 } else { 0 };
        let shared = steps - reserved;
        Self { shared, halfway: shared / 2, largest_advance: steps / LARGEST_ADVANCE, reserved }
    }

    fn is_reserved_for(&self, ticket: &Ticket) -> bool {
        ticket.was_cut_short() && self.reserved > 0
    }

    /// The steps of a ticket, of which `left` search, it included: as long as there are some, enough to look at twice as many as it
    /// wants.
    fn share(&self, ticket: &Ticket, left: usize, largest: u32) -> u64 {
        if self.is_reserved_for(ticket) {
            return self.reserved;
        }
        let enough = 2 * STEPS_OF_LOOK * u64::from(ticket.counts().limit(largest));
        let equal = self.shared / left as u64;
        let advance = if self.shared > self.halfway { SHARES_IN_ADVANCE * equal } else { 0 };
        advance.min(self.largest_advance).max(equal).max(enough).min(self.shared)
    }

    fn spend(&mut self, ticket: &Ticket, steps: u64) {
        let from = if self.is_reserved_for(ticket) { &mut self.reserved } else { &mut self.shared };
        *from = from.saturating_sub(steps);
    }
}

/// How one ticket searches.
#[derive(Clone, Copy)]
struct Terms {
    insists: bool,
    mutual: bool,
    largest: u32,
}

/// What it came to.
#[derive(Default)]
struct Searched {
    found: Option<Vec<Arc<Ticket>>>,
    is_cut_short: bool,
}

/// The tickets of one tenant.
#[derive(Debug, Default)]
struct Ground {
    index: Index<u64>,
    /// With the number of its users beside each: to count them need not touch the tickets.
    tickets: HashMap<u64, (u32, Arc<Ticket>)>,
    shapes: Shapes,
    /// Queries that nothing in a range of counts has matched in this pass. Tickets only leave during a pass, so nothing will.
    matched_nothing: HashMap<String, Vec<(u32, u32)>>,
}

impl Ground {
    fn add(&mut self, ticket: &Arc<Ticket>) {
        if self.tickets.insert(ticket.order, (ticket.size(), ticket.clone())).is_none() {
            self.index.insert(ticket.order, ticket.document.clone());
            self.shapes.add(Shape::of(ticket));
        }
    }

    fn remove(&mut self, ticket: &Arc<Ticket>, largest: u32) {
        if self.tickets.remove(&ticket.order).is_some() {
            self.index.remove(&ticket.order);
            self.shapes.remove(Shape::of(ticket), largest);
        }
    }

    fn search(&mut self, searcher: &Arc<Ticket>, terms: Terms, steps: &Steps) -> Searched {
        let mut searched = Searched::default();
        if !self.shapes.could_match(Shape::of(searcher), terms.insists, terms.largest) {
            return searched;
        }
        let counts = searcher.counts();
        let range = (counts.min, counts.max);
        let known = self.matched_nothing.get(&searcher.draft.query);
        if known.is_some_and(|ranges| ranges.contains(&range)) {
            return searched;
        }
        let filters =
            [Filter::AtLeast("min_count", f64::from(counts.min)), Filter::AtMost("max_count", f64::from(counts.max))];
        let wanted = if terms.insists { counts.limit(terms.largest) } else { counts.min };
        if wanted >= COUNTED_FIRST && !self.has_users(searcher, &filters, wanted, steps) {
            searched.is_cut_short = steps.are_used_up();
            return searched;
        }
        let mut groups = Groups::new(searcher, terms.largest);
        let mut has_matched = false;
        let agree = |member: &Ticket, found: &Ticket| {
            !terms.mutual || member.accepts(found, steps) && found.accepts(member, steps)
        };
        let reach = self.index.search(&searcher.query, &filters, steps, |order, _score| {
            has_matched = true;
            let Some((_, found)) = self.tickets.get(&order).filter(|(_, found)| found.order != searcher.order) else {
                return ControlFlow::Continue(());
            };
            steps.take(STEPS_OF_LOOK);
            if terms.mutual && !found.accepts(searcher, steps) || searcher.shares_session(found) {
                return ControlFlow::Continue(());
            }
            searched.found = groups.place(found, agree);
            if searched.found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        searched.is_cut_short = reach == Reach::CutShort;
        if !has_matched && !searched.is_cut_short && self.matched_nothing.len() < REMEMBERED {
            self.matched_nothing.entry(searcher.draft.query.clone()).or_default().push(range);
        }
        if searched.found.is_none() && !terms.insists {
            searched.found = groups.best(steps);
        }
        searched
    }

    /// Whether a searcher and what its query takes are `wanted` users together: at most so many are counted. Not so far as is known
    /// when the steps are used up.
    fn has_users(&self, searcher: &Ticket, filters: &[Filter<'_>], wanted: u32, steps: &Steps) -> bool {
        let mut users = searcher.size();
        let _ = self.index.search(&searcher.query, filters, steps, |order, _score| {
            let size = self.tickets.get(&order).map_or(0, |(size, _)| *size);
            users = users.saturating_add(if order == searcher.order { 0 } else { size });
            if users >= wanted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        users >= wanted
    }
}
