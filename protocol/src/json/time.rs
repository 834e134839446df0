//! Timestamps: RFC 3339 in the years 1 to 9999.

use prost_types::Timestamp;
use std::io::Write as _;

/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z, in seconds since 1970.
const RANGE: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
const DAY: i64 = 86_400;

/// Appends the timestamp in quotes: `Z`, and a fraction of 0, 3, 6 or 9 digits, the shortest that is exact.
/// A time outside of the years 1 to 9999 has no such form; the nearest that has one is written.
pub(super) fn write(time: &Timestamp, out: &mut Vec<u8>) {
    let seconds = time.seconds.clamp(*RANGE.start(), *RANGE.end());
    let (year, month, day) = civil(seconds.div_euclid(DAY));
    let second = seconds.rem_euclid(DAY);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let nanos = time.nanos.clamp(0, 999_999_999);
    let written = write!(out, "\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}").and_then(|()| {
        if nanos == 0 {
            Ok(())
        } else if nanos % 1_000_000 == 0 {
            write!(out, ".{:03}", nanos / 1_000_000)
        } else if nanos % 1000 == 0 {
            write!(out, ".{:06}", nanos / 1000)
        } else {
            write!(out, ".{nanos:09}")
        }
    });
    written.expect("a Vec takes all that is written to it");
    out.extend_from_slice(b"Z\"");
}

/// Reads RFC 3339 with `Z` or an offset, upper case, at most 9 digits of fraction.
pub(super) fn read(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = bytes.get(from..to)?;
        digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
    };
    let punctuated = |places: &[(usize, u8)]| places.iter().all(|&(at, byte)| bytes.get(at) == Some(&byte));
    if !punctuated(&[(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')]) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if hour > 23 || minute > 59 || second > 59 || !(1..=12).contains(&month) {
        return None;
    }
    let days = days(year, month, day);
    if civil(days) != (year, month, day) {
        return None;
    }
    let mut at = 19;
    let mut nanos = 0;
    if bytes.get(at) == Some(&b'.') {
        let digits = bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=9).contains(&digits) {
            return None;
        }
        let fraction = i32::try_from(number(at + 1, at + 1 + digits)?).ok()?;
        nanos = fraction * 10_i32.pow(9 - u32::try_from(digits).ok()?);
        at += 1 + digits;
    }
    let offset = match bytes.get(at)? {
        b'Z' if bytes.len() == at + 1 => 0,
        sign @ (b'+' | b'-') if bytes.len() == at + 6 && bytes[at + 3] == b':' => {
            let (hours, minutes) = (number(at + 1, at + 3)?, number(at + 4, at + 6)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 3600 + minutes * 60) * if *sign == b'+' { 1 } else { -1 }
        }
        _ => return None,
    };
    let seconds = days * DAY + hour * 3600 + minute * 60 + second - offset;
    RANGE.contains(&seconds).then_some(Timestamp { seconds, nanos })
}

/// Days since 1970 of a date in the Gregorian calendar, counting years from March so that the leap day comes last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

/// The date of a day, counted since 1970: the inverse of `days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(seconds: i64, nanos: i32) -> String {
        let mut out = Vec::new();
        write(&Timestamp { seconds, nanos }, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_fraction_is_the_shortest_of_0_3_6_or_9_digits() {
        assert_eq!(written(0, 0), "\"1970-01-01T00:00:00Z\"");
        assert_eq!(written(951_782_400, 500_000_000), "\"2000-02-29T00:00:00.500Z\"");
        assert_eq!(written(1_700_000_000, 1_000), "\"2023-11-14T22:13:20.000001Z\"");
        assert_eq!(written(-1, 1), "\"1969-12-31T23:59:59.000000001Z\"");
        assert_eq!(written(i64::MIN, -5), "\"0001-01-01T00:00:00Z\"");
        assert_eq!(written(i64::MAX, i32::MAX), "\"9999-12-31T23:59:59.999999999Z\"");
    }

    #[test]
    fn every_day_of_the_range_is_its_own_inverse() {
        for day in (RANGE.start() / DAY..=RANGE.end() / DAY).step_by(17) {
            let (year, month, day_of_month) = civil(day);
            assert_eq!(days(year, month, day_of_month), day);
        }
    }

    #[test]
    fn offsets_and_fractions_are_read() {
        for (text, seconds, nanos) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("1970-01-01T01:00:00+01:00", 0, 0),
            ("1969-12-31T23:30:00-00:30", 0, 0),
            ("2023-11-14T22:13:20.5Z", 1_700_000_000, 500_000_000),
            ("2023-11-14T22:13:20.123456789Z", 1_700_000_000, 123_456_789),
            ("9999-12-31T23:59:59Z", 253_402_300_799, 0),
        ] {
            assert_eq!(read(text), Some(Timestamp { seconds, nanos }), "{text}");
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in [
            "",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-01-01t00:00:00Z",
            "2026-01-01T00:00:00z",
            "2026-01-01 00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:60Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.1234567890Z",
            "2026-01-01T00:00:00+0100",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00Zx",
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59-00:01",
            "é026-01-01T00:00:00Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
