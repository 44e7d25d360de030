//! Every byte of capacity in exactly one line, kept up to date by each change instead of by a walk.

use plasmon_protocol::id::ProcessId;
use plasmon_protocol::record::Ledger;

use super::lease::Lease;
use crate::changes::Changes;

/// The line that a live object's bytes stand in: the first that holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// A process holds a view into it.
    Pinned,
    /// It is being written to external storage.
    Spilling,
    /// It is being read back.
    Restoring,
    /// External storage has it too.
    Secondary,
    /// A pending task needs it.
    Argument,
    /// A process holds a handle to it.
    Referenced,
    /// Only other objects hold it.
    Captured,
}

/// The sums behind the ledger.
#[derive(Debug, Default)]
pub struct Books {
    classes: [u64; 7],
    padding: u64,
    holes: u64,
    slack: u64,
    /// The same by leaseholder, indexed by process; what dead processes left behind is in no entry.
    slack_of: Vec<u64>,
    creating: u64,
    /// Processes whose slack changed, for whoever follows their rows.
    pub slack_changes: Changes,
}

impl Books {
    /// Adds a lease's own lines after it has changed; objects are entered apart.
    pub fn enter_lease(&mut self, lease: &Lease) {
        self.holes += lease.holes();
        self.slack += lease.slack();
        self.creating += lease.creating_bytes();
        if let Some((process, _)) = lease.owner {
            let index = process.0 as usize;
            if self.slack_of.len() <= index {
                self.slack_of.resize(index + 1, 0);
            }
            self.slack_of[index] += lease.slack();
        }
    }

    /// Leased bytes of a process that carry no object.
    #[must_use]
    pub fn slack_of(&self, process: ProcessId) -> u64 {
        self.slack_of.get(process.0 as usize).copied().unwrap_or(0)
    }

    /// Bytes of all objects.
    #[must_use]
    pub fn live(&self) -> u64 {
        self.classes.iter().sum()
    }

    /// Leased bytes that carry no object, over all processes.
    #[must_use]
    pub fn slack(&self) -> u64 {
        self.slack
    }

    /// Dead bytes in chunks that also carry live ones.
    #[must_use]
    pub fn holes(&self) -> u64 {
        self.holes
    }

    /// Adds the lines of a lease that was just made.
    pub fn begin_lease(&mut self, lease: &Lease) {
        if let Some((process, _)) = lease.owner {
            self.slack_changes.mark(process.0);
        }
        self.enter_lease(lease);
    }

    /// Takes a lease's own lines out, before the lease changes.
    pub fn leave_lease(&mut self, lease: &Lease) {
        self.holes -= lease.holes();
        self.slack -= lease.slack();
        self.creating -= lease.creating_bytes();
        if let Some((process, _)) = lease.owner {
            self.slack_of[process.0 as usize] -= lease.slack();
            self.slack_changes.mark(process.0);
        }
    }

    /// Adds an object of `length` bytes that takes up `extent`.
    pub fn enter_object(&mut self, class: Class, length: u64, extent: u64) {
        self.classes[class as usize] += length;
        self.padding += extent - length;
    }

    /// Takes an object out.
    pub fn leave_object(&mut self, class: Class, length: u64, extent: u64) {
        self.classes[class as usize] -= length;
        self.padding -= extent - length;
    }

    /// Moves an object between lines.
    pub fn reclassify(&mut self, length: u64, from: Class, to: Class) {
        self.classes[from as usize] -= length;
        self.classes[to as usize] += length;
    }

    /// The lines that the books keep; the rest is the store's to fill in.
    #[must_use]
    pub fn lines(&self) -> Ledger {
        let [pinned, spilling, restoring, secondary, argument, referenced, captured] = self.classes;
        Ledger {
            pinned_bytes: pinned,
            spilling_bytes: spilling,
            restoring_bytes: restoring,
            secondary_bytes: secondary,
            argument_bytes: argument,
            referenced_bytes: referenced,
            captured_bytes: captured,
            creating_bytes: self.creating,
            padding_bytes: self.padding,
            hole_bytes: self.holes,
            slack_bytes: self.slack,
            ..Ledger::default()
        }
    }
}
