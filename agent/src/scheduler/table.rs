//! All tasks that are known, by their keys. Each lies in a place of its own: the table grows and moves keys alone, however many there are.

use std::ops::Index;

use hashbrown::HashMap;
use plasmon_protocol::id::TaskKey;

use super::task::Task;

/// The tasks.
#[derive(Debug, Default)]
pub struct Tasks(HashMap<TaskKey, Box<Task>, foldhash::fast::FixedState>);

impl Tasks {
    /// Adds a task, in place of one that had the same key.
    pub fn insert(&mut self, key: TaskKey, task: Task) {
        self.0.insert(key, Box::new(task));
    }

    /// Forgets a task.
    pub fn remove(&mut self, key: &TaskKey) -> Option<Box<Task>> {
        self.0.remove(key)
    }

    /// A task.
    #[must_use]
    pub fn get(&self, key: &TaskKey) -> Option<&Task> {
        self.0.get(key).map(|task| &**task)
    }

    /// A task, to change it.
    pub fn get_mut(&mut self, key: &TaskKey) -> Option<&mut Task> {
        self.0.get_mut(key).map(|task| &mut **task)
    }

    /// Whether there is one of this key.
    #[must_use]
    pub fn contains_key(&self, key: &TaskKey) -> bool {
        self.0.contains_key(key)
    }

    /// All keys, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &TaskKey> {
        self.0.keys()
    }

    /// All tasks, in no order.
    pub fn values(&self) -> impl Iterator<Item = &Task> {
        self.0.values().map(|task| &**task)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Index<&TaskKey> for Tasks {
    type Output = Task;

    fn index(&self, key: &TaskKey) -> &Task {
        &self.0[key]
    }
}
