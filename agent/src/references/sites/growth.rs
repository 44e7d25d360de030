//! How much a site's objects gained over the last minute.

use std::collections::VecDeque;

use super::Weight;

/// How far back growth looks, milliseconds.
pub const GROWTH_MS: u64 = 60_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Growth {
    /// Samples of the last minute, oldest first, only where something changed; the first is at least as old as the window.
    samples: VecDeque<Sample>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Sample {
    at_ms: u64,
    bytes: u64,
    objects: u64,
    own_bytes: u64,
}

impl Growth {
    /// Notes what weighs on a site at this instant; false when this instant has been noted.
    pub(super) fn sample(&mut self, now_ms: u64, held: &Weight, own: &Weight) -> bool {
        let sample = Sample { at_ms: now_ms, bytes: held.bytes, objects: held.objects, own_bytes: own.bytes };
        if self.samples.back() == Some(&sample) {
            return false;
        }
        self.samples.push_back(sample);
        while self.samples.get(1).is_some_and(|second| second.at_ms + GROWTH_MS <= now_ms) {
            self.samples.pop_front();
        }
        true
    }

    /// What was gained over the last minute: bytes, objects, and bytes of its own.
    pub(super) fn since(&self, held: &Weight, own: &Weight, now_ms: u64) -> (i64, i64, i64) {
        let old = self.samples.iter().take_while(|sample| sample.at_ms + GROWTH_MS <= now_ms);
        let then = old.last().copied().unwrap_or_default();
        let gained = |now: u64, then: u64| now.cast_signed().wrapping_sub(then.cast_signed());
        (gained(held.bytes, then.bytes), gained(held.objects, then.objects), gained(own.bytes, then.own_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_kept_and_no_more() {
        let mut growth = Growth::default();
        for second in 0..200_u64 {
            let weight = Weight { bytes: 10 * (second + 1), objects: 1, references: 1 };
            assert!(growth.sample(second * 1000, &weight, &Weight::default()));
            assert!(!growth.sample(second * 1000, &weight, &Weight::default()));
        }
        assert!(growth.samples.len() <= 62);
    }
}
