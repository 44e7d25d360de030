//! The node as a whole.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Ledger, PressureRow, SpillRow};
use crate::id::NodeId;
use crate::resources::Resources;

/// Both totals over references: rows, and the distinct objects behind them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ReferenceTotals {
    /// Rows.
    pub references: u64,
    /// Distinct objects.
    pub unique_objects: u64,
    /// Bytes of the distinct objects.
    pub unique_bytes: u64,
}

/// The node and its memory, divided as Ray's memory page divides it. The object store is counted once.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeRow {
    /// The node.
    pub node: NodeId,
    /// Its address.
    pub node_ip: Arc<str>,
    /// The address of its stream, empty when it has none.
    pub listen: Arc<str>,
    /// The agent's process id.
    pub pid: u32,
    /// The agent's version.
    pub version: Arc<str>,
    /// When the agent started.
    pub started_ms: u64,
    /// CPUs that the node offers to tasks.
    pub num_cpus: f64,
    /// CPUs that running tasks reserve.
    pub used_cpus: f64,
    /// What the node offers to tasks and actors.
    pub resources: Arc<Resources>,
    /// What of it they reserve at this moment.
    pub reserved: Arc<Resources>,
    /// The machine's memory (or the control group's limit), bytes.
    pub machine_total_bytes: u64,
    /// What the machine says is available, bytes.
    pub machine_available_bytes: u64,
    /// System memory: the agent's heap, the directory of nodes and actors included.
    pub agent_heap_bytes: u64,
    /// Application memory: heaps of drivers.
    pub driver_heap_bytes: u64,
    /// Application memory: heaps of workers.
    pub worker_heap_bytes: u64,
    /// Application memory: bytes of the pool that are backed.
    pub store_backed_bytes: u64,
    /// Application memory: bytes of live objects that processes read through views, each object counted once.
    pub shared_read_bytes: u64,
    /// Live drivers.
    pub drivers: u32,
    /// Live workers.
    pub workers: u32,
    /// Tasks that wait for objects, resources or a worker.
    pub tasks_pending: u64,
    /// Tasks that run.
    pub tasks_running: u64,
    /// Tasks that finished, ever.
    pub tasks_finished: u64,
    /// Tasks that failed, ever.
    pub tasks_failed: u64,
    /// Actors that have not ended.
    pub actors: u32,
}

/// The whole node at one instant: one row, for overviews.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StoreRow {
    /// The node.
    pub node: NodeRow,
    /// Where the store's bytes are.
    pub ledger: Ledger,
    /// Live objects, pending and failed ones included.
    pub objects: u64,
    /// Both totals.
    pub totals: ReferenceTotals,
    /// Messages that the agent has handled, ever.
    pub messages: u64,
    /// Bytes of objects ever put.
    pub put_bytes: u64,
    /// Objects ever put.
    pub put_objects: u64,
    /// Creates, and gets of spilled objects, that wait for room.
    pub creates_queued: u32,
    /// Rings of tasks and processes that wait for each other, none of which goes on by itself.
    pub deadlocks: u32,
    /// External storage.
    pub spill: SpillRow,
    /// How full the memory is.
    pub pressure: PressureRow,
    /// Viewers attached.
    pub viewers: u32,
}
