//! Values in order, with the slots that have them.

use super::slots::Slot;

/// Entries of one block: short enough to move for an insertion, long enough that there are few to count through.
const BLOCK: usize = 512;

/// Pairs of a value and a slot, sorted, in blocks none of which is empty. Values compare with each other: there is no NaN.
#[derive(Debug)]
pub(super) struct Ranked<T> {
    blocks: Vec<Vec<(T, Slot)>>,
    len: usize,
}

impl<T> Default for Ranked<T> {
    fn default() -> Self {
        Self { blocks: Vec::new(), len: 0 }
    }
}

impl<T: Copy + PartialOrd> Ranked<T> {
    /// Pairs held.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds the pair, if it is new.
    pub(super) fn insert(&mut self, value: T, slot: Slot) {
        let pair = (value, slot);
        let at = self.block(pair).min(self.blocks.len().saturating_sub(1));
        let Some(block) = self.blocks.get_mut(at) else {
            self.blocks.push(vec![pair]);
            self.len = 1;
            return;
        };
        let place = block.partition_point(|held| *held < pair);
        if block.get(place) == Some(&pair) {
            return;
        }
        block.insert(place, pair);
        self.len += 1;
        if block.len() > BLOCK {
            let upper = block.split_off(BLOCK / 2);
            self.blocks.insert(at + 1, upper);
        }
    }

    /// Takes the pair out, if it is there.
    pub(super) fn remove(&mut self, value: T, slot: Slot) {
        let pair = (value, slot);
        let at = self.block(pair);
        let Some(block) = self.blocks.get_mut(at) else { return };
        let place = block.partition_point(|held| *held < pair);
        if block.get(place) != Some(&pair) {
            return;
        }
        block.remove(place);
        self.len -= 1;
        let rest = block.len();
        if rest == 0 {
            self.blocks.remove(at);
        } else if self.blocks.get(at + 1).is_some_and(|next| rest + next.len() <= BLOCK / 2) {
            let next = self.blocks.remove(at + 1);
            self.blocks[at].extend(next);
        }
    }

    /// Pairs with a value from `low` to `high`, both included.
    pub(super) fn count(&self, low: T, high: T) -> usize {
        let ((first, from), (last, to)) = self.span(low, high);
        match first.cmp(&last) {
            std::cmp::Ordering::Less => {
                let between: usize = self.blocks[first + 1..last].iter().map(Vec::len).sum();
                self.blocks[first].len() - from + between + to
            }
            std::cmp::Ordering::Equal => to.saturating_sub(from),
            std::cmp::Ordering::Greater => 0,
        }
    }

    /// The slots of all pairs with a value from `low` to `high`, both included, in order of value.
    pub(super) fn each(&self, low: T, high: T, mut visit: impl FnMut(Slot)) {
        let ((first, from), (last, to)) = self.span(low, high);
        for at in first..=last {
            let Some(block) = self.blocks.get(at) else { return };
            let (from, to) = (if at == first { from } else { 0 }, if at == last { to } else { block.len() });
            block.get(from..to).unwrap_or_default().iter().for_each(|(_, slot)| visit(*slot));
        }
    }

    /// Every pair, in order.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (T, Slot)> {
        self.blocks.iter().flatten().copied()
    }

    /// Gives every slot its new number. Numbers keep their order, so pairs do.
    pub(super) fn renumber(&mut self, numbers: &[Slot]) {
        for (_, slot) in self.blocks.iter_mut().flatten() {
            *slot = numbers[*slot as usize];
        }
    }

    /// The block that has the pair or would have it; one too far for what is greater than everything.
    fn block(&self, pair: (T, Slot)) -> usize {
        self.blocks.partition_point(|block| block.last().is_some_and(|last| *last < pair))
    }

    /// From the first pair that is not below `low` to the first that is above `high`: blocks, and places in them.
    fn span(&self, low: T, high: T) -> ((usize, usize), (usize, usize)) {
        (self.position(|value| value < low), self.position(|value| value <= high))
    }

    /// The first pair of which `is_before` is not true; it is true up to some pair and then never again.
    fn position(&self, is_before: impl Fn(T) -> bool) -> (usize, usize) {
        let at = self.blocks.partition_point(|block| block.last().is_some_and(|(value, _)| is_before(*value)));
        let place = self.blocks.get(at).map_or(0, |block| block.partition_point(|(value, _)| is_before(*value)));
        (at, place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn ranges_are_those_of_a_sorted_set(
            steps in proptest::collection::vec((0_u8..40, 0_u32..60, 0_u8..4), 0..2_000),
            ranges in proptest::collection::vec((0_u8..42, 0_u8..42), 10),
        ) {
            let (mut ranked, mut model) = (Ranked::default(), BTreeSet::new());
            for (value, slot, step) in steps {
                if step > 0 {
                    ranked.insert(value, slot);
                    model.insert((value, slot));
                } else {
                    ranked.remove(value, slot);
                    model.remove(&(value, slot));
                }
            }
            prop_assert_eq!(ranked.len(), model.len());
            prop_assert!(ranked.pairs().eq(model.iter().copied()));
            for (low, high) in ranges {
                let expected: Vec<Slot> =
                    model.iter().filter(|(value, _)| (low..=high).contains(value)).map(|(_, slot)| *slot).collect();
                let mut found = Vec::new();
                ranked.each(low, high, |slot| found.push(slot));
                prop_assert_eq!(ranked.count(low, high), expected.len());
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn emptied_blocks_go() {
        let mut ranked = Ranked::default();
        (0..10_000_u32).for_each(|slot| ranked.insert(f64::from(slot % 100), slot));
        assert_eq!(ranked.count(10.0, 19.5), 1_000);
        (0..9_990_u32).for_each(|slot| ranked.remove(f64::from(slot % 100), slot));
        assert_eq!((ranked.len(), ranked.count(90.0, 99.0)), (10, 10));
        assert!(ranked.blocks.len() <= 2, "{}", ranked.blocks.len());
    }
}
