//! External storage: which copy of an object lies where, and what the reports of ended jobs change.

use std::collections::{BTreeMap, BTreeSet};

use plasmon_agent::reactor::Core;
use plasmon_agent::spill::job::{Failure, ReadItem, Report};
use plasmon_agent::spill::policy::SpillConfig;
use plasmon_agent::telemetry::tables::Tables;
use plasmon_protocol::id::{ObjectKey, ProcessId, SpillFileId, TaskKey};
use plasmon_protocol::local::SMALL;
use plasmon_protocol::record::{ObjectState, SpillFileState, TaskStatus};

use super::{Activity, Answer, Ask, Check, Codes, Model, Role, Task};

/// Where the bytes of an object in the pool are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Residency {
    Primary,
    Spilling,
    Secondary,
    Spilled,
    Restoring,
}

#[derive(Debug)]
pub(crate) struct File {
    pub(crate) place: usize,
    pub(crate) state: SpillFileState,
    pub(crate) bytes: u64,
    /// What is written into it: object, where its record begins, bytes.
    pub(crate) items: Vec<(ObjectKey, u64, u64)>,
    /// Of that, what lives, by where it begins.
    pub(crate) records: BTreeMap<u64, (ObjectKey, u64)>,
    /// Jobs that read it.
    pub(crate) readers: u32,
    /// The file that this one is to replace, and where the records begin there.
    pub(crate) replaces: Option<(SpillFileId, Vec<u64>)>,
}

impl File {
    pub(crate) fn object_bytes(&self) -> u64 {
        self.items.iter().map(|(_, _, length)| length).sum()
    }

    pub(crate) fn live(&self) -> u64 {
        if self.state == SpillFileState::Writing { self.object_bytes() } else { self.records.values().map(|(_, length)| length).sum() }
    }
}

/// Sums over the core's life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) spilled: (u64, u64),
    pub(crate) restored: (u64, u64),
    pub(crate) files: u64,
    pub(crate) file_bytes: u64,
    pub(crate) headers: u64,
    pub(crate) dead: u64,
    pub(crate) deleted: u64,
    pub(crate) failures: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Storage {
    pub(crate) config: SpillConfig,
    pub(crate) files: BTreeMap<SpillFileId, File>,
    pub(crate) reads: BTreeMap<u64, (SpillFileId, Vec<ReadItem>)>,
    /// Objects that were freed while a job read or wrote their bytes: whether it writes them to a file, and how many.
    pub(crate) ghosts: BTreeMap<ObjectKey, (bool, u64)>,
    pub(super) last_file: SpillFileId,
    pub(super) last_read: u64,
    /// The last sign of life.
    pub(crate) progress_ms: u64,
    /// The last file could not be written.
    pub(crate) failing: bool,
    /// Objects to be published as spilled with this change.
    pub(super) evicting: BTreeSet<ObjectKey>,
    /// Objects that somebody read when they were last to be moved.
    pub(super) read_then: BTreeSet<ObjectKey>,
    /// Files that are read with this change, and from where on somebody wants what is in them.
    pub(super) read_from: Vec<(SpillFileId, u64)>,
    /// Files that could not be removed.
    pub(super) undeleted: BTreeSet<SpillFileId>,
    /// Files to be removed with this change.
    pub(super) deletes: BTreeSet<SpillFileId>,
    pub(crate) totals: Totals,
}

impl Storage {
    /// Whether some file could not be removed.
    pub(crate) fn has_undeleted(&self) -> bool {
        !self.undeleted.is_empty()
    }
}

impl Model {
    /// A job has ended, or tells that it goes on.
    pub(crate) fn report(&mut self, report: &Report) {
        match report {
            Report::Progress => self.storage.progress_ms = self.now_ms,
            Report::Written { file, result, .. } => self.written(*file, result.is_ok()),
            Report::Read { number, results, .. } => self.read(*number, results),
            Report::Compacted { file, result, .. } => self.compacted(*file, result.as_ref().ok()),
            Report::Deleted { file, result: Ok(()) } => {
                self.storage.files.remove(file);
                self.storage.totals.deleted += 1;
            }
            Report::Deleted { file, result: Err(_) } => {
                // It stays, and is tried again.
                self.storage.totals.failures += 1;
                self.storage.undeleted.insert(*file);
            }
            Report::Room { .. } => {}
        }
        self.settle();
    }

    fn written(&mut self, id: SpillFileId, all: bool) {
        let (now_ms, storage) = (self.now_ms, &mut self.storage);
        let file = storage.files.get_mut(&id).expect("the world completes what was begun");
        let items = file.items.clone();
        storage.failing = !all;
        if all {
            storage.progress_ms = now_ms;
            file.state = SpillFileState::Ready;
            storage.totals.spilled.0 += items.len() as u64;
            storage.totals.spilled.1 += file.object_bytes();
            storage.totals.files += 1;
            storage.totals.file_bytes += file.bytes;
            storage.totals.headers += file.bytes - file.object_bytes();
        } else {
            file.state = SpillFileState::Deleting;
            storage.deletes.insert(id);
            storage.totals.failures += 1;
        }
        for (key, at, length) in items {
            if self.storage.ghosts.remove(&key).is_some() {
                self.leave_leases(key);
                self.storage.totals.dead += if all { length } else { 0 };
            } else if let Some(object) = self.objects.get_mut(&key) {
                object.residency = if all { Residency::Secondary } else { Residency::Primary };
                object.record = all.then_some((id, at));
                if all && let Some(file) = self.storage.files.get_mut(&id) {
                    file.records.insert(at, (key, length));
                }
            }
        }
    }

    fn read(&mut self, number: u64, results: &[Result<(), Failure>]) {
        let (id, items) = self.storage.reads.remove(&number).expect("the world completes what was begun");
        self.storage.progress_ms = self.now_ms;
        if let Some(file) = self.storage.files.get_mut(&id) {
            file.readers -= 1;
        }
        for (item, result) in items.into_iter().zip(results) {
            let key = item.key;
            if self.storage.ghosts.remove(&key).is_some() {
                self.leave_leases(key);
                continue;
            }
            let Some(object) = self.objects.get_mut(&key) else { continue };
            match result {
                Ok(()) => {
                    object.residency = Residency::Secondary;
                    object.offset = item.into;
                    self.storage.totals.restored.0 += 1;
                    self.storage.totals.restored.1 += item.length;
                    self.answer_waiters(key);
                }
                Err(failure) => {
                    object.residency = Residency::Spilled;
                    self.storage.totals.failures += 1;
                    self.leave_leases(key);
                    match failure {
                        Failure::Corrupt(_) => self.lose_object(key),
                        Failure::Io(_) | Failure::NoRoom(_) => {
                            self.fail_fetching(key);
                            self.refuse_waiters(key, "object_lost");
                        }
                    }
                }
            }
        }
    }

    fn compacted(&mut self, id: SpillFileId, damaged: Option<&Vec<(ObjectKey, Failure)>>) {
        let storage = &mut self.storage;
        let file = storage.files.get_mut(&id).expect("the world completes what was begun");
        let (old, starts) = file.replaces.clone().expect("it was begun as a compaction");
        let items = file.items.clone();
        if damaged.is_some() {
            file.state = SpillFileState::Ready;
            storage.totals.files += 1;
            storage.totals.file_bytes += file.bytes;
            storage.totals.headers += file.bytes - file.object_bytes();
        } else {
            file.state = SpillFileState::Deleting;
            storage.deletes.insert(id);
            storage.totals.failures += 1;
        }
        if let Some(old) = storage.files.get_mut(&old) {
            old.readers -= 1;
            old.state = SpillFileState::Ready;
        }
        let Some(damaged) = damaged else { return };
        for ((key, at, length), start) in items.into_iter().zip(starts) {
            let lives = self.objects.get(&key).is_some_and(|object| object.record == Some((old, start)));
            let broken = damaged.iter().any(|(broken, _)| *broken == key);
            if !lives || broken {
                self.storage.totals.dead += length;
            }
            let Some(object) = self.objects.get_mut(&key).filter(|_| lives) else { continue };
            if !broken {
                object.record = Some((id, at));
                if let Some(old) = self.storage.files.get_mut(&old) {
                    old.records.remove(&start);
                }
                if let Some(file) = self.storage.files.get_mut(&id) {
                    file.records.insert(at, (key, length));
                }
                continue;
            }
            match object.residency {
                Residency::Secondary => {
                    object.residency = Residency::Primary;
                    object.record = None;
                    self.leave_file(old, start);
                }
                Residency::Spilled => self.lose_object(key),
                Residency::Primary | Residency::Spilling | Residency::Restoring => {}
            }
        }
    }

    /// A record is of no use any more.
    pub(super) fn leave_file(&mut self, file: SpillFileId, at: u64) {
        if let Some((_, length)) = self.storage.files.get_mut(&file).and_then(|file| file.records.remove(&at)) {
            self.storage.totals.dead += length;
        }
    }

    /// The only copy of an object is damaged.
    fn lose_object(&mut self, key: ObjectKey) {
        let record = self.objects.get_mut(&key).and_then(|object| object.record.take());
        if let Some((file, at)) = record {
            self.leave_file(file, at);
        }
        if self.rebuild(key) {
            return;
        }
        self.fail_fetching(key);
        let Some(object) = self.objects.get_mut(&key) else { return };
        object.state = ObjectState::Failed;
        object.codes = Codes::from(["object_lost"]);
        // Who had this value before goes on, and finds out when it reads it.
        for task in self.tasks.values_mut().filter(|task| task.status == TaskStatus::PendingArgsAvail && task.needs().contains(&key)) {
            task.met.insert(key);
        }
        self.answer_waiters(key);
    }

    /// Whether tasks want the object back, or did so a moment ago.
    pub(crate) fn may_be_fetched(&self, key: ObjectKey) -> bool {
        self.tasks.values().any(|task| task.needs().contains(&key))
    }

    /// Whether it lacks at most its arguments, and a worker if it is no call.
    pub(super) fn may_begin(&self, key: &TaskKey, task: &Task) -> bool {
        match task.role {
            Role::Function | Role::Constructor(_) => task.waits_for_worker(),
            Role::Method(actor) => {
                self.fetching.contains(key) || (task.status == TaskStatus::PendingNodeAssignment && self.has_place(actor))
            }
        }
    }

    /// Whether the object may be kept in the store for a task that begins or has begun.
    pub(super) fn may_be_kept(&self, key: ObjectKey) -> bool {
        let begun = |task: &Task| matches!(task.status, TaskStatus::SubmittedToWorker | TaskStatus::Running);
        let keeps = |key: &TaskKey, task: &Task| begun(task) || task.lingers || self.may_begin(key, task);
        self.tasks.iter().any(|(task, state)| keeps(task, state) && state.needs().contains(&key))
    }

    /// An object cannot be read: the tasks that it was read for fail.
    fn fail_fetching(&mut self, key: ObjectKey) {
        let fetching = self.tasks.iter().filter(|(task, state)| self.fetching.contains(task) && state.needs().contains(&key));
        let failing: Vec<(TaskKey, &'static str)> = fetching.map(|(task, _)| (*task, "object_lost")).collect();
        self.failing.extend(failing);
    }

    /// Tasks for whose arguments there was no room have failed: nobody ran on who could have made any.
    pub(crate) fn see_hopeless(&mut self, core: &Core) -> Check {
        let failed = core.tasks().into_iter().filter(|row| row.status == TaskStatus::Failed).map(|row| row.task_id.key());
        let pending = |key: &TaskKey| self.tasks.get(key).is_some_and(Task::is_pending);
        let hopeless: Vec<TaskKey> = failed.filter(|key| self.fetching.contains(key) && pending(key)).collect();
        let runs_on = |process: &super::Process| match process.activity {
            Activity::Busy(_) => !process.blocked,
            Activity::Actor(actor) => !process.blocked && !self.actors[&actor].running.is_empty(),
            _ => false,
        };
        if let (Some(key), Some(process)) = (hopeless.first(), self.processes.values().find(|process| runs_on(process))) {
            return Err(format!("task {key:?} is given up for want of room, while {process:?} runs on"));
        }
        let codes = ["object_store_full", "out_of_disk", "system"];
        self.failing.extend(hopeless.into_iter().flat_map(|key| codes.map(|code| (key, code))));
        self.settle();
        Ok(())
    }

    /// An object does not come back now: all that wait for it are told.
    pub(super) fn refuse_waiters(&mut self, key: ObjectKey, code: &'static str) {
        self.asks.retain(|ask| ask.restore != Some(key));
        let Some(object) = self.objects.get_mut(&key) else { return };
        for (process, request, wants_value) in std::mem::take(&mut object.waiters) {
            self.expect(process, request, wants_value, Answer::Failed(Codes::from([code])));
        }
    }

    /// Nobody works and nobody waits: no file is left of which most is dead.
    pub(crate) fn check_sparse(&self) -> Check {
        let sparse = |file: &&File| file.state == SpillFileState::Ready && file.live() < file.object_bytes() - file.live();
        match self.storage.files.values().find(sparse).filter(|_| self.storage.config.limit.is_none()) {
            Some(file) => Err(format!("more than half of it is dead, and it is not written anew: {file:?}")),
            None => Ok(()),
        }
    }

    /// An object that is in external storage only is wanted.
    pub(super) fn want_back(&mut self, from: ProcessId, key: ObjectKey) {
        let (now_ms, object) = (self.now_ms, &self.objects[&key]);
        let (length, first) = (object.length, object.waiters.len() == 1);
        match self.asks.iter_mut().find(|ask| ask.restore == Some(key)) {
            Some(ask) if first => ask.again_ms = Some(now_ms),
            Some(_) => {}
            None => {
                let memory = Some((length, length <= SMALL));
                let restore = Some(key);
                self.asks.push(Ask {
                    process: from,
                    request: 0,
                    memory,
                    ahead: false,
                    restore,
                    since_ms: now_ms,
                    again_ms: None,
                    hopeless: false,
                });
            }
        }
    }

    /// Complete files that nobody needs are to be removed at once.
    pub(super) fn retire(&mut self) {
        for (id, file) in &mut self.storage.files {
            if file.state == SpillFileState::Ready && file.records.is_empty() && file.readers == 0 {
                file.state = SpillFileState::Deleting;
                self.storage.deletes.insert(*id);
            }
        }
    }
}
