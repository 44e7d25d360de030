//! What each kind of task uses of memory: seen by samples while it runs, and told by its worker at its end.

use plasmon_protocol::id::{ProcessId, TaskKey};

use super::{Activity, Core, Violation};
use crate::scheduler::learned::Learned;
use crate::scheduler::task::Task;

/// What a task asked for, bytes; 0 for nothing. It may use more, or less.
pub(super) fn asked_memory(task: &Task) -> u64 {
    task.shape.asked.memory_bytes
}

impl Core {
    /// A worker's heap was sampled: its task has had so much at least.
    pub(super) fn notice_heap(&mut self, worker: ProcessId, heap_bytes: u64) {
        let running: &[TaskKey] = match self.process(worker).map(|process| process.activity) {
            Some(Activity::Busy(key)) => &[key],
            // Of calls side by side nobody can tell whose it is.
            Some(Activity::Actor(actor)) => match self.actors.get(&actor).map(|actor| actor.running.as_slice()) {
                Some([call]) => &[*call],
                _ => return,
            },
            _ => return,
        };
        for key in running {
            if let Some(task) = self.tasks.get_mut(key).filter(|task| task.worker == Some(worker) && task.started_ms.is_some()) {
                task.heap_bytes = task.heap_bytes.max(heap_bytes);
            }
        }
    }

    /// A worker tells the most that its heap had while a task ran.
    pub(super) fn on_heap_peak(&mut self, from: ProcessId, key: TaskKey, bytes: u64) -> Result<(), Violation> {
        if let Some(task) = self.running(from, key)? {
            task.heap_bytes = task.heap_bytes.max(bytes);
        }
        Ok(())
    }

    /// A task has ended: what it used is remembered under its function's name.
    pub(super) fn learn_heap(&mut self, key: TaskKey) {
        if let Some(task) = self.tasks.get(&key).filter(|task| task.heap_bytes > 0) {
            self.learned.record(&task.function, task.heap_bytes, self.now_ms);
        }
    }

    pub(super) fn learned_of(&self, task: &Task) -> Learned {
        self.learned.get(&task.function).copied().unwrap_or_default()
    }
}
