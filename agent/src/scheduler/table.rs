//! All tasks that are known, by their keys. Each lies in a place of its own, where it stays, however many there are.

use hashbrown::{HashMap, HashSet};
use plasmon_memory::pages::reserve;
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

/// Tasks that lie side by side. Room for so many is more than an allocator takes from what it keeps for others, so it goes back to the
/// system when none is left.
const CHUNK: usize = 1 << 17;
/// A chunk that never had more is kept: who comes next need not wait for memory.
const KEPT: usize = 1 << 13;

/// Some of the tasks, in huge pages where there may be such.
#[derive(Debug, Default)]
struct Chunk {
    tasks: Vec<Option<Task>>,
    vacant: Vec<u32>,
}

impl Chunk {
    fn has_room(&self) -> bool {
        self.tasks.len() < CHUNK || !self.vacant.is_empty()
    }

    /// A vacant place, if there is room.
    fn occupy(&mut self) -> usize {
        if let Some(place) = self.vacant.pop() {
            return place as usize;
        }
        if self.tasks.capacity() == 0 {
            reserve(&mut self.tasks, CHUNK);
        }
        self.tasks.push(None);
        self.tasks.len() - 1
    }

    fn take(&mut self, place: usize) -> Option<Task> {
        let task = self.tasks.get_mut(place)?.take()?;
        self.vacant.push(place as u32);
        if self.vacant.len() == self.tasks.len() && self.tasks.len() > KEPT {
            *self = Self::default();
        }
        Some(task)
    }
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
    chunks: Vec<Chunk>,
    /// No task ever had a place from here on.
    end: u32,
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
            let number = self.chunks.iter().position(Chunk::has_room).unwrap_or_else(|| {
                self.chunks.push(Chunk::default());
                self.chunks.len() - 1
            });
            run.used += 1;
            run.places[at] = (number * CHUNK + self.chunks[number].occupy()) as u32;
            self.end = self.end.max(run.places[at] + 1);
            self.length += 1;
        }
        let place = run.places[at];
        self.chunks[place as usize / CHUNK].tasks[place as usize % CHUNK] = Some(task);
        self.places_changed.mark(place);
    }

    /// Forgets a task.
    pub fn remove(&mut self, key: &TaskKey) -> Option<Task> {
        let (number, at) = run_of(key);
        let run = self.runs.get_mut(&number)?;
        let place = std::mem::replace(&mut run.places[at], NONE);
        let task = self.chunks.get_mut(place as usize / CHUNK)?.take(place as usize % CHUNK)?;
        run.used -= 1;
        if run.used == 0 {
            self.runs.remove(&number);
        }
        self.length -= 1;
        self.places_changed.mark(place);
        if self.changes.followed && !self.changes.any {
            self.changes.results.extend(made_by(&task));
            self.changes.bound();
        }
        Some(task)
    }

    /// The task at a place, unless it is vacant.
    #[must_use]
    pub fn at(&self, place: u32) -> Option<&Task> {
        self.chunks.get(place as usize / CHUNK)?.tasks.get(place as usize % CHUNK)?.as_ref()
    }

    /// There are no tasks at places from here on.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.end
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
        self.chunks.get_mut(place as usize / CHUNK)?.tasks.get_mut(place as usize % CHUNK)?.as_mut()
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
        self.chunks.iter().flat_map(|chunk| &chunk.tasks).flatten()
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

    #[test]
    fn memory_of_many_tasks_goes_back_with_the_last_of_them_and_their_places_are_used_anew() {
        let key = |number| TaskKey { process: ProcessId(1), number };
        let mut tasks = Tasks::default();
        for round in 1..=2 {
            let many = KEPT as u32 + round;
            (0..many).for_each(|number| tasks.insert(sample(key(number))));
            assert_eq!((tasks.len(), tasks.end(), tasks.values().count()), (many as usize, many, many as usize));
            (0..many).for_each(|number| drop(tasks.remove(&key(number))));
            assert_eq!((tasks.len(), tasks.end(), tasks.chunks[0].tasks.capacity()), (0, many, 0));
            assert!((0..many).all(|place| tasks.at(place).is_none()));
        }
        tasks.insert(sample(key(7)));
        assert_eq!((tasks.end(), tasks.at(0).map(|task| task.key)), (KEPT as u32 + 2, Some(key(7))));
    }
}
