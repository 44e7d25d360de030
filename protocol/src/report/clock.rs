//! Instants as people read them.

const DAY_MS: u64 = 86_400_000;
/// Days of the 400 years after which the calendar repeats.
const CYCLE_DAYS: u64 = 146_097;
/// Days from 0000-03-01, where the count of a cycle starts, to 1970-01-01.
const EPOCH_DAYS: u64 = 719_468;

/// `2024-02-29 23:59:59 UTC`, of milliseconds since the Unix epoch.
#[must_use]
pub fn utc(unix_ms: u64) -> String {
    let (year, month, day) = date(unix_ms / DAY_MS);
    let second = unix_ms % DAY_MS / 1000;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", second / 3600, second / 60 % 60, second % 60)
}

/// Year, month and day of a number of days since the epoch. Years are counted from March, so that a leap day ends one.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + EPOCH_DAYS;
    let (cycle, day_of_cycle) = (days / CYCLE_DAYS, days % CYCLE_DAYS);
    // Take out the leap days before this one, so that every year left has 365 days: one in 1461, but for each century's, but
    // for each cycle's.
    let leaps = day_of_cycle / 1460 - day_of_cycle / 36_524 + day_of_cycle / (CYCLE_DAYS - 1);
    let year_of_cycle = (day_of_cycle - leaps) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    // From March on, five months have 153 days, whichever five.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let (month, carry) = if month_from_march < 10 { (month_from_march + 3, 0) } else { (month_from_march - 9, 1) };
    (400 * cycle + year_of_cycle + carry, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_instants() {
        for (second, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_700_000_000, "2023-11-14 22:13:20 UTC"),
            (1_709_251_199, "2024-02-29 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(second * 1000), text);
        }
        assert!(utc(u64::MAX).ends_with("UTC"));
    }

    fn leap(year: u64) -> bool {
        year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
    }

    proptest! {
        #[test]
        fn dates_agree_with_counting_every_month(days in 0_u64..400_000) {
            let (mut year, mut month, mut left) = (1970, 1, days);
            loop {
                let length = match month {
                    2 => if leap(year) { 29 } else { 28 },
                    4 | 6 | 9 | 11 => 30,
                    _ => 31,
                };
                if left < length { break }
                left -= length;
                (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            }
            prop_assert_eq!(date(days), (year, month, left + 1));
        }
    }
}
