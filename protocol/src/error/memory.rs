//! What somebody needs to know whose work was ended for want of memory.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::size::Bytes;

/// Processes in the table of a report.
pub const MAX_PROCESSES: usize = 10;
/// The longest description of a process in it, bytes.
pub const MAX_COMMAND: usize = 100;

/// The memory, the rule, and the processes, at the moment when somebody had to go. Prints as a few lines without a newline at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryReport {
    /// What is used.
    pub used: Bytes,
    /// In all.
    pub total: Bytes,
    /// From where on it is too much.
    pub threshold: Bytes,
    /// Where `used` comes from: the formula with its numbers, and what was measured.
    pub formula: String,
    /// Where `threshold` comes from.
    pub rule: String,
    /// The part of `used` that is the object store.
    pub store: Bytes,
    /// What the end of the process frees.
    pub freed: Bytes,
    /// Why it was this one's turn.
    pub why: String,
    /// Those with most memory of their own, at most [`MAX_PROCESSES`].
    pub processes: Vec<ProcessMemory>,
    /// The recording of the minutes before, empty when there is none.
    pub recording: String,
}

/// What one process has of memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessMemory {
    /// Its id in the operating system.
    pub pid: u32,
    /// What only this process has.
    pub bytes: Bytes,
    /// What it is and does.
    pub command: String,
}

impl MemoryReport {
    /// How full the memory was, in one line.
    #[must_use]
    pub fn summary(&self) -> String {
        let percent = self.used.0 as f64 * 100.0 / (self.total.0.max(1)) as f64;
        format!("{} of {} in use ({percent:.1} %), more than the threshold of {}", self.used, self.total, self.threshold)
    }
}

impl fmt::Display for MemoryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  in use     {}", self.formula)?;
        writeln!(f, "  threshold  {} = {}", self.threshold, self.rule)?;
        writeln!(f, "  store      {} of what is in use is the object store, which no process below counts", self.store)?;
        writeln!(f, "  victim     {} come free; {}", self.freed, self.why)?;
        if !self.recording.is_empty() {
            writeln!(f, "  recording  {} (plasmon replay FILE)", self.recording)?;
        }
        write!(f, "  {:>9}  {:>12}  PROCESS", "PID", "MEMORY")?;
        for process in &self.processes {
            write!(f, "\n  {:>9}  {:>12}  {}", process.pid, process.bytes, process.command)?;
        }
        Ok(())
    }
}
