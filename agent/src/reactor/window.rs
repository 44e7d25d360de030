//! Quick tasks are sent to workers ahead of their turn, and taken back when the one before them is not quick after all: when it blocks,
//! takes long, or its worker stands still or goes. What was taken back goes to others as if it had never been sent.

use std::sync::Arc;

use plasmon_protocol::id::{JobId, ProcessId, TaskKey};
use plasmon_protocol::local::Work;
use plasmon_protocol::record::{EventKind, Severity, TaskStatus};

use super::{Activity, Core, Outbox, Process, Violation};
use crate::scheduler::queue::Head;
use crate::scheduler::task::{Role, Task};
use crate::scheduler::window::{LONG_MS, SOON_MS};

impl Core {
    /// Sends tasks that could begin now, if only there were resources, to workers that are about to be done with others like them: of each
    /// job its oldest. While anything else waits a worker is sent none when it had its place for a while: then others get it.
    pub(super) fn send_ahead(&mut self, out: &mut impl Outbox) {
        if self.quick.is_empty() {
            return;
        }
        let mut quick = std::mem::take(&mut self.quick);
        quick.retain(|worker| self.process(*worker).is_some_and(|process| process.window.most > 0));
        let mut last = JobId(0);
        while let Some(job) = self.ready.later_job(last) {
            last = job;
            self.send_jobs_ahead(job, &quick, out);
        }
        self.quick = quick;
    }

    fn send_jobs_ahead(&mut self, job: JobId, quick: &[ProcessId], out: &mut impl Outbox) {
        // Each gets its share of what waits, and leaves as much, so that all end at about the same time.
        let busy = quick.iter().filter_map(|worker| self.process(*worker));
        let busy = busy.filter(|process| process.job == job && matches!(process.activity, Activity::Busy(_))).count();
        let share = self.ready.length_of(job) / (2 * busy.max(1));
        for worker in quick {
            for _ in 0..share {
                let Some(head) = self.ready.oldest(job).filter(|_| out.has_room(*worker)) else { break };
                if !self.takes_ahead(*worker, job, &head) || !self.ready.send_ahead(job, &head) {
                    break;
                }
                if let Some(task) = self.tasks.get_mut(&head.task) {
                    task.queue = None;
                }
                if let Some(process) = self.process_mut(*worker) {
                    process.window.push(head.task);
                }
                self.run(head.task, *worker, Work::Task, true, out);
                self.look_at_windows(self.now_ms + LONG_MS);
            }
        }
    }

    /// Whether a worker runs a task like this one, and others may come after it.
    fn takes_ahead(&self, worker: ProcessId, job: JobId, head: &Head) -> bool {
        let Some(process) = self.process(worker) else { return false };
        let (Activity::Busy(current), Some(reservation)) = (process.activity, &process.reservation) else { return false };
        let is_task = |key: &TaskKey| self.tasks.get(key).is_some_and(|task| task.role == Role::Function);
        let is_like_it = |task: &Task| task.role == Role::Function && process.window.quick.as_ref() == Some(&task.function);
        process.job == job
            // A constructor makes an actor of its worker.
            && is_task(&current)
            && process.window.is_open()
            && (process.window.has_turn(self.now_ms) || !self.ready.others_wait(job, head.queue))
            && !process.blocked
            && !process.stopped
            && !self.oom.is_condemned(worker)
            && reservation.shape.number == head.shape.number
            && head.shape.gpus().is_zero()
            && self.tasks.get(&head.task).is_some_and(is_like_it)
    }

    /// What a worker's tasks have been like lately decides whether more of them are sent ahead, and whether those that were stay.
    pub(super) fn learn_quickness(&mut self, worker: ProcessId, key: TaskKey, out: &mut impl Outbox) {
        let function = self.tasks.get(&key).filter(|task| task.role == Role::Function).map(|task| &task.function);
        let Some(process) = self.processes.get_mut(worker) else { return };
        let took_long = process.window.turn_ms + LONG_MS <= self.now_ms;
        process.window.learn(function, self.now_ms);
        if process.window.most == 1 && !self.quick.contains(&worker) {
            self.quick.push(worker);
        } else if took_long && !process.window.ahead.is_empty() {
            self.ask_back(worker, out);
        }
    }

    /// A worker is done with the task that it ran: the next one that it was sent runs from here on, with what that one had reserved. False
    /// when there is none.
    pub(super) fn run_next(&mut self, worker: ProcessId, out: &mut impl Outbox) -> bool {
        let now_ms = self.now_ms;
        let Some(process) = self.process_mut(worker) else { return false };
        let Some(next) = process.window.next(now_ms) else { return false };
        let was_blocked = process.blocked;
        self.unblock(worker);
        if was_blocked {
            self.lend_cpus(worker, false);
        }
        if let Some(process) = self.process_mut(worker) {
            process.activity = Activity::Busy(next);
        }
        // It may have gone to sleep before it saw what it was sent ahead.
        out.wake(worker);
        self.dispatch_wanted |= !self.ready.is_empty();
        true
    }

    /// Asks a worker for what it was sent and has not begun; [`Core::on_withdrawn`] follows.
    pub(super) fn ask_back(&mut self, worker: ProcessId, out: &mut impl Outbox) {
        let Some(process) = self.process_mut(worker) else { return };
        if let Some(run) = process.window.ask_back() {
            out.withdraw(worker, run);
        }
    }

    /// What waits behind tasks that take long goes to others.
    pub(super) fn tick_windows(&mut self, out: &mut impl Outbox) {
        if self.window_look_ms.is_none_or(|at_ms| at_ms > self.now_ms) {
            return;
        }
        let waits = |process: &Process| !process.window.ahead.is_empty() && !process.window.asking;
        let waiting: Vec<(ProcessId, u64)> =
            self.workers().filter(|(_, process)| waits(process)).map(|(id, process)| (id, process.window.turn_ms)).collect();
        // Who waits for one that does not say that it heard of it gets another.
        let withdrawn = self.workers().filter(|(_, process)| process.is_withdrawn());
        let ends: Vec<u64> = withdrawn.map(|(_, process)| process.window.turn_ms + SOON_MS).collect();
        self.dispatch_wanted |= !ends.is_empty();
        self.window_look_ms = ends.into_iter().filter(|at_ms| *at_ms > self.now_ms).min();
        for (worker, turn_ms) in waiting {
            if turn_ms + LONG_MS <= self.now_ms {
                self.ask_back(worker, out);
            } else {
                self.look_at_windows(self.now_ms + LONG_MS);
            }
        }
    }

    /// Workers of a job that run nothing and are idle as soon as they have heard so.
    pub(super) fn returning(&self, job: JobId) -> u64 {
        let returns = |process: &Process| process.job == job && process.is_withdrawn() && process.window.turn_ms + SOON_MS > self.now_ms;
        self.workers().filter(|(_, process)| returns(process) && process.devices.is_empty()).count() as u64
    }

    /// All that a worker had said when it was asked for its tasks was heard: those that did not begin by then never will.
    pub fn on_withdrawn(&mut self, worker: ProcessId, out: &mut impl Outbox) {
        let Some(process) = self.process_mut(worker) else { return };
        if !std::mem::take(&mut process.window.asking) {
            return;
        }
        let (activity, unwanted) = (process.activity, std::mem::take(&mut process.window.unwanted));
        let Activity::Busy(key) = activity else { return };
        let ahead: Vec<TaskKey> = process.window.ahead.drain(..).map(|(_, task)| task).collect();
        // What was sent after it was asked for all is not asked for.
        let may_have_begun = !process.window.is_asked_back();
        let waits = |task: &Task| task.started_ms.is_none() && task.worker == Some(worker);
        let begun = may_have_begun || !self.tasks.get(&key).is_some_and(waits);
        let mut declined = ahead.clone();
        if !begun {
            declined.insert(0, key);
        }
        for task in declined.iter().rev() {
            self.take_task_back(worker, *task);
            self.tell_taken_back(worker, *task);
        }
        if let Some(process) = self.process_mut(worker) {
            process.window.declined.extend(&declined);
            process.window.most = 0;
        }
        if !begun {
            self.leave_place(worker, out);
        } else if unwanted.contains(&key) {
            self.end_attempt(key, worker, out);
        }
        self.settle(out);
    }

    /// A worker found that its task had been asked back.
    pub(super) fn on_task_declined(&mut self, worker: ProcessId, key: TaskKey, out: &mut impl Outbox) -> Result<(), Violation> {
        let Some(process) = self.process_mut(worker) else { return Ok(()) };
        if process.activity == Activity::Leaving {
            return Ok(());
        }
        if process.window.decline(key) {
            if process.activity == Activity::Withdrawn {
                self.leave_place(worker, out);
            }
            return Ok(());
        }
        if process.activity != Activity::Busy(key) || !process.window.is_asked_back() {
            return Err(Violation(format!("task {} declined, which nobody asked back", key.on(self.config.node))));
        }
        // Its word that it begins came before the agent's, and it saw the agent's before it did.
        self.take_task_back(worker, key);
        if !self.run_next(worker, out) {
            self.leave_place(worker, out);
        }
        Ok(())
    }

    /// A worker runs nothing any more: what was reserved for it is given back, and it is idle as soon as it knows of all that was taken
    /// back from it.
    pub(super) fn leave_place(&mut self, worker: ProcessId, out: &mut impl Outbox) {
        self.unblock(worker);
        self.give_back(worker);
        self.dispatch_wanted = true;
        let now_ms = self.now_ms;
        let Some(process) = self.process_mut(worker) else { return };
        if !process.window.declined.is_empty() {
            process.activity = Activity::Withdrawn;
            process.window.turn_ms = now_ms;
            self.look_at_windows(now_ms + SOON_MS);
            return;
        }
        process.activity = Activity::Idle;
        let job = process.job;
        self.make_idle(worker, job, out);
    }

    /// The windows are looked at by then.
    fn look_at_windows(&mut self, at_ms: u64) {
        self.window_look_ms = Some(self.window_look_ms.map_or(at_ms, |look_ms| look_ms.min(at_ms)));
    }

    fn tell_taken_back(&mut self, worker: ProcessId, key: TaskKey) {
        let Some(pid) = self.process(worker).filter(|process| process.stopped).map(|process| process.pid) else { return };
        let Some(name) = self.tasks.get(&key).filter(|task| task.is_pending()).map(|task| Arc::clone(&task.function)) else { return };
        let message = format!("task {name} goes to another worker: process {pid} stands still");
        self.event(EventKind::Notice, Severity::Warning, Some(pid), message);
    }

    /// Queues a task anew that its worker never began.
    pub(super) fn take_task_back(&mut self, worker: ProcessId, key: TaskKey) {
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
        self.unfetch(key);
        let missing = self.await_missing(key);
        if missing == 0 {
            self.make_ready(key);
        } else if let Some(task) = self.tasks.get_mut(&key) {
            task.waits_for = missing;
            let before = std::mem::replace(&mut task.status, TaskStatus::PendingArgsAvail);
            self.status_changed(Some(before), TaskStatus::PendingArgsAvail);
        }
    }
}
