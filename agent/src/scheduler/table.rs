//! All tasks that are known, by their keys. Each lies in a place of its own: the table grows and moves keys alone, however many there are.

use std::ops::Index;

use hashbrown::{HashMap, HashSet};
use plasmon_protocol::id::{ObjectKey, TaskKey};

use super::task::Task;
use crate::changes::Changes;

/// More tasks than this are not listed when they change: then any may have.
const MANY: usize = 1 << 16;

/// The tasks.
#[derive(Debug, Default)]
pub struct Tasks {
    /// With the number of each one's place, which is its own for as long as it is known.
    all: HashMap<TaskKey, (u32, Box<Task>), foldhash::fast::FixedState>,
    places: Vec<Option<TaskKey>>,
    vacant: Vec<u32>,
    changes: TaskChanges,
    /// Places of tasks that changed, for whoever follows the table.
    pub places_changed: Changes,
}

/// Tasks that changed, for whoever follows what is said of them in rows of their results.
#[derive(Debug, Default)]
struct TaskChanges {
    followed: bool,
    changed: HashSet<TaskKey, foldhash::fast::FixedState>,
    /// Results of tasks that are known no more.
    results: Vec<ObjectKey>,
    /// There were too many.
    any: bool,
}

impl TaskChanges {
    fn mark(&mut self, key: TaskKey) {
        if self.followed && !self.any {
            self.changed.insert(key);
            self.bound();
        }
    }

    fn bound(&mut self) {
        if self.changed.len() + self.results.len() > MANY {
            *self = Self { followed: true, any: true, ..Self::default() };
        }
    }
}

/// The objects that a task makes: its results, and what handles of its actor refer to.
fn made_by(task: &Task) -> impl Iterator<Item = ObjectKey> {
    task.returns.iter().copied().chain(task.role.actor())
}

impl Tasks {
    /// From now on, or no more, somebody wants to know which tasks change.
    pub fn follow(&mut self, followed: bool) {
        self.changes = TaskChanges { followed, ..TaskChanges::default() };
    }

    /// The results of tasks that changed since the last call; `None` when they were too many to list.
    pub fn take_changed(&mut self) -> Option<Vec<ObjectKey>> {
        let none = TaskChanges { followed: self.changes.followed, ..TaskChanges::default() };
        let changes = std::mem::replace(&mut self.changes, none);
        let known = changes.changed.iter().filter_map(|key| self.all.get(key)).flat_map(|(_, task)| made_by(task));
        (!changes.any).then(|| known.chain(changes.results).collect())
    }

    /// Adds a task, in place of one that had the same key.
    pub fn insert(&mut self, key: TaskKey, task: Task) {
        self.changes.mark(key);
        let place = match self.all.get(&key) {
            Some((place, _)) => *place,
            None => self.vacant.pop().unwrap_or_else(|| {
                self.places.push(None);
                self.places.len() as u32 - 1
            }),
        };
        self.places[place as usize] = Some(key);
        self.places_changed.mark(place);
        self.all.insert(key, (place, Box::new(task)));
    }

    /// Forgets a task.
    pub fn remove(&mut self, key: &TaskKey) -> Option<Box<Task>> {
        let (place, task) = self.all.remove(key)?;
        self.places[place as usize] = None;
        self.places_changed.mark(place);
        self.vacant.push(place);
        if self.changes.followed && !self.changes.any {
            self.changes.results.extend(made_by(&task));
            self.changes.bound();
        }
        Some(task)
    }

    /// The task at a place, unless it is vacant.
    #[must_use]
    pub fn at(&self, place: u32) -> Option<&Task> {
        self.get(self.places.get(place as usize)?.as_ref()?)
    }

    /// There are no tasks at places from here on.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.places.len() as u32
    }

    /// A task.
    #[must_use]
    pub fn get(&self, key: &TaskKey) -> Option<&Task> {
        self.all.get(key).map(|(_, task)| &**task)
    }

    /// A task, to change it.
    pub fn get_mut(&mut self, key: &TaskKey) -> Option<&mut Task> {
        self.changes.mark(*key);
        let (place, task) = self.all.get_mut(key)?;
        self.places_changed.mark(*place);
        Some(task)
    }

    /// Whether there is one of this key.
    #[must_use]
    pub fn contains_key(&self, key: &TaskKey) -> bool {
        self.all.contains_key(key)
    }

    /// All keys, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &TaskKey> {
        self.all.keys()
    }

    /// All tasks, in no order.
    pub fn values(&self) -> impl Iterator<Item = &Task> {
        self.all.values().map(|(_, task)| &**task)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

impl Index<&TaskKey> for Tasks {
    type Output = Task;

    fn index(&self, key: &TaskKey) -> &Task {
        &self.all[key].1
    }
}
