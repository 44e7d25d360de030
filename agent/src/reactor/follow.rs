//! What changed in the long tables, for whoever follows them.

use plasmon_protocol::column::Table;
use plasmon_protocol::id::ProcessId;
use plasmon_protocol::stream::Rows;
use plasmon_protocol::window::live::Changed;

use super::{Activity, Core};

/// The places of those taken where nothing is any more, and those that have a row, with it.
fn told<R>(taken: Vec<u32>, row: impl Fn(u32) -> Option<R>) -> (Vec<u32>, Vec<u32>, Vec<R>) {
    let (mut gone, mut places, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    for place in taken {
        match row(place) {
            Some(row) => {
                places.push(place);
                rows.push(row);
            }
            None => gone.push(place),
        }
    }
    (gone, places, rows)
}

impl Core {
    /// See [`crate::telemetry::tables::Tables::follow`].
    pub(super) fn followed(&mut self, table: Table, begin: bool, most: usize) -> Option<Changed> {
        match table {
            Table::References => Some(self.changed_references(begin, most)),
            Table::Objects => Some(self.changed_objects(begin, most)),
            Table::Sites => Some(self.changed_sites(begin, most)),
            Table::Tasks => Some(self.changed_tasks(begin, most)),
            Table::Actors => Some(self.changed_actors(begin, most)),
            Table::Processes => Some(self.changed_processes(begin, most)),
            // One row; and at most `MAX_EVENTS` events, as many of the dead as are kept, and a file for each 100 MiB on disk.
            Table::Store | Table::Events | Table::PostMortem | Table::SpillFiles => None,
        }
    }

    /// See [`crate::telemetry::tables::Tables::unfollow`].
    pub(super) fn unfollowed(&mut self, table: Table) {
        match table {
            Table::References => {
                self.references.changes.forget();
                self.objects.changes_in_rows.forget();
                self.tasks.follow(false);
            }
            Table::Objects => self.objects.changes.forget(),
            Table::Sites => self.sites.forget_told(),
            Table::Tasks => self.tasks.places_changed.forget(),
            Table::Actors => {
                self.actors.changes.forget();
                self.processes.changes_in_actors().forget();
                self.processes.look_who_follows();
            }
            Table::Processes => {
                self.processes.changes().forget();
                self.processes.look_who_follows();
                self.actors.changes_in_processes.forget();
                self.store.slack_changes().forget();
            }
            Table::Store | Table::Events | Table::PostMortem | Table::SpillFiles => {}
        }
    }

    /// Names of places are in rows of all these tables.
    fn notice_renamed(&mut self) {
        if self.sites.take_renamed() {
            self.references.changes.mark_all();
            self.objects.changes.mark_all();
            self.tasks.places_changed.mark_all();
            self.actors.changes.mark_all();
        }
    }

    /// A row of a reference tells of its counts, of its object, and of the task that makes that.
    fn changed_references(&mut self, begin: bool, most: usize) -> Changed {
        if begin {
            self.references.changes.follow(0);
            self.objects.changes_in_rows.follow(u32::MAX);
            self.tasks.follow(true);
        }
        self.notice_renamed();
        match self.tasks.take_changed() {
            Some(results) => results.into_iter().for_each(|key| self.objects.changes_in_rows.mark(key.slot)),
            None => self.references.changes.mark_all(),
        }
        let mut taken = Vec::new();
        for slot in self.objects.changes_in_rows.take(u32::MAX, most) {
            // All rows about an object tell the same of it, so they are told together.
            if let Some((_, object)) = self.objects.in_slot(slot) {
                taken.extend(self.references.places(object.first_row).take(object.rows as usize));
            }
        }
        let end = self.references.end();
        if self.objects.changes_in_rows.is_told(u32::MAX) {
            taken.extend(self.references.changes.take(end, most.saturating_sub(taken.len())));
        }
        taken.sort_unstable();
        taken.dedup();
        let (gone, places, rows) = told(taken, |place| {
            let row = self.references.at(place)?;
            let object = self.objects.get(row.key).filter(|object| !object.hidden)?;
            Some(self.reference_row(row, object))
        });
        let complete = self.references.changes.is_told(end) && self.objects.changes_in_rows.is_told(u32::MAX);
        Changed { now_ms: self.now_ms, gone, places, rows: Rows::References(rows), end, complete }
    }

    /// Without what changes of rows while nothing about their tasks does: see [`crate::telemetry::tables::Tables::complete`].
    fn changed_tasks(&mut self, begin: bool, most: usize) -> Changed {
        if begin {
            self.tasks.places_changed.follow(0);
        }
        self.notice_renamed();
        let end = self.tasks.end();
        let taken = self.tasks.places_changed.take(end, most);
        let (gone, places, rows) = told(taken, |place| self.tasks.at(place).map(|task| self.lasting_task_row(task)));
        let complete = self.tasks.places_changed.is_told(end);
        Changed { now_ms: self.now_ms, gone, places, rows: Rows::Tasks(rows), end, complete }
    }

    /// An actor's row tells of its process, too.
    fn changed_actors(&mut self, begin: bool, most: usize) -> Changed {
        if begin {
            self.actors.changes.follow(0);
            self.processes.changes_in_actors().follow(u32::MAX);
            self.processes.look_who_follows();
        }
        self.notice_renamed();
        for id in self.processes.changes_in_actors().take(u32::MAX, usize::MAX) {
            if let Some(Activity::Actor(key)) = self.process(ProcessId(id)).map(|process| process.activity) {
                self.actors.mark(&key);
            }
        }
        let end = self.actors.end();
        let taken = self.actors.changes.take(end, most);
        let (gone, places, rows) = told(taken, |place| self.actors.at(place).map(|actor| self.actor_row(actor)));
        Changed { now_ms: self.now_ms, gone, places, rows: Rows::Actors(rows), end, complete: self.actors.changes.is_told(end) }
    }

    /// A process's row tells of its actor's calls and of its leases, too.
    fn changed_processes(&mut self, begin: bool, most: usize) -> Changed {
        if begin {
            self.processes.changes().follow(0);
            self.processes.look_who_follows();
            self.actors.changes_in_processes.follow(u32::MAX);
            self.store.slack_changes().follow(u32::MAX);
        }
        for place in self.actors.changes_in_processes.take(u32::MAX, usize::MAX) {
            if let Some(worker) = self.actors.at(place).and_then(|actor| actor.worker) {
                self.processes.changes().mark(worker.0);
            }
        }
        for id in self.store.slack_changes().take(u32::MAX, usize::MAX) {
            self.processes.changes().mark(id);
        }
        let end = self.processes.end();
        let taken = self.processes.changes().take(end, most);
        let (gone, places, rows) = told(taken, |place| {
            let id = ProcessId(place);
            self.process(id).map(|process| self.process_row(id, process))
        });
        Changed { now_ms: self.now_ms, gone, places, rows: Rows::Processes(rows), end, complete: self.processes.changes().is_told(end) }
    }

    /// Figures are compared, not noted as they change: there are so few sites at most that this costs less.
    fn changed_sites(&mut self, begin: bool, most: usize) -> Changed {
        self.notice_renamed();
        let (changed, complete) = self.sites.take_changed(begin, most, self.now_ms);
        let (mut gone, mut places, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for (id, figures) in changed {
            if figures.held.objects > 0 {
                places.push(id.0);
                rows.push(self.site_row(id, &figures));
            } else {
                gone.push(id.0);
            }
        }
        Changed { now_ms: self.now_ms, gone, places, rows: Rows::Sites(rows), end: self.sites.end(), complete }
    }

    fn changed_objects(&mut self, begin: bool, most: usize) -> Changed {
        if begin {
            self.objects.changes.follow(0);
        }
        self.notice_renamed();
        let end = self.objects.end();
        let taken = self.objects.changes.take(end, most);
        let (gone, places, rows) = told(taken, |slot| {
            let (key, object) = self.objects.in_slot(slot).filter(|(_, object)| !object.hidden)?;
            Some(self.object_row(key, object))
        });
        Changed { now_ms: self.now_ms, gone, places, rows: Rows::Objects(rows), end, complete: self.objects.changes.is_told(end) }
    }
}
