//! What the node offers and what running tasks reserve, in thousandths, so that no sum ever rounds.

/// CPUs of the node. A task that blocks in a `get` gives its share back and takes it again when it goes on, even if nothing is
/// free then: for that moment the node is over-committed, and starts nothing new.
#[derive(Clone, Copy, Debug)]
pub struct Cpus {
    total: u64,
    used: u64,
}

impl Cpus {
    /// `total` thousandths of a CPU.
    #[must_use]
    pub fn new(total: u64) -> Self {
        Self { total, used: 0 }
    }

    /// Thousandths that the node offers.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Whole CPUs that the node offers, a part of one counting as one; at least 1.
    #[must_use]
    pub fn whole(&self) -> u64 {
        self.total.div_ceil(1000).max(1)
    }

    /// Thousandths that are reserved.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Whether `milli` more fit.
    #[must_use]
    pub fn fits(&self, milli: u32) -> bool {
        milli == 0 || self.used + u64::from(milli) <= self.total
    }

    /// Reserves, fit or not.
    pub fn take(&mut self, milli: u32) {
        self.used += u64::from(milli);
    }

    /// Gives back what was taken.
    pub fn give(&mut self, milli: u32) {
        debug_assert!(self.used >= u64::from(milli), "more CPU given back than taken");
        self.used = self.used.saturating_sub(u64::from(milli));
    }
}
