//! Tasks that are sent to workers ahead of their turn, and taken back.

use plasmon_agent::scheduler::window::{AHEAD, TURN_MS};
use plasmon_protocol::id::{ProcessId, TaskKey};

use super::messages::{Verdict, allowed};
use super::{Activity, Check, Model, Role, Task};

/// What a worker was sent beside the task that it runs.
#[derive(Debug, Default)]
pub(crate) struct Window {
    /// When it got its place.
    pub(crate) since_ms: u64,
    /// Tasks that come after it.
    pub(crate) ahead: Vec<TaskKey>,
    /// Tasks that were taken back and of which it has not said yet that it does not run them.
    pub(crate) declined: Vec<TaskKey>,
    /// All that it was asked for and had then.
    pub(crate) asked: Vec<TaskKey>,
    /// It is not known yet what of that had begun.
    pub(crate) asking: bool,
    /// It ends when it turns out that it runs one of these.
    pub(crate) unwanted: Vec<TaskKey>,
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(otherwise()) }
}

impl Model {
    /// A task is sent to a worker that runs another one like it, before none of its job that was ready earlier. It lets pass nobody who could
    /// have begun instead, for the worker has its place already; but a place that anybody else waits for is kept no longer than a turn.
    pub(super) fn observe_ahead(&self, to: ProcessId, key: TaskKey, current: TaskKey) -> Check {
        let (worker, task, current) = (&self.processes[&to], &self.tasks[&key], &self.tasks[&current]);
        let what = || format!("task {key:?} is sent ahead to {to}");
        let window = &worker.window;
        ensure(window.ahead.len() < AHEAD && window.declined.is_empty() && !window.asking, || format!("{}: {window:?}", what()))?;
        ensure(!worker.blocked && worker.job == task.job, || format!("{}: {worker:?}", what()))?;
        ensure(task.role == Role::Function && current.role == Role::Function && current.wants == task.wants, || {
            format!("{}, behind {current:?}", what())
        })?;
        // Those with arguments in the store may wait for these as well, which is not seen here.
        let waits = |other: &Task| other.waits_for_worker() && !self.has_stored_arguments(other);
        let waiting = || self.tasks.iter().filter(|(other, task)| **other != key && waits(task)).map(|(_, task)| task);
        let earlier = waiting().find(|other| other.job == task.job && other.ready_at < task.ready_at);
        ensure(earlier.is_none(), || format!("{}, though this was ready earlier: {earlier:?}", what()))?;
        let alike = |other: &Task| other.job == task.job && other.wants == task.wants;
        let other = waiting().find(|other| !alike(other));
        ensure(other.is_none() || self.now_ms < window.since_ms + TURN_MS, || {
            format!("{} after its turn, while this waits: {other:?}", what())
        })
    }

    /// A worker is asked for what it has not begun.
    pub(super) fn observe_withdrawal(&mut self, from: ProcessId) -> Check {
        let worker = self.processes.get_mut(&from).ok_or_else(|| format!("process {from} is asked for its tasks, and is gone"))?;
        let window = &mut worker.window;
        ensure(!window.asking, || format!("process {from} is asked twice at once: {window:?}"))?;
        window.asking = true;
        window.asked = window.ahead.clone();
        // It may be done with all that it had meanwhile.
        if let Activity::Busy(current) = worker.activity {
            window.asked.push(current);
        }
        Ok(())
    }

    /// All that a worker had said when it was asked is known.
    pub(crate) fn withdrawn(&mut self, from: ProcessId) {
        let Some(worker) = self.processes.get_mut(&from) else { return };
        if !std::mem::take(&mut worker.window.asking) {
            return;
        }
        let unwanted = std::mem::take(&mut worker.window.unwanted);
        let Activity::Busy(current) = worker.activity else { return };
        let mut back = std::mem::take(&mut worker.window.ahead);
        let asked = worker.window.asked.contains(&current);
        let waits = |task: &Task| !task.begun && task.worker == Some(from);
        let begun = !asked || !waits(&self.tasks[&current]);
        if !begun {
            back.insert(0, current);
        }
        back.iter().for_each(|task| self.take_back(*task));
        let worker = self.processes.get_mut(&from).expect("it was there before");
        worker.window.declined.extend(&back);
        if !begun {
            self.leave_place(from);
        } else if unwanted.contains(&current) {
            self.end_attempt(current, from);
        }
        self.settle();
    }

    /// A worker says that it does not run a task.
    pub(super) fn decline(&mut self, from: ProcessId, key: TaskKey) -> Verdict {
        let worker = self.sender(from);
        if worker.activity == Activity::Leaving {
            return Ok(());
        }
        if worker.window.declined.first() == Some(&key) {
            worker.window.declined.remove(0);
            if worker.activity == Activity::Withdrawn {
                self.leave_place(from);
            }
            return Ok(());
        }
        let asked = worker.activity == Activity::Busy(key) && worker.window.asked.contains(&key);
        allowed(asked, "a task declined that nobody asked back")?;
        self.take_back(key);
        self.run_next(from);
        Ok(())
    }

    /// A worker is done with its task, in any way.
    pub(super) fn run_next(&mut self, worker: ProcessId) {
        let process = self.sender(worker);
        process.blocked = false;
        if process.window.ahead.is_empty() {
            self.leave_place(worker);
        } else {
            process.activity = Activity::Busy(process.window.ahead.remove(0));
        }
    }

    fn leave_place(&mut self, worker: ProcessId) {
        let process = self.sender(worker);
        process.blocked = false;
        process.activity = if process.window.declined.is_empty() { Activity::Idle } else { Activity::Withdrawn };
    }

    /// A task that was sent and has not begun was never tried.
    pub(super) fn take_back(&mut self, key: TaskKey) {
        self.end_lingering(key);
        let task = self.tasks.get_mut(&key).expect("it was there before");
        (task.worker, task.worker_pid, task.limit_at_ms, task.blocked) = (None, None, None, false);
        task.attempt -= 1;
        if task.is_pending() {
            self.wait_for_arguments(key);
        }
    }
}
