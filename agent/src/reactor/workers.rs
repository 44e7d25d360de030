//! Who runs the tasks: workers are reused, dismissed when their place is needed, and lost.

use plasmon_memory::ring::{TO_CLIENT, max_message};
use plasmon_protocol::error::Error;
use plasmon_protocol::id::{JobId, ObjectKey, ProcessId, TaskKey};
use plasmon_protocol::local::{self, MAX_TASK_ARGUMENTS, MAX_TEXT, ToClient, Work};
use plasmon_protocol::record::{EventKind, ObjectState, Severity, TaskStatus};

use super::actors::End;
use super::retries::Loss;
use super::tasks::MAX_INLINED_ARGUMENTS;
use super::{Activity, Core, Outbox, Process};
use crate::scheduler::task::{Argument, Role, Task};

/// Starts that may fail in a row before a job's tasks are given up.
const MAX_FAILED_STARTS: u32 = 3;
/// Bytes of inlined values in one task message; the worker asks for the rest.
const MAX_RUN_BYTES: usize = 24 << 10;
/// Bytes of an argument in a task message beside its value, at most: what it is, its object's key, and the value's length.
const ARGUMENT: usize = 1 + 2 * 5 + 2;
/// Bytes of a task message that are left for arguments beside the inlined ones: the rest is for the function's name and for numbers.
const FOR_ARGUMENTS: usize = max_message(TO_CLIENT) - MAX_INLINED_ARGUMENTS - MAX_TEXT - 128;
const _: () = assert!(MAX_TASK_ARGUMENTS * (ARGUMENT - 2) <= FOR_ARGUMENTS);

impl Core {
    /// Tells a worker without a task to end.
    pub(super) fn dismiss(&mut self, worker: ProcessId, out: &mut impl Outbox) {
        let Some(process) = self.process_mut(worker) else { return };
        process.activity = Activity::Leaving;
        self.dismissed.insert(worker);
        out.send(worker, &ToClient::Exit);
    }

    /// Sends a task to a worker; `ahead` of its time, where it has another one to do first.
    pub(super) fn run(&mut self, key: TaskKey, worker: ProcessId, work: Work, ahead: bool, out: &mut impl Outbox) {
        let pid = self.pid(worker);
        let Some(task) = self.tasks.get_mut(&key) else { return };
        task.attempt += 1;
        task.worker = Some(worker);
        task.worker_pid = Some(pid);
        task.begin();
        let before = std::mem::replace(&mut task.status, TaskStatus::SubmittedToWorker);
        self.status_changed(Some(before), TaskStatus::SubmittedToWorker);
        let Some(task) = self.tasks.get(&key) else { return };
        let message = ToClient::Run { task: key, work, function: &task.function, arguments: self.arguments(task), returns: task.results() };
        if ahead { out.send_ahead(worker, &message) } else { out.send(worker, &message) }
    }

    fn arguments<'a>(&'a self, task: &'a Task) -> Vec<local::Argument<'a>> {
        let mut room = MAX_RUN_BYTES.min(FOR_ARGUMENTS.saturating_sub(task.arguments.len() * ARGUMENT));
        let mut message = Vec::with_capacity(task.arguments.len());
        for argument in &task.arguments {
            message.push(match argument {
                Argument::Inline(value) => local::Argument::Inline(value),
                Argument::Block(key) => local::Argument::Block(*key),
                Argument::Object(key) => {
                    let inlined = self.objects.get(*key).filter(|object| object.state == Some(ObjectState::Inlined));
                    match inlined.and_then(|object| object.cold.as_ref()) {
                        Some(cold) if cold.value.len() <= room => {
                            room -= cold.value.len();
                            local::Argument::Value(*key, &cold.value)
                        }
                        _ => local::Argument::Object(*key),
                    }
                }
            });
        }
        message
    }

    /// A task is done with its worker, which runs what comes after it, or is idle now.
    pub(super) fn leave_worker(&mut self, key: TaskKey, out: &mut impl Outbox) {
        let Some(worker) = self.tasks.get_mut(&key).and_then(|task| {
            task.blocked = false;
            task.worker.take()
        }) else {
            return;
        };
        self.end_lingering(key);
        self.learn_quickness(worker, key, out);
        if let Some(process) = self.process_mut(worker) {
            process.tasks_done += 1;
        }
        if !self.run_next(worker, out) {
            self.leave_place(worker, out);
        }
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
        let most = self.resources.offer().whole_cpus() as usize;
        let Some(job) = self.jobs.get_mut(&id) else {
            self.dismiss(worker, out);
            return;
        };
        job.idle.push(worker);
        if job.idle.len() > most
            && let Some(spare) = self.spare_worker(id)
        {
            self.dismiss(spare, out);
        }
    }

    /// Takes out the idle worker of a job that was not used for longest, of those beside which another sees the same GPUs: the only one
    /// that does may be what a task waits for.
    fn spare_worker(&mut self, id: JobId) -> Option<ProcessId> {
        let idle = &self.jobs.get(&id)?.idle;
        let devices: Vec<_> = idle.iter().map(|worker| self.process(*worker).map(|process| &process.devices)).collect();
        let spare = (0..devices.len()).find(|index| devices[index + 1..].contains(&devices[*index])).unwrap_or(0);
        Some(self.jobs.get_mut(&id)?.idle.remove(spare))
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
        job.starting_with.retain(|(starting, _)| *starting != worker);
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
                job.starting_with.retain(|(starting, _)| *starting != worker);
                job.failed_starts += 1;
                give_up = job.failed_starts >= MAX_FAILED_STARTS;
            }
        }
        self.give_back_of(process.reservation.clone());
        self.dispatch_wanted = true;
        if give_up {
            self.give_up(process.job, how);
        }
        let (pid, how) = (process.pid, how.to_owned());
        self.quick.retain(|quick| *quick != worker);
        let running = match process.activity {
            // It died of what it ran before: what it had not begun was never tried.
            Activity::Busy(key) if process.tasks_done > 0 && self.waits_in(key, worker) => {
                self.take_task_back(worker, key);
                None
            }
            Activity::Busy(key) => Some(key),
            _ => None,
        };
        let loss = match self.lost_to_oom(worker, pid, running) {
            _ if dismissed => Loss::Interrupted { pid, how },
            Some(loss) => loss,
            None => Loss::Crash { pid, how },
        };
        match process.activity {
            Activity::Actor(actor) => self.lose_actor(actor, &loss, out),
            Activity::Busy(key) if running.is_some() && self.tasks.get(&key).is_some_and(|task| task.worker == Some(worker)) => {
                if let Some(task) = self.tasks.get_mut(&key) {
                    task.worker = None;
                    task.blocked = false;
                }
                self.end_lingering(key);
                let error = self.lose_attempt(key, &loss);
                self.failing.extend(error.map(|error| (key, error)));
            }
            _ => {}
        }
        // What it was sent ahead and has not begun was never tried.
        for (_, key) in process.window.ahead.iter().rev() {
            self.take_task_back(worker, *key);
        }
    }

    /// Whether a task was sent to this worker and has not begun.
    fn waits_in(&self, key: TaskKey, worker: ProcessId) -> bool {
        let waits =
            |task: &Task| task.role == Role::Function && task.status == TaskStatus::SubmittedToWorker && task.worker == Some(worker);
        self.tasks.get(&key).is_some_and(waits)
    }

    /// An actor's worker is gone, and out of the table: nothing is left to be told to it.
    fn lose_actor(&mut self, key: ObjectKey, loss: &Loss, out: &mut impl Outbox) {
        let Some(actor) = self.actors.get_mut(&key) else { return };
        actor.worker = None;
        let restarts = actor.restarts;
        if self.restart_actor(key, loss) {
            return;
        }
        let cause = match loss {
            Loss::Exception { error, .. } => error.line(),
            Loss::OutOfMemory { pid, report } => {
                format!("its worker {pid} was killed: out of memory ({} of {} in use)", report.used, report.total)
            }
            Loss::Crash { pid, how } | Loss::Interrupted { pid, how } => format!("its worker {pid} died ({how})"),
        };
        let after = match restarts {
            0 => String::new(),
            1 => " after 1 restart".to_owned(),
            restarts => format!(" after {restarts} restarts"),
        };
        let mut calls = self.actors.get(&key).map(|actor| actor.running.clone()).unwrap_or_default();
        calls.retain(|call| self.tasks.get(call).is_some_and(Task::is_pending));
        self.end_actor(key, &format!("{cause}{after}"), End::Killed, out);
        if matches!(loss, Loss::OutOfMemory { .. }) {
            // What is pushed last fails first: those that ran are told of memory, not of the actor's end.
            let told: Vec<_> = calls.into_iter().filter_map(|call| Some((call, self.error_of(call, loss)?))).collect();
            self.failing.extend(told);
        }
    }

    /// Fails what a job has queued: its workers don't start.
    fn give_up(&mut self, id: JobId, how: &str) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.failed_starts = 0;
        let error = Error::system(format!("start a worker for job {id}"), how);
        for key in job.pending.clone().into_iter().rev() {
            let about_to = |task: &Task| task.rare().paused_ms.is_some() || task.status == TaskStatus::PendingArgsFetch;
            // A call needs no worker but its actor's.
            let waits = |task: &Task| task.queue.is_some() || (about_to(task) && !matches!(task.role, Role::Method(_)));
            if self.tasks.get(&key).is_some_and(waits) {
                self.failing.push((key, error.clone()));
            }
        }
    }
}
