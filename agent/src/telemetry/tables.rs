//! What telemetry may read of the node: all rows of one instant.

use plasmon_protocol::column::Table;
use plasmon_protocol::error::Error;
use plasmon_protocol::record::{
    ActorRow, EventRow, NodeRow, ObjectRow, PostMortemRow, ProcessRow, ReferenceRow, SiteRow, SpillFileRow, StoreRow, TaskRow,
};
use plasmon_protocol::recording::Taken;
use plasmon_protocol::stream::{Detail, Rows, Target, View};
use plasmon_protocol::window::live::Changed;
use plasmon_protocol::window::{Query, Window};

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
    /// What has changed in a table since the last call, in rows at their places, about `most` of them; all of it when this is the
    /// `begin`. There is one follower of a table. `None` when this table is only given as a whole.
    fn follow(&mut self, table: Table, begin: bool, most: usize) -> Option<Changed> {
        let _ = (table, begin, most);
        None
    }
    /// Adds to rows of a table that is followed what of them changes while they don't: what is worked out for those that are shown alone.
    fn complete(&self, rows: &mut Rows) {
        let _ = rows;
    }
    /// Nobody follows the table any more.
    fn unfollow(&mut self, table: Table) {
        let _ = table;
    }
    /// A table for a recording: all its rows, or at least the first `limit` of its own order when it has more. It costs no more than a
    /// walk over the table, and memory for some rows.
    fn take(&self, table: Table, limit: usize) -> Taken {
        let _ = limit;
        Taken { table, rows: fetch(self, table), totals: None }
    }
    /// What a recording needs of the same instant beside these tables: things in them in detail, as far as the tables don't tell, the most
    /// telling first. What needs I/O is left out here as in [`Tables::detail`].
    fn recorded(&self, tables: &[Taken]) -> Vec<Detail> {
        let _ = tables;
        Vec::new()
    }
}

/// All rows of one table.
#[must_use]
pub fn fetch<T: Tables + ?Sized>(tables: &T, table: Table) -> Rows {
    match table {
        Table::References => Rows::References(tables.references()),
        Table::Objects => Rows::Objects(tables.objects()),
        Table::Sites => Rows::Sites(tables.sites()),
        Table::Processes => Rows::Processes(tables.processes()),
        Table::Tasks => Rows::Tasks(tables.tasks()),
        Table::Actors => Rows::Actors(tables.actors()),
        Table::PostMortem => Rows::PostMortem(tables.post_mortem()),
        Table::Events => Rows::Events(tables.events()),
        Table::SpillFiles => Rows::SpillFiles(tables.spill_files()),
        Table::Store => Rows::Store(vec![tables.store()]),
    }
}

/// What `view` shows of `tables`.
///
/// # Errors
/// See [`Query::prepare`].
pub fn evaluate(view: &View, tables: &dyn Tables) -> Result<Window, Error> {
    let query = Query::prepare(view.clone())?;
    Ok(query.window(&fetch(tables, view.table), tables.now_ms()))
}
