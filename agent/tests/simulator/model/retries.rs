//! Lost attempts, and how often they are made good; actors that are made anew; what is cancelled; lost results that are made again.

use std::collections::BTreeSet;

use plasmon_protocol::id::{ObjectKey, ProcessId, TaskKey};
use plasmon_protocol::local::{ENDLESS, RetryExceptions};
use plasmon_protocol::record::{ActorStatus, ObjectState, TaskStatus};

use super::{Activity, CAPTURED, Codes, Model, Residency, Role, SUBMITTED, Task};

/// What an attempt is lost to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Loss {
    Crash,
    Exception { listed: bool },
    OutOfMemory,
    Interrupted,
}

impl Loss {
    /// Whether it is one that such a task is tried again after.
    fn is_worth_a_retry(self, asked: RetryExceptions) -> bool {
        match self {
            Self::Crash | Self::OutOfMemory => true,
            Self::Exception { listed } => asked == RetryExceptions::Always || (listed && asked == RetryExceptions::Listed),
            Self::Interrupted => false,
        }
    }
}

/// How long the retry waits that follows `done` others, milliseconds.
fn wait_ms(done: u32) -> u64 {
    let waits = [0, 50, 100, 200, 400, 800, 1600, 3200];
    waits.get(done as usize).copied().unwrap_or(5000)
}

impl Model {
    /// A task has lost its attempt, and its worker: whether it is tried again.
    pub(super) fn lose_attempt(&mut self, key: TaskKey, loss: Loss) -> bool {
        let now_ms = self.now_ms;
        let Some(task) = self.tasks.get_mut(&key).filter(|task| task.is_pending()) else { return false };
        (task.worker, task.blocked, task.room) = (None, false, None);
        (task.retry_at_ms, task.limit_at_ms) = (None, None);
        let role = task.role;
        // Calls whose worker is gone wait for their actor alone.
        let waits = !matches!(role, Role::Method(_)) || matches!(loss, Loss::Exception { .. });
        let wait_ms = if loss == Loss::OutOfMemory && role == Role::Function {
            let Some(wait_ms) = self.wait_for_memory(key) else { return false };
            wait_ms
        } else {
            if !loss.is_worth_a_retry(task.retry_exceptions) || task.retries == 0 {
                return false;
            }
            if task.retries != ENDLESS {
                task.retries -= 1;
            }
            task.retried += 1;
            wait_ms(task.retried - 1)
        };
        if let Role::Constructor(actor) = role {
            let actor = self.actors.get_mut(&actor).expect("its constructor ran");
            actor.status = ActorStatus::Restarting;
            actor.restarts += 1;
        }
        self.wait_for_arguments(key);
        if let Some(task) = self.tasks.get_mut(&key) {
            task.retry_at_ms = Some(now_ms + wait_ms).filter(|_| wait_ms > 0 && waits);
        }
        true
    }

    /// A task waits for those of its arguments that have no value; what has one, or failed, it has seen.
    pub(super) fn wait_for_arguments(&mut self, key: TaskKey) {
        let task = &self.tasks[&key];
        let waits = self.waits_for(task) > 0;
        let pending = |need: &ObjectKey| self.objects.get(need).is_some_and(|object| object.state == ObjectState::Pending);
        let met: Vec<ObjectKey> = task.needs().into_iter().filter(|need| !pending(need)).collect();
        let task = self.tasks.get_mut(&key).expect("it was there before");
        task.met = met.into_iter().collect();
        task.status = if waits { TaskStatus::PendingArgsAvail } else { TaskStatus::PendingNodeAssignment };
    }

    /// An actor's worker is gone: whether it is made anew.
    pub(super) fn restart_actor(&mut self, key: ObjectKey, loss: Loss) -> bool {
        let actor = self.actors.get_mut(&key).expect("it had a worker");
        let constructor = self.tasks.get_mut(&actor.constructor).expect("it was constructed");
        if actor.status != ActorStatus::Alive || constructor.retries == 0 || loss == Loss::Interrupted {
            return false;
        }
        constructor.status = TaskStatus::PendingNodeAssignment;
        actor.worker = None;
        let (running, constructor) = (std::mem::take(&mut actor.running), actor.constructor);
        let ahead = std::mem::take(&mut actor.ahead);
        self.lose_attempt(constructor, loss);
        running.iter().chain(&ahead).for_each(|call| self.end_lingering(*call));
        let mut again = Vec::new();
        for call in running.into_iter().filter(|call| self.tasks[call].is_pending()).collect::<Vec<_>>() {
            if self.lose_attempt(call, loss) {
                again.push(call);
            } else {
                self.failing.push((call, if loss == Loss::OutOfMemory { "out_of_memory" } else { "actor_died" }));
            }
        }
        // What it had not begun it never tried.
        for call in ahead.into_iter().filter(|call| self.tasks[call].is_pending()).collect::<Vec<_>>() {
            let task = self.tasks.get_mut(&call).expect("it was there before");
            (task.worker, task.worker_pid) = (None, None);
            task.attempt -= 1;
            self.wait_for_arguments(call);
            again.push(call);
        }
        let actor = self.actors.get_mut(&key).expect("it was there before");
        for call in again.into_iter().rev() {
            let before = actor.again.iter().rposition(|sent| sent.process == call.process && sent.number < call.number);
            actor.again.insert(before.map_or(0, |before| before + 1), call);
        }
        true
    }

    /// What is to happen by now.
    pub(crate) fn tick(&mut self) {
        let now_ms = self.now_ms;
        let mut late = Vec::new();
        for (key, task) in &mut self.tasks {
            if task.retry_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
                task.retry_at_ms = None;
            }
            if task.limit_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
                task.limit_at_ms = None;
                late.push(*key);
            }
        }
        late.into_iter().for_each(|key| self.cancel_task(key, true));
        self.settle();
    }

    pub(super) fn begin_attempt(&mut self, key: TaskKey) {
        let now_ms = self.now_ms;
        let Some(task) = self.tasks.get_mut(&key) else { return };
        task.status = TaskStatus::Running;
        if task.timeout_ms > 0 && task.role == Role::Function && task.limit_at_ms.is_none() {
            task.limit_at_ms = Some(now_ms.saturating_add(task.timeout_ms));
        }
    }

    /// The task that submits: the one that was said to, or the only one that runs there.
    pub(super) fn take_parent(&mut self, process: ProcessId) -> Option<TaskKey> {
        let said = self.sender(process).submits.take();
        if said.is_some() {
            return said;
        }
        match self.processes[&process].activity {
            Activity::Busy(task) => Some(task),
            Activity::Actor(actor) => {
                let actor = self.actors.get(&actor).filter(|actor| actor.running.len() == 1)?;
                actor.running.first().copied()
            }
            _ => None,
        }
    }

    /// Whether a new task comes from one that was cancelled, and goes on nevertheless.
    pub(super) fn is_orphaned(&self, key: TaskKey) -> bool {
        let task = &self.tasks[&key];
        let lingers = |parent: TaskKey| self.tasks.get(&parent).is_some_and(|parent| parent.lingers);
        !matches!(task.role, Role::Constructor(_)) && task.parent.is_some_and(lingers)
    }

    /// The task that makes an object.
    pub(super) fn maker(&self, key: ObjectKey) -> Option<TaskKey> {
        self.tasks.iter().find(|(_, task)| task.returns.contains(&key)).map(|(maker, _)| *maker)
    }

    pub(super) fn cancel(&mut self, key: ObjectKey, force: bool) {
        if self.objects.contains_key(&key)
            && let Some(maker) = self.maker(key)
        {
            self.cancel_task(maker, force);
        }
    }

    fn cancel_task(&mut self, key: TaskKey, force: bool) {
        let task = &self.tasks[&key];
        let (worker, pending, role) = (task.worker, task.is_pending(), task.role);
        if matches!(role, Role::Constructor(_)) {
            return;
        }
        let job = worker.and_then(|worker| Some(self.processes.get(&worker)?.job));
        let is_child = |child: &TaskKey, task: &Task| {
            task.parent == Some(key) && (task.is_pending() || task.lingers) && Some(child.process) == worker && Some(task.job) == job
        };
        let children: Vec<TaskKey> = self.tasks.iter().filter(|(child, task)| is_child(child, task)).map(|(child, _)| *child).collect();
        // Who was told to go says no more of it.
        let worker = worker.filter(|worker| self.processes.get(worker).is_some_and(|process| process.activity != Activity::Leaving));
        let has_window = worker.is_some_and(|worker| !self.processes[&worker].window.ahead.is_empty());
        let can_go_back = has_window || (worker.is_some() && !self.tasks[&key].begun);
        if let Some(task) = self.tasks.get_mut(&key).filter(|_| pending) {
            task.lingers = worker.is_some() && (can_go_back || !(force && role == Role::Function));
            self.fail(key, &Codes::from(["task_cancelled"]));
        }
        if let Some(worker) = worker {
            if force && role == Role::Function && can_go_back {
                self.sender(worker).window.unwanted.push(key);
            } else if force && role == Role::Function {
                self.end_attempt(key, worker);
            } else if pending {
                self.cancels.insert((worker, key));
            }
        }
        if pending {
            children.into_iter().for_each(|child| self.cancel_task(child, force));
        }
    }

    /// The worker of a task is ended for it.
    pub(super) fn end_attempt(&mut self, key: TaskKey, worker: ProcessId) {
        let task = self.tasks.get_mut(&key).expect("it was there before");
        (task.worker, task.blocked) = (None, false);
        self.end_lingering(key);
        if let Some(process) = self.processes.get_mut(&worker) {
            (process.activity, process.blocked, process.dismissed) = (Activity::Leaving, false, true);
            self.kills.insert(worker);
        }
    }

    /// The worker of a cancelled task is done with it.
    pub(super) fn end_lingering(&mut self, key: TaskKey) {
        let Some(task) = self.tasks.get_mut(&key).filter(|task| task.lingers) else { return };
        task.lingers = false;
        let (holder, holds) = (task.holder, std::mem::take(&mut task.holds));
        for object in holds {
            assert!(self.take(object, holder, SUBMITTED), "the model lost a submitted count");
        }
    }

    /// A finished task can be run again while its job lives, when something of it can be lost at all.
    pub(super) fn keep(&mut self, key: TaskKey) {
        let task = &self.tasks[&key];
        // What is pending again was sent, and lost since.
        let can_be_lost = |object: &super::Object| matches!(object.state, ObjectState::InMemory | ObjectState::Pending);
        let stored = |result: &ObjectKey| self.objects.get(result).is_some_and(can_be_lost);
        let spills = !self.storage.config.places.is_empty();
        let keeps = self.lineage && spills && task.role == Role::Function && task.retries > 0 && task.returns.iter().any(stored);
        let holds = task.holds.clone();
        if let Some(task) = self.tasks.get_mut(&key) {
            task.kept = keeps.then_some(holds);
        }
    }

    /// The value of an object is lost: whether it is made again.
    pub(super) fn rebuild(&mut self, key: ObjectKey) -> bool {
        let Some(maker) = self.maker(key) else { return false };
        let task = &self.tasks[&maker];
        if task.is_pending() {
            self.forget_value(key);
            return true;
        }
        let mut plan = Vec::new();
        if !self.plan(maker, &mut plan) {
            return false;
        }
        self.forget_value(key);
        for again in plan {
            self.run_again(again);
        }
        true
    }

    /// The tasks that have to run again so that this one can, those that make what it takes first; false when it cannot.
    fn plan(&self, key: TaskKey, plan: &mut Vec<TaskKey>) -> bool {
        if plan.contains(&key) {
            return true;
        }
        let task = &self.tasks[&key];
        let Some(holds) = task.kept.as_ref().filter(|_| self.jobs.contains_key(&task.job)) else { return false };
        let there = |need: &ObjectKey| self.objects.get(need).is_some_and(|object| object.state != ObjectState::Failed);
        if !task.needs().iter().all(there) || !holds.iter().all(|held| self.objects.contains_key(held)) {
            return false;
        }
        let hollow = holds.iter().filter(|held| self.is_hollow(**held)).filter_map(|held| self.maker(*held));
        let makers: Vec<TaskKey> = hollow.filter(|maker| !self.tasks[maker].is_pending()).collect();
        if !makers.into_iter().all(|maker| self.plan(maker, plan)) {
            return false;
        }
        plan.push(key);
        true
    }

    fn is_hollow(&self, key: ObjectKey) -> bool {
        self.objects.get(&key).is_some_and(|object| object.trace && object.state == ObjectState::Pending)
    }

    fn run_again(&mut self, key: TaskKey) {
        let holder = self.living(key.process);
        let holds = self.tasks[&key].kept.clone().unwrap_or_default();
        holds.iter().for_each(|held| self.add(*held, holder, SUBMITTED));
        for held in &holds {
            if self.is_hollow(*held) {
                self.end_trace(*held);
            }
        }
        let task = self.tasks.get_mut(&key).expect("it was there before");
        if task.retries != ENDLESS {
            task.retries -= 1;
        }
        (task.kept, task.holds, task.holder, task.parent) = (None, holds, holder, None);
        (task.worker, task.blocked) = (None, false);
        self.wait_for_arguments(key);
    }

    fn forget_value(&mut self, key: ObjectKey) {
        let object = self.objects.get_mut(&key).expect("the caller has looked");
        (object.state, object.residency, object.length, object.offset) = (ObjectState::Pending, Residency::Primary, 0, 0);
        let (captor, contains) = (object.captor, std::mem::take(&mut object.contains));
        let captor = self.living(captor);
        for inner in contains {
            assert!(self.take(inner, captor, CAPTURED), "the model lost a captured count");
        }
        let waits = |task: &Task| {
            task.is_pending() && task.worker.is_none() && task.status != TaskStatus::Infeasible && task.needs().contains(&key)
        };
        let waiting: BTreeSet<TaskKey> = self.tasks.iter().filter(|(_, task)| waits(task)).map(|(key, _)| *key).collect();
        for waiting in waiting {
            self.wait_for_arguments(waiting);
        }
    }

    /// A task has finished: what it sent before and was lost meanwhile is made again, or never will be.
    pub(super) fn make_what_is_missing(&mut self, key: TaskKey) {
        let pending = |result: &ObjectKey| self.objects.get(result).is_some_and(|object| object.state == ObjectState::Pending);
        let missing: Vec<ObjectKey> =
            self.tasks[&key].returns.iter().copied().filter(pending).filter(|result| !self.is_hollow(*result)).collect();
        for result in missing {
            if !self.rebuild(result) {
                self.fail_object(result, &Codes::from(["object_lost"]));
            }
        }
    }
}
