//! The groups that a searching ticket could form of what it finds, and which of them becomes a match (spec/matchmaker.md 9).

use super::{
    subset::Sums,
    ticket::{Counts, Ticket},
};
use crate::search::Steps;
use std::{collections::HashSet, sync::Arc};
use uuid::Uuid;

/// Groups of one size that are open at a time. Two such groups differ only in who refuses whom, so a few of them are enough; with
/// more, tickets that fit nowhere would cost the square of their number.
const OPEN_OF_ONE_SIZE: usize = 8;
/// Groups that are open at a time.
const OPEN: usize = 64;

impl Counts {
    /// The largest match that suits, where none has more than `largest` users.
    pub(super) fn limit(self, largest: u32) -> u32 {
        let most = self.max.min(largest);
        most - most % self.multiple
    }

    /// Whether a match of so many users suits.
    pub(super) fn suits(self, users: u32) -> bool {
        (self.min..=self.max).contains(&users) && users.is_multiple_of(self.multiple)
    }
}

#[derive(Debug)]
struct Group {
    /// In the order in which they were found.
    tickets: Vec<Arc<Ticket>>,
    /// Users, the searcher's included.
    users: u32,
    /// The most users that suit all of them.
    most: u32,
    /// A bit for some of each session's id: where it is not set, the session is not here.
    marks: [u64; 16],
}

impl Group {
    fn push(&mut self, ticket: &Arc<Ticket>, limit: u32) {
        self.users += ticket.size();
        self.most = self.most.min(limit);
        for session in ticket.sessions() {
            let (word, bit) = mark(session);
            self.marks[word] |= bit;
        }
        self.tickets.push(ticket.clone());
    }

    fn has_session_of(&self, ticket: &Ticket) -> bool {
        let is_marked = |(word, bit): (usize, u64)| self.marks[word] & bit != 0;
        ticket.sessions().any(|session| is_marked(mark(session)))
            && self.tickets.iter().any(|other| other.shares_session(ticket))
    }
}

/// Session ids are random, so that their last bits are as good as a hash.
fn mark(session: Uuid) -> (usize, u64) {
    let bits = session.as_u128();
    ((bits >> 6) as usize % 16, 1 << (bits % 64))
}

/// The groups of one searching ticket.
#[derive(Debug)]
pub(super) struct Groups<'t> {
    searcher: &'t Arc<Ticket>,
    largest: u32,
    groups: Vec<Group>,
}

impl<'t> Groups<'t> {
    /// No groups yet; matches have `largest` users at most.
    pub(super) fn new(searcher: &'t Arc<Ticket>, largest: u32) -> Self {
        Self { searcher, largest, groups: Vec::new() }
    }

    /// Puts a ticket into the first group that it fits and where `agree` says so of it and each member, or opens one with it.
    /// Answers the match, if the group has as many users now as the searcher wants.
    pub(super) fn place(
        &mut self,
        found: &Arc<Ticket>,
        mut agree: impl FnMut(&Ticket, &Ticket) -> bool,
    ) -> Option<Vec<Arc<Ticket>>> {
        let (size, limit) = (found.size(), found.counts().limit(self.largest));
        let fits = |group: &Group| group.users.saturating_add(size) <= group.most.min(limit);
        let place = self.groups.iter().position(|group| {
            fits(group) && !group.has_session_of(found) && group.tickets.iter().all(|member| agree(member, found))
        });
        let wanted = self.searcher.counts().limit(self.largest);
        let at = match place {
            Some(at) => at,
            None => self.open(size, wanted.min(limit))?,
        };
        let group = &mut self.groups[at];
        group.push(found, limit);
        let is_complete = group.users == wanted && group.tickets.iter().all(|ticket| ticket.counts().suits(wanted));
        is_complete.then(|| with(group.tickets.clone(), self.searcher))
    }

    /// An empty group for a ticket of this size, if it is worth one.
    fn open(&mut self, size: u32, most: u32) -> Option<usize> {
        let users = self.searcher.size().saturating_add(size);
        let alike = self.groups.iter().filter(|group| group.users == users).count();
        // One that is complete by itself need not stay open.
        let is_complete = users == most;
        if users > most || !is_complete && (alike >= OPEN_OF_ONE_SIZE || self.groups.len() >= OPEN) {
            return None;
        }
        self.groups.push(Group { tickets: Vec::new(), users: self.searcher.size(), most, marks: [0; 16] });
        Some(self.groups.len() - 1)
    }

    /// The largest match that the groups allow, once the searcher no longer insists; of equal ones, that of the group opened first.
    pub(super) fn best(&self, steps: &Steps) -> Option<Vec<Arc<Ticket>>> {
        let mut best: Option<(u32, Vec<Arc<Ticket>>)> = None;
        for group in &self.groups {
            let least = best.as_ref().map_or(0, |(users, _)| *users);
            // At worst every number of users is tried with every ticket.
            steps.take(u64::from(group.users) * group.tickets.len() as u64 / 4);
            if group.users > least
                && let Some(found) = self.settle(group, least)
            {
                best = Some(found);
            }
        }
        best.map(|(_, tickets)| with(tickets, self.searcher))
    }

    /// The most users above `least` that suit the searcher and some of a group's tickets, and those tickets: the longer one has
    /// waited, the rather it stays.
    fn settle(&self, group: &Group, least: u32) -> Option<(u32, Vec<Arc<Ticket>>)> {
        let counts = self.searcher.counts();
        let from = group.users - group.users % counts.multiple;
        let sizes = (counts.min.max(least.saturating_add(1))..=from).rev();
        sizes.filter(|users| users.is_multiple_of(counts.multiple)).find_map(|users| {
            let wanted = users.checked_sub(self.searcher.size()).filter(|others| *others > 0)?;
            Some((users, kept(&group.tickets, users, wanted)?))
        })
    }
}

fn with(mut tickets: Vec<Arc<Ticket>>, searcher: &Arc<Ticket>) -> Vec<Arc<Ticket>> {
    tickets.push(searcher.clone());
    tickets
}

/// Of the tickets that a match of `users` suits, those that have exactly `wanted` users together; the oldest before others.
fn kept(tickets: &[Arc<Ticket>], users: u32, wanted: u32) -> Option<Vec<Arc<Ticket>>> {
    let mut suited: Vec<&Arc<Ticket>> = tickets.iter().filter(|ticket| ticket.counts().suits(users)).collect();
    suited.sort_by_key(|ticket| ticket.order);
    // What the tickets from each one on can add up to: decides in one step a ticket whether it can stay.
    let mut sums = vec![Sums::none(wanted)];
    for ticket in suited.iter().rev() {
        let mut with = sums.last().expect("it begins with one").clone();
        with.add(ticket.size(), 1);
        sums.push(with);
    }
    sums.reverse();
    if !sums[0].reach(wanted) {
        return None;
    }
    let mut left = wanted;
    let mut stays = HashSet::new();
    for (ticket, rest) in suited.iter().zip(&sums[1..]) {
        if let Some(after) = left.checked_sub(ticket.size())
            && rest.reach(after)
        {
            left = after;
            stays.insert(ticket.order);
        }
    }
    Some(tickets.iter().filter(|ticket| stays.contains(&ticket.order)).cloned().collect())
}
