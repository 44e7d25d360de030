//! Tasks end: what they held is released, and what they show is kept for a while.

use plasmon_protocol::error::Error;
use plasmon_protocol::id::{ProcessId, TaskKey};
use plasmon_protocol::record::{EventKind, Severity, TaskStatus};
use plasmon_protocol::stream::Target;
use smallvec::SmallVec;

use super::actors::End;
use super::{Core, MAX_ENDED_TASKS, Outbox};
use crate::references::table::Count;
use crate::scheduler::task::Role;

impl Core {
    /// Ends a task with an error, which becomes the value of all its results.
    pub(super) fn fail_task(&mut self, key: TaskKey, error: Error, out: &mut impl Outbox) {
        let Some(task) = self.tasks.get_mut(&key).filter(|task| task.is_pending()) else { return };
        task.rare_mut().error = Some(error.clone());
        let (role, status, returns, pid) = (task.role, task.status, task.returns.clone(), task.worker_pid);
        if let Role::Method(actor) = role
            && let Some(actor) = self.actors.get_mut(&actor)
        {
            actor.calls.remove(key);
            // It may have stood before others that are ready.
            self.serving.push(actor.key);
        }
        match status {
            TaskStatus::PendingNodeAssignment | TaskStatus::PendingObjStoreMemAvail => {
                self.stop_timers(key);
                self.dequeue(key);
            }
            TaskStatus::Infeasible => self.forget_infeasible(key),
            TaskStatus::PendingArgsAvail | TaskStatus::PendingArgsFetch => self.forget_dependent(key),
            _ => {}
        }
        self.reveal_first_missing(key);
        let message = error.line();
        self.end_task(key, TaskStatus::Failed);
        let (kind, severity) = match &error {
            Error::TaskCancelled { .. } => (EventKind::TaskCancelled, Severity::Warning),
            _ => (EventKind::TaskFailed, Severity::Error),
        };
        self.event_about(kind, severity, pid, Some(Target::Task(key.on(self.config.node))), message);
        for result in returns {
            self.fail_object(result, &error, out);
        }
        if let Role::Constructor(actor) = role {
            self.end_actor(actor, &format!("its constructor did not end well: {}", error.line()), End::Killed, out);
        }
    }

    /// Ends a task: what it held is released, what it shows is kept for a while.
    pub(super) fn end_task(&mut self, key: TaskKey, status: TaskStatus) {
        let lingers = self.tasks.get(&key).is_some_and(|task| task.lingers);
        if !lingers {
            self.unfetch(key);
        }
        let now_ms = self.now_ms;
        self.stop_timers(key);
        let Some(task) = self.tasks.get_mut(&key) else { return };
        let before = std::mem::replace(&mut task.status, status);
        task.ended_ms = Some(now_ms);
        let (attempt, job, returns) = (task.attempt, task.job, task.returns.clone());
        self.status_changed(Some(before), status);
        self.learn_heap(key);
        for result in returns {
            if let Some(object) = self.objects.get_mut(result) {
                object.cold_mut().attempt = attempt;
            }
        }
        if lingers {
            return;
        }
        if let Some(job) = self.jobs.get_mut(&job) {
            job.pending.remove(&key);
        }
        if status == TaskStatus::Finished {
            if let Some(released) = self.keep_constructor(key) {
                let holder = self.tasks.get(&key).map_or(ProcessId(0), |task| task.holder);
                if let Some(object) = released {
                    self.release(holder, object, Count::Submitted);
                }
                return;
            }
            self.keep_lineage(key);
        }
        self.release_held(key);
        self.remember_ended(key);
    }

    /// The worker of a cancelled task is done with it.
    pub(super) fn end_lingering(&mut self, key: TaskKey) {
        let Some(task) = self.tasks.get_mut(&key).filter(|task| task.lingers) else { return };
        task.lingers = false;
        let job = task.job;
        self.unfetch(key);
        if let Some(job) = self.jobs.get_mut(&job) {
            job.pending.remove(&key);
        }
        self.release_held(key);
        self.remember_ended(key);
    }

    /// What a task held is free of it.
    pub(super) fn release_held(&mut self, key: TaskKey) {
        let Some(task) = self.tasks.get_mut(&key) else { return };
        task.arguments = SmallVec::new();
        let (holder, holds) = (task.holder, std::mem::take(&mut task.holds));
        for object in holds {
            self.release(holder, object, Count::Submitted);
        }
    }

    /// An ended task is shown for a while.
    pub(super) fn remember_ended(&mut self, key: TaskKey) {
        self.ended.push_back(key);
        while self.ended.len() > MAX_ENDED_TASKS {
            if let Some(oldest) = self.ended.pop_front() {
                let forgotten = self.tasks.remove(&oldest);
                forgotten.iter().for_each(|task| self.keep_unheard(task));
            }
        }
    }
}
