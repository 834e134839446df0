//! From values to places on an axis, and which values to mark there.

use super::Spacing;

/// About how many marks a linear axis has.
const MARKS: f64 = 5.0;
/// A logarithmic axis that spans less than this has marks at 1, 2 and 5 of each decade, else at decades only.
const NARROW: f64 = 300.0;
/// What rounding may cost at the ends of an axis.
const TOLERANCE: f64 = 1e-9;

/// A range of values, laid out from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    spacing: Spacing,
    low: f64,
    high: f64,
}

impl Scale {
    /// One that has room for all `values`. On a linear scale 0 is among them, so that lengths can be compared.
    pub(super) fn covering(values: impl Iterator<Item = f64>, spacing: Spacing) -> Self {
        let fits = |value: &f64| value.is_finite() && (spacing == Spacing::Linear || *value > 0.0);
        let ends = |(low, high): (f64, f64), value: f64| (low.min(value), high.max(value));
        let (low, high) = values.filter(fits).fold((f64::INFINITY, f64::NEG_INFINITY), ends);
        let (low, high) = match spacing {
            Spacing::Linear => (low.min(0.0), high.max(0.0)),
            Spacing::Log if low > high => (1.0, 10.0),
            Spacing::Log => (low, high),
        };
        match spacing {
            Spacing::Linear if low >= high => Self { spacing, low, high: low + 1.0 },
            Spacing::Log if low >= high => Self { spacing, low: low / 2.0, high: high * 2.0 },
            _ => Self { spacing, low, high },
        }
    }

    /// The same, from one round number to another.
    pub(super) fn rounded(self) -> Self {
        match self.spacing {
            Spacing::Linear => {
                let step = self.step();
                let (low, high) = ((self.low / step).floor() * step, (self.high / step - TOLERANCE).ceil() * step);
                Self { low, high, ..self }
            }
            Spacing::Log => {
                let below = round_numbers(self.low / 10.0, self.low * (1.0 + TOLERANCE)).last();
                let above = round_numbers(self.high * (1.0 - TOLERANCE), self.high * 10.0).next();
                Self { low: below.unwrap_or(self.low), high: above.unwrap_or(self.high), ..self }
            }
        }
    }

    /// Where `value` lies: 0 at the low end, 1 at the high one; `None` outside of both.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        let place = match self.spacing {
            Spacing::Linear => (value - self.low) / (self.high - self.low),
            Spacing::Log => (value / self.low).ln() / (self.high / self.low).ln(),
        };
        (-TOLERANCE..=1.0 + TOLERANCE).contains(&place).then(|| place.clamp(0.0, 1.0))
    }

    /// The values to mark: round numbers.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a step is a fifth of the range or so")]
    pub(super) fn ticks(&self) -> Vec<f64> {
        let (from, to) = (self.low, self.high);
        match self.spacing {
            Spacing::Linear => {
                let step = self.step();
                let first = (from / step - TOLERANCE).ceil();
                let count = ((to / step + TOLERANCE).floor() - first).clamp(0.0, 4.0 * MARKS) as u32;
                (0..=count).map(|number| (first + f64::from(number)) * step).collect()
            }
            Spacing::Log => {
                let (from, to) = (from * (1.0 - TOLERANCE), to * (1.0 + TOLERANCE));
                let all = round_numbers(from, to);
                if to / from < NARROW { all.collect() } else { all.filter(|value| is_decade(*value)).collect() }
            }
        }
    }

    /// 1, 2 or 5 times a power of ten.
    fn step(&self) -> f64 {
        let rough = (self.high - self.low) / MARKS;
        let decade = 10_f64.powf(rough.log10().floor());
        let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * decade >= rough * (1.0 - TOLERANCE));
        factor.unwrap_or(10.0) * decade
    }
}

/// 1, 2 and 5 times powers of ten between two numbers above 0.
#[expect(clippy::cast_possible_truncation, reason = "exponents of a double are within ±324")]
fn round_numbers(from: f64, to: f64) -> impl Iterator<Item = f64> {
    let exponents = from.log10().floor() as i32..=to.log10().ceil() as i32;
    let all = exponents.flat_map(|exponent| [1.0, 2.0, 5.0].map(|factor| factor * power_of_ten(exponent)));
    all.filter(move |value| (from..=to).contains(value))
}

/// Exact, where `powi` of a negative exponent is not.
fn power_of_ten(exponent: i32) -> f64 {
    if exponent < 0 { 1.0 / 10_f64.powi(-exponent) } else { 10_f64.powi(exponent) }
}

fn is_decade(value: f64) -> bool {
    (value.log10() - value.log10().round()).abs() < TOLERANCE
}

/// A mark's text: no more digits than it needs, thousands apart, millions by name.
pub(super) fn number(value: f64) -> String {
    if value.abs() >= 999_999.5 {
        return format!("{}M", plain(value / 1e6));
    }
    let text = plain(value);
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').map_or((digits, ""), |(whole, fraction)| (whole, fraction));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{grouped}{point}{fraction}")
}

/// Up to four places after the point, without zeros at the end.
fn plain(value: f64) -> String {
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(spacing: Spacing, low: f64, high: f64) -> Scale {
        Scale::covering([low, high].into_iter(), spacing)
    }

    fn texts(scale: Scale) -> Vec<String> {
        scale.ticks().into_iter().map(number).collect()
    }

    #[test]
    fn a_linear_axis_begins_at_zero_and_ends_at_a_round_number() {
        assert_eq!(texts(scale(Spacing::Linear, 11.0, 23.4).rounded()), ["0", "5", "10", "15", "20", "25"]);
        assert_eq!(texts(scale(Spacing::Linear, 0.1, 0.3).rounded()), ["0", "0.1", "0.2", "0.3"]);
        assert_eq!(
            texts(scale(Spacing::Linear, 1.0, 9_000.0).rounded()),
            ["0", "2,000", "4,000", "6,000", "8,000", "10,000"]
        );
    }

    #[test]
    fn a_logarithmic_axis_is_marked_at_decades_and_a_short_one_between_them() {
        assert_eq!(texts(scale(Spacing::Log, 1e3, 1e6)), ["1,000", "10,000", "100,000", "1M"]);
        assert_eq!(texts(scale(Spacing::Log, 1e3, 1e4)), ["1,000", "2,000", "5,000", "10,000"]);
        assert_eq!(texts(scale(Spacing::Log, 0.03, 0.6).rounded()), ["0.02", "0.05", "0.1", "0.2", "0.5", "1"]);
    }

    #[test]
    fn places_keep_differences_or_ratios() {
        let linear = scale(Spacing::Linear, 0.0, 50.0);
        assert_eq!([0.0, 25.0, 50.0].map(|value| linear.place(value)), [Some(0.0), Some(0.5), Some(1.0)]);
        assert_eq!(linear.place(51.0), None);
        let log = scale(Spacing::Log, 10.0, 1_000.0);
        assert!((log.place(100.0).unwrap() - 0.5).abs() < 1e-9);
        assert_eq!((log.place(0.0), log.place(-1.0), log.place(f64::NAN)), (None, None, None));
    }

    #[test]
    fn values_that_cannot_be_placed_do_not_stretch_an_axis() {
        let values = [0.0, -5.0, f64::NAN, f64::INFINITY, 10.0, 20.0];
        assert_eq!(Scale::covering(values.into_iter(), Spacing::Log), scale(Spacing::Log, 10.0, 20.0));
        let none = Scale::covering(std::iter::empty(), Spacing::Linear).rounded();
        assert_eq!((none.place(0.0), none.place(1.0)), (Some(0.0), Some(1.0)));
        assert!(scale(Spacing::Log, 7.0, 7.0).place(7.0).is_some());
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(
            [0.0, 0.25, 1_234.5, 64_000.0, 1e6, 2.5e6].map(number),
            ["0", "0.25", "1,234.5", "64,000", "1M", "2.5M"]
        );
    }
}
