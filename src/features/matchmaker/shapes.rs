//! Which tickets could match at all by their numbers, whatever their queries say: found by counting tickets that are alike, not by
//! searching. It keeps a pool in which everybody takes everybody, and no sum fits, from costing the square of its size.

use super::{
    subset::Sums,
    ticket::{Counts, Ticket},
};
use std::collections::{BTreeMap, HashMap};

/// Different shapes up to which it is worth to look; beyond, every ticket searches.
const LOOKED_AT: usize = 256;

/// What tickets that are alike have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Shape {
    pub(super) counts: Counts,
    pub(super) size: u32,
}

impl Shape {
    pub(super) fn of(ticket: &Ticket) -> Self {
        Self { counts: ticket.counts(), size: ticket.size() }
    }

    /// Whether a ticket of this shape finds one of the other: the other's range lies inside its own.
    pub(super) fn finds(self, other: Self) -> bool {
        other.counts.min >= self.counts.min && other.counts.max <= self.counts.max
    }
}

/// How many tickets there are of each shape.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    numbers: BTreeMap<Shape, usize>,
    /// Told by [`Shapes::could_match`], by shape and whether the searcher still insists. Tickets only leave during a pass, so a no
    /// stays true; a yes holds as long as `version` does.
    known: HashMap<(Shape, bool), (u64, bool)>,
    version: u64,
}

impl Shapes {
    /// One ticket more.
    pub(super) fn add(&mut self, shape: Shape) {
        *self.numbers.entry(shape).or_default() += 1;
        self.known.clear();
    }

    /// One less. A match takes at most `largest` users, so a larger number of tickets is as good as any other.
    pub(super) fn remove(&mut self, shape: Shape, largest: u32) {
        let Some(number) = self.numbers.get_mut(&shape) else { return };
        *number -= 1;
        if *number <= largest as usize {
            self.version += 1;
        }
        if *number == 0 {
            self.numbers.remove(&shape);
        }
    }

    /// Whether some of the tickets, one of `shape` among them, which searches, have together as many users as suits all of them.
    pub(super) fn could_match(&mut self, shape: Shape, insists: bool, largest: u32) -> bool {
        if self.numbers.len() > LOOKED_AT {
            return true;
        }
        if let Some((version, could)) = self.known.get(&(shape, insists))
            && (!could || *version == self.version)
        {
            return *could;
        }
        let could = sizes(shape, insists, largest).any(|users| self.reach(shape, users));
        self.known.insert((shape, insists), (self.version, could));
        could
    }

    fn reach(&self, searcher: Shape, users: u32) -> bool {
        let Some(others) = users.checked_sub(searcher.size).filter(|others| *others > 0) else { return false };
        let mut sums = Sums::none(others);
        for (shape, number) in &self.numbers {
            if searcher.finds(*shape) && shape.counts.suits(users) && shape.size <= others {
                // The searcher itself is no other.
                sums.add(shape.size, number - usize::from(*shape == searcher));
            }
        }
        sums.reach(others)
    }
}

/// The numbers of users that suit a searcher.
fn sizes(shape: Shape, insists: bool, largest: u32) -> impl Iterator<Item = u32> {
    let limit = shape.counts.limit(largest);
    let from = if insists { limit.max(shape.counts.min) } else { shape.counts.min };
    (from..=limit).filter(move |users| users.is_multiple_of(shape.counts.multiple))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(min: u32, max: u32, multiple: u32, size: u32) -> Shape {
        Shape { counts: Counts { min, max, multiple }, size }
    }

    fn of(list: &[(Shape, usize)]) -> Shapes {
        let mut shapes = Shapes::default();
        for (shape, number) in list {
            (0..*number).for_each(|_| shapes.add(*shape));
        }
        shapes
    }

    #[test]
    fn numbers_alone_say_who_cannot_match() {
        let (pair, wide, trio) = (shape(2, 2, 1, 1), shape(2, 4, 1, 1), shape(3, 3, 1, 2));
        assert!(!of(&[(pair, 1)]).could_match(pair, false, 256), "there is nobody else");
        assert!(of(&[(pair, 2)]).could_match(pair, true, 256));
        assert!(!of(&[(pair, 1), (wide, 1)]).could_match(pair, false, 256), "a narrow one finds no wide one");
        assert!(of(&[(pair, 1), (wide, 1)]).could_match(wide, false, 256));
        assert!(!of(&[(pair, 1), (wide, 1)]).could_match(wide, true, 256));
        assert!(!of(&[(trio, 1_000)]).could_match(trio, false, 256), "parties of two never make three");
        let even = shape(2, 6, 2, 1);
        assert!(!of(&[(even, 1), (shape(3, 3, 3, 1), 9)]).could_match(even, false, 256), "no size suits both");
        let huge = shape(20_000, 20_000, 1, 1);
        assert!(!of(&[(huge, 100)]).could_match(huge, false, 256));
        let open = shape(2, i32::MAX as u32, 1, 1);
        assert!(of(&[(open, 256)]).could_match(open, true, 256), "the largest match is as good as the largest number");
        assert!(!of(&[(open, 255)]).could_match(open, true, 256));
    }

    #[test]
    fn what_is_known_follows_the_tickets() {
        let pair = shape(2, 2, 1, 1);
        let mut shapes = of(&[(pair, 3)]);
        assert!(shapes.could_match(pair, true, 256));
        shapes.remove(pair, 256);
        assert!(shapes.could_match(pair, true, 256));
        shapes.remove(pair, 256);
        assert!(!shapes.could_match(pair, true, 256));
        shapes.add(pair);
        assert!(shapes.could_match(pair, true, 256));
    }
}
