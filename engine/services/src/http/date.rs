//! The date of a response, formatted once a second.

use byway::time::{Duration, Instant};
use std::time::{SystemTime, UNIX_EPOCH};

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7).
pub(super) const LENGTH: usize = 29;

const DAYS: [&[u8; 3]; 7] = [b"Sun", b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat"];
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

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

/// The text for a point in seconds since 1970.
fn format(seconds: u64) -> [u8; LENGTH] {
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    text[..3].copy_from_slice(DAYS[((days + 4) % 7) as usize]);
    two_digits(&mut text, 5, day);
    text[8..11].copy_from_slice(MONTHS[(month - 1) as usize]);
    two_digits(&mut text, 12, year / 100 % 100);
    two_digits(&mut text, 14, year % 100);
    two_digits(&mut text, 17, time / 3600);
    two_digits(&mut text, 20, time / 60 % 60);
    two_digits(&mut text, 23, time % 60);
    text
}

fn two_digits(text: &mut [u8; LENGTH], at: usize, value: u64) {
    text[at] = b'0' + (value / 10 % 10) as u8;
    text[at + 1] = b'0' + (value % 10) as u8;
}

/// Year, month and day of a count of days since 1970-01-01, in the Gregorian calendar. Years are
/// counted from March, so that the leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // since 0000-03-01
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
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
