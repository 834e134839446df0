//! Sets of slots: sorted lists while they are few, bits when they are many.

/// The number of a document's place in the index. Slots ascend with keys.
pub(super) type Slot = u32;

/// A set of slots. As a list it takes four bytes a slot, as bits one bit for every slot up to its last: it is whatever is smaller,
/// with room between so that it does not change back and forth.
#[derive(Debug)]
pub(super) enum Slots {
    Few(Vec<Slot>),
    Many { words: Vec<u64>, count: usize },
}

/// Slots of the index for each of the set, from which on a list is smaller; and for bits to be given up.
const LIST_FROM: usize = 32;
const BITS_UNTIL: usize = 128;

impl Default for Slots {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Slots {
    /// Adds `slot`, one of `total` that the index has.
    pub(super) fn insert(&mut self, slot: Slot, total: usize) {
        self.settle(total);
        match self {
            Self::Few(list) if list.last().is_none_or(|last| *last < slot) => list.push(slot),
            Self::Few(list) => {
                if let Err(at) = list.binary_search(&slot) {
                    list.insert(at, slot);
                }
            }
            Self::Many { words, count } => *count += usize::from(set_bit(words, slot)),
        }
    }

    /// Takes `slot` out.
    pub(super) fn remove(&mut self, slot: Slot) {
        match self {
            Self::Few(list) => {
                if let Ok(at) = list.binary_search(&slot) {
                    list.remove(at);
                }
            }
            Self::Many { words, count } => {
                let (word, bit) = place(slot);
                if let Some(word) = words.get_mut(word)
                    && *word & bit != 0
                {
                    *word &= !bit;
                    *count -= 1;
                }
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few(list) => list.len(),
            Self::Many { count, .. } => *count,
        }
    }

    /// What [`Slots::add_to`] costs.
    pub(super) fn steps(&self) -> usize {
        match self {
            Self::Few(list) => list.len(),
            Self::Many { words, .. } => words.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds the set to `words`.
    pub(super) fn add_to(&self, words: &mut Vec<u64>) {
        match self {
            Self::Few(list) => {
                for slot in list {
                    set_bit(words, *slot);
                }
            }
            Self::Many { words: held, .. } => {
                if words.len() < held.len() {
                    words.resize(held.len(), 0);
                }
                for (word, held) in words.iter_mut().zip(held) {
                    *word |= held;
                }
            }
        }
    }

    /// Gives every slot its new number; `total` is how many there are then. Numbers keep their order.
    pub(super) fn renumber(&mut self, numbers: &[Slot], total: usize) {
        let mut list = Vec::with_capacity(self.len());
        match self {
            Self::Few(old) => list.extend(old.iter().map(|slot| numbers[*slot as usize])),
            Self::Many { words, .. } => each_bit(words, |slot| list.push(numbers[slot as usize])),
        }
        *self = Self::Few(list);
        self.settle(total);
    }

    /// Takes the smaller form.
    fn settle(&mut self, total: usize) {
        match self {
            Self::Few(list) if total > 64 && list.len() * LIST_FROM > total => {
                let mut words = Vec::new();
                list.iter().for_each(|slot| _ = set_bit(&mut words, *slot));
                *self = Self::Many { words, count: list.len() };
            }
            Self::Many { words, count } if *count * BITS_UNTIL < total => {
                let mut list = Vec::with_capacity(*count);
                each_bit(words, |slot| list.push(slot));
                *self = Self::Few(list);
            }
            Self::Few(_) | Self::Many { .. } => {}
        }
    }
}

/// The word that has the bit of `slot`, and the bit.
pub(super) fn place(slot: Slot) -> (usize, u64) {
    (slot as usize / 64, 1 << (slot % 64))
}

/// Whether `words` has the bit of `slot`.
pub(super) fn has_bit(words: &[u64], slot: Slot) -> bool {
    let (word, bit) = place(slot);
    words.get(word).is_some_and(|word| word & bit != 0)
}

/// Sets the bit of `slot`; answers whether it was not set.
pub(super) fn set_bit(words: &mut Vec<u64>, slot: Slot) -> bool {
    let (word, bit) = place(slot);
    if words.len() <= word {
        words.resize(word + 1, 0);
    }
    let is_new = words[word] & bit == 0;
    words[word] |= bit;
    is_new
}

/// Every slot whose bit is set, in order.
pub(super) fn each_bit(words: &[u64], mut visit: impl FnMut(Slot)) {
    for (at, word) in words.iter().enumerate() {
        let mut word = *word;
        while word != 0 {
            visit(at as Slot * 64 + word.trailing_zeros());
            word &= word - 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn listed(slots: &Slots) -> Vec<Slot> {
        let (mut words, mut list) = (Vec::new(), Vec::new());
        slots.add_to(&mut words);
        each_bit(&words, |slot| list.push(slot));
        list
    }

    proptest! {
        #[test]
        fn a_set_is_the_same_in_either_form(steps in proptest::collection::vec((0_u32..600, any::<bool>()), 0..400)) {
            let (mut slots, mut model) = (Slots::default(), BTreeSet::new());
            for (slot, is_added) in steps {
                if is_added {
                    slots.insert(slot, 600);
                    model.insert(slot);
                } else {
                    slots.remove(slot);
                    model.remove(&slot);
                }
                prop_assert_eq!(slots.len(), model.len());
            }
            prop_assert_eq!(listed(&slots), model.iter().copied().collect::<Vec<_>>());
            let numbers: Vec<Slot> = (0..600).map(|slot| slot * 100).collect();
            slots.renumber(&numbers, 60_000);
            prop_assert!(matches!(slots, Slots::Few(_)));
            prop_assert_eq!(listed(&slots), model.iter().map(|slot| slot * 100).collect::<Vec<_>>());
        }
    }

    #[test]
    fn many_take_a_bit_each_and_few_a_number() {
        let mut slots = Slots::default();
        (0..100_u32).for_each(|slot| slots.insert(slot * 10, 1_000));
        assert!(matches!(slots, Slots::Many { .. }));
        slots.insert(100_000, 100_001);
        assert!(matches!(slots, Slots::Few(_)));
        assert_eq!(slots.len(), 101);
    }
}
