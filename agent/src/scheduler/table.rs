//! All tasks that are known, by their keys. Each lies in a place of its own: the table grows and moves places alone, however many there are.

use hashbrown::{HashMap, HashSet};
use plasmon_protocol::id::{ObjectKey, ProcessId, TaskKey};

use super::task::Task;
use crate::changes::Changes;

/// More tasks than this are not listed when they change: then any may have.
const MANY: usize = 1 << 16;

/// A process counts its tasks: so many that follow each other are entered side by side.
const RUN: usize = 64;

/// The places of so many tasks of one process.
#[derive(Debug)]
struct Run {
    places: [u32; RUN],
    used: usize,
}

/// No place.
const NONE: u32 = u32::MAX;

/// Which run a task is in, and where in it.
fn run_of(key: &TaskKey) -> ((ProcessId, u32), usize) {
    ((key.process, key.number / RUN as u32), key.number as usize % RUN)
}

/// The tasks.
#[derive(Debug, Default)]
pub struct Tasks {
    /// The place of each one, which is its own for as long as it is known.
    runs: HashMap<(ProcessId, u32), Box<Run>, foldhash::fast::FixedState>,
    places: Vec<Option<Box<Task>>>,
    vacant: Vec<u32>,
    length: usize,
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
        let known = changes.changed.iter().filter_map(|key| self.get(key)).flat_map(made_by);
        (!changes.any).then(|| known.chain(changes.results).collect())
    }

    fn place(&self, key: &TaskKey) -> Option<u32> {
        let (run, at) = run_of(key);
        Some(self.runs.get(&run)?.places[at]).filter(|place| *place != NONE)
    }

    /// Adds a task, in place of one that had the same key.
    pub fn insert(&mut self, task: Task) {
        let key = task.key;
        self.changes.mark(key);
        let (run, at) = run_of(&key);
        let run = self.runs.entry(run).or_insert_with(|| Box::new(Run { places: [NONE; RUN], used: 0 }));
        if run.places[at] == NONE {
            run.used += 1;
            run.places[at] = self.vacant.pop().unwrap_or_else(|| {
                self.places.push(None);
                self.places.len() as u32 - 1
            });
            self.length += 1;
        }
        let place = run.places[at];
        self.places[place as usize] = Some(Box::new(task));
        self.places_changed.mark(place);
    }

    /// Forgets a task.
    pub fn remove(&mut self, key: &TaskKey) -> Option<Box<Task>> {
        let (number, at) = run_of(key);
        let run = self.runs.get_mut(&number)?;
        let place = std::mem::replace(&mut run.places[at], NONE);
        let task = self.places.get_mut(place as usize)?.take()?;
        run.used -= 1;
        if run.used == 0 {
            self.runs.remove(&number);
        }
        self.length -= 1;
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
        self.places.get(place as usize)?.as_deref()
    }

    /// There are no tasks at places from here on.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.places.len() as u32
    }

    /// A task.
    #[must_use]
    pub fn get(&self, key: &TaskKey) -> Option<&Task> {
        self.at(self.place(key)?)
    }

    /// A task, to change it.
    pub fn get_mut(&mut self, key: &TaskKey) -> Option<&mut Task> {
        self.changes.mark(*key);
        let place = self.place(key)?;
        self.places_changed.mark(place);
        self.places.get_mut(place as usize)?.as_deref_mut()
    }

    /// Whether there is one of this key.
    #[must_use]
    pub fn contains_key(&self, key: &TaskKey) -> bool {
        self.place(key).is_some()
    }

    /// All keys, in no order.
    pub fn keys(&self) -> impl Iterator<Item = TaskKey> {
        self.values().map(|task| task.key)
    }

    /// All tasks, in no order.
    pub fn values(&self) -> impl Iterator<Item = &Task> {
        self.places.iter().filter_map(Option::as_deref)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::task::sample;

    #[test]
    fn tasks_are_found_by_their_keys_and_leave_their_places_to_others() {
        let key = |process, number| TaskKey { process: ProcessId(process), number };
        let keys: Vec<TaskKey> = (1..=3).flat_map(|process| [0, 1, 63, 64, 130, u32::MAX].map(|number| key(process, number))).collect();
        let mut tasks = Tasks::default();
        keys.iter().for_each(|key| tasks.insert(sample(*key)));
        assert_eq!((tasks.len(), tasks.end() as usize), (keys.len(), keys.len()));
        assert!(keys.iter().all(|key| tasks.get(key).is_some_and(|task| task.key == *key)));
        assert!(tasks.get(&key(1, 2)).is_none() && tasks.remove(&key(1, 2)).is_none() && tasks.remove(&key(9, 0)).is_none());
        // One with the same key takes its place.
        tasks.insert(Task { attempt: 7, ..sample(key(2, 64)) });
        assert_eq!((tasks.len(), tasks.get(&key(2, 64)).map(|task| task.attempt)), (keys.len(), Some(7)));
        let gone = tasks.remove(&key(2, 64)).map(|task| task.attempt);
        assert_eq!((gone, tasks.contains_key(&key(2, 64)), tasks.len()), (Some(7), false, keys.len() - 1));
        tasks.insert(sample(key(4, 5)));
        assert_eq!((tasks.end() as usize, tasks.keys().count(), tasks.values().count()), (keys.len(), keys.len(), keys.len()));
        let all: Vec<TaskKey> = tasks.keys().collect();
        all.iter().for_each(|key| drop(tasks.remove(key)));
        assert!(tasks.is_empty() && tasks.runs.is_empty());
    }
}
