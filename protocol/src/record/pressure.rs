//! How full the memory is, and who would have to go.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::ProcessId;

/// The inputs of the out-of-memory monitor at its last look, and what follows from them. The object store is part of what is used, once.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PressureRow {
    /// The machine's memory, or a control group's limit, bytes; 0 before the first look.
    pub total_bytes: u64,
    /// What is used of it, bytes.
    pub used_bytes: u64,
    /// From where on somebody has to go, bytes. Equal to `total_bytes` where the monitor is off.
    pub threshold_bytes: u64,
    /// What is measured: `machine`, `cgroup v1`, `cgroup v2`.
    pub source: Arc<str>,
    /// Pages of files, which don't count as used, bytes.
    pub file_cache_bytes: u64,
    /// What the machine says is available, bytes.
    pub available_bytes: u64,
    /// How much of the last ten seconds some process waited for memory, percent; where the kernel says.
    pub stalled_percent: Option<f32>,
    /// Nobody is ended; it is only told who would be.
    pub dry_run: bool,
    /// Workers ended so far.
    pub kills: u64,
    /// Of them, those that have not gone yet; until then nobody else has to.
    pub dying: u32,
    /// Who is next.
    pub next_victim: Option<VictimRow>,
}

impl PressureRow {
    /// Whether somebody can be ended at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.threshold_bytes < self.total_bytes
    }

    /// Whether somebody has to go.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_on() && self.used_bytes > self.threshold_bytes
    }
}

/// A worker that would have to go, or has to.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct VictimRow {
    /// The worker.
    pub process: ProcessId,
    /// Its id in the operating system.
    pub pid: u32,
    /// The task or the actor that it runs.
    pub task: Option<Arc<str>>,
    /// What its end would free, bytes.
    pub bytes: u64,
    /// Why it is its turn.
    pub why: String,
}
