//! What workers say of the tasks that they run.

use plasmon_protocol::error::Error;
use plasmon_protocol::id::{ObjectKey, ProcessId, TaskId, TaskKey};
use plasmon_protocol::local::{self, Ending, INLINE, MAX_RAISED, Value};
use plasmon_protocol::record::TaskStatus;

use super::messages::bounded;
use super::retries::Loss;
use super::{Activity, Core, Outbox, Violation};
use crate::scheduler::actor::Actor;
use crate::scheduler::task::{Role, Task};

/// Bytes of an encoded error that a worker may send: it goes on to whoever asks for the results.
const MAX_ERROR: usize = 16 << 10;

impl Core {
    pub(super) fn on_started(&mut self, from: ProcessId, key: TaskKey) -> Result<(), Violation> {
        let now_ms = self.now_ms;
        let Some(task) = self.running(from, key)? else { return Ok(()) };
        // One that was cancelled before, too: its worker has begun it.
        task.started_ms = Some(now_ms);
        if !task.is_pending() {
            return Ok(());
        }
        let before = std::mem::replace(&mut task.status, TaskStatus::Running);
        if let Some(actor) = task.role.actor() {
            self.actors.mark(&actor);
        }
        self.status_changed(Some(before), TaskStatus::Running);
        self.limit_attempt(key);
        Ok(())
    }

    pub(super) fn on_output(&mut self, from: ProcessId, key: TaskKey, value: Value<'_>, out: &mut impl Outbox) -> Result<(), Violation> {
        if let Value::Inline(bytes) = value
            && bytes.len() > INLINE
        {
            return Err(Violation(format!("inlined result of {} bytes", bytes.len())));
        }
        let contains = self.take_staged(from);
        let Some(task) = self.running(from, key)? else {
            // Cancelled meanwhile: the bytes go back to where they came from.
            return self.resolve(from, ObjectKey::default(), value, contains, out);
        };
        let Some(result) = task.result(task.outputs) else {
            return Err(Violation(format!("result {} of a task that has {}", task.outputs + 1, task.results())));
        };
        // Only a trace is left of what was let go meanwhile.
        let is_seen = !self.lineage.is_trace(result);
        self.resolve(from, result, value, contains, out)?;
        if let Some(task) = self.tasks.get_mut(&key) {
            task.outputs += 1;
            task.yielded = task.yielded.max(task.outputs);
        }
        if is_seen {
            self.reveal(result);
        }
        Ok(())
    }

    pub(super) fn on_ended(&mut self, from: ProcessId, key: TaskKey, ending: Ending, out: &mut impl Outbox) -> Result<(), Violation> {
        match &ending {
            Ending::Finished | Ending::Withdrawn | Ending::Exhausted => {}
            Ending::Failed { message, value, .. } => {
                bounded("error", message)?;
                if value.len() > MAX_RAISED {
                    return Err(Violation(format!("error value of {} bytes", value.len())));
                }
            }
            Ending::Panicked { message, place } => {
                bounded("panic", message)?;
                bounded("place", place)?;
            }
            Ending::Refused(error) => {
                let length = local::encode(error).map_or(usize::MAX, |bytes| bytes.len());
                if length > MAX_ERROR {
                    return Err(Violation(format!("error of {length} bytes")));
                }
            }
        }
        if ending == Ending::Withdrawn {
            return self.on_task_declined(from, key, out);
        }
        let Some(task) = self.running(from, key)? else {
            self.leave_actor(from, key);
            return Ok(());
        };
        // Its submitter made room for results of what is no generator.
        let ending = match ending {
            Ending::Finished if task.streams => Ending::Exhausted,
            ending => ending,
        };
        if ending == Ending::Finished && task.outputs < task.results() {
            return Err(Violation(format!("task ended with {} of {} results", task.outputs, task.results())));
        }
        let (pending, role) = (task.is_pending(), task.role);
        match role {
            Role::Constructor(actor) if pending && ending == Ending::Finished => self.actor_ready(actor, from, out),
            Role::Constructor(_) if ending == Ending::Exhausted => return Err(Violation("a constructor that yields".to_owned())),
            Role::Function | Role::Constructor(_) => self.leave_worker(key, out),
            Role::Method(_) => self.leave_actor(from, key),
        }
        if !pending {
            return Ok(());
        }
        match ending {
            Ending::Finished | Ending::Exhausted => {
                if ending == Ending::Exhausted {
                    self.exhaust(key, out);
                }
                self.end_task(key, TaskStatus::Finished);
                self.make_what_is_missing(key, out);
            }
            Ending::Failed { message, listed, value } => {
                let (task, name, pid, site) = self.told_as(key, from);
                let error = Error::TaskFailed { task, name, pid, site, message, value: value.into() };
                self.end_with(key, role, Loss::Exception { error, listed }, out);
            }
            Ending::Panicked { message, place } => {
                let (task, name, pid, site) = self.told_as(key, from);
                let error = Error::TaskPanicked { task, name, pid, site, message, place };
                self.end_with(key, role, Loss::Exception { error, listed: false }, out);
            }
            Ending::Refused(error) => self.fail_task(key, error, out),
            Ending::Withdrawn => {}
        }
        Ok(())
    }

    /// An attempt ended with an error of its own: the task is tried again, or fails.
    fn end_with(&mut self, key: TaskKey, role: Role, loss: Loss, out: &mut impl Outbox) {
        match (self.lose_attempt(key, &loss), role) {
            (Some(error), _) => self.fail_task(key, error, out),
            (None, Role::Method(actor)) => self.call_again(key, actor),
            (None, Role::Function | Role::Constructor(_)) => {}
        }
    }

    /// What the error of a task in this worker calls it: its id, its function, its process, its site.
    fn told_as(&self, key: TaskKey, worker: ProcessId) -> (TaskId, String, u32, String) {
        let (name, site) = self.tasks.get(&key).map(|task| (task.function.to_string(), self.site_of(task))).unwrap_or_default();
        (key.on(self.config.node), name, self.pid(worker), site)
    }

    pub(super) fn on_blocked(&mut self, from: ProcessId, blocked: bool, out: &mut impl Outbox) -> Result<(), Violation> {
        let Some(process) = self.process_mut(from) else { return Ok(()) };
        let (activity, job) = (process.activity, process.job);
        if !matches!(activity, Activity::Busy(_) | Activity::Actor(_)) {
            return Ok(());
        }
        if process.blocked == blocked {
            return Err(Violation("blocked or unblocked twice".to_owned()));
        }
        process.blocked = blocked;
        let task = match activity {
            Activity::Actor(actor) => self.actors.get(&actor).and_then(|actor| actor.running.first().copied()),
            Activity::Busy(key) => {
                if let Some(job) = self.jobs.get_mut(&job) {
                    if blocked { job.blocked += 1 } else { job.blocked -= 1 }
                }
                Some(key)
            }
            _ => None,
        };
        if let Some(task) = task.and_then(|task| self.tasks.get_mut(&task)) {
            task.blocked = blocked;
        }
        self.lend_cpus(from, blocked);
        match activity {
            Activity::Busy(key) => self.lend_argument_room(key, blocked),
            Activity::Actor(actor) => {
                let calls = self.actors.get(&actor).map(|actor| actor.running.iter().chain(&actor.ahead).copied().collect::<Vec<_>>());
                calls.into_iter().flatten().for_each(|call| self.lend_argument_room(call, blocked));
            }
            _ => {}
        }
        if blocked && self.process(from).is_some_and(|process| !process.window.ahead.is_empty()) {
            self.ask_back(from, out);
        }
        Ok(())
    }

    fn is_declining(&self, from: ProcessId, key: TaskKey) -> bool {
        self.process(from).is_some_and(|process| process.window.declined.front() == Some(&key))
    }

    /// The task that a worker speaks of, if it still has it. A task that was cancelled meanwhile is none.
    pub(super) fn running(&mut self, from: ProcessId, key: TaskKey) -> Result<Option<&mut Task>, Violation> {
        let runs = |actor| self.actors.get(&actor).is_some_and(|actor: &Actor| actor.running.contains(&key));
        match self.process(from).map(|process| process.activity) {
            Some(Activity::Busy(current)) if current == key => Ok(self.tasks.get_mut(&key).filter(|task| task.worker == Some(from))),
            Some(Activity::Actor(actor)) if runs(actor) => Ok(self.tasks.get_mut(&key).filter(|task| task.worker == Some(from))),
            // It was told to end before it could know of that.
            Some(Activity::Leaving) => Ok(None),
            // It comes to what was taken back from it.
            Some(Activity::Busy(_) | Activity::Withdrawn) if self.is_declining(from, key) => Ok(None),
            Some(_) => Err(Violation(format!("word of task {} which it does not run", key.on(self.config.node)))),
            None => Ok(None),
        }
    }
}
