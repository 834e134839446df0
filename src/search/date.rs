//! Dates in queries and documents, in nanoseconds since 1970, UTC.

const NANOS: i128 = 1_000_000_000;

/// A date as a document may spell it: RFC 3339, `YYYY-MM-DDTHH:MM:SS`, the same with a space, or `YYYY-MM-DD`
/// (spec/matchmaker.md 7). Without an offset it is in UTC.
pub(super) fn parse_date(text: &str) -> Option<i128> {
    let mut reader = Reader(text.as_bytes());
    let days = reader.date()?;
    let seconds = match reader.0 {
        [] => return Some(i128::from(days) * 86_400 * NANOS),
        [separator @ (b'T' | b' '), rest @ ..] => {
            reader.0 = rest;
            let time = reader.time()?;
            // Only with the T may an offset follow.
            let offset = if reader.0.is_empty() { Some(0) } else { (*separator == b'T').then(|| reader.offset())? };
            time - i128::from(offset?) * NANOS
        }
        _ => return None,
    };
    reader.0.is_empty().then_some(i128::from(days) * 86_400 * NANOS + seconds)
}

/// A date as a query must spell it: RFC 3339.
pub(super) fn parse_rfc3339(text: &str) -> Option<i128> {
    let is_complete = text.as_bytes().get(10) == Some(&b'T') && has_offset(text);
    parse_date(text).filter(|_| is_complete)
}

fn has_offset(text: &str) -> bool {
    text.get(10..).is_some_and(|time| time.contains(['Z', '+', '-']))
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    /// Days since 1970.
    fn date(&mut self) -> Option<i64> {
        let year = self.digits(4)?;
        self.byte(b'-')?;
        let month = self.digits(2)?;
        self.byte(b'-')?;
        let day = self.digits(2)?;
        let is_real = (1..=12).contains(&month) && (1..=days_of_month(year, month)).contains(&day);
        is_real.then(|| days_since_1970(year, month, day))
    }

    /// Nanoseconds since midnight.
    fn time(&mut self) -> Option<i128> {
        let hour = self.digits(2)?;
        self.byte(b':')?;
        let minute = self.digits(2)?;
        self.byte(b':')?;
        let second = self.digits(2)?;
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let mut nanos = i128::from(hour * 3_600 + minute * 60 + second) * NANOS;
        if let [b'.' | b',', digit, ..] = self.0
            && digit.is_ascii_digit()
        {
            self.0 = &self.0[1..];
            nanos += self.fraction();
        }
        Some(nanos)
    }

    /// Nanoseconds; digits beyond the ninth are passed over.
    fn fraction(&mut self) -> i128 {
        let (mut nanos, mut unit) = (0, NANOS / 10);
        while let [digit @ b'0'..=b'9', rest @ ..] = self.0 {
            nanos += i128::from(digit - b'0') * unit;
            unit /= 10;
            self.0 = rest;
        }
        nanos
    }

    /// Seconds east of UTC.
    fn offset(&mut self) -> Option<i64> {
        let (sign, rest) = self.0.split_first()?;
        self.0 = rest;
        let direction = match sign {
            b'Z' => return Some(0),
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let hours = self.digits(2)?;
        self.byte(b':')?;
        let minutes = self.digits(2)?;
        (hours <= 24 && minutes <= 59).then_some(direction * (hours * 3_600 + minutes * 60))
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
    }

    fn byte(&mut self, wanted: u8) -> Option<()> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        (*byte == wanted).then_some(())
    }
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// In the Gregorian calendar, also before there was one. A year begins in March here, so that the leap day is its last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    const UNTIL_1970: i64 = 719_468;
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - UNTIL_1970
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_counts_from_1970() {
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:01", 1),
            ("1970-01-01 00:00:01", 1),
            ("2024-02-29T12:34:56Z", 1_709_210_096),
            ("2024-03-01", 1_709_251_200),
            ("2000-03-01T00:00:00+01:00", 951_865_200),
            ("1969-12-31T23:59:59-00:30", 1_799),
            ("0000-01-01", -62_167_219_200),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(parse_date(text), Some(seconds * NANOS), "{text}");
        }
        assert_eq!(parse_date("1970-01-01T00:00:00.5Z"), Some(NANOS / 2));
        assert_eq!(parse_date("1970-01-01T00:00:00.0000000019Z"), Some(1));
        assert_eq!(parse_date("1970-01-01 00:00:00.25"), Some(NANOS / 4));
    }

    #[test]
    fn what_only_looks_like_a_date_is_none() {
        for text in [
            "",
            "2024",
            "2024-01",
            "2024-1-1",
            "2024-13-01",
            "2023-02-29",
            "2024-04-31",
            "2024-01-01T",
            "2024-01-01T00:00",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:60Z",
            "2024-01-01t00:00:00z",
            "2024-01-01T00:00:00.Z",
            "2024-01-01 00:00:00Z",
            "2024-01-01T00:00:00+1:00",
            "2024-01-01T00:00:00Z ",
            " 2024-01-01",
            "2024-01-01x",
            "+024-01-01",
            "２024-01-01",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn a_query_takes_the_long_form_only() {
        assert_eq!(parse_rfc3339("1970-01-01T00:00:01Z"), Some(NANOS));
        assert_eq!(parse_rfc3339("1970-01-01T00:00:01-00:00"), Some(NANOS));
        for text in ["1970-01-01", "1970-01-01T00:00:01", "1970-01-01 00:00:01", "yesterday"] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }
}
