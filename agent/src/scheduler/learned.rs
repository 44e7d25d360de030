//! What tasks have used of memory, by the names of their functions, and what they should ask for.

use std::sync::Arc;

use hashbrown::HashMap;

/// Names that are remembered; beyond it, the one that ended longest ago goes.
pub const MAX_NAMES: usize = 1000;
/// A peak below this is no reason to ask for anything. Bytes.
const WORTH_ASKING: u64 = 64 << 20;

/// What one function's tasks have used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Learned {
    /// Tasks that ended and whose heap was seen.
    pub runs: u64,
    /// The largest heap that any of them had. Bytes.
    pub peak_bytes: u64,
    /// The largest heap that the last of them had. Bytes.
    pub last_bytes: u64,
    /// When the last one ended, milliseconds since the Unix epoch.
    last_ms: u64,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct LearnedSizes(HashMap<Arc<str>, Learned, foldhash::fast::FixedState>);

impl LearnedSizes {
    /// A task of this function has ended; this was the most that its process had.
    pub fn record(&mut self, function: &Arc<str>, peak_bytes: u64, now_ms: u64) {
        if self.0.len() >= MAX_NAMES && !self.0.contains_key(function) {
            let oldest = self.0.iter().min_by(|one, other| (one.1.last_ms, one.0).cmp(&(other.1.last_ms, other.0)));
            if let Some(oldest) = oldest.map(|(name, _)| Arc::clone(name)) {
                self.0.remove(&oldest);
            }
        }
        let learned = self.0.entry(Arc::clone(function)).or_default();
        learned.runs += 1;
        learned.peak_bytes = learned.peak_bytes.max(peak_bytes);
        learned.last_bytes = peak_bytes;
        learned.last_ms = now_ms;
    }

    /// What is known of a function.
    #[must_use]
    pub fn get(&self, function: &str) -> Option<&Learned> {
        self.0.get(function)
    }
}

/// The `memory=` that a function should ask for whose peak was `peak` and that asks for `asked` (0: for nothing): the peak and a fifth
/// of it, as a size that can be read. `None` when what it asks for is right already: not less than the peak, and not more than twice as
/// much as would be suggested.
#[must_use]
pub fn suggestion(peak: u64, asked: u64) -> Option<u64> {
    let wanted = readable(peak.saturating_add(peak / 5));
    let enough = asked >= peak || (asked == 0 && peak < WORTH_ASKING);
    let wasteful = asked > wanted.saturating_mul(2).max(WORTH_ASKING);
    (!enough || wasteful).then_some(wanted)
}

/// The next size with two digits that count: 10, 11 .. 99, 100, 110 .. of MiB, and quarters of GiB.
fn readable(bytes: u64) -> u64 {
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;
    let unit = match bytes {
        0..=104_857_600 => MIB,
        104_857_601..=1_073_741_824 => 10 * MIB,
        1_073_741_825..=17_179_869_184 => GIB / 4,
        _ => GIB,
    };
    bytes.max(1).checked_next_multiple_of(unit).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    #[test]
    fn peaks_last_and_the_last_is_the_last() {
        let mut sizes = LearnedSizes::default();
        let name: Arc<str> = "app::f".into();
        sizes.record(&name, 5 * MIB, 1);
        sizes.record(&name, 9 * MIB, 2);
        sizes.record(&name, 2 * MIB, 3);
        let learned = sizes.get("app::f").unwrap();
        assert_eq!((learned.runs, learned.peak_bytes, learned.last_bytes), (3, 9 * MIB, 2 * MIB));
        assert_eq!(sizes.get("app::g"), None);
    }

    #[test]
    fn only_so_many_names_are_kept() {
        let mut sizes = LearnedSizes::default();
        let name = |number: usize| -> Arc<str> { format!("f{number}").into() };
        for number in 0..MAX_NAMES {
            sizes.record(&name(number), 1, number as u64 + 1);
        }
        sizes.record(&name(0), 2, MAX_NAMES as u64 + 1);
        sizes.record(&name(MAX_NAMES), 1, MAX_NAMES as u64 + 2);
        assert_eq!(sizes.0.len(), MAX_NAMES);
        assert!(sizes.get("f0").is_some() && sizes.get("f1").is_none() && sizes.get("f1000").is_some());
    }

    #[test]
    fn what_is_far_off_is_corrected() {
        // 500 MiB and a fifth.
        assert_eq!(suggestion(500 * MIB, 0), Some(600 * MIB));
        assert_eq!(suggestion(501 * MIB, 100 * MIB), Some(610 * MIB));
        assert_eq!(suggestion(500 * MIB, 500 * MIB), None);
        assert_eq!(suggestion(500 * MIB, 1200 * MIB), None);
        assert_eq!(suggestion(500 * MIB, 1300 * MIB), Some(600 * MIB));
        assert_eq!(suggestion(2 * GIB, 0), Some(5 * GIB / 2));
        assert_eq!(suggestion(20 * GIB, 0), Some(24 * GIB));
        // Nobody needs to ask for a few bytes, nor is a small request far off.
        assert_eq!(suggestion(5 * MIB, 0), None);
        assert_eq!(suggestion(5 * MIB, 60 * MIB), None);
        assert_eq!(suggestion(5 * MIB, 100 * MIB), Some(6 * MIB));
        assert_eq!(suggestion(u64::MAX, 1), Some(u64::MAX));
    }
}
