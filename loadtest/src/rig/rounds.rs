//! Round after round, row after row, each server in its turn.

use super::{
    interrupt::Interrupt,
    results::Measured,
    row::Row,
    work::{self, Failure, Scale, Subject},
};
use crate::{progress, trial::Program};
use tokio::time::Instant;

/// What all rounds share.
#[derive(Debug)]
pub struct Rounds<'a> {
    /// Who takes turns.
    pub subjects: &'a [Subject; 2],
    /// How much is done, and with what.
    pub scale: &'a Scale,
    /// How many.
    pub count: u32,
    /// The wish to end early.
    pub interrupt: Interrupt,
}

impl Rounds<'_> {
    /// Measures `rows`. What has been measured until an end that comes early is kept, and the reason beside it.
    pub async fn measure(&self, rows: Vec<Row>) -> (Vec<Measured>, Result<(), String>) {
        let mut measured: Vec<_> = rows.into_iter().map(|row| Measured::new(row, self.subjects.len())).collect();
        let outcome = self.all(&mut measured).await;
        (measured, outcome)
    }

    async fn all(&self, rows: &mut [Measured]) -> Result<(), String> {
        let begun = Instant::now();
        let of = rows.len();
        for round in 1..=self.count {
            for (number, row) in (1..).zip(rows.iter_mut()) {
                let floor = row.row.floor;
                for subject in turns(round, row.row.turns).filter(|subject| floor || !self.is_floor(*subject)) {
                    let (name, who, so_far) = (row.name, self.subjects[subject].name, begun.elapsed().as_secs());
                    let rounds = self.count;
                    progress::tell(&format!(
                        "{so_far:>5} s  round {round} of {rounds}, row {number} of {of}: {name}, {who}"
                    ));
                    self.take(round, subject, row).await?;
                }
            }
        }
        Ok(())
    }

    fn is_floor(&self, subject: usize) -> bool {
        matches!(self.subjects[subject].program, Program::Floor(_))
    }

    async fn take(&self, round: u32, subject: usize, row: &mut Measured) -> Result<(), String> {
        let who = &self.subjects[subject];
        let report = match work::measure(row.row.work, who, self.scale, &self.interrupt).await {
            Ok(report) => Some(report),
            Err(Failure::Fault(why)) => {
                row.faults.push(format!("{}, round {round}: {why}", who.name));
                None
            }
            Err(Failure::End(why)) => return Err(why),
        };
        row.add(subject, report.as_ref());
        Ok(())
    }
}

/// Whose turn it is, by number, `each` times both in a round: who went first goes second the next time.
fn turns(round: u32, each: u32) -> impl Iterator<Item = usize> {
    let first = (round - 1) * each;
    (first..first + each).flat_map(|turn| if turn % 2 == 0 { [0, 1] } else { [1, 0] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_goes_first_every_other_time() {
        let of = |round, each| turns(round, each).collect::<Vec<_>>();
        assert_eq!([of(1, 1), of(2, 1), of(3, 1)], [[0, 1], [1, 0], [0, 1]]);
        assert_eq!([of(1, 3), of(2, 3)], [[0, 1, 1, 0, 0, 1], [1, 0, 0, 1, 1, 0]]);
    }
}
