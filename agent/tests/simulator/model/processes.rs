//! Who comes, and who goes in any way.

use plasmon_protocol::id::{JobId, ObjectKey, ProcessId, TaskKey};
use plasmon_protocol::record::TaskStatus;

use super::retries::Loss;
use super::{AGENT, Activity, CAPTURED, End, Model, Process, Role, SUBMITTED};

/// Starts that may fail in a row.
const MAX_FAILED_STARTS: u32 = 3;

impl Model {
    pub(crate) fn driver_connected(&mut self, process: ProcessId, job: JobId, pid: u32) {
        self.processes.insert(process, Process::new(pid, job, Activity::Free));
        self.begin_job(job.0);
    }

    /// Whether somebody waits for the worker.
    pub(crate) fn worker_connected(&mut self, process: ProcessId, pid: u32) -> bool {
        let Some(worker) = self.processes.get_mut(&process).filter(|worker| worker.activity == Activity::Starting) else { return false };
        worker.pid = pid;
        worker.activity = Activity::Idle;
        let failed = self.jobs.get_mut(&worker.job);
        failed.map(|failed| *failed = 0).is_some()
    }

    pub(crate) fn worker_starts(&mut self, process: ProcessId, job: JobId, devices: &[u32]) {
        let worker = Process::new(0, job, Activity::Starting);
        self.processes.insert(process, Process { devices: devices.to_vec(), ..worker });
    }

    /// Work comes to an end: what can never run fails.
    pub(crate) fn drain(&mut self) {
        self.draining = true;
        let infeasible = self.tasks.iter().filter(|(_, task)| task.status == TaskStatus::Infeasible);
        self.failing.extend(infeasible.map(|(key, _)| (*key, "infeasible")));
        self.settle();
    }

    /// A process is gone: it leaves nothing but what others hold.
    pub(crate) fn process_lost(&mut self, id: ProcessId) {
        let Some(lost) = self.processes.remove(&id) else { return };
        for object in self.objects.values_mut() {
            object.waiters.retain(|(process, _, _)| *process != id);
        }
        let rows: Vec<(ObjectKey, [u32; 4])> =
            self.rows.iter().filter(|((_, holder), _)| *holder == id).map(|((key, _), counts)| (*key, *counts)).collect();
        for (key, counts) in rows {
            self.rows.remove(&(key, id));
            self.kept.remove(&(key, id));
            self.viewed.remove(&(key, id));
            self.dropped = true;
            // What its tasks and its objects hold goes on in the agent's name.
            if counts[SUBMITTED] + counts[CAPTURED] > 0 {
                let inherited = self.rows.entry((key, AGENT)).or_default();
                inherited[SUBMITTED] += counts[SUBMITTED];
                inherited[CAPTURED] += counts[CAPTURED];
            }
        }
        for task in self.tasks.values_mut().filter(|task| (task.is_pending() || !task.holds.is_empty()) && task.holder == id) {
            task.holder = AGENT;
        }
        self.close_all_of(id);
        self.killed.remove(&id);
        self.free_unheld();
        self.asks.retain(|ask| ask.process != id || ask.restore.is_some());
        self.orphan_leases(id);
        self.lent.retain(|_, owner| *owner != id);
        self.fail_unwanted(id);
        if lost.activity == Activity::Free {
            self.end_job(lost.job);
        } else {
            self.lose_worker(id, &lost);
        }
        self.settle();
    }

    /// Queued tasks of a dead submitter whose results nobody can ever get. Calls are run for what they do to their actors.
    fn fail_unwanted(&mut self, submitter: ProcessId) {
        let unwanted: Vec<TaskKey> = self
            .tasks
            .iter()
            .filter(|(key, task)| key.process == submitter && task.is_pending() && task.worker.is_none() && task.role == Role::Function)
            .filter(|(_, task)| task.returns.iter().all(|result| !self.objects.contains_key(result)))
            .map(|(key, _)| *key)
            .collect();
        self.failing.extend(unwanted.into_iter().map(|key| (key, "task_cancelled")));
    }

    pub(super) fn end_job(&mut self, job: JobId) {
        if self.jobs.remove(&job).is_none() {
            return;
        }
        self.ended_jobs.insert(job);
        // What runs in an actor of another job goes on there.
        for task in self.tasks.values_mut().filter(|task| task.job == job && (task.is_pending() || task.lingers) && task.worker.is_some()) {
            if let Role::Method(actor) = task.role
                && self.jobs.contains_key(&self.actors[&actor].job)
            {
                task.job = self.actors[&actor].job;
            }
        }
        let lingering = self.tasks.iter().filter(|(_, task)| task.job == job && task.lingers);
        lingering.map(|(key, _)| *key).collect::<Vec<_>>().into_iter().for_each(|key| self.end_lingering(key));
        let cancelled = self.tasks.iter().filter(|(_, task)| task.job == job && task.is_pending());
        self.failing.extend(cancelled.map(|(key, _)| (*key, "task_cancelled")));
        let actors: Vec<ObjectKey> = self.actors.iter().filter(|(_, actor)| actor.job == job).map(|(key, _)| *key).collect();
        for actor in actors {
            self.end_actor(actor, End::AtOnce);
        }
        for (id, worker) in self.processes.iter_mut().filter(|(id, process)| **id != AGENT && process.job == job) {
            worker.dismissed = true;
            self.kills.insert(*id);
        }
    }

    fn lose_worker(&mut self, id: ProcessId, lost: &Process) {
        if lost.activity == Activity::Starting
            && let Some(failed) = self.jobs.get_mut(&lost.job)
        {
            *failed += 1;
            if *failed >= MAX_FAILED_STARTS {
                *failed = 0;
                let queued = self.tasks.iter().filter(|(_, task)| task.job == lost.job && task.waits_for_worker());
                self.failing.extend(queued.map(|(key, _)| (*key, "system")));
            }
        }
        let had_to_go = self.condemned.remove(&id);
        let loss = match (lost.dismissed, had_to_go) {
            (true, _) => Loss::Interrupted,
            (false, true) => Loss::OutOfMemory,
            (false, false) => Loss::Crash,
        };
        if let Activity::Actor(actor) = lost.activity
            && !self.restart_actor(actor, loss)
        {
            if loss == Loss::OutOfMemory {
                let running = self.actors[&actor].running.iter().filter(|call| self.tasks[call].is_pending());
                self.failing.extend(running.map(|call| (*call, "out_of_memory")));
            }
            self.end_actor(actor, End::AtOnce);
        }
        lost.window.ahead.iter().for_each(|task| self.take_back(*task));
        let Activity::Busy(key) = lost.activity else { return };
        let Some(task) = self.tasks.get_mut(&key).filter(|task| task.worker == Some(id)) else { return };
        if lost.done > 0 && task.role == Role::Function && task.status == TaskStatus::SubmittedToWorker {
            self.take_back(key);
            return;
        }
        task.worker = None;
        task.blocked = false;
        let pending = task.is_pending();
        self.end_lingering(key);
        if pending && !self.lose_attempt(key, loss) {
            self.failing.push((key, if loss == Loss::OutOfMemory { "out_of_memory" } else { "worker_crashed" }));
        }
    }
}
