//! Times as text, RFC 3339: the form in which records carry them.

use alloc::string::String;
use chrono::{DateTime, SecondsFormat};
use libp2p_proto_core::UnixTime;

const NANOS: u64 = 1_000_000_000;

/// Nanoseconds since 1970 of a time such as `2036-01-01T00:00:00.5Z`; times before 1970 are 1970, those beyond the range are its end. `None` for anything else.
pub(crate) fn parse(text: &[u8]) -> Option<UnixTime> {
    let time = DateTime::parse_from_rfc3339(core::str::from_utf8(text).ok()?).ok()?;
    let Ok(seconds) = u64::try_from(time.timestamp()) else {
        return Some(UnixTime::from_secs(0));
    };
    let nanos = seconds.saturating_mul(NANOS);
    Some(UnixTime::from_nanos(
        nanos.saturating_add(u64::from(time.timestamp_subsec_nanos())),
    ))
}

/// A time as text, with `Z`; parts of a second only if there are any.
pub(crate) fn format(time: UnixTime) -> String {
    let nanos = time.as_nanos().checked_rem(NANOS).unwrap_or(0);
    let seconds = i64::try_from(time.as_secs()).ok();
    let date =
        seconds.and_then(|seconds| DateTime::from_timestamp(seconds, u32::try_from(nanos).unwrap_or(0)));
    // The range of the clock, which ends in 2554, is within chrono's.
    date.unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::AutoSi, true)
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
