//! What telemetry may read of the node: all rows of one instant.

use plasmon_protocol::column::Table;
use plasmon_protocol::record::{
    ActorRow, EventRow, NodeRow, ObjectRow, PostMortemRow, ProcessRow, ReferenceRow, SiteRow, SpillFileRow, StoreRow, TaskRow,
};
use plasmon_protocol::stream::{Detail, Target};

/// The node's rows at one instant. Implemented by the reactor's core; asked on the node's own thread, so every answer is of
/// the same instant.
pub trait Tables {
    /// The clock, milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;
    /// Changes whenever a row of the table may have changed, so that an unchanged table is not looked at.
    fn version(&self, table: Table) -> u64;
    /// The node.
    fn node(&self) -> NodeRow;
    /// The node with its ledger and totals.
    fn store(&self) -> StoreRow;
    /// Every (process, object) pair.
    fn references(&self) -> Vec<ReferenceRow>;
    /// Every live object.
    fn objects(&self) -> Vec<ObjectRow>;
    /// Every site with live objects.
    fn sites(&self) -> Vec<SiteRow>;
    /// Every live process, the agent included.
    fn processes(&self) -> Vec<ProcessRow>;
    /// Every pending or running task, and those that ended lately.
    fn tasks(&self) -> Vec<TaskRow>;
    /// Every live actor, and those that ended lately.
    fn actors(&self) -> Vec<ActorRow>;
    /// Processes that ended as they should not have, for a minute.
    fn post_mortem(&self) -> Vec<PostMortemRow>;
    /// Every spill file.
    fn spill_files(&self) -> Vec<SpillFileRow>;
    /// The latest events, oldest first.
    fn events(&self) -> Vec<EventRow>;
    /// One thing in detail; `None` when it is gone. Lists are cut at `MAX_DETAIL`. A site's source and a process's unique
    /// bytes are left empty here: they need I/O, which telemetry does.
    fn detail(&self, target: Target) -> Option<Detail>;
}
