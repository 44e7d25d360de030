//! Tasks that ask for more than the node has: told of at once, and kept waiting until somebody cancels them or the node drains, or
//! failed where that was asked for.

use std::collections::{BTreeMap, BTreeSet};

use plasmon_protocol::error::Error;
use plasmon_protocol::id::TaskKey;
use plasmon_protocol::record::{EventKind, Severity, TaskStatus};
use plasmon_protocol::stream::Target;

use super::Core;

/// The tasks that wait for more than there is, by shape.
#[derive(Debug, Default)]
pub(super) struct Infeasible {
    shapes: BTreeMap<u64, BTreeSet<TaskKey>>,
}

impl Core {
    /// A task asks for more than the node has. The first one of its shape is told of.
    pub(super) fn report_infeasible(&mut self, key: TaskKey) {
        let Some(task) = self.tasks.get(&key) else { return };
        let error = self.infeasible_error(key);
        if self.config.fail_infeasible || self.is_draining() {
            self.failing.extend(error.map(|error| (key, error)));
            return;
        }
        let shape = task.shape.number;
        if !self.infeasible.shapes.contains_key(&shape)
            && let Some(error) = error
        {
            let message = format!("{error}; it waits until it is cancelled");
            let task = Some(Target::Task(key.on(self.config.node)));
            self.event_about(EventKind::Infeasible, Severity::Warning, None, task, message);
        }
        self.infeasible.shapes.entry(shape).or_default().insert(key);
        let now_ms = self.now_ms;
        let Some(task) = self.tasks.get_mut(&key) else { return };
        task.waiting_since_ms = now_ms;
        let before = std::mem::replace(&mut task.status, TaskStatus::Infeasible);
        self.status_changed(Some(before), TaskStatus::Infeasible);
    }

    /// Nobody waits any more for what can never be: all that do fail, the oldest first.
    pub(super) fn fail_all_infeasible(&mut self) {
        let mut tasks: Vec<TaskKey> = self.infeasible.shapes.values().flatten().copied().collect();
        tasks.sort_unstable();
        for key in tasks.into_iter().rev() {
            let error = self.infeasible_error(key);
            self.failing.extend(error.map(|error| (key, error)));
        }
    }

    pub(super) fn forget_infeasible(&mut self, key: TaskKey) {
        let Some(shape) = self.tasks.get(&key).map(|task| task.shape.number) else { return };
        if let Some(tasks) = self.infeasible.shapes.get_mut(&shape) {
            tasks.remove(&key);
            if tasks.is_empty() {
                self.infeasible.shapes.remove(&shape);
            }
        }
    }

    /// What is asked for and not there, as an error.
    pub(super) fn infeasible_error(&self, key: TaskKey) -> Option<Error> {
        let task = self.tasks.get(&key)?;
        let (asked, total) = self.resources.offer().shortfall(&task.shape.asked);
        Some(Error::Infeasible { name: task.function.to_string(), site: self.site_of(task), asked, total })
    }
}
