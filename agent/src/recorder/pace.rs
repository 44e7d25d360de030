//! When the next picture is due, and how long its tables may be: how much of the node's time the copies take, and how fast the file grows.

use std::time::{Duration, Instant};

use plasmon_protocol::recording::{MAX_ROWS, STEP_MS};

/// Copies for the recording take at most one part in this many of the node's time.
const NODE_SHARE: u32 = 100;
/// What is written in a second, over time, bytes: so much that the file lasts for the minutes that it should.
const RATE: u64 = 24 << 10;
/// What may be written ahead of that, bytes: a busy minute is recorded as closely as a quiet one.
const AHEAD: u64 = 6 << 20;
/// Beyond that, no picture waits for longer because of what the last ones weighed: how it ended matters more than how it began.
const LONGEST: Duration = Duration::from_secs(5);
/// Rows of a long table that are recorded whatever they cost.
const LEAST_ROWS: usize = 200;

/// See the module.
#[derive(Debug)]
pub(super) struct Pace {
    /// Bytes that may be written at once, as of then; below zero, what was written too early.
    saved: i64,
    at: Instant,
    rows: usize,
}

impl Pace {
    /// Nothing written yet.
    pub(super) fn new(now: Instant) -> Self {
        Self { saved: AHEAD as i64, at: now, rows: MAX_ROWS }
    }

    /// Rows of each table that the next picture may have: fewer while pictures weigh more than the longest wait between them makes up for,
    /// as when thousands of objects come and go in each second.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// So many bytes are written now, of a copy that took so much of the node's time; when the next picture is due.
    pub(super) fn next(&mut self, bytes: u64, took: Duration, now: Instant) -> Instant {
        let earned = now.saturating_duration_since(self.at).as_millis() as u64 * RATE / 1000;
        self.at = now;
        let ahead = AHEAD as i64;
        self.saved = self.saved.saturating_add(earned as i64).min(ahead).saturating_sub(bytes as i64).max(-ahead);
        let owed = self.saved.min(0).unsigned_abs();
        let affordable = RATE * LONGEST.as_secs();
        if owed > AHEAD / 2 && bytes > affordable {
            self.rows = (self.rows / 2).max(LEAST_ROWS);
        } else if bytes < affordable / 3 {
            self.rows = (self.rows * 2).min(MAX_ROWS);
        }
        let paid = Duration::from_millis(owed * 1000 / RATE).min(LONGEST);
        now + paid.max(took * NODE_SHARE).max(Duration::from_millis(STEP_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_minutes_are_recorded_closely_and_busy_hours_less_so() {
        let second = Duration::from_secs(1);
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        let step = |pace: &mut Pace, now: &mut Instant, bytes, took| {
            let next = pace.next(bytes, took, *now);
            let waited = next - *now;
            *now = next;
            waited
        };
        // A large beginning, and changes of 60 KiB a second for two minutes.
        assert_eq!(step(&mut pace, &mut now, 1 << 20, Duration::ZERO), second);
        for _ in 0..120 {
            assert_eq!(step(&mut pace, &mut now, 60 << 10, Duration::ZERO), second);
        }
        // For an hour: as much as the file is made for, and never more than seconds apart.
        let begun = now;
        let (mut bytes, mut longest) = (0, Duration::ZERO);
        while now - begun < Duration::from_secs(3600) {
            longest = longest.max(step(&mut pace, &mut now, 60 << 10, Duration::ZERO));
            bytes += 60 << 10;
        }
        assert!(bytes <= 3700 * RATE + AHEAD && longest <= LONGEST, "{bytes} {longest:?}");
        // A copy that takes long is made seldom.
        assert_eq!(step(&mut pace, &mut now, 0, Duration::from_millis(80)), Duration::from_secs(8));
    }
    #[test]
    fn however_much_changes_the_file_lasts_and_a_quiet_minute_has_all_rows_again() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        let begun = now;
        let mut bytes = 0;
        while now - begun < Duration::from_secs(3600) {
            // All rows are others each time.
            let picture = pace.rows() as u64 * 300;
            now = pace.next(picture, Duration::ZERO, now);
            bytes += picture;
        }
        // Ten minutes fit a file of 32 MiB, whose oldest quarter may just have gone.
        assert!(bytes / 6 < 24 << 20 && pace.rows() >= LEAST_ROWS, "{bytes} with {} rows", pace.rows());
        for _ in 0..10 {
            now = pace.next(1 << 10, Duration::ZERO, now);
        }
        assert_eq!(pace.rows(), MAX_ROWS);
    }
}
