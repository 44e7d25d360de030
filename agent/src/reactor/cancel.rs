//! Tasks that are not wanted any more: cancelled by a program, or ended because they take too long. A task's own tasks go with it.

use std::time::Duration;

use plasmon_protocol::error::Error;
use plasmon_protocol::id::{ObjectKey, ProcessId, TaskKey};
use plasmon_protocol::local::ToClient;
use plasmon_protocol::record::{EventKind, Severity};

use super::actors::End;
use super::{Activity, Core, Outbox, Violation};
use crate::scheduler::task::Role;

impl Core {
    /// A program cancels the task that makes an object. Nothing happens to one that has ended, nor for what no task makes.
    pub(super) fn on_cancel_task(
        &mut self,
        from: ProcessId,
        key: ObjectKey,
        force: bool,
        site: u32,
        out: &mut impl Outbox,
    ) -> Result<(), Violation> {
        let place = self.sites.get(self.site_from(from, site)).short();
        let cause = format!("process {} asked for it at {place}", self.pid(from));
        let made = self.objects.get(key).filter(|object| !object.actor).and_then(|object| object.task());
        if let Some(task) = made {
            self.cancel_task(task, &cause, force, out);
        }
        Ok(())
    }

    /// An attempt has run for too long.
    pub(super) fn time_out(&mut self, key: TaskKey, out: &mut impl Outbox) {
        let Some(task) = self.tasks.get(&key) else { return };
        let limit = Duration::from_millis(task.timeout_ms);
        let cause = format!("attempt {} ran longer than its timeout of {limit:?}", task.attempt);
        self.cancel_task(key, &cause, true, out);
    }

    /// Cancels a task, and the tasks that it submitted.
    fn cancel_task(&mut self, key: TaskKey, cause: &str, force: bool, out: &mut impl Outbox) {
        let mut next = vec![(key, cause.to_owned())];
        while let Some((key, cause)) = next.pop() {
            let Some(task) = self.tasks.get(&key) else { continue };
            // One that was told to go says no more of its task.
            let stays = |worker: &ProcessId| self.process(*worker).is_some_and(|process| !matches!(process.activity, Activity::Leaving));
            let worker = task.worker.filter(stays);
            // What it was sent and has not begun is taken back, be it this one or others.
            let has_window = worker.and_then(|worker| self.process(worker)).is_some_and(|process| !process.window.ahead.is_empty());
            // One that was cancelled before has another status, and may not have begun all the same.
            let can_go_back = has_window || task.started_ms.is_none();
            let (pending, role, name) = (task.is_pending(), task.role, task.short_function().to_owned());
            if matches!(role, Role::Constructor(_)) || (!pending && worker.is_none()) {
                continue;
            }
            if let Some(task) = self.tasks.get_mut(&key).filter(|_| pending) {
                // Its worker may still take references out of its arguments.
                task.lingers = worker.is_some() && (can_go_back || !(force && role == Role::Function));
                next.extend(self.children_of(key).into_iter().map(|child| (child, because_of(&name))));
                if let Some(error) = self.cancelled(key, &cause) {
                    self.fail_task(key, error, out);
                }
            }
            let Some(worker) = worker else { continue };
            match role {
                // Cancelled before, and still running, for all that.
                // First it is to be known which task it is that its end would end.
                Role::Function if force && can_go_back => self.end_if_begun(key, worker, out),
                Role::Function if force => self.end_attempt(key, worker, out),
                _ if !pending => {}
                Role::Function | Role::Constructor(_) => out.send(worker, &ToClient::Cancel { task: key }),
                Role::Method(_) => {
                    if force {
                        let message = format!("call {name} is cancelled without force: its actor goes on; kill() ends an actor");
                        let pid = self.pid(worker);
                        self.event(EventKind::Notice, Severity::Warning, Some(pid), message);
                    }
                    out.send(worker, &ToClient::Cancel { task: key });
                }
            }
        }
    }

    /// Ends a task's worker as soon as it is known that it has begun it.
    fn end_if_begun(&mut self, key: TaskKey, worker: ProcessId, out: &mut impl Outbox) {
        let Some(process) = self.process_mut(worker) else { return };
        if !process.window.unwanted.contains(&key) {
            process.window.unwanted.push(key);
        }
        self.ask_back(worker, out);
    }

    /// Ends a task's worker, for no fault of its own.
    pub(super) fn end_attempt(&mut self, key: TaskKey, worker: ProcessId, out: &mut impl Outbox) {
        self.stop_timers(key);
        if let Some(task) = self.tasks.get_mut(&key) {
            task.worker = None;
            task.blocked = false;
        }
        self.end_lingering(key);
        self.retire(worker, End::Killed, out);
    }

    /// A worker that runs several calls side by side says which of them submits what comes next.
    pub(super) fn on_submits(&mut self, from: ProcessId, task: TaskKey) -> Result<(), Violation> {
        // One that was cancelled meanwhile is nobody's parent.
        let parent = self.running(from, task)?.map(|task| task.key);
        if let Some(process) = self.process_mut(from) {
            process.submits = parent;
        }
        Ok(())
    }

    /// The task that submits what a process submits now: the one that it says, or the only one that it runs.
    pub(super) fn take_parent(&mut self, process: ProcessId) -> Option<TaskKey> {
        let process = self.process_mut(process)?;
        if let Some(said) = process.submits.take() {
            return Some(said);
        }
        match process.activity {
            Activity::Busy(task) => Some(task),
            Activity::Actor(actor) => {
                let actor = self.actors.get(&actor).filter(|actor| actor.running.len() == 1)?;
                actor.running.first().copied()
            }
            _ => None,
        }
    }

    /// What a new task or call fails with because the task that submits it was cancelled, and goes on nevertheless.
    pub(super) fn orphaned(&self, key: TaskKey) -> Option<Error> {
        let task = self.tasks.get(&key).filter(|task| !matches!(task.role, Role::Constructor(_)))?;
        let parent = self.tasks.get(&task.parent?).filter(|parent| parent.lingers)?;
        self.cancelled(key, &because_of(parent.short_function()))
    }

    /// Pending tasks and calls that a running task has submitted.
    fn children_of(&self, parent: TaskKey) -> Vec<TaskKey> {
        let Some(worker) = self.tasks.get(&parent).and_then(|task| task.worker) else { return Vec::new() };
        let Some(job) = self.process(worker).and_then(|process| self.jobs.get(&process.job)) else { return Vec::new() };
        let theirs = job.pending.range(TaskKey { process: worker, number: 0 }..=TaskKey { process: worker, number: u32::MAX });
        theirs.copied().filter(|child| self.tasks.get(child).is_some_and(|child| child.parent == Some(parent))).collect()
    }

    /// What the results of a cancelled task are.
    pub(super) fn cancelled(&self, key: TaskKey, cause: &str) -> Option<Error> {
        let task = self.tasks.get(&key).filter(|task| task.is_pending())?;
        let name = task.function.to_string();
        Some(Error::TaskCancelled { task: key.on(self.config.node), name, job: task.job.0, cause: cause.to_owned() })
    }

    /// Ends a job's tasks because its driver is gone.
    pub(super) fn cancel_tasks(&mut self, tasks: Vec<TaskKey>, cause: &str) {
        // They fail from the back of this list: the oldest first, which stand first in their queues.
        for key in tasks.into_iter().rev() {
            let error = self.cancelled(key, cause);
            self.failing.extend(error.map(|error| (key, error)));
        }
    }
}

fn because_of(parent: &str) -> String {
    format!("the task {parent} that submitted it was cancelled")
}
