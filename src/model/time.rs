//! Times as the registry has them: RFC 3339 in UTC with `Z`, to the nanosecond.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// A point in time with nanoseconds. [`Timestamp::ZERO`] stands for "never".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(OffsetDateTime);

impl Timestamp {
    /// The zero time of the format, `0001-01-01T00:00:00Z`: it never happened.
    pub const ZERO: Timestamp = Timestamp(time::macros::datetime!(0001-01-01 00:00:00 UTC));

    /// The time now, by the system's clock.
    pub fn now() -> Timestamp {
        Timestamp(OffsetDateTime::now_utc())
    }

    /// From whole seconds since 1970. What no calendar year from 1 to 9999 holds is `None`.
    pub fn from_unix(seconds: i64) -> Option<Timestamp> {
        Self::in_range(OffsetDateTime::from_unix_timestamp(seconds).ok()?)
    }

    /// Parses RFC 3339 with any offset.
    pub fn parse(text: &str) -> Option<Timestamp> {
        let read = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        Self::in_range(read.checked_to_offset(UtcOffset::UTC)?)
    }

    fn in_range(time: OffsetDateTime) -> Option<Timestamp> {
        (1..=9999).contains(&time.year()).then_some(Timestamp(time))
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

    /// This time moved by `seconds`, kept within the years that the format can hold.
    pub fn plus_seconds(self, seconds: i64) -> Timestamp {
        self.0
            .checked_add(time::Duration::seconds(seconds))
            .and_then(Self::in_range)
            .unwrap_or(self)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = self.0;
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute(),
            t.second()
        )?;
        if t.nanosecond() != 0 {
            let digits = format!("{:09}", t.nanosecond());
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        f.write_str("Z")
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
        ] {
            assert_eq!(Timestamp::parse(read).unwrap().to_string(), written);
        }
        for bad in ["", "0001-01-01T00:00:00+01:00", "2026-02-30T00:00:00Z", "yesterday"] {
            assert_eq!(Timestamp::parse(bad), None, "{bad}");
        }
    }
}
