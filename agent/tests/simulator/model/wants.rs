//! What tasks reserve, told apart by resource: CPU, GPU, memory, and the one custom resource of these worlds.

use plasmon_protocol::resources::{Amount, Demand, Resources};

/// The custom resource that nodes may have.
pub(crate) const CUSTOM: &str = "db";

/// How many others may be started while a task does not fit, before what it lacks is kept for it.
pub(crate) const PATIENCE: u64 = 32;

/// An amount of each resource: ten-thousandths, bytes of memory. The last one counts what no node has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Wants(pub(crate) [u64; 5]);

impl Wants {
    pub(crate) fn of(demand: &Demand<'_>) -> Self {
        let named =
            |known: bool| demand.custom.iter().filter(|(name, _)| (*name == CUSTOM) == known).map(|(_, amount)| amount.parts()).sum();
        Self([demand.cpus.parts(), demand.gpus.parts(), demand.memory, named(true), named(false)])
    }

    pub(crate) fn row(resources: &Resources) -> Self {
        let named =
            |known: bool| resources.custom.iter().filter(|(name, _)| (&***name == CUSTOM) == known).map(|(_, amount)| amount.parts()).sum();
        Self([resources.cpus.parts(), resources.gpus.parts(), resources.memory_bytes, named(true), named(false)])
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self(std::array::from_fn(|resource| self.0[resource] + other.0[resource]))
    }

    pub(crate) fn without_cpus(self) -> Self {
        let mut rest = self.0;
        rest[0] = 0;
        Self(rest)
    }

    /// Whether this fits beside what is used: of what it does not ask for there may be too little.
    pub(crate) fn fits(self, used: Self, total: Self) -> bool {
        (0..5).all(|resource| !self.lacks(used, total)[resource])
    }

    pub(crate) fn lacks(self, used: Self, total: Self) -> [bool; 5] {
        std::array::from_fn(|resource| self.0[resource] > 0 && used.0[resource] + self.0[resource] > total.0[resource])
    }

    pub(crate) fn is_within(self, total: Self) -> bool {
        self.fits(Self::default(), total)
    }

    /// How many GPUs, and what of each.
    pub(crate) fn each_gpu(self) -> (u64, u64) {
        let parts = self.0[1];
        if parts < Amount::UNIT { (u64::from(parts > 0), parts) } else { (parts / Amount::UNIT, Amount::UNIT) }
    }

    pub(crate) fn needs_gpu(self) -> bool {
        self.0[1] > 0
    }
}
