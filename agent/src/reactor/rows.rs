//! What people see: the core's tables as rows.

use std::sync::Arc;

use plasmon_protocol::column::Table;
use plasmon_protocol::error::Error;
use plasmon_protocol::id::{JobId, ObjectKey, ProcessId, SiteId};
use plasmon_protocol::record::{
    ActorRow, EventRow, Ledger, NodeRow, ObjectRow, ObjectState, PostMortemRow, ProcessRow, ProcessType, ReferenceRow, ReferenceTotals,
    ReferenceType, SiteRow, SpillFileRow, StoreRow, TaskRow, TaskStatus,
};
use plasmon_protocol::recording::Taken;
use plasmon_protocol::stream::{Detail, Rows, Target};
use plasmon_protocol::window::live::Changed;

use super::learned::asked_memory;
use super::reasons::Reasons;
use super::{Activity, Core, Process};
use crate::references::sites::Figures;
use crate::references::table::{Count, Row};
use crate::scheduler::actor::Actor;
use crate::scheduler::learned::suggestion;
use crate::scheduler::task::Task;
use crate::store::object::Object;
use crate::telemetry::tables::Tables;

impl Core {
    pub(super) fn reference_row(&self, row: &Row, object: &Object) -> ReferenceRow {
        let holder = self.process(row.process);
        let task = object.task().and_then(|task| self.tasks.get(&task));
        let status = object.task().map(|_| {
            task.map_or(if object.state == Some(ObjectState::Failed) { TaskStatus::Failed } else { TaskStatus::Finished }, |task| {
                task.status
            })
        });
        let attempt =
            task.map(|task| task.attempt.max(1)).or_else(|| object.cold.as_ref().filter(|cold| cold.attempt > 0).map(|cold| cold.attempt));
        ReferenceRow {
            object_id: row.key.on(self.config.node),
            process: row.process,
            pid: holder.map_or(0, |holder| holder.pid),
            process_type: holder.map_or(ProcessType::Agent, |holder| holder.process_type),
            node: self.config.node,
            node_ip: Arc::clone(&self.config.node_ip),
            reference_type: reference_type(row, object),
            size_bytes: object.size(),
            call_site: Arc::clone(self.sites.get(row.site)),
            created_site: Arc::clone(self.sites.get(object.site)),
            creator_pid: self.pid_ever(object.creator),
            status,
            attempt,
            state: object.shown_state(),
            since_ms: row.since_ms,
            local: row.count(Count::Local),
            pinned: row.pins(),
            submitted: row.count(Count::Submitted),
            captured: row.count(Count::Captured),
        }
    }

    pub(super) fn object_row(&self, key: ObjectKey, object: &Object) -> ObjectRow {
        let record = object.record.and_then(|record| self.spill.files.record(record));
        ObjectRow {
            object_id: key.on(self.config.node),
            size_bytes: object.size(),
            state: object.shown_state(),
            created_site: Arc::clone(self.sites.get(object.site)),
            creator: object.creator,
            creator_pid: self.pid_ever(object.creator),
            created_ms: object.created_ms,
            references: object.rows,
            pinned: object.counts.pinned,
            captured: object.counts.captured,
            contains: object.contains().len() as u32,
            task: object.task().map(|task| task.on(self.config.node)),
            file: record.map(|record| record.file),
            file_offset: record.map(|record| record.at),
            spilled_ms: record.map(|record| record.spilled_ms),
            evicted_ms: record.and_then(|record| record.evicted_ms),
            restored_ms: record.and_then(|record| record.restored_ms),
            restores: record.map_or(0, |record| record.restores),
        }
    }

    pub(super) fn task_row(&self, task: &Task) -> TaskRow {
        self.task_row_among(task, &mut Reasons::default())
    }

    /// The row of one of many tasks, at one instant.
    fn task_row_among(&self, task: &Task, reasons: &mut Reasons) -> TaskRow {
        let mut row = self.lasting_task_row(task);
        self.complete_task_row(&mut row, task, reasons);
        row
    }

    /// What of a task's row changes while nothing about the task does: why it waits, and what others of its name needed.
    fn complete_task_row(&self, row: &mut TaskRow, task: &Task, reasons: &mut Reasons) {
        let learned = self.learned_of(task);
        row.reason = self.reason_among(task, reasons);
        (row.peak_bytes, row.peak_runs) = (learned.peak_bytes, learned.runs);
        row.suggested_bytes = suggestion(learned.peak_bytes, asked_memory(task));
    }

    /// A task's row without that.
    pub(super) fn lasting_task_row(&self, task: &Task) -> TaskRow {
        let waits = task.is_pending() && !matches!(task.status, TaskStatus::SubmittedToWorker | TaskStatus::Running);
        TaskRow {
            task_id: task.key.on(self.config.node),
            name: Arc::clone(&task.function),
            status: task.status,
            attempt: task.attempt.max(1),
            job: task.job,
            actor: task.role.actor().map(|actor| actor.on(self.config.node).into()),
            submitter_pid: self.pid_ever(task.key.process),
            worker_pid: task.worker_pid,
            call_site: Arc::clone(self.sites.get(task.site)),
            resources: Arc::clone(&task.shape.asked),
            waits_for: if task.status == TaskStatus::PendingArgsAvail { task.waits_for } else { 0 },
            reason: None,
            waiting_since_ms: waits.then_some(task.waiting_since_ms),
            max_retries: task.max_retries,
            retries_left: task.retries_left,
            retry_at_ms: task.rare().retry_at_ms,
            blocked: task.blocked && task.is_pending(),
            submitted_ms: task.submitted_ms,
            started_ms: task.started_ms,
            ended_ms: task.ended_ms,
            heap_bytes: task.heap_bytes,
            peak_bytes: 0,
            peak_runs: 0,
            suggested_bytes: None,
            error: task.rare().error.as_ref().map(Error::line),
        }
    }

    pub(super) fn actor_row(&self, actor: &Actor) -> ActorRow {
        let worker = self.worker_of_actor(actor);
        let current = actor.running.first().and_then(|call| self.tasks.get(call));
        ActorRow {
            actor_id: actor.key.on(self.config.node).into(),
            class: Arc::clone(&actor.class),
            name: actor.name.clone(),
            detached: actor.detached,
            status: actor.status,
            job: actor.job,
            pid: actor.worker_pid,
            creator_pid: actor.creator_pid,
            call_site: Arc::clone(self.sites.get(actor.site)),
            resources: Arc::clone(&actor.held.asked),
            restarts: actor.restarts,
            max_restarts: actor.max_restarts,
            max_concurrency: actor.max_concurrency,
            handles: self.objects.get(actor.key).map_or(0, |object| object.rows),
            queued: (actor.ahead.len() + actor.calls.len()) as u32,
            running: actor.running.len() as u32,
            calls_done: actor.calls_done,
            call: current.map(|call| Arc::clone(&call.function)),
            call_since_ms: current.and_then(|call| call.started_ms),
            heap_bytes: worker.map_or(0, |worker| worker.usage.heap_bytes()),
            references: worker.map_or(0, |worker| worker.rows),
            held_bytes: worker.map_or(0, |worker| worker.held_bytes),
            created_ms: actor.created_ms,
            ended_ms: actor.ended_ms,
            cause: actor.cause.clone(),
        }
    }

    /// The task that a process runs; of an actor's calls the one that was sent first.
    pub(super) fn task_of(&self, process: &Process) -> Option<&Task> {
        let key = match process.activity {
            Activity::Busy(key) => key,
            Activity::Actor(actor) => *self.actors.get(&actor)?.running.first()?,
            _ => return None,
        };
        self.tasks.get(&key)
    }

    pub(super) fn process_row(&self, id: ProcessId, process: &Process) -> ProcessRow {
        let actor = match process.activity {
            Activity::Actor(key) => self.actors.get(&key),
            _ => None,
        };
        let task = self.task_of(process).map(|task| Arc::clone(&task.function));
        let state = match process.activity {
            _ if process.stopped => "stopped",
            Activity::Free => "running",
            Activity::Starting => "starting",
            Activity::Idle | Activity::Withdrawn => "idle",
            Activity::Busy(_) | Activity::Actor(_) if process.blocked => "blocked",
            Activity::Actor(_) if task.is_none() => "idle",
            Activity::Busy(_) | Activity::Actor(_) => "running",
            Activity::Leaving => "leaving",
        };
        ProcessRow {
            process: id,
            pid: process.pid,
            process_type: process.process_type,
            job: process.job,
            name: Arc::clone(&process.name),
            state: state.into(),
            rss_bytes: process.usage.rss_bytes,
            shared_bytes: process.usage.shared_bytes,
            heap_bytes: process.usage.heap_bytes(),
            cpu_percent: process.usage.cpu_percent,
            task,
            actor: actor.map(|actor| Arc::clone(&actor.class)),
            references: process.rows,
            held_bytes: process.held_bytes,
            slack_bytes: self.store.slack_of(id),
            tasks_done: process.tasks_done,
            since_ms: process.since_ms,
        }
    }

    pub(super) fn site_row(&self, id: SiteId, figures: &Figures) -> SiteRow {
        SiteRow {
            site: Arc::clone(self.sites.get(id)),
            held_bytes: figures.held.bytes,
            objects: figures.held.objects,
            references: figures.held.references,
            own_bytes: figures.own.bytes,
            own_objects: figures.own.objects,
            growth_bytes: figures.growth.0,
            growth_objects: figures.growth.1,
            own_growth_bytes: figures.own_growth,
            oldest_ms: figures.oldest_ms.unwrap_or(self.now_ms),
        }
    }

    /// How many actors have not ended.
    pub(super) fn living_actors(&self) -> u32 {
        self.actors.len().saturating_sub(self.ended_actors.len()) as u32
    }

    /// The worker that is an actor; one that is told to go is its actor no more.
    pub(super) fn worker_of_actor(&self, actor: &Actor) -> Option<&Process> {
        let worker = actor.worker.and_then(|worker| self.process(worker));
        worker.filter(|worker| worker.activity == Activity::Actor(actor.key))
    }

    /// All live processes.
    pub(super) fn living_processes(&self) -> impl Iterator<Item = (ProcessId, &Process)> {
        self.processes.iter()
    }

    /// The ledger of this instant.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        let ledger = self.store.ledger(self.backed, self.counters.inlined_bytes, self.counters.inlined_objects);
        Ledger { lineage_bytes: self.lineage.bytes(), lineage_tasks: self.lineage.len() as u64, ..ledger }
    }

    /// Both totals over all references.
    #[must_use]
    pub fn totals(&self) -> ReferenceTotals {
        ReferenceTotals { references: self.counters.rows, unique_objects: self.counters.objects, unique_bytes: self.counters.object_bytes }
    }

    /// Visible objects with their keys.
    pub(super) fn visible(&self) -> impl Iterator<Item = (ObjectKey, &Object)> {
        self.objects.iter().filter(|(_, object)| !object.hidden)
    }
}

/// Why a row's process keeps the object: what it is comes before how it is held.
pub(super) fn reference_type(row: &Row, object: &Object) -> ReferenceType {
    if object.actor { ReferenceType::ActorHandle } else { row.reference_type() }
}

impl Tables for Core {
    fn now_ms(&self) -> u64 {
        self.now_ms
    }

    fn version(&self, table: Table) -> u64 {
        match table {
            Table::Events => self.event_count,
            _ => self.changes,
        }
    }

    fn node(&self) -> NodeRow {
        let heap = |process_type: ProcessType| {
            let of_type = self.living_processes().filter(|(_, process)| process.process_type == process_type);
            of_type.map(|(_, process)| process.usage.heap_bytes()).sum()
        };
        let count = |process_type: ProcessType| {
            let connected = |process: &Process| process.process_type == process_type && process.activity != Activity::Starting;
            self.living_processes().filter(|(_, process)| connected(process)).count() as u32
        };
        let reserved = self.resources.sum();
        NodeRow {
            node: self.config.node,
            node_ip: Arc::clone(&self.config.node_ip),
            listen: Arc::clone(&self.machine.listen),
            pid: self.config.pid,
            version: env!("CARGO_PKG_VERSION").into(),
            started_ms: self.process(ProcessId(0)).map_or(0, |agent| agent.since_ms),
            num_cpus: self.resources.offer().total().cpus.number(),
            used_cpus: reserved.cpus.number(),
            resources: Arc::clone(self.resources.offer().total()),
            reserved: Arc::new(reserved),
            machine_total_bytes: self.machine.total_bytes,
            machine_available_bytes: self.machine.available_bytes,
            agent_heap_bytes: heap(ProcessType::Agent),
            driver_heap_bytes: heap(ProcessType::Driver),
            worker_heap_bytes: heap(ProcessType::Worker),
            store_backed_bytes: self.backed,
            shared_read_bytes: self.ledger().pinned_bytes,
            drivers: count(ProcessType::Driver),
            workers: count(ProcessType::Worker),
            tasks_pending: self.counters.pending,
            tasks_running: self.counters.running,
            tasks_finished: self.counters.finished,
            tasks_failed: self.counters.failed,
            actors: self.living_actors(),
        }
    }

    fn store(&self) -> StoreRow {
        StoreRow {
            node: Tables::node(self),
            ledger: self.ledger(),
            objects: self.counters.objects,
            totals: self.totals(),
            messages: self.counters.messages,
            put_bytes: self.counters.put_bytes,
            put_objects: self.counters.put_objects,
            creates_queued: self.creates.len() as u32,
            deadlocks: self.deadlocks.standing(),
            spill: self.spill_row(),
            pressure: self.pressure_row(),
            viewers: self.machine.viewers,
        }
    }

    fn references(&self) -> Vec<ReferenceRow> {
        let mut rows = Vec::with_capacity(self.counters.rows as usize);
        for (_, object) in self.visible() {
            rows.extend(self.references.holders(object.first_row).take(object.rows as usize).map(|row| self.reference_row(row, object)));
        }
        rows
    }

    fn objects(&self) -> Vec<ObjectRow> {
        self.visible().map(|(key, object)| self.object_row(key, object)).collect()
    }

    fn sites(&self) -> Vec<SiteRow> {
        let figures = (0..).map(SiteId).zip(self.sites.figures(self.now_ms));
        figures.filter(|(_, figures)| figures.held.objects > 0).map(|(id, figures)| self.site_row(id, &figures)).collect()
    }

    fn processes(&self) -> Vec<ProcessRow> {
        self.living_processes().map(|(id, process)| self.process_row(id, process)).collect()
    }

    fn tasks(&self) -> Vec<TaskRow> {
        let mut reasons = Reasons::default();
        self.tasks.values().map(|task| self.task_row_among(task, &mut reasons)).collect()
    }

    fn actors(&self) -> Vec<ActorRow> {
        self.actors.values().map(|actor| self.actor_row(actor)).collect()
    }

    fn complete(&self, rows: &mut Rows) {
        let Rows::Tasks(rows) = rows else { return };
        let mut reasons = Reasons::default();
        for row in rows {
            if let Some(task) = self.tasks.get(&row.task_id.key()) {
                self.complete_task_row(row, task, &mut reasons);
            }
        }
    }

    fn post_mortem(&self) -> Vec<PostMortemRow> {
        self.post_mortems.rows()
    }

    fn spill_files(&self) -> Vec<SpillFileRow> {
        self.spill_file_rows()
    }

    fn events(&self) -> Vec<EventRow> {
        self.events.iter().cloned().collect()
    }

    fn detail(&self, target: Target) -> Option<Detail> {
        self.detail_of(target)
    }

    fn take(&self, table: Table, limit: usize) -> Taken {
        self.taken(table, limit)
    }

    fn recorded(&self, tables: &[Taken]) -> Vec<Detail> {
        self.recorded_details(tables)
    }

    fn follow(&mut self, table: Table, begin: bool, most: usize) -> Option<Changed> {
        self.followed(table, begin, most)
    }

    fn unfollow(&mut self, table: Table) {
        self.unfollowed(table);
    }
}

impl Core {
    /// Whether a job is still there.
    #[must_use]
    pub fn has_job(&self, job: JobId) -> bool {
        self.jobs.contains_key(&job)
    }
}
