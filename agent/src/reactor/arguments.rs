//! Arguments are kept in the store for a task from before it begins until its attempt has ended, and read back first where they are
//! not there. Together they take up no more than a share of the store, so that whoever runs finds room for results; the attempts that are
//! blocked do not count, since those whom they wait for may need that room. A task without arguments in the store never waits for this.
//!
//! A task that finds no room for what must be read back lets go of what it has, pauses, and asks again. While anybody runs on, room may
//! come. When nobody does, it asks alone, so that no two tasks hold up each other with a part of their arguments; where even that finds
//! no room none will ever come, and it fails.

use plasmon_protocol::error::Error;
use plasmon_protocol::id::{ObjectKey, TaskKey};
use plasmon_protocol::record::{ActorStatus, ObjectState, TaskStatus};

use super::memory::CREATE_GRACE_MS;
use super::{Activity, Core};
use crate::scheduler::task::{Keys, Role, Task};
use crate::store::object::{Object, Residency};

/// What arguments may take up of the store (Ray's `max_task_args_memory_fraction`), percent.
const MAX_PERCENT: u64 = 70;

/// What the arguments of a call that comes after others may take up of the store: a part of it, and never more than so many bytes. All that
/// are sent ahead to one actor have less than a hundredth of the store.
const FEW: (u64, u64) = (4096, 4 << 10);

/// How long a task pauses for whose arguments there was no room, milliseconds.
const PAUSE_MS: u64 = 1000;

/// What is done for tasks that are about to begin.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    /// Bytes kept for attempts that are not blocked.
    bytes: u64,
    /// The places in the order of tasks for whose arguments others must end first. Nothing younger with arguments goes before.
    waiting: std::collections::BTreeSet<u64>,
    /// Tasks whose arguments are being read back.
    fetching: u64,
    /// Tasks for whose arguments there was no room, and when they ask again.
    paused: std::collections::BTreeSet<(u64, TaskKey)>,
    /// Actors with calls that wait for room for their arguments.
    calling: std::collections::BTreeSet<ObjectKey>,
    /// The task whose arguments are being read back while no other gets any.
    alone: Option<TaskKey>,
}

/// Whether a task's arguments are where they must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fetched {
    /// It can begin.
    Ready,
    /// It is not in the queue any more until they are.
    Later,
    /// It stays in the queue.
    Waits,
}

impl Core {
    /// Whether a task has arguments that take up room in the store.
    pub(super) fn has_stored_arguments(&self, key: TaskKey) -> bool {
        let stored = |key: ObjectKey| self.objects.get(key).is_some_and(|object| object.state == Some(ObjectState::InMemory));
        self.tasks.get(&key).is_some_and(|task| task.objects().into_iter().any(stored))
    }

    /// Whether the arguments of a call are few bytes that can be kept at once, without anybody's waiting for that.
    pub(super) fn has_few_arguments(&self, key: TaskKey) -> bool {
        let Some(task) = self.tasks.get(&key) else { return false };
        let mut bytes = 0;
        for object in task.objects().iter().filter_map(|key| self.objects.get(*key)) {
            match object.residency {
                Residency::Spilled | Residency::Restoring => return false,
                _ if object.state == Some(ObjectState::InMemory) => bytes += object.length,
                _ => {}
            }
        }
        let most = (self.config.capacity / FEW.0).min(FEW.1);
        let room = self.arguments.bytes + bytes <= self.config.capacity / 100 * MAX_PERCENT;
        bytes <= most && room && self.arguments.waiting.is_empty() && self.arguments.alone.is_none()
    }

    /// Keeps the arguments of a task that could begin, and has them read back.
    pub(super) fn fetch(&mut self, key: TaskKey) -> Fetched {
        let Some(task) = self.tasks.get(&key) else { return Fetched::Waits };
        if !task.rare().fetched.is_empty() {
            return Fetched::Ready;
        }
        let order = self.order_of(key);
        let Some(task) = self.tasks.get(&key) else { return Fetched::Waits };
        if self.arguments.waiting.first().is_some_and(|first| *first < order) {
            return Fetched::Waits;
        }
        let mut keys = task.objects();
        keys.retain(|key| self.objects.get(*key).is_some_and(|object| object.state == Some(ObjectState::InMemory)));
        let bytes: u64 = keys.iter().filter_map(|key| self.objects.get(*key)).map(|object| object.length).sum();
        let kept = self.arguments.bytes;
        if self.arguments.alone.is_some() && bytes > 0 {
            return Fetched::Waits;
        }
        let alone = task.rare().no_room_since_ms.is_some() && !self.runs_on();
        if kept > 0 && bytes > 0 && (alone || kept + bytes > self.config.capacity / 100 * MAX_PERCENT) {
            self.arguments.waiting.insert(order);
            self.set_waiting(key, TaskStatus::PendingObjStoreMemAvail);
            return Fetched::Waits;
        }
        let is_away = |object: &Object| matches!(object.residency, Residency::Spilled | Residency::Restoring);
        let away: Keys = keys.iter().copied().filter(|key| self.objects.get(*key).is_some_and(is_away)).collect();
        if !away.is_empty() && self.arguments.fetching >= 2 * self.resources.offer().whole_cpus() {
            return Fetched::Waits;
        }
        // Calls are not looked at again by themselves.
        self.dispatch_wanted |= self.arguments.waiting.remove(&order) && !self.arguments.calling.is_empty();
        for key in &keys {
            if let Some(object) = self.objects.get_mut(*key) {
                object.kept += 1;
            }
        }
        self.arguments.bytes += bytes;
        if let Some(rare) = self.tasks.get_mut(&key).map(Task::rare_mut) {
            (rare.fetched, rare.fetched_bytes) = (keys.into_vec(), bytes);
        }
        if away.is_empty() {
            self.set_waiting(key, TaskStatus::PendingNodeAssignment);
            return Fetched::Ready;
        }
        if alone {
            self.arguments.alone = Some(key);
        }
        self.fetch_away(key, away);
        Fetched::Later
    }

    fn fetch_away(&mut self, key: TaskKey, away: Keys) {
        self.dequeue(key);
        self.arguments.fetching += 1;
        self.set_waiting(key, TaskStatus::PendingArgsFetch);
        let Some(task) = self.tasks.get_mut(&key) else { return };
        task.waits_for = away.len() as u32;
        let (holder, site) = (task.holder, task.site);
        for object in away {
            if let Some(object) = self.objects.get_mut(object) {
                object.cold_mut().dependents.insert(key);
            }
            self.want_restored(object, holder, site);
        }
    }

    /// One argument has been read back.
    pub(super) fn argument_fetched(&mut self, key: TaskKey) {
        let Some(task) = self.tasks.get_mut(&key).filter(|task| task.waits_for > 0) else { return };
        task.waits_for -= 1;
        if task.waits_for == 0 {
            task.rare_mut().no_room_since_ms = None;
            self.arguments.fetching -= 1;
            self.arguments.alone.take_if(|alone| *alone == key);
            self.set_waiting(key, TaskStatus::PendingNodeAssignment);
            self.ask_again(key);
            // Others may have waited for the reads to end.
            self.dispatch_wanted = true;
        }
    }

    /// A task stands in its queue again, or its actor looks at its calls.
    fn ask_again(&mut self, key: TaskKey) {
        match self.tasks.get(&key).map(|task| task.role) {
            Some(Role::Method(actor)) => self.serving.push(actor),
            Some(Role::Function | Role::Constructor(_)) => self.enqueue(key),
            None => {}
        }
    }

    /// Keeps the arguments of a call that could be sent, and has them read back. False when it has to wait for that.
    pub(super) fn prepare_call(&mut self, actor: ObjectKey, call: TaskKey) -> bool {
        let ready = self.fetch(call) == Fetched::Ready;
        let Some(state) = self.actors.get_mut(&actor) else { return ready };
        if !state.preparing.contains(&call) {
            state.preparing.push(call);
        }
        // A call beside others does not tell when it waits: what is kept for it never counts, or it could wait for what has no room for it.
        let beside = state.max_concurrency > 1;
        let blocked = beside || state.worker.and_then(|worker| self.process(worker)).is_some_and(|worker| worker.blocked);
        if ready {
            self.lend_argument_room(call, blocked);
        } else {
            self.arguments.calling.insert(actor);
        }
        ready
    }

    /// An actor has no place for another call now, or is none for the moment: what is kept for the calls that it does not run is free. What
    /// is being read back goes on, while the actor may come to it.
    pub(super) fn let_calls_wait(&mut self, actor: ObjectKey) {
        let Some(state) = self.actors.get_mut(&actor) else { return };
        let alive = state.status == ActorStatus::Alive;
        let mut preparing = std::mem::take(&mut state.preparing);
        preparing.retain(|call| {
            let Some(task) = self.tasks.get(call).filter(|task| task.is_pending() && task.worker.is_none()) else { return false };
            let fetching = task.status == TaskStatus::PendingArgsFetch;
            if alive && fetching {
                return true;
            }
            if fetching {
                self.forget_dependent(*call);
            }
            if matches!(self.tasks.get(call).map(|task| task.status), Some(TaskStatus::PendingArgsAvail)) {
                return false;
            }
            self.unfetch(*call);
            self.set_waiting(*call, TaskStatus::PendingNodeAssignment);
            false
        });
        if let Some(state) = self.actors.get_mut(&actor) {
            state.preparing = preparing;
        }
    }

    /// Calls for whose arguments there was no room may ask again.
    pub(super) fn serve_waiting_calls(&mut self) {
        self.serving.extend(std::mem::take(&mut self.arguments.calling));
    }

    /// There is no room for an argument now: the tasks that it was to be read for let go of the others, and ask again after a while. One
    /// that asked alone, and that nobody can make room for, fails with `error`.
    pub(super) fn requeue_fetches(&mut self, key: ObjectKey, error: &Error) {
        let Some(cold) = self.objects.get_mut(key).and_then(|object| object.cold.as_mut()) else { return };
        for task in cold.dependents.take() {
            let alone = self.arguments.alone == Some(task);
            self.forget_dependent(task);
            self.unfetch(task);
            self.set_waiting(task, TaskStatus::PendingObjStoreMemAvail);
            let now_ms = self.now_ms;
            let Some(state) = self.tasks.get_mut(&task) else { continue };
            let since_ms = *state.rare_mut().no_room_since_ms.get_or_insert(now_ms);
            if alone && since_ms + CREATE_GRACE_MS <= now_ms && self.arguments.bytes == 0 && !self.runs_on() {
                self.failing.push((task, error.clone()));
                continue;
            }
            let at_ms = now_ms + PAUSE_MS;
            if let Some(task) = self.tasks.get_mut(&task) {
                task.rare_mut().paused_ms = Some(at_ms);
            }
            self.arguments.paused.insert((at_ms, task));
        }
    }

    /// Whether somebody wants an object to come back who was not told yet that there is no room.
    pub(super) fn is_news_to_anybody(&self, key: ObjectKey) -> bool {
        let Some(cold) = self.objects.get(key).and_then(|object| object.cold.as_ref()) else { return false };
        let unaware = |task: &TaskKey| self.tasks.get(task).is_some_and(|task| task.rare().no_room_since_ms.is_none());
        cold.has_waiters() || cold.dependents.iter().any(unaware)
    }

    /// Whether some attempt runs that is not blocked: it may make room as it goes on, or ends.
    fn runs_on(&self) -> bool {
        self.living_processes().any(|(_, process)| match process.activity {
            _ if process.blocked => false,
            Activity::Busy(_) => true,
            Activity::Actor(actor) => self.actors.get(&actor).is_some_and(|actor| !actor.running.is_empty()),
            _ => false,
        })
    }

    /// When the first of the tasks that pause for want of room asks again.
    pub(super) fn next_fetch_ms(&self) -> Option<u64> {
        self.arguments.paused.first().map(|(at_ms, _)| *at_ms)
    }

    /// Tasks whose pause is over stand in the queue again.
    pub(super) fn tick_fetches(&mut self) {
        while let Some((at_ms, key)) = self.arguments.paused.first().copied().filter(|(at_ms, _)| *at_ms <= self.now_ms) {
            self.arguments.paused.remove(&(at_ms, key));
            if let Some(task) = self.tasks.get_mut(&key) {
                task.rare_mut().paused_ms = None;
                self.ask_again(key);
            }
        }
    }

    /// What a task needs beside its arguments is not free any more: others may have the room that was kept for those.
    pub(super) fn let_arguments_wait(&mut self, key: TaskKey) {
        let waits =
            |task: &Task| !task.rare().fetched.is_empty() || task.order.is_some_and(|order| self.arguments.waiting.contains(&order));
        if self.tasks.get(&key).is_some_and(waits) {
            self.unfetch(key);
            self.set_waiting(key, TaskStatus::PendingNodeAssignment);
        }
    }

    /// An argument cannot be read: the tasks that it was read for fail with that.
    pub(super) fn fail_fetches(&mut self, key: ObjectKey, error: &Error) {
        let Some(cold) = self.objects.get_mut(key).and_then(|object| object.cold.as_mut()) else { return };
        let tasks = cold.dependents.take();
        self.failing.extend(tasks.into_iter().rev().map(|task| (task, error.clone())));
    }

    /// An attempt has ended, or does not begin after all: its arguments are kept for it no more.
    pub(super) fn unfetch(&mut self, key: TaskKey) {
        let Some(task) = self.tasks.get_mut(&key) else { return };
        if task.status == TaskStatus::PendingArgsFetch && task.waits_for > 0 {
            task.waits_for = 0;
            self.arguments.fetching -= 1;
        }
        self.arguments.alone.take_if(|alone| *alone == key);
        if let Some(order) = task.order {
            self.dispatch_wanted |= self.arguments.waiting.remove(&order);
        }
        let Some(rare) = task.rare_if_any() else { return };
        if let Some(at_ms) = rare.paused_ms.take() {
            self.arguments.paused.remove(&(at_ms, key));
        }
        if rare.fetched.is_empty() {
            return;
        }
        let (keys, bytes) = (std::mem::take(&mut rare.fetched), std::mem::take(&mut rare.fetched_bytes));
        self.arguments.bytes -= if std::mem::take(&mut rare.fetched_lent) { 0 } else { bytes };
        for key in keys {
            if let Some(object) = self.objects.get_mut(key) {
                object.kept -= 1;
            }
        }
        self.spill.look = true;
        self.spill.exhausted = false;
        self.dispatch_wanted = true;
    }

    /// A task blocks, or goes on: what is kept for it does not count meanwhile.
    pub(super) fn lend_argument_room(&mut self, key: TaskKey, blocked: bool) {
        let Some(rare) = self.tasks.get_mut(&key).and_then(Task::rare_if_any) else { return };
        if rare.fetched_lent == blocked || rare.fetched.is_empty() {
            return;
        }
        rare.fetched_lent = blocked;
        if blocked {
            self.arguments.bytes -= rare.fetched_bytes;
        } else {
            self.arguments.bytes += rare.fetched_bytes;
        }
        self.dispatch_wanted |= blocked;
    }

    /// What a task that has not begun waits for.
    fn set_waiting(&mut self, key: TaskKey, status: TaskStatus) {
        let now_ms = self.now_ms;
        let Some(task) = self.tasks.get_mut(&key).filter(|task| task.status != status) else { return };
        task.waiting_since_ms = now_ms;
        let before = std::mem::replace(&mut task.status, status);
        self.status_changed(Some(before), status);
    }

    /// What is kept is kept for somebody, and is there while he runs.
    pub(super) fn check_arguments(&self) -> Result<(), String> {
        let mut kept = std::collections::BTreeMap::<ObjectKey, u32>::new();
        let (mut bytes, mut fetching) = (0, 0);
        for task in self.tasks.values() {
            let rare = task.rare();
            rare.fetched.iter().for_each(|key| *kept.entry(*key).or_default() += 1);
            bytes += if rare.fetched_lent { 0 } else { rare.fetched_bytes };
            fetching += u64::from(task.status == TaskStatus::PendingArgsFetch);
            let begun = matches!(task.status, TaskStatus::SubmittedToWorker | TaskStatus::Running);
            for object in rare.fetched.iter().filter(|_| begun).filter_map(|key| self.objects.get(*key)) {
                if matches!(object.residency, Residency::Spilled | Residency::Restoring) {
                    return Err(format!("task {:?} runs and one of its arguments is not in the store", task.key));
                }
            }
        }
        let unlike = self.objects.iter().find(|(key, object)| object.kept != kept.get(key).copied().unwrap_or(0));
        if let Some((key, object)) = unlike {
            return Err(format!("object {key:?} is kept for {} attempts, not for {:?}", object.kept, kept.get(&key)));
        }
        let fetches = |key: &TaskKey| self.tasks.get(key).is_some_and(|task| task.status == TaskStatus::PendingArgsFetch);
        if let Some(key) = self.arguments.alone.filter(|key| !fetches(key)) {
            return Err(format!("task {key:?} keeps others from their arguments, and waits for none"));
        }
        let sums = (self.arguments.bytes, self.arguments.fetching);
        if sums == (bytes, fetching) { Ok(()) } else { Err(format!("arguments {sums:?} instead of {:?}", (bytes, fetching))) }
    }
}
