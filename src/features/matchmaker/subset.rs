//! What numbers of users a set of tickets can add up to, one bit a number.

/// The sums from 0 to a bound that some choice of what was added has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sums {
    bound: u32,
    words: Vec<u64>,
}

impl Sums {
    /// Nothing was added: only 0 is reached. Sums above `bound` are not told.
    pub(super) fn none(bound: u32) -> Self {
        let mut words = vec![0; bound as usize / 64 + 1];
        words[0] = 1;
        Self { bound, words }
    }

    /// Adds `times` tickets of `size` users each: in powers of two, since any number of them up to `times` may be chosen.
    pub(super) fn add(&mut self, size: u32, times: usize) {
        let useful = (self.bound / size.max(1)) as usize;
        let (mut left, mut step) = (times.min(useful), 1);
        while left > 0 {
            let some = step.min(left);
            self.shift(size as usize * some);
            left -= some;
            step *= 2;
        }
    }

    fn shift(&mut self, by: usize) {
        let (words, bits) = (by / 64, by % 64);
        for at in (words..self.words.len()).rev() {
            let low = self.words[at - words] << bits;
            let carried = if bits > 0 && at > words { self.words[at - words - 1] >> (64 - bits) } else { 0 };
            self.words[at] |= low | carried;
        }
    }

    /// Whether some choice has exactly this sum.
    pub(super) fn reach(&self, sum: u32) -> bool {
        sum <= self.bound && self.words[sum as usize / 64] >> (sum % 64) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_sums_are_those_of_all_choices(sizes in proptest::collection::vec((1u32..80, 0usize..4), 0..5), bound in 0u32..300) {
            let mut sums = Sums::none(bound);
            let mut all = std::collections::BTreeSet::from([0u32]);
            for (size, times) in sizes {
                sums.add(size, times);
                for _ in 0..times {
                    all = all.iter().flat_map(|sum| [*sum, sum + size]).collect();
                }
            }
            for sum in 0..=bound {
                prop_assert_eq!(sums.reach(sum), all.contains(&sum), "{}", sum);
            }
            prop_assert!(!sums.reach(bound + 1));
        }
    }
}
