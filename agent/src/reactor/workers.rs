//! Who runs the tasks: workers are started on demand, reused, and dismissed when their place is needed.

use std::sync::Arc;

use plasmon_protocol::error::Error;
use plasmon_protocol::id::{JobId, ProcessId, TaskKey};
use plasmon_protocol::local::{self, ToClient, Work};
use plasmon_protocol::record::{EventKind, ObjectState, ProcessType, Severity, TaskStatus};

use super::actors::End;
use super::{Activity, Core, Outbox, Process};
use crate::scheduler::task::{Argument, Role, Task};

/// Starts that may fail in a row before a job's tasks are given up.
const MAX_FAILED_STARTS: u32 = 3;
/// Bytes of inlined values in one task message; the worker asks for the rest.
const MAX_RUN_BYTES: usize = 24 << 10;

impl Core {
    /// Sends ready tasks to idle workers while CPUs last, and starts the workers that are missing. Jobs take turns; a task that
    /// does not fit stops those behind it, so that it is not starved by smaller ones.
    pub(super) fn dispatch(&mut self, out: &mut impl Outbox) {
        let mut progress = !self.is_closed();
        while progress && !self.ready.is_empty() {
            progress = false;
            for job in self.ready.jobs_after(self.last_job) {
                let Some(key) = self.ready.front(job) else { continue };
                let Some(milli) = self.tasks.get(&key).map(|task| task.milli_cpus) else { continue };
                if !self.cpus.fits(milli) {
                    return;
                }
                let Some(worker) = self.take_idle(job) else {
                    self.want_workers(job, milli, out);
                    continue;
                };
                self.ready.pop(job);
                self.last_job = job;
                let work = match self.tasks.get(&key).and_then(|task| self.actors.get(&task.role.actor()?)) {
                    Some(actor) => Work::Constructor { max_concurrency: actor.max_concurrency },
                    None => Work::Task,
                };
                if let Some(process) = self.process_mut(worker) {
                    process.activity = Activity::Busy(key);
                    process.runs = process.runs.wrapping_add(1);
                    process.withdrawing = false;
                }
                self.take_cpu(worker, milli);
                self.run(key, worker, work, out);
                progress = true;
            }
        }
    }

    /// The most recently used idle worker that does not stand still.
    fn take_idle(&mut self, id: JobId) -> Option<ProcessId> {
        let moves = |worker: &ProcessId| self.process(*worker).is_some_and(|process| !process.stopped);
        let index = self.jobs.get(&id)?.idle.iter().rposition(moves)?;
        Some(self.jobs.get_mut(&id)?.idle.remove(index))
    }

    /// Starts as many workers as the job could use now.
    fn want_workers(&mut self, id: JobId, milli: u32, out: &mut impl Outbox) {
        let queued = self.ready.length_of(id) as u64;
        let free = match milli {
            0 => self.cpus.whole(),
            milli => (self.cpus.total().saturating_sub(self.cpus.used()) / u64::from(milli)).max(1),
        };
        let at_once = self.cpus.whole() * 2;
        // Tasks that reserve CPUs are bounded by them; those that reserve none, by this.
        let most = if milli == 0 { at_once } else { u64::MAX };
        loop {
            let Some(job) = self.jobs.get(&id) else { return };
            let active = u64::from(job.workers - job.blocked);
            // Each that connects asks for the next: no storm of starts.
            if u64::from(job.starting) >= queued.min(free).min(at_once) || active >= most {
                return;
            }
            let name = Arc::clone(&job.name);
            self.dismiss_idle_of_others(id, out);
            let worker = self.add_process(Process::new(0, ProcessType::Worker, id, name, Activity::Starting, self.now_ms));
            if let Some(job) = self.jobs.get_mut(&id) {
                job.starting += 1;
                job.workers += 1;
            }
            out.start_worker(worker, id);
        }
    }

    /// Makes place for a worker of `job`: an idle one of another job goes, when the node has its share of workers already.
    fn dismiss_idle_of_others(&mut self, job: JobId, out: &mut impl Outbox) {
        let share = self.cpus.whole() * 2;
        let active: u64 = self.jobs.values().map(|job| u64::from(job.workers - job.blocked)).sum();
        if active < share {
            return;
        }
        let other = self
            .jobs
            .iter_mut()
            .filter(|(id, _)| **id != job)
            .find_map(|(_, other)| (!other.idle.is_empty()).then(|| other.idle.remove(0)));
        if let Some(worker) = other {
            self.dismiss(worker, out);
        }
    }

    /// Tells a worker without a task to end.
    fn dismiss(&mut self, worker: ProcessId, out: &mut impl Outbox) {
        let Some(process) = self.process_mut(worker) else { return };
        process.activity = Activity::Leaving;
        self.dismissed.insert(worker);
        out.send(worker, &ToClient::Exit);
    }

    /// Sends a task to a worker.
    pub(super) fn run(&mut self, key: TaskKey, worker: ProcessId, work: Work, out: &mut impl Outbox) {
        let pid = self.pid(worker);
        let Some(task) = self.tasks.get_mut(&key) else { return };
        task.attempt += 1;
        task.worker = Some(worker);
        task.worker_pid = Some(pid);
        task.outputs = 0;
        task.heap_bytes = 0;
        let before = std::mem::replace(&mut task.status, TaskStatus::SubmittedToWorker);
        self.status_changed(Some(before), TaskStatus::SubmittedToWorker);
        let Some(task) = self.tasks.get(&key) else { return };
        let message = ToClient::Run {
            task: key,
            work,
            function: &task.function,
            arguments: self.arguments(task),
            returns: task.returns.len() as u32,
        };
        out.send(worker, &message);
    }

    fn arguments<'a>(&'a self, task: &'a Task) -> Vec<local::Argument<'a>> {
        let mut bytes = 0;
        let mut message = Vec::with_capacity(task.arguments.len());
        for argument in &task.arguments {
            message.push(match argument {
                Argument::Inline(value) => local::Argument::Inline(value),
                Argument::Block(key) => local::Argument::Block(*key),
                Argument::Object(key) => {
                    let inlined = self.objects.get(*key).filter(|object| object.state == Some(ObjectState::Inlined));
                    match inlined.and_then(|object| object.cold.as_ref()) {
                        Some(cold) if bytes + cold.value.len() <= MAX_RUN_BYTES => {
                            bytes += cold.value.len();
                            local::Argument::Value(*key, &cold.value)
                        }
                        _ => local::Argument::Object(*key),
                    }
                }
            });
        }
        message
    }

    pub(super) fn take_cpu(&mut self, worker: ProcessId, milli: u32) {
        if let Some(process) = self.process_mut(worker) {
            process.reserved = milli;
            self.cpus.take(milli);
        }
    }

    pub(super) fn give_cpu(&mut self, worker: ProcessId) {
        if let Some(process) = self.process_mut(worker) {
            let milli = std::mem::take(&mut process.reserved);
            self.cpus.give(milli);
        }
    }

    /// A task is done with its worker, which is idle now.
    pub(super) fn leave_worker(&mut self, key: TaskKey, out: &mut impl Outbox) {
        let Some(worker) = self.tasks.get_mut(&key).and_then(|task| {
            task.blocked = false;
            task.worker.take()
        }) else {
            return;
        };
        self.unblock(worker);
        self.give_cpu(worker);
        let Some(process) = self.process_mut(worker) else { return };
        process.tasks_done += 1;
        process.activity = Activity::Idle;
        let id = process.job;
        self.make_idle(worker, id, out);
    }

    pub(super) fn unblock(&mut self, worker: ProcessId) {
        let Some(process) = self.process_mut(worker) else { return };
        if std::mem::take(&mut process.blocked) && matches!(process.activity, Activity::Busy(_)) {
            let id = process.job;
            if let Some(job) = self.jobs.get_mut(&id) {
                job.blocked -= 1;
            }
        }
    }

    pub(super) fn make_idle(&mut self, worker: ProcessId, id: JobId, out: &mut impl Outbox) {
        self.dispatch_wanted = true;
        if self.oom.is_condemned(worker) {
            return;
        }
        let most = self.cpus.whole() as usize;
        let Some(job) = self.jobs.get_mut(&id) else {
            self.dismiss(worker, out);
            return;
        };
        if job.idle.len() < most {
            job.idle.push(worker);
        } else {
            self.dismiss(worker, out);
        }
    }

    /// A worker that was started has connected.
    ///
    /// Returns false when nobody waits for it: its job has ended.
    pub fn on_worker_connected(&mut self, worker: ProcessId, pid: u32, out: &mut impl Outbox) -> bool {
        let now_ms = self.now_ms;
        let Some(process) = self.process_mut(worker).filter(|process| process.activity == Activity::Starting) else { return false };
        process.pid = pid;
        process.since_ms = now_ms;
        process.activity = Activity::Idle;
        let id = process.job;
        let Some(job) = self.jobs.get_mut(&id) else { return false };
        job.starting -= 1;
        job.failed_starts = 0;
        self.event(EventKind::WorkerStarted, Severity::Info, Some(pid), format!("worker {pid} of job {id} ready"));
        self.make_idle(worker, id, out);
        self.settle(out);
        true
    }

    /// A worker is gone: its place in its job is free, its task is tried again or failed.
    pub(super) fn lose_worker(&mut self, worker: ProcessId, process: &Process, how: &str, out: &mut impl Outbox) {
        let dismissed = self.dismissed.contains(&worker);
        let mut give_up = false;
        if let Some(job) = self.jobs.get_mut(&process.job) {
            match process.activity {
                Activity::Actor(_) => job.actors -= 1,
                _ => job.workers -= 1,
            }
            job.idle.retain(|idle| *idle != worker);
            if process.blocked && matches!(process.activity, Activity::Busy(_)) {
                job.blocked -= 1;
            }
            if process.activity == Activity::Starting {
                job.starting -= 1;
                job.failed_starts += 1;
                give_up = job.failed_starts >= MAX_FAILED_STARTS;
            }
        }
        self.cpus.give(process.reserved);
        self.dispatch_wanted = true;
        if give_up {
            self.give_up(process.job, how);
        }
        if let Activity::Actor(actor) = process.activity {
            // Already out of the table: nothing is left to be told to it.
            if let Some(actor) = self.actors.get_mut(&actor) {
                actor.worker = None;
            }
            let calls = self.actors.get(&actor).map(|actor| actor.running.clone()).unwrap_or_default();
            self.end_actor(actor, &format!("its worker {} died ({how})", process.pid), End::Killed, out);
            // What fails last here fails first.
            for call in calls {
                self.lose_to_oom(worker, process.pid, call);
            }
        }
        let Activity::Busy(key) = process.activity else { return };
        let Some(task) = self.tasks.get_mut(&key).filter(|task| task.worker == Some(worker) && task.is_pending()) else { return };
        task.worker = None;
        task.blocked = false;
        if !dismissed && self.lose_to_oom(worker, process.pid, key) {
            return;
        }
        let Some(task) = self.tasks.get_mut(&key) else { return };
        if task.retries_left > 0 && !dismissed {
            task.retries_left -= 1;
            let (name, attempt, left) = (Arc::clone(&task.function), task.attempt, task.retries_left);
            self.event(
                EventKind::TaskRetried,
                Severity::Warning,
                Some(process.pid),
                format!("task {name} is tried again after attempt {attempt} lost its worker ({how}); {left} retries left"),
            );
            self.make_ready(key, true);
        } else {
            let task = &self.tasks[&key];
            let error = Error::WorkerCrashed {
                task: key.on(self.config.node),
                name: task.function.to_string(),
                pid: process.pid,
                site: self.site_of(task),
                how: how.to_owned(),
                attempt: task.attempt,
            };
            self.failing.push((key, error));
        }
    }

    /// Fails what a job has queued: its workers don't start.
    fn give_up(&mut self, id: JobId, how: &str) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.failed_starts = 0;
        let error = Error::system(format!("start a worker for job {id}"), how);
        for key in job.pending.clone().into_iter().rev() {
            let waits = |task: &Task| task.status == TaskStatus::PendingNodeAssignment && !matches!(task.role, Role::Method(_));
            if self.tasks.get(&key).is_some_and(waits) {
                self.failing.push((key, error.clone()));
            }
        }
    }
}
