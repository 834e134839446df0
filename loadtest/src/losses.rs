//! What became of numbered messages at their receivers.

use crate::{client::Event, payload::Mark, report::Delivery, stats::Meter};
use kizuna_protocol::realtime::envelope::Message as Body;
use tokio::time::Instant;

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

/// What one member of a group has received of the others.
#[derive(Clone, Debug)]
pub struct Inbox {
    /// The group's number in this run.
    group: u32,
    /// The member's own place.
    slot: u16,
    /// Bytes of each payload.
    bytes: usize,
    /// The moment that marks count from.
    epoch: Instant,
    /// By the sender's place.
    senders: Vec<Sequence>,
    /// Messages with a payload that nobody of the group sent to this member.
    damaged: u64,
}

impl Inbox {
    /// Nothing yet, of a group of `members`.
    pub fn new((group, slot): (u32, u16), members: usize, bytes: usize, epoch: Instant) -> Self {
        Self { group, slot, bytes, epoch, senders: vec![Sequence::default(); members], damaged: 0 }
    }

    /// Takes note of an event if it is the data of a match or a party; its mark and how it came, if it is whole. Latency goes to
    /// `meter`.
    pub fn take(&mut self, event: &Event, meter: &Meter) -> Option<(Mark, Arrival)> {
        let data = match &event.message {
            Body::MatchData(data) => &data.data,
            Body::PartyData(data) => &data.data,
            _ => return None,
        };
        let ours = |mark: &Mark| mark.group == self.group && mark.slot != self.slot;
        let mark = Mark::of_payload(data, self.bytes).filter(ours);
        let sender = mark.and_then(|mark| self.senders.get_mut(usize::from(mark.slot)));
        let (Some(mark), Some(sender)) = (mark, sender) else {
            self.damaged += 1;
            return None;
        };
        let arrival = sender.accept(u64::from(mark.sequence));
        let since = u64::try_from((event.at - self.epoch).as_nanos()).unwrap_or(u64::MAX);
        meter.add_all(usize::from(self.slot), &[since.saturating_sub(mark.intended_ns)]);
        meter.count(1);
        Some((mark, arrival))
    }

    /// Whether everything has come that the others sent, by their places.
    pub fn is_complete(&self, sent: impl Fn(usize) -> u64) -> bool {
        self.others().all(|(place, sequence)| sequence.lost(sent(place)) == 0)
    }

    /// What became of the others' messages, by what they sent; of its own only that they were sent.
    pub fn delivery(&self, sent: impl Fn(usize) -> u64) -> Delivery {
        let own = sent(usize::from(self.slot));
        let start = Delivery { sent: own, damaged: self.damaged, ..Delivery::default() };
        self.others().fold(start, |total, (place, sequence)| {
            total.and(Delivery {
                expected: sent(place),
                received: sequence.unique,
                lost: sequence.lost(sent(place)),
                duplicated: sequence.duplicated,
                reordered: sequence.reordered,
                ..Delivery::default()
            })
        })
    }

    fn others(&self) -> impl Iterator<Item = (usize, &Sequence)> {
        self.senders.iter().enumerate().filter(|(place, _)| *place != usize::from(self.slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kizuna_protocol::realtime::MatchData;
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

    fn data(mark: Mark, size: usize) -> Event {
        let data = MatchData { data: mark.payload(size), ..MatchData::default() };
        Event { at: Instant::now(), message: Body::MatchData(data) }
    }

    #[test]
    fn an_inbox_accounts_for_each_other_member_of_its_group() {
        let meter = Meter::default();
        let mut inbox = Inbox::new((7, 1), 3, 40, Instant::now());
        let mark = |group, slot, sequence| Mark { group, slot, sequence, intended_ns: 0 };
        for sequence in [0, 2, 2] {
            inbox.take(&data(mark(7, 0, sequence), 40), &meter);
        }
        assert_eq!(inbox.take(&data(mark(7, 2, 0), 40), &meter), Some((mark(7, 2, 0), Arrival::InOrder)));
        // Of another group, of itself, of nobody, of another length.
        for (stray, size) in [(mark(8, 0, 1), 40), (mark(7, 1, 1), 40), (mark(7, 3, 1), 40), (mark(7, 0, 1), 41)] {
            assert_eq!(inbox.take(&data(stray, size), &meter), None);
        }
        let sent = [3, 5, 1];
        assert!(!inbox.is_complete(|place| sent[place]));
        let expected = Delivery { sent: 5, expected: 4, received: 3, lost: 1, duplicated: 1, reordered: 0, damaged: 4 };
        assert_eq!((inbox.delivery(|place| sent[place]), meter.done()), (expected, 4));
        inbox.take(&data(mark(7, 0, 1), 40), &meter);
        assert!(inbox.is_complete(|place| sent[place]));
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
