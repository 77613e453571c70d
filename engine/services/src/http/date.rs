//! The date of a response, formatted once a second.

use byway::time::{Duration, Instant};
use jiff::Timestamp;
use jiff::fmt::{StdIoWrite, rfc2822::DateTimePrinter};
use std::time::{SystemTime, UNIX_EPOCH};

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7).
pub(super) const LENGTH: usize = 29;

/// The current date in the form HTTP wants it.
#[derive(Clone, Debug)]
pub(super) struct Date {
    text: [u8; LENGTH],
    /// When to look at the wall clock again.
    due: Instant,
}

impl Date {
    pub(super) fn new() -> Self {
        Self {
            text: format(0),
            due: Instant::from_nanos(0),
        }
    }

    /// The date at `now`, at most a second old.
    pub(super) fn at(&mut self, now: Instant) -> &[u8; LENGTH] {
        if now >= self.due {
            let since_epoch = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            self.text = format(since_epoch.as_secs());
            // At the next full second of the wall clock.
            let rest = 1_000_000_000 - u64::from(since_epoch.subsec_nanos());
            self.due = now + Duration::from_nanos(rest);
        }
        &self.text
    }
}

/// The text for a point in seconds since 1970, which is taken for 1970 itself if it is beyond the
/// year 9999.
fn format(seconds: u64) -> [u8; LENGTH] {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    let date = Timestamp::from_second(seconds).unwrap_or_default();
    let mut text = [b' '; LENGTH];
    // Every date of this form has the same length: all of it fits.
    let _ = DateTimePrinter::new().print_timestamp_rfc9110(&date, StdIoWrite(text.as_mut_slice()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        for (seconds, expected) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_827_696, "Tue, 29 Feb 2000 12:34:56 GMT"),
            (1_709_164_799, "Wed, 28 Feb 2024 23:59:59 GMT"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
            (4_102_444_800, "Fri, 01 Jan 2100 00:00:00 GMT"),
            (253_402_207_200, "Thu, 30 Dec 9999 22:00:00 GMT"),
            (u64::MAX, "Thu, 01 Jan 1970 00:00:00 GMT"),
        ] {
            assert_eq!(std::str::from_utf8(&format(seconds)).unwrap(), expected);
        }
    }

    #[test]
    fn the_wall_clock_is_read_when_due() {
        let mut date = Date::new();
        let start = Instant::from_nanos(1);
        let first = *date.at(start);
        assert_ne!(&first, b"Thu, 01 Jan 1970 00:00:00 GMT");
        let due = date.due;
        assert!(due > start && due <= start + Duration::from_secs(1));
        date.at(due);
        assert!(date.due > due);
    }
}
