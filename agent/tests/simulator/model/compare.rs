//! Model and core side by side, after every change.

use std::collections::BTreeMap;

use plasmon_agent::reactor::Core;
use plasmon_agent::telemetry::tables::{Tables, fetch};
use plasmon_protocol::column::Table;
use plasmon_protocol::id::{ObjectKey, ProcessId};
use plasmon_protocol::record::{ActorRow, ObjectState, ReferenceType, SpillFileState, TaskStatus};
use plasmon_protocol::stream::Rows;
use plasmon_protocol::window::Query;

use super::wants::PATIENCE;
use super::{Activity, CAPTURED, Check, Model, PINNED, Residency, Role, SUBMITTED, Task, Wants};
use crate::simulator::world::{Entry, SharedMemory};

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// What a recording takes of a long table: its largest or oldest rows, with the totals of all.
fn compare_taken(core: &Core) -> Check {
    const LIMIT: usize = 3;
    for table in [Table::References, Table::Objects, Table::Tasks] {
        let whole = Query::whole(table).map(|query| query.window(&fetch(core, table), core.now_ms()));
        let whole = whole.map_err(|error| error.to_string())?;
        let taken = core.take(table, LIMIT);
        let rank = |rows: &Rows| -> Vec<(u64, bool)> {
            let mut rank: Vec<(u64, bool)> = match rows {
                Rows::References(rows) => rows.iter().map(|row| (row.size_bytes.unwrap_or(0), row.size_bytes.is_some())).collect(),
                Rows::Objects(rows) => rows.iter().map(|row| (row.size_bytes.unwrap_or(0), row.size_bytes.is_some())).collect(),
                Rows::Tasks(rows) => rows.iter().map(|row| (u64::MAX - row.submitted_ms, true)).collect(),
                _ => Vec::new(),
            };
            rank.sort_unstable_by_key(|(rank, known)| std::cmp::Reverse((*known, *rank)));
            rank
        };
        let mut expected = rank(&whole.rows);
        let all = expected.len() <= LIMIT;
        expected.truncate(LIMIT);
        let found = rank(&taken.rows);
        ensure(found == expected, || format!("{table:?}: {found:?} are taken, {expected:?} come first"))?;
        let totals = taken.totals.filter(|totals| *totals != whole.totals);
        ensure(totals.is_none() && (all == taken.totals.is_none()), || {
            format!("{table:?}: totals {:?} are taken, {:?} are all", taken.totals, whole.totals)
        })?;
    }
    Ok(())
}

impl Model {
    /// Everything that can be seen of the core, and what it has written into shared memory.
    pub(crate) fn compare(&self, core: &Core, shared: &SharedMemory) -> Check {
        core.check()?;
        self.compare_tasks(core)?;
        self.compare_actors(core)?;
        self.compare_rows(core)?;
        self.compare_slots(shared)?;
        self.compare_words(shared)?;
        self.compare_ledger(core)?;
        self.compare_storage(core)?;
        // It makes rows of everything, which takes its time.
        if core.version(Table::Store).is_multiple_of(16) {
            compare_taken(core)?;
        }
        self.check_dispatch(core)?;
        self.check_windows()?;
        self.check_calls()?;
        self.check_waiting()
    }

    fn compare_rows(&self, core: &Core) -> Check {
        let held = core.held();
        let mut theirs = held.iter();
        for key in self.rows.keys() {
            let (row, counts) = (theirs.next(), self.shown(key));
            ensure(row.is_some_and(|(at, row)| at == key && row.process == key.1 && row.counts == counts), || {
                format!("rows differ: {key:?} holds {counts:?}, the core has {row:?}")
            })?;
            let handle = self.objects.get(&key.0).is_some_and(|object| object.actor);
            let reference_type = if handle { ReferenceType::ActorHandle } else { reference_type(&counts) };
            ensure(row.is_some_and(|(_, row)| row.reference_type == reference_type), || {
                format!("{key:?} is {reference_type}, the core has {row:?}")
            })?;
        }
        let more = theirs.next();
        ensure(more.is_none(), || format!("the core has a row more: {more:?}"))?;
        let visible = |key: &ObjectKey| self.objects.get(key).is_some_and(|object| !object.hidden);
        let bytes: u64 = self.objects.values().filter(|object| !object.hidden).map(|object| object.length).sum();
        let objects = self.objects.keys().filter(|key| visible(key)).count() as u64;
        let references = self.rows.keys().filter(|(key, _)| visible(key)).count() as u64;
        let totals = core.totals();
        ensure((totals.references, totals.unique_objects, totals.unique_bytes) == (references, objects, bytes), || {
            format!("{references} rows of {objects} objects with {bytes} bytes, the core has {totals:?}")
        })
    }

    fn compare_slots(&self, shared: &SharedMemory) -> Check {
        for (key, object) in &self.objects {
            let (state, offset, length) = match object.state {
                ObjectState::Failed => (object.state, 0, 0),
                _ if object.is_away() => (ObjectState::Spilled, 0, object.length),
                state => (state, object.offset, object.length),
            };
            let wanted = Entry { generation: key.generation, state: Some(state), offset, length };
            let entry = shared.slots.get(&key.slot);
            ensure(entry == Some(&wanted), || format!("slot {} says {entry:?} instead of {wanted:?}", key.slot))?;
        }
        let live = shared.slots.values().filter(|entry| entry.state.is_some()).count();
        ensure(live == self.objects.len(), || format!("{live} slots in use for {} objects", self.objects.len()))?;
        for (slot, generation) in &self.generations {
            let entry = shared.slots.get(slot);
            ensure(entry.is_some_and(|entry| entry.generation == *generation), || {
                format!("slot {slot} says {entry:?}, not generation {generation}")
            })?;
        }
        Ok(())
    }

    fn compare_words(&self, shared: &SharedMemory) -> Check {
        for lease in &self.leases {
            let Some(owner) = lease.owner else { continue };
            let gone = lease.puts - lease.live.len() as u32;
            let word = shared.freed.get(&owner).copied().unwrap_or(0);
            ensure(word == gone, || format!("lease {} of {} says {word} freed instead of {gone}", owner.1, owner.0))?;
        }
        Ok(())
    }

    fn compare_ledger(&self, core: &Core) -> Check {
        let ledger = core.ledger();
        let theirs = ledger.lines().map(|(_, bytes)| bytes);
        ensure(theirs.iter().sum::<u64>() == self.capacity, || format!("the ledger does not sum to {}: {ledger:?}", self.capacity))?;
        let ours = self.ledger();
        // What comes back may have its place, and wait for memory behind it.
        let known = if self.fetches() || self.asks.iter().any(|ask| ask.restore.is_some()) { 6..6 } else { 8..10 };
        let same = theirs[..4] == ours[..4] && theirs[5] == ours[5] && theirs[7] == ours[7] && theirs[known.clone()] == ours[known];
        ensure(same, || format!("ledger {ours:?}, the core has {theirs:?}: {:?}, {:?}", self.leases, core.ranges()))?;
        // A granted range without memory behind it is nobody's yet, as far as anybody can see.
        ensure(!self.knows_all_leases() || theirs == ours, || {
            format!("ledger {ours:?}, the core has {theirs:?}: {:?}, {:?}", self.leases, core.ranges())
        })?;
        let inlined = self.objects.values().filter(|object| object.state == ObjectState::Inlined).map(|object| object.length).sum::<u64>();
        ensure(ledger.inlined_bytes == inlined, || format!("{inlined} bytes inlined, the core has {}", ledger.inlined_bytes))
    }

    /// The disk's ledger, file by file and in sum, and which object lies where.
    fn compare_storage(&self, core: &Core) -> Check {
        let storage = &self.storage;
        if storage.config.places.is_empty() {
            return ensure(core.spill_files().is_empty(), || "something is spilled, which is off".to_owned());
        }
        let rows = core.spill_files();
        ensure(rows.len() == storage.files.len(), || format!("{} files, the core has {rows:?}", storage.files.len()))?;
        for (row, (id, file)) in rows.iter().zip(&storage.files) {
            let (live, all) = (file.live(), file.object_bytes());
            let writing = file.state == SpillFileState::Writing && file.replaces.is_none();
            let objects = if writing { file.items.len() } else { file.records.len() };
            let same = row.file == *id
                && row.state == file.state
                && (row.file_bytes, row.live_bytes, row.dead_bytes, row.header_bytes) == (file.bytes, live, all - live, file.bytes - all)
                && (row.objects as usize, row.written as usize) == (objects, file.items.len())
                && row.place == storage.config.places[file.place];
            ensure(same, || format!("{file:?}, the core has {row:?}"))?;
        }
        let spill = core.store().spill;
        let sum = |of: fn(&super::storage::File) -> u64| storage.files.values().map(of).sum::<u64>();
        let (bytes, live, all) = (sum(|file| file.bytes), sum(super::storage::File::live), sum(super::storage::File::object_bytes));
        let ours = [bytes, live, all - live, bytes - all, sum(|file| file.records.len() as u64), self.resident(Residency::Primary)];
        let theirs = [spill.file_bytes, spill.live_bytes, spill.dead_bytes, spill.header_bytes, spill.objects, spill.primary_bytes];
        ensure(ours == theirs, || format!("disk {ours:?}, the core has {theirs:?}"))?;
        let ours = storage.totals;
        let theirs = super::storage::Totals {
            spilled: (spill.spilled_objects_total, spill.spilled_bytes_total),
            restored: (spill.restored_objects_total, spill.restored_bytes_total),
            files: spill.files_total,
            file_bytes: spill.file_bytes_total,
            headers: spill.header_bytes_total,
            dead: spill.dead_bytes_total,
            deleted: spill.deleted_total,
            failures: spill.failures_total,
        };
        ensure(ours == theirs, || format!("in total {ours:?}, the core has {theirs:?}"))?;
        let jobs = |files: &mut dyn Iterator<Item = (u64, u64)>| files.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let writes = self.writing().filter(|file| file.replaces.is_none());
        let writing = jobs(&mut writes.map(|file| (file.items.len() as u64, file.object_bytes())));
        let reads = storage.reads.values().map(|(_, items)| (items.len() as u64, items.iter().map(|item| item.length).sum()));
        let reading = jobs(&mut { reads });
        ensure((spill.writing_objects, spill.writing_bytes) == writing && (spill.reading_objects, spill.reading_bytes) == reading, || {
            format!("{writing:?} are written and {reading:?} read, the core has {spill:?}")
        })?;
        for row in core.objects() {
            let object = &self.objects[&row.object_id.key()];
            let record = object.record.filter(|_| object.state == ObjectState::InMemory);
            let state = match (object.state, object.residency) {
                (ObjectState::InMemory, Residency::Spilling) => ObjectState::Spilling,
                (ObjectState::InMemory, Residency::Secondary) => ObjectState::InMemoryCopy,
                (ObjectState::InMemory, Residency::Spilled) => ObjectState::Spilled,
                (ObjectState::InMemory, Residency::Restoring) => ObjectState::Restoring,
                (state, _) => state,
            };
            let unbacked = row.state == ObjectState::Restoring && state == ObjectState::Spilled && !self.knows_all_leases();
            let same = (row.state == state || unbacked) && row.file.zip(row.file_offset) == record;
            ensure(same, || format!("{object:?}, the core has {row:?}"))?;
        }
        Ok(())
    }

    /// Whose arguments are being read back: the core is free to do it for whoever could begin.
    pub(crate) fn see_fetches(&mut self, core: &Core) {
        let fetching = core.tasks().into_iter().filter(|row| row.status == TaskStatus::PendingArgsFetch);
        self.fetching = fetching.map(|row| row.task_id.key()).collect();
        let first = core.store().spill.queue.first().and_then(|wait| wait.object).map(|id| id.key());
        let ours = self.asks.iter().find(|ask| ask.memory.is_some()).and_then(|ask| ask.restore);
        self.unseen_first = first.is_some() && first != ours;
    }

    fn compare_tasks(&self, core: &Core) -> Check {
        let rows = core.tasks();
        ensure(rows.len() == self.tasks.len(), || format!("{} tasks, the core has {}", self.tasks.len(), rows.len()))?;
        for row in &rows {
            let task = self.tasks.get(&row.task_id.key()).ok_or_else(|| format!("the core has a task more: {row:?}"))?;
            let waits_for = if task.status == TaskStatus::PendingArgsAvail { self.waits_for(task) } else { 0 };
            // Its arguments come first, and for those there must be room.
            let status = match row.status {
                TaskStatus::PendingArgsFetch | TaskStatus::PendingObjStoreMemAvail if !task.arguments.is_empty() => {
                    TaskStatus::PendingNodeAssignment
                }
                status => status,
            };
            let same = status == task.status
                && row.job == task.job
                && row.attempt == task.attempt.max(1)
                && row.worker_pid == task.worker_pid
                && row.blocked == (task.blocked && task.is_pending())
                && row.waits_for as usize == waits_for
                && (row.max_retries, row.retries_left) == (task.max_retries, task.retries)
                && row.retry_at_ms == task.retry_at_ms
                && row.error.is_some() == (task.status == TaskStatus::Failed);
            ensure(same, || format!("{task:?} waits for {waits_for}, the core has {row:?}"))?;
        }
        let idle = self.tasks.values().all(|task| !task.is_pending() && !task.lingers);
        ensure(core.is_idle() == idle, || format!("nobody works: {idle}, the core says {}", core.is_idle()))?;
        let node = core.node();
        let used = self.used();
        ensure(Wants::row(&node.reserved) == used, || format!("{used:?} in use, the core has {}", node.reserved))?;
        let over = (1..5).any(|resource| used.0[resource] > self.total.0[resource]);
        ensure(!over, || format!("{used:?} in use of {:?}", self.total))?;
        let count = |counted: fn(TaskStatus) -> bool| self.tasks.values().filter(|task| counted(task.status)).count() as u64;
        let ours = [
            count(|status| matches!(status, TaskStatus::PendingArgsAvail | TaskStatus::PendingNodeAssignment | TaskStatus::Infeasible)),
            count(|status| matches!(status, TaskStatus::SubmittedToWorker | TaskStatus::Running)),
            count(|status| status == TaskStatus::Finished),
            count(|status| status == TaskStatus::Failed),
        ];
        let theirs = [node.tasks_pending, node.tasks_running, node.tasks_finished, node.tasks_failed];
        ensure(ours == theirs, || format!("tasks {ours:?}, the core counts {theirs:?}"))?;
        let living = self.actors.values().filter(|actor| actor.lives()).count();
        ensure(node.actors as usize == living, || format!("{living} actors live, the core counts {}", node.actors))
    }

    fn compare_actors(&self, core: &Core) -> Check {
        if self.actors.is_empty() {
            return Ok(());
        }
        let mut queued: BTreeMap<ObjectKey, u32> = BTreeMap::new();
        for task in self.tasks.values().filter(|task| task.is_pending() && task.worker.is_none()) {
            if let Role::Method(actor) = task.role {
                *queued.entry(actor).or_default() += 1;
            }
        }
        let rows = core.actors();
        ensure(rows.len() == self.actors.len(), || format!("{} actors, the core has {}", self.actors.len(), rows.len()))?;
        for row in rows {
            let key = row.actor_id.key();
            let actor = self.actors.get(&key).ok_or_else(|| format!("the core has an actor more: {row:?}"))?;
            let handles = self.rows.range((key, ProcessId(0))..=(key, ProcessId(u32::MAX))).count();
            let queued = queued.get(&key).copied().unwrap_or(0) + actor.ahead.len() as u32;
            let same = row.status == actor.status
                && *row.class == *actor.class
                && row.name.as_deref() == actor.name.as_deref()
                && row.detached == actor.detached
                && row.job == actor.job
                && row.pid == actor.worker_pid
                && Wants::row(&row.resources) == actor.wants
                && row.max_concurrency as usize == actor.max_concurrency
                && row.handles as usize == handles
                && row.queued == queued
                && (row.restarts, row.max_restarts) == (actor.restarts, actor.max_restarts)
                && row.running as usize == actor.running.len()
                && row.calls_done == actor.calls_done
                && row.ended_ms.is_some() != actor.lives()
                && row.cause.is_some_and(|cause| !cause.is_empty()) != actor.lives();
            ensure(same, || format!("{actor:?} with {handles} handles and {queued} calls, the core has {:?}", core_actor(core, key)))?;
        }
        Ok(())
    }

    /// Nothing is left behind a task that waits.
    fn check_windows(&self) -> Check {
        let held_up = self.processes.values().find(|process| process.blocked && !process.window.ahead.is_empty() && !process.window.asking);
        ensure(held_up.is_none(), || format!("tasks are held up behind one that waits: {held_up:?}"))
    }

    /// Arguments in the store, or lost from there, may wait for others to end.
    pub(super) fn has_stored_arguments(&self, task: &Task) -> bool {
        let stored = |object: &super::Object| matches!(object.state, ObjectState::InMemory | ObjectState::Failed);
        task.needs().iter().any(|need| self.objects.get(need).is_some_and(stored))
    }

    /// An actor with a place for a call has none waiting that could run, but for those whose arguments must have room first.
    fn check_calls(&self) -> Check {
        for (key, actor) in self.actors.iter().filter(|(key, _)| self.has_place(**key)) {
            let waiting = self.next_calls(*key).into_iter().find(|call| !self.has_stored_arguments(&self.tasks[call]));
            ensure(waiting.is_none(), || format!("{actor:?} idles beside its call {waiting:?}"))?;
        }
        Ok(())
    }

    /// No task that fits waits beside an idle worker of its job, unless what it wants is kept for one that let many pass.
    fn check_dispatch(&self, core: &Core) -> Check {
        let stands = |id: &ProcessId| core.process(*id).is_some_and(plasmon_agent::reactor::Process::is_stopped);
        let used = self.used();
        let ready: Vec<_> = self.tasks.values().filter(|task| task.waits_for_worker()).collect();
        let idle = |task: &Task| {
            let mut workers = self.processes.iter().filter(|(id, worker)| worker.job == task.job && !self.has_to_go(**id) && !stands(id));
            workers.any(|(_, worker)| worker.activity == Activity::Idle && worker.devices.is_empty())
        };
        let kept_for = |task: &Task, other: &Task| {
            let (mine, theirs) = (task.wants.0, other.wants.0);
            let both = |resource: usize| mine[resource] > 0 && theirs[resource] > 0;
            let leaves = |resource: usize| used.0[resource] + mine[resource] + theirs[resource] <= self.total.0[resource];
            other.passed >= PATIENCE && (0..5).any(|resource| both(resource) && !leaves(resource))
        };
        let waiting = ready
            .iter()
            .filter(|task| !self.has_stored_arguments(task) && !task.wants.needs_gpu() && task.wants.fits(used, self.total) && idle(task))
            .find(|task| !ready.iter().any(|other| kept_for(task, other)));
        ensure(waiting.is_none(), || format!("a worker idles beside {waiting:?}"))
    }

    /// Nothing is left of anybody.
    pub(crate) fn check_empty(&self, core: &Core) -> Check {
        ensure(self.processes.len() == 1, || format!("processes are left: {:?}", self.processes.keys()))?;
        ensure(self.rows.is_empty() && self.objects.is_empty(), || format!("rows are left: {:?}", self.rows))?;
        ensure(self.leases.is_empty() && self.lent.is_empty(), || format!("leases are left: {:?} {:?}", self.leases, self.lent))?;
        let living = self.actors.values().find(|actor| actor.lives());
        ensure(living.is_none(), || format!("an actor is left: {living:?}"))?;
        ensure(self.jobs.is_empty(), || format!("jobs are left: {:?}", self.jobs))?;
        let pending = self.tasks.iter().find(|(_, task)| task.is_pending());
        ensure(pending.is_none(), || format!("a task is left: {pending:?}"))?;
        ensure(self.storage.files.is_empty() && self.storage.ghosts.is_empty(), || format!("files are left: {:?}", self.storage))?;
        let ledger = core.ledger();
        ensure(ledger.free_bytes == ledger.capacity_bytes, || format!("not all is free: {ledger:?}"))?;
        ensure(core.held().is_empty() && Wants::row(&core.node().reserved) == Wants::default(), || {
            "the core still holds something".to_owned()
        })?;
        let processes: Vec<ProcessId> = core.processes().iter().map(|row| row.process).filter(|process| process.0 != 0).collect();
        ensure(processes.is_empty(), || format!("the core still has processes {processes:?}"))
    }
}

fn core_actor(core: &Core, key: ObjectKey) -> Option<ActorRow> {
    core.actors().into_iter().find(|row| row.actor_id.key() == key)
}

fn reference_type(counts: &[u32; 4]) -> ReferenceType {
    if counts[PINNED] > 0 {
        ReferenceType::PinnedInMemory
    } else if counts[SUBMITTED] > 0 {
        ReferenceType::UsedByPendingTask
    } else if counts[super::LOCAL] > 0 {
        ReferenceType::LocalReference
    } else {
        debug_assert!(counts[CAPTURED] > 0);
        ReferenceType::CapturedInObject
    }
}
