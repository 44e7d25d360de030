//! How much memory is too much, and what was found of it.

use plasmon_protocol::size::Bytes;

/// From where on memory is too full.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Limits {
    /// This share of the memory, more than 0 and at most 1; with 1, memory is never too full.
    pub share: f64,
    /// As long as so much is free, memory is not too full, whatever the share says. Bytes.
    pub min_free: Option<u64>,
}

impl Limits {
    /// How much of `total` may be used. Bytes.
    #[must_use]
    pub fn threshold(&self, total: u64) -> u64 {
        let share = (total as f64 * self.share) as u64;
        let free = self.min_free.map_or(0, |free| total.saturating_sub(free));
        share.max(free).min(total)
    }

    /// Whether memory can be too full at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.share < 1.0
    }

    /// The rule that made the threshold, with its numbers.
    #[must_use]
    pub fn rule(&self, total: u64) -> String {
        let percent = format!("{} % of {}", (self.share * 1000.0).round() / 10.0, Bytes(total));
        match self.min_free {
            Some(free) => format!("the larger of {percent} and {} less {} that should be free", Bytes(total), Bytes(free)),
            None => percent,
        }
    }
}

/// The memory at one instant. The object store is part of what is used, once: its pages are shared memory, which no file cache
/// counts, and which no process counts as its own.
#[derive(Clone, PartialEq, Debug)]
pub struct Reading {
    /// The machine's memory, or a control group's limit. Bytes.
    pub total_bytes: u64,
    /// What is used of it: of a control group its usage less its file cache, of the machine all that is not available. Bytes.
    pub used_bytes: u64,
    /// From where on it is too much. Bytes.
    pub threshold_bytes: u64,
    /// The limits that the threshold follows from.
    pub limits: Limits,
    /// What is measured: `machine`, `cgroup v1`, `cgroup v2`.
    pub source: String,
    /// Pages of files, which the kernel drops before it refuses anything: not used. Bytes.
    pub file_cache_bytes: u64,
    /// What the machine says is available. Bytes.
    pub available_bytes: u64,
    /// How much of the last ten seconds some process waited for memory, percent; where the kernel says.
    pub stalled_percent: Option<f32>,
}

impl Reading {
    /// Whether somebody has to go.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.limits.is_on() && self.used_bytes > self.threshold_bytes
    }

    /// Where `used_bytes` comes from, with the numbers.
    #[must_use]
    pub fn formula(&self) -> String {
        let used = Bytes(self.used_bytes);
        if self.source.starts_with("cgroup") {
            let usage = Bytes(self.used_bytes.saturating_add(self.file_cache_bytes));
            format!("{used} = {usage} of usage - {} of file cache ({})", Bytes(self.file_cache_bytes), self.source)
        } else {
            format!("{used} = {} in all - {} available ({})", Bytes(self.total_bytes), Bytes(self.available_bytes), self.source)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_larger_of_both_limits_counts() {
        let share = Limits { share: 0.95, min_free: None };
        assert_eq!(share.threshold(1000 * MIB), 950 * MIB);
        assert_eq!(Limits { min_free: Some(10 * MIB), ..share }.threshold(1000 * MIB), 990 * MIB);
        assert_eq!(Limits { min_free: Some(500 * MIB), ..share }.threshold(1000 * MIB), 950 * MIB);
        assert_eq!(Limits { min_free: Some(5000 * MIB), ..share }.threshold(1000 * MIB), 950 * MIB);
        assert_eq!(share.rule(1000 * MIB), "95 % of 1000 MiB");
        assert!(Limits { min_free: Some(10 * MIB), ..share }.rule(1000 * MIB).ends_with("1000 MiB less 10 MiB that should be free"));
    }

    #[test]
    fn with_the_whole_it_is_off() {
        let off = Limits { share: 1.0, min_free: None };
        let reading = Reading {
            total_bytes: MIB,
            used_bytes: 2 * MIB,
            threshold_bytes: off.threshold(MIB),
            limits: off,
            source: "machine".to_owned(),
            file_cache_bytes: 0,
            available_bytes: 0,
            stalled_percent: None,
        };
        assert!(!off.is_on() && !reading.is_over());
        let on = Limits { share: 0.9, min_free: None };
        assert!(Reading { limits: on, ..reading }.is_over());
    }
}
