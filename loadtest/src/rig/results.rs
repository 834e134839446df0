//! What all rounds gave, and what it comes to.

use super::{
    machine::Conditions,
    row::{Bar, Row, Unit},
};
use crate::{report::Report, stats::Summary};
use serde::Serialize;

/// All figures of a measurement.
#[derive(Debug, Serialize)]
pub struct Results {
    /// When, where, and on what.
    pub conditions: Conditions,
    /// Who was measured; the first is the one that is judged.
    pub subjects: Vec<&'static str>,
    /// What was measured.
    pub rows: Vec<Measured>,
}

/// A row with its figures.
#[derive(Debug, Serialize)]
pub struct Measured {
    /// The row's name.
    pub name: &'static str,
    /// What it is.
    #[serde(skip)]
    pub row: Row,
    /// The figures in the row's order.
    pub figures: Vec<Values>,
    /// What went wrong.
    pub faults: Vec<String>,
}

/// One figure of all rounds.
#[derive(Debug, Serialize)]
pub struct Values {
    /// The figure's title.
    pub title: String,
    /// Its unit.
    pub unit: Unit,
    /// By subject and round; `None` where there was no report or nothing of the kind in it.
    pub by_subject: Vec<Vec<Option<f64>>>,
}

impl Measured {
    /// Nothing yet, for so many subjects.
    pub fn new(row: Row, subjects: usize) -> Self {
        let values = |figure: &super::row::Figure| Values {
            title: figure.title.clone(),
            unit: figure.unit(),
            by_subject: vec![Vec::new(); subjects],
        };
        Self { name: row.name, figures: row.figures.iter().map(values).collect(), row, faults: Vec::new() }
    }

    /// Adds what one subject gave in one round.
    pub fn add(&mut self, subject: usize, report: Option<&Report>) {
        for (figure, values) in self.row.figures.iter().zip(&mut self.figures) {
            values.by_subject[subject].push(report.and_then(|report| figure.read(report)));
        }
    }
}

impl Values {
    /// What one subject's rounds come to; `None` without any.
    pub fn of(&self, subject: usize) -> Option<Summary> {
        Summary::of(self.by_subject.get(subject)?.iter().copied().flatten())
    }

    /// Ratios of `subject` to `other`, round by round: what disturbed the machine in one round disturbed both.
    pub fn ratio(&self, subject: usize, other: usize) -> Option<Summary> {
        let (ours, theirs) = (self.by_subject.get(subject)?, self.by_subject.get(other)?);
        let rounds = ours.iter().zip(theirs);
        Summary::of(rounds.filter_map(|(ours, theirs)| Some((*ours)? / theirs.filter(|theirs| *theirs > 0.0)?)))
    }

    /// Whether the first subject reaches `bar`; `None`: there is nothing to judge, or a round that it was to be judged by is missing.
    pub fn reaches(&self, bar: Bar, nakama: Option<f64>) -> Option<bool> {
        let judged = if matches!(bar, Bar::FloorTimes(_)) { 2 } else { 1 };
        if self.by_subject.iter().take(judged).flatten().any(Option::is_none) {
            return None;
        }
        match bar {
            Bar::AtMost(most) => self.of(0).map(|ours| ours.median <= most),
            Bar::FloorTimes(most) => self.ratio(0, 1).map(|ratio| ratio.median <= most),
            Bar::NakamaTimes(least) => self.of(0).zip(nakama).map(|(ours, nakama)| ours.median >= least * nakama),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::rig::{catalogue, machine};

    /// Made-up figures of the first figure of one row; the others are empty.
    pub(in crate::rig) fn example(row: &str, values: &[&[Option<f64>]], subjects: &[&'static str]) -> Results {
        let row = catalogue::all().into_iter().find(|candidate| candidate.name == row).unwrap();
        let mut measured = Measured::new(row, subjects.len());
        measured.figures[0].by_subject = values.iter().map(|rounds| rounds.to_vec()).collect();
        Results { conditions: machine::tests::example(), subjects: subjects.to_vec(), rows: vec![measured] }
    }

    fn summary(values: &[f64]) -> Option<Summary> {
        Summary::of(values.iter().copied())
    }

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(summary(&[3.0, 1.0, 2.0]), Some(Summary { median: 2.0, low: 1.0, high: 3.0 }));
        assert_eq!(summary(&[4.0, 1.0]), Some(Summary { median: 2.5, low: 1.0, high: 4.0 }));
        assert_eq!(summary(&[]), None);
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let rounds: [&[_]; 2] = [&[Some(12.0), Some(27.0), Some(30.0)], &[Some(10.0), Some(20.0), Some(20.0)]];
        let results = example("paced-json", &rounds, &["Kizuna", "floor"]);
        let values = &results.rows[0].figures[0];
        assert_eq!(values.ratio(0, 1), Some(Summary { median: 1.35, low: 1.2, high: 1.5 }));
        assert_eq!(values.of(0).map(|ours| ours.median), Some(27.0));
        assert_eq!(values.reaches(Bar::FloorTimes(1.3), None), Some(false));
        assert_eq!(values.reaches(Bar::FloorTimes(1.4), None), Some(true));
        assert_eq!(values.reaches(Bar::NakamaTimes(2.0), Some(10.0)), Some(true));
        assert_eq!(values.reaches(Bar::AtMost(20.0), None), Some(false));
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        let results = example("paced-json", &[&[None], &[Some(1.0)]], &["Kizuna", "floor"]);
        assert_eq!(results.rows[0].figures[0].reaches(Bar::FloorTimes(1.3), None), None);
    }

    #[test]
    fn a_round_that_is_missing_leaves_no_verdict() {
        let rounds: [&[_]; 2] = [&[Some(1.0), Some(1.0)], &[Some(1.0), None]];
        let results = example("paced-json", &rounds, &["Kizuna", "floor"]);
        let values = &results.rows[0].figures[0];
        assert_eq!(values.reaches(Bar::AtMost(2.0), None), Some(true));
        assert_eq!(values.reaches(Bar::FloorTimes(2.0), None), None);
    }
}
