//! What a search may cost, and has cost.

use std::cell::Cell;

/// Steps that searches may take together. A step is about what it takes to look at 64 documents at once, or at four bytes of a text:
/// a few nanoseconds. Counting them, not time, two searches over the same documents end at the same place.
#[derive(Debug)]
pub struct Steps {
    most: u64,
    taken: Cell<u64>,
}

/// What comparing one text with a pattern costs beside its length: to find it in the index, most of all.
pub(super) const TERM: u64 = 32;

/// How far a search came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a search that was cut short has not found all there is"]
pub enum Reach {
    /// To its end, or as far as its visitor wanted.
    Done,
    /// Until its steps were used up: there may be more.
    CutShort,
}

impl Steps {
    /// So many.
    pub const fn at_most(most: u64) -> Self {
        Self { most, taken: Cell::new(0) }
    }

    /// As many as it takes.
    pub const fn unbounded() -> Self {
        Self::at_most(u64::MAX)
    }

    /// Takes `number` of them. False: they are used up, and what cost them was the last.
    pub fn take(&self, number: u64) -> bool {
        self.taken.set(self.taken.get().saturating_add(number));
        !self.are_used_up()
    }

    /// The same of a number of things that cost a step each.
    pub(super) fn take_each(&self, number: usize) -> bool {
        self.take(number as u64)
    }

    /// Steps taken so far. The last thing may have cost more than was left.
    pub fn taken(&self) -> u64 {
        self.taken.get()
    }

    /// Whether there are none left.
    pub fn are_used_up(&self) -> bool {
        self.taken.get() >= self.most
    }
}
