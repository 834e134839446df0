//! Why a ticket waits (docs/matchmaker.md): what of the pool fits it, and what keeps the rest out.

use super::{
    super::{Caller, Services},
    groups::Groups,
    pool::Rules,
    shapes::Shape,
    ticket::Ticket,
};
use crate::{
    error::Error,
    search::{Occurrence, Steps, Verdict},
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};
use uuid::Uuid;

/// What share of a pass's steps one answer may take.
const SHARE_OF_PASS: u64 = 100;

/// Steps that each ticket costs beside the queries.
const STEPS_OF_OTHER: u64 = 64;

/// Tickets told about one by one.
const NEAREST: usize = 5;

/// What the holder of a ticket is told. Of the tickets of others only numbers: never whose they are nor what they say.
#[derive(Debug, Serialize)]
struct Explanation {
    ticket: String,
    /// `active`: it searches in every pass; `passive`: it only waits to be found.
    state: &'static str,
    /// Passes in which it has searched.
    passes: u32,
    /// Passes in which it insists on `max_count`.
    max_intervals: u32,
    /// When the next pass begins, in milliseconds since 1970; 0: it is not known.
    next_pass_unix_ms: i64,
    counts: Numbers,
    /// Tickets that wait, this one included.
    pool: usize,
    /// Other tickets that were looked at: the oldest ones, if not all.
    looked_at: usize,
    left_out: LeftOut,
    /// The clauses of the query that tickets fail, and how many do. One ticket may fail several.
    clauses: Vec<FailedClause>,
    /// Tickets that fit one by one, and the users who hold them.
    fitting: Fitting,
    /// Tickets that search and would take this one.
    found_by: usize,
    nearest: Vec<Near>,
    because: String,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Numbers {
    min_count: u32,
    max_count: u32,
    count_multiple: u32,
    /// Users who hold the ticket.
    users: u32,
}

impl Numbers {
    fn of(ticket: &Ticket) -> Self {
        let counts = ticket.counts();
        Self { min_count: counts.min, max_count: counts.max, count_multiple: counts.multiple, users: ticket.size() }
    }
}

/// Tickets left out, each for the first reason in this order.
#[derive(Debug, Default, Serialize)]
struct LeftOut {
    /// One session is part of both.
    own_session: usize,
    /// Their range of counts does not lie inside this ticket's.
    count_range: usize,
    /// The query does not take them.
    query: usize,
    /// Their query does not take this ticket; only where both have to.
    their_query: usize,
    /// Together there are too many users.
    too_many_users: usize,
    /// No number of users suits both.
    count_multiple: usize,
}

#[derive(Debug, Serialize)]
struct FailedClause {
    clause: String,
    failed_by: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

#[derive(Debug, Default, Serialize)]
struct Fitting {
    tickets: usize,
    users: u64,
    /// Whether some of them make a match with this ticket for `max_count`.
    make_max_count: bool,
    /// The same from `min_count` on.
    make_min_count: bool,
}

/// A ticket that almost fits.
#[derive(Debug, Serialize)]
struct Near {
    counts: Numbers,
    reason: &'static str,
    failed_clauses: Vec<String>,
}

/// `GET /v2/matchmaker/why?ticket=`: answers JSON text.
///
/// # Errors
/// 429 where the caller asks too often; 404 where the caller holds no such ticket, or it is not served; 503 while somebody else is
/// being told.
pub async fn why(services: &Arc<Services>, caller: &Caller, ticket: &str) -> Result<Vec<u8>, Error> {
    services.limits.take_explanation(services, caller.user_id)?;
    let limit = services.config.matchmaker.max_why;
    let own = own_ticket(services, caller, ticket).filter(|_| limit > 0);
    let ticket = own.ok_or_else(|| Error::not_found("Matchmaker ticket not found"))?;
    let explaining = Explaining::begin(services)?;
    let explained = tokio::task::spawn_blocking(move || {
        let services = &explaining.0;
        let (others, pool) = services.matchmaker.0.waiting.lock().of_tenant(ticket.draft.tenant, limit);
        serde_json::to_vec(&explain(services, &ticket, &others, pool))
    });
    let failed =
        |cause: Box<dyn std::error::Error + Send + Sync>| Error::internal("The ticket cannot be explained.", cause);
    explained.await.map_err(|error| failed(error.into()))?.map_err(|error| failed(error.into()))
}

fn own_ticket(services: &Services, caller: &Caller, id: &str) -> Option<Arc<Ticket>> {
    let id = Uuid::try_parse(id).ok()?;
    let waiting = services.matchmaker.0.waiting.lock();
    let ticket = waiting.find(id)?;
    let is_own = ticket.draft.tenant == caller.tenant
        && ticket.draft.entries.iter().any(|entry| entry.user_id == caller.user_id);
    is_own.then(|| ticket.clone())
}

/// One explanation at a time, however many ask: it is for looking into things, not for play.
struct Explaining(Arc<Services>);

impl Explaining {
    fn begin(services: &Arc<Services>) -> Result<Self, Error> {
        if services.matchmaker.0.explains.swap(true, Ordering::Acquire) {
            return Err(Error::unavailable("Another ticket is being explained."));
        }
        Ok(Self(services.clone()))
    }
}

impl Drop for Explaining {
    fn drop(&mut self) {
        self.0.matchmaker.0.explains.store(false, Ordering::Release);
    }
}

fn explain(services: &Services, ticket: &Arc<Ticket>, pool: &[Arc<Ticket>], size: usize) -> Explanation {
    let rules = services.matchmaker.0.rules;
    let steps = Steps::at_most(rules.steps / SHARE_OF_PASS);
    let mut looked_at = 0;
    let mut left_out = LeftOut::default();
    let mut clauses: BTreeMap<String, FailedClause> = BTreeMap::new();
    let mut fitting = Vec::new();
    let mut nearest: Vec<(usize, Near)> = Vec::new();
    let mut found_by = 0;
    for other in pool.iter().filter(|other| other.order != ticket.order) {
        if !steps.take(STEPS_OF_OTHER) {
            break;
        }
        looked_at += 1;
        found_by += usize::from(!other.is_passive() && finds(other, ticket, rules.mutual, &steps));
        let failed = failed_clauses(ticket, other, &steps);
        for verdict in &failed {
            let counted = clauses.entry(verdict.clause.clone()).or_insert_with(|| FailedClause {
                clause: verdict.clause.clone(),
                failed_by: 0,
                note: verdict.note,
            });
            counted.failed_by += 1;
        }
        let Some((reason, count)) = reason(ticket, other, rules, &steps, &mut left_out) else {
            fitting.push(other.clone());
            continue;
        };
        *count += 1;
        let failed_clauses: Vec<String> = failed.into_iter().map(|verdict| verdict.clause).collect();
        let distance = failed_clauses.len() + usize::from(reason != "query");
        if reason != "own_session"
            && (nearest.len() < NEAREST || nearest.last().is_some_and(|(far, _)| distance < *far))
        {
            let at = nearest.partition_point(|(near, _)| *near <= distance);
            nearest.insert(at, (distance, Near { counts: Numbers::of(other), reason, failed_clauses }));
            nearest.truncate(NEAREST);
        }
    }
    let fitting = tell_fitting(ticket, &fitting, rules, &steps);
    let mut explanation = Explanation {
        ticket: ticket.id.to_string(),
        state: if ticket.is_passive() { "passive" } else { "active" },
        passes: ticket.passes(),
        max_intervals: rules.max_intervals,
        next_pass_unix_ms: services.matchmaker.0.next_pass_unix_ms.load(Ordering::Relaxed),
        counts: Numbers::of(ticket),
        pool: size,
        looked_at,
        left_out,
        clauses: clauses.into_values().collect(),
        fitting,
        found_by,
        nearest: nearest.into_iter().map(|(_, near)| near).collect(),
        because: String::new(),
    };
    explanation.because = because(&explanation, ticket.query.search_fault());
    explanation
}

fn finds(searcher: &Ticket, other: &Ticket, mutual: bool, steps: &Steps) -> bool {
    Shape::of(searcher).finds(Shape::of(other))
        && !searcher.shares_session(other)
        && searcher.accepts(other, steps)
        && (!mutual || other.accepts(searcher, steps))
}

/// The clauses of the searcher's query that keep `other` out; none if the query takes it.
fn failed_clauses(searcher: &Ticket, other: &Ticket, steps: &Steps) -> Vec<Verdict> {
    if searcher.accepts(other, steps) {
        return Vec::new();
    }
    let mut verdicts = searcher.query.explain(&other.document);
    let has_must = verdicts.iter().any(|verdict| verdict.occurrence == Occurrence::Must);
    verdicts.retain(|verdict| match verdict.occurrence {
        Occurrence::Must => !verdict.is_match,
        Occurrence::MustNot => verdict.is_match,
        // Without a must one of these is needed, and none matched if the query failed by them.
        Occurrence::Should => !has_must && !verdict.is_match,
    });
    verdicts
}

/// The first reason for which `other` is left out, and its counter; `None`: it fits.
fn reason<'l>(
    ticket: &Ticket,
    other: &Ticket,
    rules: Rules,
    steps: &Steps,
    left_out: &'l mut LeftOut,
) -> Option<(&'static str, &'l mut usize)> {
    let (own, theirs) = (ticket.counts(), other.counts());
    let together = ticket.size().saturating_add(other.size());
    let limit = own.limit(rules.largest).min(theirs.limit(rules.largest));
    if ticket.shares_session(other) {
        Some(("own_session", &mut left_out.own_session))
    } else if !Shape::of(ticket).finds(Shape::of(other)) {
        Some(("count_range", &mut left_out.count_range))
    } else if !ticket.accepts(other, steps) {
        Some(("query", &mut left_out.query))
    } else if rules.mutual && !other.accepts(ticket, steps) {
        Some(("their_query", &mut left_out.their_query))
    } else if together > limit {
        Some(("too_many_users", &mut left_out.too_many_users))
    } else if !(together..=limit).any(|users| own.suits(users) && theirs.suits(users)) {
        Some(("count_multiple", &mut left_out.count_multiple))
    } else {
        None
    }
}

/// What those that fit one by one come to together, by the rules of a pass.
fn tell_fitting(ticket: &Arc<Ticket>, fitting: &[Arc<Ticket>], rules: Rules, steps: &Steps) -> Fitting {
    let mut groups = Groups::new(ticket, rules.largest);
    let agree = |one: &Ticket, other: &Ticket| !rules.mutual || one.accepts(other, steps) && other.accepts(one, steps);
    let mut placed = fitting.iter().take_while(|_| !steps.are_used_up());
    let make_max_count = placed.any(|other| groups.place(other, agree).is_some());
    Fitting {
        tickets: fitting.len(),
        users: fitting.iter().map(|other| u64::from(other.size())).sum(),
        make_max_count,
        make_min_count: make_max_count || groups.best(steps).is_some(),
    }
}

/// The same in a sentence.
fn because(told: &Explanation, fault: Option<&str>) -> String {
    let out = &told.left_out;
    if let Some(fault) = fault {
        return format!("Its query cannot be searched with: {fault}. It only waits to be found by others.");
    }
    if told.looked_at == 0 {
        return "No other ticket waits.".to_owned();
    }
    if told.state == "passive" {
        return match told.found_by {
            0 => "It no longer searches, and no ticket that searches takes it.".to_owned(),
            found_by => format!("It no longer searches; {found_by} tickets that search take it."),
        };
    }
    if told.fitting.make_max_count {
        return "Others fit: it should be matched in the next pass, unless they are matched before.".to_owned();
    }
    if told.fitting.make_min_count {
        return format!(
            "Enough others fit for min_count, not for max_count: it insists on max_count for {} passes, and has made {}.",
            told.max_intervals, told.passes
        );
    }
    if told.fitting.tickets > 0 {
        return format!(
            "{} tickets with {} users fit one by one, but no choice of them makes a number of users that suits all.",
            told.fitting.tickets, told.fitting.users
        );
    }
    let reasons = [
        (out.query, "its query does not take them"),
        (out.count_range, "their range of counts does not lie inside its own"),
        (out.their_query, "their query does not take it"),
        (out.too_many_users, "there would be too many users together"),
        (out.count_multiple, "no number of users suits both"),
        (out.own_session, "they are of the same session"),
    ];
    // Of equal ones the first, which is the one that a player can most often do something about.
    let most = reasons.iter().rev().max_by_key(|(number, _)| *number).unwrap_or(&reasons[0]);
    format!("No other ticket fits; {} of {} because {}.", most.0, told.looked_at, most.1)
}
