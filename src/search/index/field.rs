//! Who has what at one path.

use super::{
    ranked::Ranked,
    slots::{Slot, Slots},
};
use crate::search::document::Value;
use std::{collections::BTreeMap, ops::Bound};

/// The values at one path, and the slots of the documents that have them.
#[derive(Debug, Default)]
pub(super) struct Field {
    pub(super) terms: BTreeMap<Box<str>, Slots>,
    pub(super) numbers: Ranked<f64>,
    pub(super) dates: Ranked<i128>,
    /// What a lone `*` finds: numbers, and terms of one line.
    pub(super) anything: Slots,
    /// The number of each slot, NaN for none: to look up one slot, where `numbers` serves to find many. Kept while enough slots have
    /// a number to be worth it, and none has two.
    column: Option<Vec<f64>>,
    /// The last slot that got a number.
    last_number: Option<Slot>,
    /// Whether some slot had two numbers, since there last were none.
    has_repeats: bool,
}

/// Slots of the index for each number of a column, when it is made, and when it is given up.
const COLUMN_FROM: usize = 8;
const COLUMN_UNTIL: usize = 32;
/// Numbers below which there is no column.
const LEAST_COLUMN: usize = 64;

impl Field {
    /// Adds a value of the document in `slot`, one of `total`. All values of a document are added before those of the next.
    pub(super) fn insert(&mut self, value: &Value, slot: Slot, total: usize) {
        match value {
            Value::Term(term) => {
                if !term.contains('\n') {
                    self.anything.insert(slot, total);
                }
                match self.terms.get_mut(term) {
                    Some(slots) => slots.insert(slot, total),
                    None => _ = self.terms.insert(term.clone(), Slots::Few(vec![slot])),
                }
            }
            Value::Number(number) => {
                self.anything.insert(slot, total);
                self.insert_number(*number, slot, total);
            }
            Value::Date(date) => self.dates.insert(*date, slot),
        }
    }

    /// Takes out what [`Field::insert`] added.
    pub(super) fn remove(&mut self, value: &Value, slot: Slot) {
        self.anything.remove(slot);
        match value {
            Value::Term(term) => {
                if let Some(slots) = self.terms.get_mut(term) {
                    slots.remove(slot);
                    if slots.is_empty() {
                        self.terms.remove(term);
                    }
                }
            }
            Value::Number(number) => {
                self.numbers.remove(*number, slot);
                if let Some(place) = self.column.as_mut().and_then(|column| column.get_mut(slot as usize)) {
                    *place = f64::NAN;
                }
                self.last_number = self.last_number.filter(|last| *last != slot);
                if self.numbers.len() == 0 {
                    (self.column, self.has_repeats) = (None, false);
                }
            }
            Value::Date(date) => self.dates.remove(*date, slot),
        }
    }

    /// Whether no document has anything here.
    pub(super) fn is_empty(&self) -> bool {
        self.terms.is_empty() && self.numbers.len() == 0 && self.dates.len() == 0
    }

    /// Whether some document may have several numbers here, so that what one of them fails another may pass.
    pub(super) fn has_repeats(&self) -> bool {
        self.has_repeats
    }

    /// The number of each slot, NaN for none, if it is kept. It may end before the last slot.
    pub(super) fn column(&self) -> Option<&[f64]> {
        self.column.as_deref()
    }

    /// The terms that begin with `prefix`, in order.
    pub(super) fn terms_from(&self, prefix: &str) -> impl Iterator<Item = (&str, &Slots)> {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let terms = self.terms.range::<str, _>(from).map(|(term, slots)| (&**term, slots));
        terms.take_while(move |(term, _)| term.starts_with(prefix))
    }

    /// Gives every slot its new number, of `total`.
    pub(super) fn renumber(&mut self, numbers: &[Slot], total: usize) {
        self.terms.values_mut().for_each(|slots| slots.renumber(numbers, total));
        self.anything.renumber(numbers, total);
        self.numbers.renumber(numbers);
        self.dates.renumber(numbers);
        self.last_number = None;
        self.column = None;
        self.keep_column(total);
    }

    fn insert_number(&mut self, number: f64, slot: Slot, total: usize) {
        self.numbers.insert(number, slot);
        self.has_repeats |= self.last_number == Some(slot);
        self.last_number = Some(slot);
        if let Some(column) = &mut self.column {
            if column.len() <= slot as usize {
                column.resize(slot as usize + 1, f64::NAN);
            }
            column[slot as usize] = number;
        }
        self.keep_column(total);
    }

    fn keep_column(&mut self, total: usize) {
        let count = self.numbers.len();
        if self.has_repeats || count * COLUMN_UNTIL < total {
            self.column = None;
        } else if self.column.is_none() && count >= LEAST_COLUMN && count * COLUMN_FROM >= total {
            let mut column = vec![f64::NAN; total];
            self.numbers.pairs().for_each(|(number, slot)| column[slot as usize] = number);
            self.column = Some(column);
        }
    }
}
