//! Times as text, RFC 3339: the form in which records carry them.

use alloc::{format, string::String};
use libp2p_proto_core::UnixTime;

const NANOS: u64 = 1_000_000_000;

/// Nanoseconds since 1970 of a time such as `2036-01-01T00:00:00.5Z`; times before 1970 are 1970, those beyond the range are its end. `None` for anything else.
pub(crate) fn parse(text: &[u8]) -> Option<UnixTime> {
    let (head, mut rest) = text.split_at_checked(19)?;
    let head = core::str::from_utf8(head).ok()?;
    let marks: [(usize, &str); 5] = [(4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":")];
    let marked = |(at, mark): &(usize, &str)| {
        head.get(*at..at.saturating_add(1))
            .is_some_and(|found| found.eq_ignore_ascii_case(mark))
    };
    if !marks.iter().all(marked) {
        return None;
    }
    let year = number(head.get(..4)?)?;
    let (month, day) = (number(head.get(5..7)?)?, number(head.get(8..10)?)?);
    let (hour, minute) = (number(head.get(11..13)?)?, number(head.get(14..16)?)?);
    let second = number(head.get(17..19)?)?;
    if day == 0 || day > days_in(year, month)? || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut nanos: u64 = 0;
    if let [b'.', digits @ ..] = rest {
        let len = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, after) = digits.split_at_checked(len)?;
        if digits.is_empty() {
            return None;
        }
        let mut unit = NANOS / 10;
        for digit in digits {
            nanos = nanos.saturating_add(u64::from(digit.wrapping_sub(b'0')).saturating_mul(unit));
            unit /= 10;
        }
        rest = after;
    }
    let offset = offset_minutes(rest)?;
    let seconds = days_before(year, month, day)
        .saturating_mul(86_400)
        .saturating_add(hour.saturating_mul(3600))
        .saturating_add(minute.saturating_mul(60))
        .saturating_add(second)
        .saturating_sub(offset.saturating_mul(60));
    let seconds = u64::try_from(seconds).unwrap_or(0);
    Some(UnixTime::from_nanos(
        seconds.saturating_mul(NANOS).saturating_add(nanos),
    ))
}

/// A time as text, with `Z`; nanoseconds only if there are any.
pub(crate) fn format(time: UnixTime) -> String {
    let (seconds, nanos) = (time.as_secs(), time.as_nanos().checked_rem(NANOS).unwrap_or(0));
    let (year, month, day) = date(seconds / 86_400);
    let of_day = seconds.checked_rem(86_400).unwrap_or(0);
    let (hour, minute) = (of_day / 3600, (of_day / 60).checked_rem(60).unwrap_or(0));
    let second = of_day.checked_rem(60).unwrap_or(0);
    let head = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if nanos == 0 {
        format!("{head}Z")
    } else {
        format!("{head}.{nanos:09}Z")
    }
}

fn number(digits: &str) -> Option<i64> {
    let all = digits.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| digits.parse().ok()).flatten()
}

/// Minutes east of Greenwich: `Z`, or `+hh:mm`.
fn offset_minutes(text: &[u8]) -> Option<i64> {
    match text {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), hours @ .., b':', tens, ones] if hours.len() == 2 => {
            let hours = number(core::str::from_utf8(hours).ok()?).filter(|hours| *hours < 24)?;
            let minutes = [*tens, *ones];
            let minutes = number(core::str::from_utf8(&minutes).ok()?).filter(|minutes| *minutes < 60)?;
            let all = hours.saturating_mul(60).saturating_add(minutes);
            Some(if *sign == b'-' { all.saturating_neg() } else { all })
        }
        _ => None,
    }
}

const fn is_leap(year: i64) -> bool {
    matches!(year.checked_rem(4), Some(0))
        && (!matches!(year.checked_rem(100), Some(0)) || matches!(year.checked_rem(400), Some(0)))
}

const fn days_in(year: i64, month: i64) -> Option<i64> {
    Some(match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => return None,
    })
}

/// Days from 1970 to this date, negative before.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    // Leap days of the years before `year`, by the Gregorian rule.
    let leaps = |year: i64| {
        let past = year.saturating_sub(1);
        (past / 4).saturating_sub(past / 100).saturating_add(past / 400)
    };
    let years = year.saturating_sub(1970).saturating_mul(365);
    let leap_days = leaps(year).saturating_sub(leaps(1970));
    let months: i64 = (1..month).filter_map(|month| days_in(year, month)).sum();
    years
        .saturating_add(leap_days)
        .saturating_add(months)
        .saturating_add(day)
        .saturating_sub(1)
}

/// The date of a day since 1970; the range of the clock ends in 2554.
fn date(day: u64) -> (i64, i64, i64) {
    let day = i64::try_from(day).unwrap_or(i64::MAX);
    let mut year: i64 = 1970;
    while year < 2600 && days_before(year.saturating_add(1), 1, 1) <= day {
        year = year.saturating_add(1);
    }
    let mut left = day.saturating_sub(days_before(year, 1, 1));
    let mut month: i64 = 1;
    while let Some(days) = days_in(year, month).filter(|days| left >= *days) {
        left = left.saturating_sub(days);
        month = month.saturating_add(1);
    }
    (year, month, left.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::{format, parse};
    use libp2p_proto_core::UnixTime;

    #[test]
    fn times_are_read_and_written_alike() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:34:56Z", 951_827_696),
            ("2036-01-01T00:00:00Z", 2_082_758_400),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(
                parse(text.as_bytes()),
                Some(UnixTime::from_secs(seconds)),
                "{text}"
            );
            assert_eq!(format(UnixTime::from_secs(seconds)), text);
        }
        let nanos = UnixTime::from_nanos(2_082_758_400_000_000_001);
        assert_eq!(format(nanos), "2036-01-01T00:00:00.000000001Z");
        assert_eq!(parse(format(nanos).as_bytes()), Some(nanos));
        assert_eq!(
            parse(b"2036-01-01T01:30:00+01:30"),
            Some(UnixTime::from_secs(2_082_758_400))
        );
        assert_eq!(
            parse(b"9999-12-31T23:59:59Z"),
            Some(UnixTime::from_nanos(u64::MAX))
        );
        assert_eq!(parse(b"0001-01-01T00:00:00Z"), Some(UnixTime::from_secs(0)));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "2036-01-01",
            "2036-13-01T00:00:00Z",
            "2035-02-29T00:00:00Z",
            "2036-01-01T24:00:00Z",
            "2036-01-01T00:00:00",
            "2036-01-01T00:00:00.Z",
            "2036-01-01T00:00:00+1:00",
            "2036-01-01 00:00:00Z ",
            "+036-01-01T00:00:00Z",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
