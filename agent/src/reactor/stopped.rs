//! Processes that stand still, stopped by a signal or a debugger. What they hold stays theirs. What they were sent and have not begun
//! goes to others, so that nobody waits for them without need.

use plasmon_protocol::id::ProcessId;
use plasmon_protocol::record::TaskStatus;

use super::{Activity, Core, Outbox};

impl Core {
    /// The shell saw these processes stand still, and the others move. Tasks that did not begin are asked back.
    pub fn on_stopped(&mut self, stopped: &[ProcessId], out: &mut impl Outbox) {
        let tasks = &self.tasks;
        let (mut changed, mut asked) = (Vec::new(), Vec::new());
        for id in (0..self.processes.end()).map(ProcessId) {
            let Some(process) = self.processes.quiet_mut(id) else { continue };
            let moved = std::mem::replace(&mut process.stopped, stopped.contains(&id));
            // Idle ones that go on may take what waits.
            self.dispatch_wanted |= moved && !process.stopped;
            if moved != process.stopped {
                changed.push(id);
            }
            let Activity::Busy(key) = process.activity else { continue };
            let waits = tasks.get(&key).is_some_and(|task| task.status == TaskStatus::SubmittedToWorker && task.worker == Some(id));
            if process.stopped && (waits || !process.window.ahead.is_empty()) {
                asked.push(id);
            }
        }
        asked.into_iter().for_each(|id| self.ask_back(id, out));
        // What is kept for whoever waits for them is not worth keeping meanwhile.
        self.dispatch_wanted |= !changed.is_empty();
        for id in changed {
            self.processes.mark(id);
            self.reweigh_reservation(id);
        }
        self.settle(out);
    }
}
