//! What became of one sender's numbered messages at one receiver.

/// How many numbers back a late or repeated message is still recognised.
const REMEMBERED: u64 = 128;

/// How a message relates to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Higher than every number before.
    InOrder,
    /// Not seen before, but lower than one seen: it was overtaken.
    Reordered,
    /// Seen before.
    Duplicate,
}

/// The numbers of one sender that one receiver has seen. Numbers start at 0.
///
/// A message that comes more than `REMEMBERED` numbers late cannot be told from a repetition; it counts as reordered.
#[derive(Clone, Debug, Default)]
pub struct Sequence {
    /// One more than the highest number seen.
    next: u64,
    /// Bit `k` is set when `next - 1 - k` has been seen.
    seen: u128,
    /// Messages seen for the first time.
    pub unique: u64,
    /// Messages seen again.
    pub duplicated: u64,
    /// Messages that others had overtaken.
    pub reordered: u64,
}

impl Sequence {
    /// Takes note of message `number`.
    pub fn accept(&mut self, number: u64) -> Arrival {
        let arrival = self.judge(number);
        match arrival {
            Arrival::InOrder => self.unique += 1,
            Arrival::Reordered => {
                self.unique += 1;
                self.reordered += 1;
            }
            Arrival::Duplicate => self.duplicated += 1,
        }
        arrival
    }

    fn judge(&mut self, number: u64) -> Arrival {
        if number >= self.next {
            let ahead = number + 1 - self.next;
            self.seen = if ahead >= REMEMBERED { 0 } else { self.seen << ahead };
            self.seen |= 1;
            self.next = number + 1;
            return Arrival::InOrder;
        }
        let behind = self.next - 1 - number;
        if behind >= REMEMBERED {
            return Arrival::Reordered;
        }
        let bit = 1_u128 << behind;
        if self.seen & bit != 0 {
            return Arrival::Duplicate;
        }
        self.seen |= bit;
        Arrival::Reordered
    }

    /// How many of `sent` messages never came.
    pub fn lost(&self, sent: u64) -> u64 {
        sent.saturating_sub(self.unique)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn after(numbers: &[u64]) -> Sequence {
        let mut sequence = Sequence::default();
        for number in numbers {
            sequence.accept(*number);
        }
        sequence
    }

    #[test]
    fn an_unbroken_row_loses_nothing() {
        let sequence = after(&(0..1000).collect::<Vec<_>>());
        assert_eq!((sequence.lost(1000), sequence.duplicated, sequence.reordered), (0, 0, 0));
    }

    #[test]
    fn gaps_and_a_missing_end_are_losses() {
        assert_eq!(after(&[0, 1, 4]).lost(7), 4);
        assert_eq!(after(&[]).lost(3), 3);
    }

    #[test]
    fn an_overtaken_message_is_not_lost() {
        let sequence = after(&[0, 2, 1, 3]);
        assert_eq!((sequence.lost(4), sequence.reordered, sequence.duplicated), (0, 1, 0));
    }

    #[test]
    fn a_repeated_message_does_not_hide_a_loss() {
        let sequence = after(&[0, 2, 2, 2]);
        assert_eq!((sequence.lost(3), sequence.duplicated), (1, 2));
    }

    #[test]
    fn a_leap_beyond_the_memory_forgets_but_counts() {
        let mut sequence = after(&[0, 1000]);
        assert_eq!(sequence.accept(1000), Arrival::Duplicate);
        assert_eq!(sequence.accept(999), Arrival::Reordered);
        assert_eq!(sequence.accept(1), Arrival::Reordered);
        assert_eq!(sequence.unique, 4);
    }

    proptest! {
        #[test]
        fn shuffles_within_the_memory_are_counted_exactly(swaps in prop::collection::vec(0_usize..90, 0..60), twice in 0_usize..100) {
            let mut numbers: Vec<u64> = (0..100).collect();
            for at in swaps {
                numbers.swap(at, at + 9);
            }
            numbers.push(numbers[twice]);
            let sequence = after(&numbers);
            prop_assert_eq!((sequence.unique, sequence.lost(100), sequence.duplicated), (100, 0, 1));
        }
    }
}
