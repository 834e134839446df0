//! Numbers, as JSON spells them and as queries do.

use std::{fmt::Write as _, num::IntErrorKind, str::FromStr};

/// The length of the JSON number at the start of `text`; `None` when there is none.
pub(super) fn length(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let start = usize::from(text.first() == Some(&b'-'));
    let mut end = start + if text.get(start) == Some(&b'0') { 1 } else { digits(start) };
    if end == start {
        return None;
    }
    if text.get(end) == Some(&b'.') {
        let fraction = digits(end + 1);
        if fraction == 0 {
            return None;
        }
        end += 1 + fraction;
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        if exponent == 0 {
            return None;
        }
        end += 1 + sign + exponent;
    }
    Some(end)
}

/// The value of a JSON number that is a whole number of 64 bits, however it is written: `5`, `5.0`, `1.1e1`.
pub(super) fn whole(number: &str) -> Option<i64> {
    // Nearly always plain digits.
    if let Ok(value) = number.parse() {
        return Some(value);
    }
    let (negative, number) = number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, saturating(exponent)?),
        None => (number, 0),
    };
    let (units, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{units}{fraction}");
    let significant = digits.trim_end_matches('0');
    let zeros = i64::try_from(digits.len() - significant.len()).ok()?;
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    let exponent = exponent.saturating_add(zeros).saturating_sub(i64::try_from(fraction.len()).ok()?);
    let power = 10_i128.checked_pow(u32::try_from(exponent).ok()?)?;
    let magnitude = significant.parse::<i128>().ok()?.checked_mul(power)?;
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

/// An exponent of any length: beyond 64 bits its size no longer matters.
fn saturating(exponent: &str) -> Option<i64> {
    match exponent.parse() {
        Ok(value) => Some(value),
        Err(error) => match error.kind() {
            IntErrorKind::PosOverflow => Some(i64::MAX),
            IntErrorKind::NegOverflow => Some(i64::MIN),
            _ => None,
        },
    }
}

/// The value of a JSON number as a double; `None` when it is beyond the greatest one.
pub(super) fn double(number: &str) -> Option<f64> {
    number.parse().ok().filter(|value: &f64| value.is_finite())
}

/// Whether `text` is one JSON number and nothing else.
pub(super) fn is_number(text: &str) -> bool {
    length(text.as_bytes()) == Some(text.len())
}

/// Decimal digits with an optional sign (none at all when not `signed`), as in queries.
pub(super) fn decimal<T: FromStr<Err = std::num::ParseIntError>>(text: &str, signed: bool) -> Result<T, &'static str> {
    if !signed && text.starts_with(['+', '-']) {
        return Err("invalid syntax");
    }
    text.parse().map_err(|error: std::num::ParseIntError| match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
        _ => "invalid syntax",
    })
}

/// The shortest form that reads back as `value`; with an exponent below 1e-6 and from 1e21 on.
pub(super) fn write_double(value: f64, out: &mut Vec<u8>) {
    let mut text = String::new();
    let magnitude = value.abs();
    let written = if value.is_nan() {
        text.write_str("\"NaN\"")
    } else if value.is_infinite() {
        text.write_str(if value > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" })
    } else if magnitude != 0.0 && magnitude < 1e-6 {
        write!(text, "{value:e}")
    } else if magnitude >= 1e21 {
        write!(text, "{value:e}").map(|()| text = text.replace('e', "e+"))
    } else {
        write!(text, "{value}")
    };
    written.expect("a String takes all that is written to it");
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_read_in_every_spelling() {
        for (text, value) in [
            ("5", Some(5)),
            ("-3", Some(-3)),
            ("-0", Some(0)),
            ("5.0", Some(5)),
            ("1.1e1", Some(11)),
            ("1e2", Some(100)),
            ("1E+2", Some(100)),
            ("100e-2", Some(1)),
            ("0e99999999999999999999", Some(0)),
            ("0.000", Some(0)),
            ("0.5e1", Some(5)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9.223372036854775807e18", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("5.5", None),
            ("1e-1", None),
            ("1e19", None),
            ("1e99999999999999999999", None),
            ("1e-99999999999999999999", None),
            ("123456789012345678901234567890123456789012345678901234567890e-50", None),
        ] {
            assert!(is_number(text), "{text}");
            assert_eq!(whole(text), value, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_json_number_is_refused() {
        for text in ["", "-", "+1", "01", ".5", "5.", "1e", "1e+", " 5", "5 ", "0x1", "1_0", "NaN"] {
            assert!(!is_number(text), "{text}");
        }
    }

    #[test]
    fn doubles_are_written_in_their_shortest_form() {
        for (value, text) in [
            (5.0, "5"),
            (0.0, "0"),
            (1.25, "1.25"),
            (-0.5, "-0.5"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (-1.5e-9, "-1.5e-9"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (f64::NAN, "\"NaN\""),
            (f64::INFINITY, "\"Infinity\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
        ] {
            let mut out = Vec::new();
            write_double(value, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn query_integers_are_decimal_with_a_sign_where_there_can_be_one() {
        assert_eq!(decimal::<i32>("+5", true), Ok(5));
        assert_eq!(decimal::<i32>("-5", true), Ok(-5));
        assert_eq!(decimal::<u32>("+5", false), Err("invalid syntax"));
        assert_eq!(decimal::<i32>("", true), Err("invalid syntax"));
        assert_eq!(decimal::<i32>("5.0", true), Err("invalid syntax"));
        assert_eq!(decimal::<i32>("2147483648", true), Err("value out of range"));
        assert_eq!(decimal::<i32>("-2147483649", true), Err("value out of range"));
    }
}
