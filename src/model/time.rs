//! Times as the registry has them: RFC 3339 in UTC with `Z`, to the nanosecond.

use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::{Date, Duration, Month, OffsetDateTime, Time, UtcOffset};

/// A point in time with nanoseconds. [`Timestamp::ZERO`] stands for "never".
///
/// It converts from and to [`SystemTime`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(OffsetDateTime);

impl Timestamp {
    /// The zero time of the format, `0001-01-01T00:00:00Z`: it never happened.
    pub const ZERO: Timestamp = Timestamp::edge(Date::from_ordinal_date(1, 1), Time::MIDNIGHT);

    const FIRST: Timestamp = Timestamp::edge(Date::from_ordinal_date(0, 1), Time::MIDNIGHT);

    const LAST: Timestamp = Timestamp::edge(Date::from_ordinal_date(9999, 365), Time::MAX);

    const fn edge(date: Result<Date, time::error::ComponentRange>, time: Time) -> Timestamp {
        match date {
            Ok(date) => Timestamp(OffsetDateTime::new_utc(date, time)),
            Err(_) => unreachable!(),
        }
    }

    /// The time now, by the system's clock.
    pub fn now() -> Timestamp {
        Timestamp(OffsetDateTime::now_utc())
    }

    /// From whole seconds since 1970. What no calendar year from 0 to 9999 holds is `None`.
    pub fn from_unix(seconds: i64) -> Option<Timestamp> {
        Self::in_range(OffsetDateTime::from_unix_timestamp(seconds).ok()?)
    }

    /// Parses RFC 3339 with any offset, exactly as leniently as the reference does: a comma
    /// before the fraction, an hour of one digit, digits after the ninth dropped, offsets up to
    /// 24:60. By hand, because a registry is mostly times: a general parser took a third of the
    /// time to read one.
    pub fn parse(text: &str) -> Option<Timestamp> {
        let mut rest = text.as_bytes();
        let year = number(&mut rest, 4)?;
        expect(&mut rest, b"-")?;
        let month = Month::try_from(number(&mut rest, 2)? as u8).ok()?;
        expect(&mut rest, b"-")?;
        let date =
            Date::from_calendar_date(year as i32, month, number(&mut rest, 2)? as u8).ok()?;
        expect(&mut rest, b"T")?;
        let hour_digits = if rest.get(1) == Some(&b':') { 1 } else { 2 };
        let hour = number(&mut rest, hour_digits)?;
        expect(&mut rest, b":")?;
        let minute = number(&mut rest, 2)?;
        expect(&mut rest, b":")?;
        let second = number(&mut rest, 2)?;
        let nanos = match rest {
            [b'.' | b',', b'0'..=b'9', ..] => fraction(&mut rest),
            _ => 0,
        };
        let time = Time::from_hms_nano(hour as u8, minute as u8, second as u8, nanos).ok()?;
        let local = OffsetDateTime::new_utc(date, time);
        let sign = match rest {
            b"Z" => return Some(Timestamp(local)),
            [b'+', ..] => 1,
            [b'-', ..] => -1,
            _ => return None,
        };
        rest = &rest[1..];
        let hours = number(&mut rest, 2).filter(|hours| *hours <= 24)?;
        expect(&mut rest, b":")?;
        let minutes = number(&mut rest, 2).filter(|minutes| *minutes <= 60)?;
        let offset = Duration::seconds(sign * i64::from(hours * 3600 + minutes * 60));
        Self::in_range(local.checked_sub(offset)?).filter(|_| rest.is_empty())
    }

    /// Whether `text` is a time in the very form that we write.
    pub(crate) fn is_written_form(text: &str) -> bool {
        let bytes = text.as_bytes();
        let fraction = match bytes {
            [_, _, _, _, _, _, _, _, _, _, _, _, _, b':', _, _, _, _, _, rest @ ..] => rest,
            _ => return false,
        };
        let trimmed = match fraction {
            b"Z" => true,
            [b'.', digits @ .., last, b'Z'] => digits.len() < 9 && *last != b'0',
            _ => false,
        };
        trimmed
            && (text == ZERO_TEXT
                || is_surely_a_time(bytes, fraction)
                || Self::parse(text).is_some())
    }

    fn in_range(time: OffsetDateTime) -> Option<Timestamp> {
        (0..=9999).contains(&time.year()).then_some(Timestamp(time))
    }

    /// Whether this is the zero time: it never happened.
    pub fn is_zero(self) -> bool {
        self == Timestamp::ZERO
    }

    /// Whole seconds since 1970.
    pub fn unix(self) -> i64 {
        self.0.unix_timestamp()
    }

    /// Nanoseconds since 1970, as the names of backups carry them.
    pub fn unix_nanos(self) -> i128 {
        self.0.unix_timestamp_nanos()
    }

    /// Seconds from `earlier` to this time; negative where `earlier` is the later one.
    pub fn seconds_since(self, earlier: Timestamp) -> f64 {
        (self.0 - earlier.0).as_seconds_f64()
    }

    /// This time and so much more, kept within the years that the format can hold.
    pub fn plus(self, more: std::time::Duration) -> Timestamp {
        let moved = self.0.checked_add(Duration::try_from(more).unwrap_or(Duration::MAX));
        moved.and_then(Self::in_range).unwrap_or(self)
    }

    /// This time moved by `seconds`, kept within the years that the format can hold.
    pub fn plus_seconds(self, seconds: i64) -> Timestamp {
        self.0.checked_add(Duration::seconds(seconds)).and_then(Self::in_range).unwrap_or(self)
    }
}

/// A time as the clock on the wall showed it, to the second; in UTC, with a `Z`, where the system
/// does not tell.
#[derive(Debug, Clone, Copy)]
pub struct Local(pub Timestamp);

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let utc = self.0.0;
        let offset = UtcOffset::local_offset_at(utc).ok();
        let local = offset.and_then(|offset| utc.checked_to_offset(offset));
        let text = Timestamp(local.unwrap_or(utc)).to_string();
        let (day, time) =
            (text.get(..10).unwrap_or_default(), text.get(11..19).unwrap_or_default());
        write!(f, "{day} {time}{}", if local.is_some() { "" } else { "Z" })
    }
}

/// Exact; what lies outside the years 0 to 9999 is moved to their nearest end.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Timestamp {
        let since = match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => Duration::try_from(since).unwrap_or(Duration::MAX),
            Err(before) => -Duration::try_from(before.duration()).unwrap_or(Duration::MAX),
        };
        let end = || if since.is_negative() { Timestamp::FIRST } else { Timestamp::LAST };
        let moment = OffsetDateTime::UNIX_EPOCH.checked_add(since).and_then(Self::in_range);
        moment.unwrap_or_else(end)
    }
}

/// Exact. [`Timestamp::ZERO`] has no special meaning there: it becomes the start of the year 1.
impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> SystemTime {
        time.0.into()
    }
}

const ZERO_TEXT: &str = "0001-01-01T00:00:00Z";

/// Whether this is a time on a day that every month has, which can be told without building it
/// (a seventh of what `roster names` takes).
fn is_surely_a_time(bytes: &[u8], fraction: &[u8]) -> bool {
    let two = |at: usize| {
        let (tens, ones) = (bytes[at].wrapping_sub(b'0'), bytes[at + 1].wrapping_sub(b'0'));
        if tens < 10 && ones < 10 { tens * 10 + ones } else { u8::MAX }
    };
    two(0) < 100
        && two(2) < 100
        && bytes[4] == b'-'
        && (1..=12).contains(&two(5))
        && bytes[7] == b'-'
        && (1..=28).contains(&two(8))
        && bytes[10] == b'T'
        && two(11) < 24
        && two(14) < 60
        && bytes[16] == b':'
        && two(17) < 60
        && fraction[..fraction.len() - 1].iter().skip(1).all(u8::is_ascii_digit)
}

/// Takes a number of so many digits.
fn number(rest: &mut &[u8], digits: usize) -> Option<u32> {
    let (taken, left) = rest.split_at_checked(digits)?;
    *rest = left;
    taken.iter().try_fold(0, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0'))
    })
}

/// Takes a separator.
fn expect(rest: &mut &[u8], separator: &[u8]) -> Option<()> {
    *rest = rest.strip_prefix(separator)?;
    Some(())
}

/// Takes a separator and digits, as nanoseconds.
fn fraction(rest: &mut &[u8]) -> u32 {
    let end = rest[1..].iter().position(|byte| !byte.is_ascii_digit());
    let (taken, left) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
    *rest = left;
    (1..10)
        .fold(0, |nanos, at| nanos * 10 + u32::from(taken.get(at).map_or(0, |digit| digit - b'0')))
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = self.0;
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        let mut put = |from: usize, to: usize, mut number: u32| {
            for digit in text[from..to].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        };
        put(0, 4, t.year() as u32);
        put(5, 7, u8::from(t.month()).into());
        put(8, 10, t.day().into());
        put(11, 13, t.hour().into());
        put(14, 16, t.minute().into());
        put(17, 19, t.second().into());
        put(20, 29, t.nanosecond());
        let end = text[..29].iter().rposition(|byte| *byte != b'0').unwrap_or(0);
        // Without a fraction the point goes too, but no zero of the seconds.
        let end = if t.nanosecond() == 0 { 19 } else { end + 1 };
        text[end] = b'Z';
        f.write_str(std::str::from_utf8(&text[..=end]).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Timestamp;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time such as 2026-04-18T19:22:22.5Z")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
                Timestamp::parse(text)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// A length of time as people read it, as in `2.0 s`. (Formatting a float would make the program
/// ten kilobytes larger.)
pub fn seconds(duration: std::time::Duration) -> String {
    let tenths = (duration.as_millis() + 50) / 100;
    format!("{}.{} s", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc_with_trimmed_nanoseconds() {
        for (read, written) in [
            ("2026-04-18T19:22:22.123456789Z", "2026-04-18T19:22:22.123456789Z"),
            ("2026-04-18T19:22:22.500Z", "2026-04-18T19:22:22.5Z"),
            ("2026-04-18T21:22:22+02:00", "2026-04-18T19:22:22Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z"),
            ("2026-04-18T19:22:20.1Z", "2026-04-18T19:22:20.1Z"),
            ("2026-04-18T19:22:20Z", "2026-04-18T19:22:20Z"),
            ("2026-04-18T19:22:22,5Z", "2026-04-18T19:22:22.5Z"),
            ("2026-04-18T9:22:22Z", "2026-04-18T09:22:22Z"),
            ("2026-04-18T19:22:22.1234567899999Z", "2026-04-18T19:22:22.123456789Z"),
            ("2026-04-18T19:22:22-00:00", "2026-04-18T19:22:22Z"),
            ("2026-04-18T19:22:22+24:00", "2026-04-17T19:22:22Z"),
            ("0001-01-01T00:00:00+01:00", "0000-12-31T23:00:00Z"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
        ] {
            assert_eq!(Timestamp::parse(read).map(|t| t.to_string()).as_deref(), Some(written));
            assert_eq!(Timestamp::is_written_form(read), read == written, "{read}");
        }
        for bad in [
            "",
            "yesterday",
            "2026-02-30T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-04-18",
            "2026-04-18T19:22Z",
            "2026-04-18T19:22:22",
            "2026-04-18t19:22:22z",
            "2026-04-18 19:22:22Z",
            "2026-04-18T24:00:00Z",
            "2026-04-18T19:22:60Z",
            "2026-04-18T19:22:22.Z",
            "2026-04-18T19:22:22Z ",
            "2026-04-18T19:22:22+25:00",
            "2026-04-18T19:22:22+01:61",
            "2026-04-18T19:22:22+0100",
            "9999-12-31T23:59:59-01:00",
            "10000-01-01T00:00:00Z",
            "-0001-01-01T00:00:00Z",
            "２０２６-04-18T19:22:22Z",
        ] {
            assert_eq!(Timestamp::parse(bad), None, "{bad}");
            assert!(!Timestamp::is_written_form(bad), "{bad}");
        }
    }

    #[test]
    fn system_times_come_and_go_exactly_and_end_where_the_format_does() {
        let time = |text| Timestamp::parse(text).unwrap();
        for text in [
            "0000-01-01T00:00:00Z",
            "0001-01-01T00:00:00Z",
            "1969-12-31T23:59:59.999999999Z",
            "1970-01-01T00:00:00Z",
            "2026-04-18T19:22:22.123456789Z",
            "9999-12-31T23:59:59.999999999Z",
        ] {
            let system = SystemTime::from(time(text));
            assert_eq!(Timestamp::from(system).to_string(), text);
            assert_eq!(
                system.duration_since(SystemTime::UNIX_EPOCH).is_ok(),
                time(text).unix() >= 0
            );
        }
        let moment = SystemTime::UNIX_EPOCH + std::time::Duration::new(1_800_000_000, 7);
        assert_eq!(Timestamp::from(moment).unix_nanos(), 1_800_000_000_000_000_007);
        let far = std::time::Duration::from_secs(1 << 60);
        let (before, after) =
            (SystemTime::UNIX_EPOCH.checked_sub(far), SystemTime::UNIX_EPOCH.checked_add(far));
        for (moment, edge) in [(before, Timestamp::FIRST), (after, Timestamp::LAST)] {
            assert!(moment.is_none_or(|moment| Timestamp::from(moment) == edge));
        }
        assert_eq!(Timestamp::FIRST, time("0000-01-01T00:00:00Z"));
        assert_eq!(Timestamp::LAST, time("9999-12-31T23:59:59.999999999Z"));
    }

    #[test]
    fn what_passes_for_a_written_time_is_one_whatever_byte_is_changed() {
        for text in
            ["2026-11-28T23:59:59Z", "2024-02-29T00:00:00.123456789Z", "0001-01-01T00:00:00Z"]
        {
            for place in 0..text.len() {
                for byte in 0..128 {
                    let mut changed = text.as_bytes().to_vec();
                    changed[place] = byte;
                    let changed = String::from_utf8(changed).unwrap();
                    let parsed = Timestamp::parse(&changed).map(|time| time.to_string());
                    let is_one = parsed.as_ref() == Some(&changed);
                    assert_eq!(Timestamp::is_written_form(&changed), is_one, "{changed}");
                }
            }
        }
    }
}
