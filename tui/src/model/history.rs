//! Samples of the store's row, for the curves of the last minutes.

use std::collections::VecDeque;

use plasmon_protocol::record::StoreRow;

/// The time that curves show, milliseconds.
pub const SPAN_MS: u64 = 300_000;
/// Samples nearer to each other than this are one.
const STEP_MS: u64 = 500;
/// Enough for [`SPAN_MS`] and one sample before it.
const MAX_SAMPLES: usize = (SPAN_MS / STEP_MS) as usize + 2;

/// The figures of one instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sample {
    /// The agent's clock, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Bytes of live objects in the store.
    pub used_bytes: u64,
    /// Live objects.
    pub objects: u64,
    /// Bytes ever put.
    pub put_bytes: u64,
    /// Tasks that ended, ever.
    pub tasks_done: u64,
    /// Bytes spilled, ever.
    pub spilled_bytes: u64,
    /// Bytes read back, ever.
    pub restored_bytes: u64,
    /// Bytes of the spill files.
    pub file_bytes: u64,
}

/// The last minutes, oldest first.
#[derive(Clone, Debug, Default)]
pub struct History {
    samples: VecDeque<Sample>,
}

impl Sample {
    /// The figures of a row.
    #[must_use]
    pub fn of(at_ms: u64, row: &StoreRow) -> Self {
        Self {
            at_ms,
            used_bytes: row.ledger.used_bytes(),
            objects: row.objects,
            put_bytes: row.put_bytes,
            tasks_done: row.node.tasks_finished.saturating_add(row.node.tasks_failed),
            spilled_bytes: row.spill.spilled_bytes_total,
            restored_bytes: row.spill.restored_bytes_total,
            file_bytes: row.spill.file_bytes,
        }
    }
}

impl History {
    /// The samples up to an instant, of a recording's, and no others.
    pub fn up_to(&mut self, samples: &[Sample], at_ms: u64) {
        let end = samples.partition_point(|sample| sample.at_ms <= at_ms);
        let begin = samples.partition_point(|sample| sample.at_ms < at_ms.saturating_sub(SPAN_MS)).saturating_sub(1).min(end);
        self.samples = samples.get(begin..end).unwrap_or_default().iter().copied().collect();
    }

    /// Adds a sample; one that follows closely on the last replaces it.
    pub fn push(&mut self, at_ms: u64, row: &StoreRow) {
        let sample = Sample::of(at_ms, row);
        let close = |at: usize| self.samples.get(at).is_some_and(|last| at_ms < last.at_ms.saturating_add(STEP_MS));
        let len = self.samples.len();
        // Replacing needs a predecessor that is a step away, or a steady stream would move one sample for ever.
        if len >= 2 && close(len - 1) && close(len - 2) {
            self.samples.pop_back();
        }
        self.samples.push_back(sample);
        while self.samples.len() > MAX_SAMPLES * 2 {
            self.samples.pop_front();
        }
    }

    /// A gauge at the ends of `slots` equal parts of the time up to `now_ms`; `None` before the first sample.
    #[must_use]
    pub fn gauge(&self, now_ms: u64, slots: usize, figure: fn(&Sample) -> u64) -> Vec<Option<u64>> {
        let step = step(slots);
        ends(now_ms.div_ceil(step), step, slots).map(|end| self.before(end).map(|sample| figure(&sample))).collect()
    }

    /// A counter's growth per second over each of the last `slots` equal parts of the time that are over by `now_ms`.
    #[must_use]
    pub fn rate(&self, now_ms: u64, slots: usize, figure: fn(&Sample) -> u64) -> Vec<Option<u64>> {
        let step = step(slots);
        let ends: Vec<u64> = ends(now_ms / step, step, slots + 1).collect();
        ends.windows(2)
            .map(|pair| {
                let (from, to) = (self.before(pair[0])?, self.before(pair[1])?);
                let growth = u128::from(figure(&to).saturating_sub(figure(&from)));
                Some(u64::try_from(growth * 1000 / u128::from(step)).unwrap_or(u64::MAX))
            })
            .collect()
    }

    /// A counter's growth per second over the last `span_ms`, or since the first sample.
    #[must_use]
    pub fn rate_now(&self, now_ms: u64, span_ms: u64, figure: fn(&Sample) -> u64) -> Option<u64> {
        let last = self.samples.back()?;
        let from = self.before(now_ms.saturating_sub(span_ms)).or_else(|| self.samples.front().copied())?;
        let elapsed = now_ms.saturating_sub(from.at_ms.max(now_ms.saturating_sub(span_ms))).max(1000);
        Some(figure(last).saturating_sub(figure(&from)).saturating_mul(1000) / elapsed)
    }

    /// How fast a gauge rose over the last `span_ms`, or since the first sample: per second; 0 when it fell. `None` when the
    /// samples span less than a second.
    #[must_use]
    pub fn rise(&self, now_ms: u64, span_ms: u64, figure: fn(&Sample) -> u64) -> Option<u64> {
        let last = self.samples.back()?;
        let from = self.before(now_ms.saturating_sub(span_ms)).or_else(|| self.samples.front().copied())?;
        let elapsed = now_ms.saturating_sub(from.at_ms.max(now_ms.saturating_sub(span_ms)));
        (elapsed >= 1000).then(|| figure(last).saturating_sub(figure(&from)).saturating_mul(1000) / elapsed)
    }

    /// The last sample at or before an instant.
    fn before(&self, at_ms: u64) -> Option<Sample> {
        let after = self.samples.partition_point(|sample| sample.at_ms <= at_ms);
        after.checked_sub(1).and_then(|last| self.samples.get(last).copied())
    }
}

/// A part of the time that a curve of `slots` parts shows, milliseconds.
fn step(slots: usize) -> u64 {
    (SPAN_MS / slots.max(1) as u64).max(1)
}

/// The last `count` multiples of a part up to the one numbered `last`: a curve moves by whole parts and does not flicker.
fn ends(last: u64, step: u64, count: usize) -> impl Iterator<Item = u64> {
    (0..count as u64).rev().map(move |back| last.saturating_sub(back).saturating_mul(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(put: u64) -> StoreRow {
        StoreRow { put_bytes: put, objects: put, ..StoreRow::default() }
    }

    #[test]
    fn a_steady_stream_keeps_a_bounded_number_of_samples() {
        let mut history = History::default();
        for tick in 0..20_000 {
            history.push(tick * 100, &row(tick));
        }
        assert!(history.samples.len() <= 2 * MAX_SAMPLES, "{}", history.samples.len());
        let gauge = history.gauge(2_000_000, 60, |sample| sample.objects);
        assert!(gauge.iter().all(Option::is_some));
        assert_eq!(gauge.last(), Some(&Some(19_999)));
        assert_eq!(history.rate_now(2_000_000, 10_000, |sample| sample.put_bytes), Some(9));
    }

    #[test]
    fn nothing_is_invented_before_the_first_sample() {
        let mut history = History::default();
        assert_eq!(history.gauge(1_000_000, 3, |sample| sample.objects), [None, None, None]);
        history.push(950_000, &row(5));
        assert_eq!(history.gauge(1_000_000, 3, |sample| sample.objects), [None, None, Some(5)]);
        assert_eq!(history.rate(1_000_000, 3, |sample| sample.put_bytes), [None, None, None]);
    }
}
