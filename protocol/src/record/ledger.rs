//! Where the store's bytes are.

use serde::{Deserialize, Serialize};

/// The ledger: every byte of capacity in exactly one line. The lines sum to `capacity_bytes`. An object that is pinned counts as pinned;
/// else what becomes of its copy (spilling, restoring, secondary) goes before who holds it (argument, referenced, captured).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Ledger {
    /// The pool's size.
    pub capacity_bytes: u64,
    /// Objects that a process holds a view into.
    pub pinned_bytes: u64,
    /// Objects that a pending task needs.
    pub argument_bytes: u64,
    /// Objects that a process holds a handle to.
    pub referenced_bytes: u64,
    /// Objects that only other objects hold.
    pub captured_bytes: u64,
    /// Objects granted but not published yet.
    pub creating_bytes: u64,
    /// Objects that are being written to external storage.
    pub spilling_bytes: u64,
    /// Objects that are being read back.
    pub restoring_bytes: u64,
    /// Secondary copies: objects that external storage has too.
    pub secondary_bytes: u64,
    /// Bytes behind an object up to the next allocation unit.
    pub padding_bytes: u64,
    /// Dead bytes in chunks that also carry live ones.
    pub hole_bytes: u64,
    /// Leased bytes that carry no object.
    pub slack_bytes: u64,
    /// Bytes that nobody leases.
    pub free_bytes: u64,
    /// Of `free_bytes`, those with no memory behind them yet.
    pub unbacked_bytes: u64,
    /// Capacity minus the sum of all lines, computed independently; zero, or the ledger is wrong.
    pub unattributed_bytes: i64,
    /// Inlined values in the agent's heap; outside of the capacity.
    pub inlined_bytes: u64,
    /// How many inlined values.
    pub inlined_objects: u64,
    /// What it takes to run finished tasks again, should their results be lost; in the agent's heap, outside of the capacity.
    pub lineage_bytes: u64,
    /// How many such tasks.
    pub lineage_tasks: u64,
}

impl Ledger {
    /// The lines with their names, in order of precedence; they sum to the capacity.
    #[must_use]
    pub fn lines(&self) -> [(&'static str, u64); 12] {
        [
            ("pinned", self.pinned_bytes),
            ("argument", self.argument_bytes),
            ("referenced", self.referenced_bytes),
            ("captured", self.captured_bytes),
            ("creating", self.creating_bytes),
            ("spilling", self.spilling_bytes),
            ("restoring", self.restoring_bytes),
            ("secondary", self.secondary_bytes),
            ("padding", self.padding_bytes),
            ("holes", self.hole_bytes),
            ("slack", self.slack_bytes),
            ("free", self.free_bytes),
        ]
    }

    /// Bytes of live objects: what is used, without what surrounds it and what is still being made.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        let objects = [self.pinned_bytes, self.argument_bytes, self.referenced_bytes, self.captured_bytes];
        let copies = [self.spilling_bytes, self.restoring_bytes, self.secondary_bytes];
        objects.into_iter().chain(copies).fold(0, u64::saturating_add)
    }
}
