//! Attempts that came to nothing. All of them go through one door, [`Core::lose_attempt`], where it is decided whether the task is
//! tried again, and when.

use plasmon_protocol::error::{Error, MemoryReport};
use plasmon_protocol::id::{ObjectKey, ProcessId, TaskKey};
use plasmon_protocol::local::ENDLESS;
use plasmon_protocol::record::{ActorStatus, EventKind, ObjectState, Severity, TaskStatus};
use plasmon_protocol::stream::Target;

use super::{Core, Outbox};
use crate::scheduler::retry::Cause;
use crate::scheduler::task::{Role, Task};

/// How an attempt was lost.
#[derive(Clone, Debug)]
pub(super) enum Loss {
    /// Its worker died.
    Crash {
        /// The worker's process id.
        pid: u32,
        /// The signal or exit code.
        how: String,
    },
    /// The function returned an error value or panicked.
    Exception {
        /// What that comes to.
        error: Error,
        /// Whether the function lists it as worth a retry.
        listed: bool,
    },
    /// Its worker was ended because memory ran out.
    OutOfMemory {
        /// The worker's process id.
        pid: u32,
        /// What was known at that moment.
        report: Box<MemoryReport>,
    },
    /// Its worker was told to go: no crash, and nothing to try again.
    Interrupted {
        /// The worker's process id.
        pid: u32,
        /// How it ended.
        how: String,
    },
}

impl Loss {
    fn cause(&self) -> Cause {
        match self {
            Self::Crash { .. } => Cause::Crash,
            Self::Exception { listed, .. } => Cause::Exception { listed: *listed },
            Self::OutOfMemory { .. } => Cause::OutOfMemory,
            Self::Interrupted { .. } => Cause::Interrupted,
        }
    }

    /// For people, after `attempt 2` or an actor's name.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Crash { pid, how } | Self::Interrupted { pid, how } => format!("lost its worker {pid} ({how})"),
            Self::Exception { error, .. } => format!("ended with an error ({error})"),
            Self::OutOfMemory { pid, .. } => format!("lost its worker {pid} for want of memory"),
        }
    }
}

impl Core {
    /// A task that has left its worker is tried again; a call is then for its actor's queue.
    ///
    /// Returns what it has to fail with when it is not.
    pub(super) fn lose_attempt(&mut self, key: TaskKey, loss: &Loss) -> Option<Error> {
        self.stop_timers(key);
        self.unfetch(key);
        let task = self.tasks.get_mut(&key).filter(|task| task.is_pending())?;
        task.leave_worker();
        task.blocked = false;
        let spent = task.spend_retry(loss.cause(), self.config.oom.retries);
        let Some(delay_ms) = spent else { return self.error_of(key, loss) };
        let role = task.role;
        task.started_ms = None;
        self.tell_retry(key, loss, delay_ms);
        // Calls whose worker is gone wait for their actor, which is made after a delay of its own.
        let waits_for_actor = matches!(role, Role::Method(_)) && !matches!(loss, Loss::Exception { .. });
        self.try_again(key, if waits_for_actor { 0 } else { delay_ms });
        None
    }

    /// What a task fails with that is not tried again.
    pub(super) fn error_of(&self, key: TaskKey, loss: &Loss) -> Option<Error> {
        let task = self.tasks.get(&key)?;
        let (pid, how) = match loss {
            Loss::Exception { error, .. } => return Some(error.clone()),
            Loss::OutOfMemory { pid, report } => return Some(self.oom_error(task, *pid, report)),
            Loss::Crash { pid, how } | Loss::Interrupted { pid, how } => (*pid, how),
        };
        if let Role::Method(actor) = task.role {
            return Some(self.actor_died(actor, &format!("its worker {pid} died ({how}) while the call ran; it is made anew")));
        }
        let (name, site) = (task.function.to_string(), self.site_of(task));
        Some(Error::WorkerCrashed { task: key.on(self.config.node), name, pid, site, how: how.clone(), attempt: task.attempt })
    }

    fn oom_error(&self, task: &Task, pid: u32, report: &MemoryReport) -> Error {
        Error::OutOfMemory {
            task: task.key.on(self.config.node),
            name: task.function.to_string(),
            pid,
            site: self.site_of(task),
            attempt: task.attempt,
            report: Box::new(report.clone()),
        }
    }

    fn tell_retry(&mut self, key: TaskKey, loss: &Loss, delay_ms: u64) {
        let Some(task) = self.tasks.get(&key) else { return };
        let (attempt, pid) = (task.attempt, task.worker_pid);
        let left = left(task, loss.cause());
        let when = if delay_ms == 0 { "again".to_owned() } else { format!("again in {delay_ms} ms") };
        let what = loss.describe();
        let (kind, message) = match task.role {
            Role::Function => {
                (EventKind::TaskRetried, format!("task {} is tried {when} after attempt {attempt} {what}; {left}", task.function))
            }
            Role::Method(_) => {
                (EventKind::TaskRetried, format!("call {} is sent again after attempt {attempt} {what}; {left}", task.function))
            }
            Role::Constructor(actor) => {
                let Some(actor) = self.actors.get_mut(&actor) else { return };
                actor.status = ActorStatus::Restarting;
                actor.restarts = actor.restarts.saturating_add(1);
                (EventKind::ActorRestarted, format!("actor {} {what}; it is made {when}, {left}", actor.title()))
            }
        };
        self.event_about(kind, Severity::Warning, pid, Some(Target::Task(key.on(self.config.node))), message);
    }

    /// Queues a task for its next attempt, after its delay. One whose argument is being made again waits for that as well.
    fn try_again(&mut self, key: TaskKey, delay_ms: u64) {
        let waits_for = self.await_missing(key);
        let now_ms = self.now_ms;
        let Some(task) = self.tasks.get_mut(&key) else { return };
        task.waits_for = waits_for;
        task.waiting_since_ms = now_ms;
        let after = if waits_for > 0 { TaskStatus::PendingArgsAvail } else { TaskStatus::PendingNodeAssignment };
        let before = std::mem::replace(&mut task.status, after);
        let is_call = matches!(task.role, Role::Method(_));
        self.status_changed(Some(before), after);
        if delay_ms > 0 {
            let at_ms = now_ms + delay_ms;
            if let Some(task) = self.tasks.get_mut(&key) {
                task.rare_mut().retry_at_ms = Some(at_ms);
            }
            self.timers.insert((at_ms, key));
        } else if waits_for == 0 && !is_call {
            self.enqueue(key);
        }
    }

    /// How many of a task's arguments have no value at this moment; it is told when they do.
    pub(super) fn await_missing(&mut self, key: TaskKey) -> u32 {
        let Some(task) = self.tasks.get(&key) else { return 0 };
        let mut missing = 0;
        for object in task.objects() {
            if let Some(object) = self.objects.get_mut(object).filter(|object| object.state == Some(ObjectState::Pending)) {
                object.cold_mut().dependents.insert(key);
                missing += 1;
            }
        }
        missing
    }

    /// An attempt runs from here on: it is ended when it takes too long.
    pub(super) fn limit_attempt(&mut self, key: TaskKey) {
        let now_ms = self.now_ms;
        let limited = |task: &&mut Task| task.timeout_ms > 0 && task.role == Role::Function && task.rare().limit_at_ms.is_none();
        let Some(task) = self.tasks.get_mut(&key).filter(limited) else { return };
        let at_ms = now_ms.saturating_add(task.timeout_ms);
        task.rare_mut().limit_at_ms = Some(at_ms);
        self.timers.insert((at_ms, key));
    }

    /// A task neither waits for its next attempt nor may its attempt take too long any more.
    pub(super) fn stop_timers(&mut self, key: TaskKey) {
        let Some(rare) = self.tasks.get_mut(&key).and_then(Task::rare_if_any) else { return };
        for at_ms in [rare.retry_at_ms.take(), rare.limit_at_ms.take()].into_iter().flatten() {
            self.timers.remove(&(at_ms, key));
        }
    }

    /// Tasks whose time has come.
    pub(super) fn tick_timers(&mut self, out: &mut impl Outbox) {
        while let Some((at_ms, key)) = self.timers.first().copied().filter(|(at_ms, _)| *at_ms <= self.now_ms) {
            self.timers.remove(&(at_ms, key));
            let Some(task) = self.tasks.get_mut(&key) else { continue };
            let (waits, role) = (task.status == TaskStatus::PendingNodeAssignment, task.role);
            let Some(rare) = task.rare_if_any() else { continue };
            if rare.retry_at_ms.take().is_some() {
                match role {
                    _ if !waits => {}
                    Role::Method(actor) => self.serving.push(actor),
                    Role::Function | Role::Constructor(_) => self.enqueue(key),
                }
            } else if rare.limit_at_ms.take().is_some() {
                self.time_out(key, out);
            }
        }
    }

    /// An actor's worker is gone: it is made anew, and the calls that ran are sent again or fail. False when it has to end.
    pub(super) fn restart_actor(&mut self, key: ObjectKey, loss: &Loss) -> bool {
        let Some(actor) = self.actors.get(&key).filter(|actor| actor.status == ActorStatus::Alive) else { return false };
        let constructor = actor.constructor;
        let restarts = |task: &Task| task.retries_left > 0 && !matches!(loss, Loss::Interrupted { .. });
        if self.is_closed() || !self.tasks.get(&constructor).is_some_and(restarts) {
            return false;
        }
        let Some(actor) = self.actors.get_mut(&key) else { return false };
        let running = std::mem::take(&mut actor.running);
        let ahead = std::mem::take(&mut actor.ahead);
        let job = actor.job;
        actor.keeps_constructor = false;
        if let Some(job) = self.jobs.get_mut(&job) {
            job.pending.insert(constructor);
        }
        if let Some(task) = self.tasks.get_mut(&constructor) {
            task.ended_ms = None;
            let before = std::mem::replace(&mut task.status, TaskStatus::PendingNodeAssignment);
            self.status_changed(Some(before), TaskStatus::PendingNodeAssignment);
        }
        let error = self.lose_attempt(constructor, loss);
        self.let_calls_wait(key);
        debug_assert!(error.is_none(), "it was asked whether a restart is left");
        running.iter().chain(&ahead).for_each(|call| self.end_lingering(*call));
        // What it had not come to was never tried.
        for call in ahead.into_iter().rev().filter(|call| self.tasks.get(call).is_some_and(Task::is_pending)).collect::<Vec<_>>() {
            self.stop_timers(call);
            self.unfetch(call);
            if let Some(task) = self.tasks.get_mut(&call) {
                (task.worker, task.worker_pid) = (None, None);
                task.attempt = task.attempt.saturating_sub(1);
            }
            self.try_again(call, 0);
            if let Some(actor) = self.actors.get_mut(&key) {
                actor.calls.push_first(call);
            }
        }
        // The last first: each goes before the others, and of those that fail the last to be pushed fails first.
        for call in running.into_iter().rev().filter(|call| self.tasks.get(call).is_some_and(Task::is_pending)).collect::<Vec<_>>() {
            match self.lose_attempt(call, loss) {
                Some(error) => self.failing.push((call, error)),
                None => {
                    if let Some(actor) = self.actors.get_mut(&key) {
                        actor.calls.push_first(call);
                    }
                }
            }
        }
        true
    }

    /// Whether an actor would be made anew now, should its worker die.
    pub(super) fn can_restart(&self, key: ObjectKey) -> bool {
        let actor = self.actors.get(&key).filter(|actor| actor.lives());
        actor.and_then(|actor| self.tasks.get(&actor.constructor)).is_some_and(|task| task.retries_left > 0)
    }

    /// The worker that is an actor, or is about to be.
    pub(super) fn worker_of(&self, key: ObjectKey) -> Option<ProcessId> {
        let actor = self.actors.get(&key)?;
        actor.worker.or_else(|| self.tasks.get(&actor.constructor)?.worker)
    }

    /// Ends the worker of an actor that may be made anew. One that is not made yet has none, and stays as it is.
    pub(super) fn kill_worker_of(&mut self, key: ObjectKey, cause: &str, out: &mut impl Outbox) {
        let Some((actor, worker)) = self.actors.get(&key).zip(self.worker_of(key)) else { return };
        let message = format!("the worker of actor {} is {cause}, to be made anew", actor.title());
        let pid = self.pid(worker);
        self.event(EventKind::Notice, Severity::Warning, Some(pid), message);
        out.kill(worker);
    }

    /// An actor that may be made anew keeps what its constructor takes; its handle, which it was made for, is not part of that.
    pub(super) fn keep_constructor(&mut self, key: TaskKey) -> Option<Option<ObjectKey>> {
        let task = self.tasks.get(&key).filter(|task| task.retries_left > 0)?;
        let Role::Constructor(handle) = task.role else { return None };
        let actor = self.actors.get_mut(&handle).filter(|actor| actor.lives())?;
        actor.keeps_constructor = true;
        let task = self.tasks.get_mut(&key)?;
        let released = task.holds.contains(&handle).then_some(handle);
        task.holds.retain(|object| *object != handle);
        Some(released)
    }

    /// An actor has ended for good: what its constructor took is free.
    pub(super) fn release_constructor(&mut self, actor: ObjectKey) {
        let Some(actor) = self.actors.get_mut(&actor).filter(|actor| actor.keeps_constructor) else { return };
        actor.keeps_constructor = false;
        let key = actor.constructor;
        self.release_held(key);
        self.remember_ended(key);
    }

    /// What kept constructors of a dead process hold goes on in the agent's name.
    pub(super) fn inherit_constructors(&mut self, from: ProcessId) {
        let kept = self.actors.values().filter(|actor| actor.keeps_constructor && actor.constructor.process == from);
        let tasks: Vec<TaskKey> = kept.map(|actor| actor.constructor).collect();
        for key in tasks {
            if let Some(task) = self.tasks.get_mut(&key) {
                task.holder = ProcessId(0);
            }
        }
    }
}

/// How many retries are left, for people.
fn left(task: &Task, cause: Cause) -> String {
    let word = if matches!(task.role, Role::Constructor(_)) { "restart" } else { "retry" };
    match (task.retries_left, cause) {
        (ENDLESS, _) => "as often as it takes".to_owned(),
        (_, Cause::OutOfMemory) if task.role == Role::Function => "lack of memory costs no retry".to_owned(),
        (1, _) => format!("1 {word} left"),
        (left, _) => format!("{left} {} left", if word == "retry" { "retries" } else { "restarts" }),
    }
}
