//! Processes come, and go in any way. Whoever goes leaves nothing behind but what others hold.

use std::collections::BTreeSet;
use std::sync::Arc;

use plasmon_protocol::id::{JobId, ObjectKey, ProcessId, TaskKey};
use plasmon_protocol::record::{EventKind, ProcessType, Severity};
use plasmon_protocol::stream::Target;

use super::actors::End;
use super::{Activity, Core, Departure, Job, Outbox, Process, Root, Violation};
use crate::references::table::Count;
use crate::scheduler::task::Role;

/// Bytes that an event shows of what a process without a name has done.
const MAX_CAUSE: usize = 500;

impl Core {
    /// A driver has connected: its number, and that of its new job.
    pub fn on_driver_connected(&mut self, pid: u32, name: &str) -> (ProcessId, JobId) {
        let name: Arc<str> = name.into();
        let driver = ProcessId(self.processes.end());
        let id = self.begin_job(Root::Driver(driver), Arc::clone(&name));
        self.add_process(Process::new(pid, ProcessType::Driver, id, Arc::clone(&name), Activity::Free, self.now_ms));
        self.event(EventKind::DriverConnected, Severity::Info, Some(pid), format!("driver {pid} ({name}) connected as job {id}"));
        (driver, id)
    }

    pub(super) fn begin_job(&mut self, root: Root, name: Arc<str>) -> JobId {
        self.jobs_begun += 1;
        let id = JobId(self.jobs_begun);
        self.jobs.insert(
            id,
            Job {
                root,
                name,
                idle: Vec::new(),
                starting: 0,
                starting_with: Vec::new(),
                workers: 0,
                actors: 0,
                blocked: 0,
                pending: BTreeSet::new(),
                failed_starts: 0,
            },
        );
        id
    }

    pub(super) fn add_process(&mut self, process: Process) -> ProcessId {
        self.living += 1;
        self.changes += 1;
        self.processes.push(process)
    }

    /// A client broke the protocol. Its end follows through [`Core::on_process_lost`].
    pub fn on_violation(&mut self, process: ProcessId, violation: &Violation, out: &mut impl Outbox) {
        let Some((pid, name)) = self.process(process).map(|process| (process.pid, Arc::clone(&process.name))) else { return };
        // One that was told to go may well speak of what went before it.
        if !self.dismissed.contains(&process) {
            self.event(EventKind::ProcessDropped, Severity::Error, Some(pid), format!("process {pid} ({name}) dropped: {}", violation.0));
        }
        if let Some(process) = self.process_mut(process) {
            process.violation.get_or_insert_with(|| violation.0.clone());
        }
        out.kill(process);
    }

    /// A process that wanted to connect is not let in. One that tries again and again for the same reason is told of once.
    pub fn on_refused(&mut self, pid: u32, cause: &str) {
        let shown = &cause[..cause.floor_char_boundary(MAX_CAUSE)];
        let message = format!("process {pid} not let in: {shown}");
        if self.events.back().is_none_or(|last| last.message != message) {
            self.event(EventKind::ProcessDropped, Severity::Error, Some(pid), message);
        }
    }

    /// A process is gone, and its ring was drained to the last published byte.
    pub fn on_process_lost(&mut self, id: ProcessId, departure: impl Into<Departure>, out: &mut impl Outbox) {
        let departure = self.true_departure(id, departure.into());
        if id.0 == 0 {
            return;
        }
        let how = &*departure.how;
        self.examine(id, &departure);
        // It must be there while its rows are released, or their sums would not be kept.
        let Some(process) = self.processes.get_mut(id) else { return };
        let (requests, leases) = (std::mem::take(&mut process.requests), std::mem::take(&mut process.leases));
        for (request, key) in requests {
            if let Some(cold) = self.objects.get_mut(key).and_then(|object| object.cold.as_mut()) {
                cold.forget(id, request);
            }
        }
        self.dying = Some(id);
        self.release_rows(id, out);
        self.dying = None;
        let Some(process) = self.processes.take(id) else { return };
        if self.dead_pids.len() <= id.0 as usize {
            self.dead_pids.resize(id.0 as usize + 1, 0);
        }
        self.dead_pids[id.0 as usize] = process.pid;
        self.living -= 1;
        for lease in leases.into_iter().flatten() {
            self.store.orphan(lease);
        }
        self.slots.orphan(id);
        self.drop_creates(id);
        let expected = self.dismissed.contains(&id);
        match process.process_type {
            ProcessType::Worker => self.lose_worker(id, &process, how, out),
            ProcessType::Driver => self.end_job(process.job, &format!("its driver {} ended", process.pid), out),
            ProcessType::Agent => {}
        }
        self.dismissed.remove(&id);
        self.unheard.retain(|task, _| task.process != id);
        self.oom.forget(id);
        let (kind, severity, what) = match (process.process_type, expected) {
            (ProcessType::Driver, true) => (EventKind::DriverEnded, Severity::Info, "ended"),
            // Not the agent's child: nobody tells whether it failed.
            (ProcessType::Driver, false) => (EventKind::DriverEnded, Severity::Warning, "ended without shutdown"),
            (_, true) => (EventKind::WorkerEnded, Severity::Info, "ended"),
            (_, false) => (EventKind::ProcessDied, Severity::Error, "died"),
        };
        let opens = (kind == EventKind::ProcessDied).then_some(Target::Process(id));
        let message = format!("{} {} {what} ({how})", process.process_type, process.pid);
        self.event_about(kind, severity, Some(process.pid), opens, message);
        self.serve_creates(out);
        self.settle(out);
    }

    /// Drops a dead process's handles and views. What its tasks and objects hold goes on in the agent's name.
    fn release_rows(&mut self, id: ProcessId, out: &mut impl Outbox) {
        let Some(process) = self.process(id) else { return };
        let agent = ProcessId(0);
        let rows: Vec<(ObjectKey, [u32; 4], _)> = self
            .references
            .of_process(process.first_reference)
            .map(|row| (row.key, [Count::Local, Count::Pinned, Count::Submitted, Count::Captured].map(|count| row.count(count)), row.site))
            .collect();
        for (key, [local, pinned, submitted, captured], site) in rows {
            for (count, times, inherited) in [
                (Count::Submitted, submitted, true),
                (Count::Captured, captured, true),
                (Count::Local, local, false),
                (Count::Pinned, pinned, false),
            ] {
                for _ in 0..times {
                    if inherited {
                        let held = self.hold(agent, key, count, site);
                        debug_assert_eq!(held, Ok(()), "a held object lives");
                    }
                    self.release(id, key, count);
                }
            }
        }
        let tasks: Vec<TaskKey> = self
            .jobs
            .values()
            .flat_map(|job| job.pending.range(TaskKey { process: id, number: 0 }..=TaskKey { process: id, number: u32::MAX }))
            .copied()
            .collect();
        for task in &tasks {
            if let Some(task) = self.tasks.get_mut(task) {
                task.holder = agent;
            }
            self.close_results(*task, out);
        }
        self.inherit_constructors(id);
        self.drain_doomed(out);
        // A queued task whose results nobody can ever get is not run; a queued call is, for what it does to its actor.
        let unwanted: Vec<TaskKey> = tasks
            .into_iter()
            .filter(|task| {
                self.tasks.get(task).is_some_and(|task| {
                    task.role == Role::Function
                        && task.worker.is_none()
                        && task.is_pending()
                        && task.returns.iter().all(|result| self.objects.get(*result).is_none())
                })
            })
            .collect();
        self.cancel_tasks(unwanted, "its submitter died and nobody holds its results");
    }

    /// What a job ends with is gone: its tasks are cancelled, its actors and workers end.
    pub(super) fn end_job(&mut self, id: JobId, cause: &str, out: &mut impl Outbox) {
        let Some(job) = self.jobs.remove(&id) else { return };
        out.end_job(id);
        self.lineage.forget_job(id);
        let cancelled: Vec<TaskKey> = job.pending.into_iter().filter(|task| !self.hand_over(*task)).collect();
        cancelled.iter().for_each(|task| self.end_lingering(*task));
        self.cancel_tasks(cancelled, cause);
        let mut actors: Vec<ObjectKey> =
            self.actors.values().filter(|actor| actor.job == id && actor.lives()).map(|actor| actor.key).collect();
        actors.sort_unstable();
        for actor in actors {
            self.end_actor(actor, &format!("job {id} is over: {cause}"), End::Over, out);
        }
        let workers: Vec<ProcessId> = self.workers().filter(|(_, process)| process.job == id).map(|(id, _)| id).collect();
        for worker in workers {
            self.dismissed.insert(worker);
            out.kill(worker);
        }
    }

    /// All workers that have not ended, starting ones included.
    pub(super) fn workers(&self) -> impl Iterator<Item = (ProcessId, &Process)> {
        self.living_processes().filter(|(_, process)| process.process_type == ProcessType::Worker)
    }

    /// A call that runs in an actor of another job goes on as one of that job's: the actor may not lose its arguments under its hands.
    fn hand_over(&mut self, key: TaskKey) -> bool {
        let Some(task) = self.tasks.get_mut(&key).filter(|task| task.worker.is_some()) else { return false };
        let Role::Method(actor) = task.role else { return false };
        let Some(id) = self.actors.get(&actor).map(|actor| actor.job) else { return false };
        let Some(job) = self.jobs.get_mut(&id) else { return false };
        task.job = id;
        job.pending.insert(key);
        true
    }

    /// The process itself, or the agent when it is gone: in whose name counts are kept.
    pub(super) fn living(&self, process: ProcessId) -> ProcessId {
        if self.process(process).is_some() && self.dying != Some(process) { process } else { ProcessId(0) }
    }

    /// Whether a process is about to end as it should: it said so, or was told to.
    #[must_use]
    pub fn is_leaving(&self, process: ProcessId) -> bool {
        self.dismissed.contains(&process)
    }
}
