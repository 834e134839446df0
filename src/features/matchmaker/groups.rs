//! The groups that a searching ticket could form of what it finds, and which of them becomes a match (spec/matchmaker.md 9).

use super::{
    subset::Sums,
    ticket::{Counts, Ticket},
};
use std::sync::Arc;

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
}

impl Group {
    fn has_session_of(&self, ticket: &Ticket) -> bool {
        self.tickets.iter().any(|other| other.shares_session(ticket))
    }
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
            None => self.open(found, wanted.min(limit))?,
        };
        let group = &mut self.groups[at];
        if place.is_some() {
            group.tickets.push(found.clone());
            group.users += size;
            group.most = group.most.min(limit);
        }
        let is_complete = group.users == wanted && group.tickets.iter().all(|ticket| ticket.counts().suits(wanted));
        is_complete.then(|| with(group.tickets.clone(), self.searcher))
    }

    fn open(&mut self, found: &Arc<Ticket>, most: u32) -> Option<usize> {
        let users = self.searcher.size().saturating_add(found.size());
        let alike = self.groups.iter().filter(|group| group.users == users).count();
        // One that is complete by itself need not stay open.
        let is_complete = users == most;
        if users > most || !is_complete && (alike >= OPEN_OF_ONE_SIZE || self.groups.len() >= OPEN) {
            return None;
        }
        self.groups.push(Group { tickets: vec![found.clone()], users, most });
        Some(self.groups.len() - 1)
    }

    /// The largest match that the groups allow, once the searcher no longer insists; of equal ones, that of the group opened first.
    pub(super) fn best(&self) -> Option<Vec<Arc<Ticket>>> {
        let mut best: Option<(u32, Vec<Arc<Ticket>>)> = None;
        for group in &self.groups {
            let least = best.as_ref().map_or(0, |(users, _)| *users);
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
    let mut stays = std::collections::HashSet::new();
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
