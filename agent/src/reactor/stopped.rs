//! Processes that stand still, stopped by a signal or a debugger. What they hold stays theirs. What they were sent and have not begun
//! goes to others, so that nobody waits for them without need.

use std::sync::Arc;

use plasmon_protocol::id::{ProcessId, TaskKey};
use plasmon_protocol::record::{EventKind, Severity, TaskStatus};

use super::{Activity, Core, Outbox, Violation};

impl Core {
    /// The shell saw these processes stand still, and the others move. Tasks that did not begin are asked back.
    pub fn on_stopped(&mut self, stopped: &[ProcessId], out: &mut impl Outbox) {
        let tasks = &self.tasks;
        let mut changed = Vec::new();
        for (index, process) in self.processes.iter_mut().enumerate() {
            let (id, Some(process)) = (ProcessId(index as u32), process) else { continue };
            let moved = std::mem::replace(&mut process.stopped, stopped.contains(&id));
            // Idle ones that go on may take what waits.
            self.dispatch_wanted |= moved && !process.stopped;
            if moved != process.stopped {
                changed.push(id);
            }
            let Activity::Busy(key) = process.activity else { continue };
            let waits = tasks.get(&key).is_some_and(|task| task.status == TaskStatus::SubmittedToWorker && task.worker == Some(id));
            if process.stopped && waits && !process.withdrawing {
                process.withdrawing = true;
                out.withdraw(id, process.runs);
            }
        }
        // What is kept for whoever waits for them is not worth keeping meanwhile.
        self.dispatch_wanted |= !changed.is_empty();
        changed.into_iter().for_each(|id| self.reweigh_reservation(id));
        self.settle(out);
    }

    /// All that a worker had said when its task was asked back was heard: a task that did not begin by then never will.
    pub fn on_withdrawn(&mut self, worker: ProcessId, out: &mut impl Outbox) {
        let Some(process) = self.process_mut(worker) else { return };
        let Activity::Busy(key) = process.activity else { return };
        let asked = process.withdrawing;
        let began = self.tasks.get(&key).is_none_or(|task| task.status != TaskStatus::SubmittedToWorker || task.worker != Some(worker));
        if !asked || began {
            return;
        }
        self.take_task_back(worker, key);
        if let Some(process) = self.process_mut(worker) {
            process.activity = Activity::Withdrawn(key);
        }
        self.settle(out);
    }

    /// A worker found that its task had been asked back.
    pub(super) fn on_task_declined(&mut self, worker: ProcessId, key: TaskKey, out: &mut impl Outbox) -> Result<(), Violation> {
        let Some(process) = self.process_mut(worker) else { return Ok(()) };
        let (activity, job) = (process.activity, process.job);
        if !process.withdrawing || (activity != Activity::Withdrawn(key) && activity != Activity::Busy(key)) {
            return Err(Violation(format!("task {} declined, which nobody asked back", key.on(self.config.node))));
        }
        if activity == Activity::Busy(key) {
            // Its word that it begins came before the agent's, and it saw the agent's before it did.
            self.take_task_back(worker, key);
        }
        if let Some(process) = self.process_mut(worker) {
            process.activity = Activity::Idle;
            process.withdrawing = false;
        }
        self.make_idle(worker, job, out);
        Ok(())
    }

    /// Queues a task anew that its worker never began.
    fn take_task_back(&mut self, worker: ProcessId, key: TaskKey) {
        self.unblock(worker);
        self.give_back(worker);
        let pid = self.pid(worker);
        self.stop_timers(key);
        self.end_lingering(key);
        let Some(task) = self.tasks.get_mut(&key).filter(|task| task.worker == Some(worker)) else { return };
        task.worker = None;
        task.worker_pid = None;
        task.started_ms = None;
        task.blocked = false;
        task.attempt = task.attempt.saturating_sub(1);
        if !task.is_pending() {
            return;
        }
        let name = Arc::clone(&task.function);
        self.unfetch(key);
        self.make_ready(key);
        self.event(
            EventKind::Notice,
            Severity::Warning,
            Some(pid),
            format!("task {name} goes to another worker: process {pid} stands still"),
        );
    }
}
