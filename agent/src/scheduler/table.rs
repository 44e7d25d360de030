//! All tasks that are known, by their keys. Each lies in a place of its own, and is found through a page of its submitter's: tasks that were
//! submitted one after the other are side by side, so that a million of them are looked up as fast as a thousand.

use hashbrown::{HashMap, HashSet};
use plasmon_protocol::id::{ObjectKey, ProcessId, TaskKey};

use super::task::Task;

/// More tasks than this are not listed when they change: then any may have.
const MANY: usize = 1 << 16;

/// Tasks of one page.
const PAGE: u32 = 256;

/// Tasks of one submitter with numbers that follow each other.
#[derive(Debug)]
struct Page {
    places: Box<[Option<Box<Task>>; PAGE as usize]>,
    live: u32,
}

/// The tasks.
#[derive(Debug, Default)]
pub struct Tasks {
    /// By the submitter, and by the numbers of its tasks. No page is empty.
    pages: HashMap<(ProcessId, u32), Page, foldhash::fast::FixedState>,
    length: usize,
    changes: TaskChanges,
}

/// The page of a task, and its place there.
fn place_of(key: &TaskKey) -> ((ProcessId, u32), usize) {
    ((key.process, key.number / PAGE), (key.number % PAGE) as usize)
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

    /// Adds a task, in place of one that had the same key.
    pub fn insert(&mut self, key: TaskKey, task: Task) {
        self.changes.mark(key);
        let (page, place) = place_of(&key);
        let page = self.pages.entry(page).or_insert_with(|| Page { places: Box::new([const { None }; PAGE as usize]), live: 0 });
        if page.places[place].replace(Box::new(task)).is_none() {
            page.live += 1;
            self.length += 1;
        }
    }

    /// Forgets a task.
    pub fn remove(&mut self, key: &TaskKey) -> Option<Box<Task>> {
        let (number, place) = place_of(key);
        let page = self.pages.get_mut(&number)?;
        let task = page.places[place].take()?;
        page.live -= 1;
        if page.live == 0 {
            self.pages.remove(&number);
        }
        self.length -= 1;
        if self.changes.followed && !self.changes.any {
            self.changes.results.extend(made_by(&task));
            self.changes.bound();
        }
        Some(task)
    }

    /// A task.
    #[must_use]
    pub fn get(&self, key: &TaskKey) -> Option<&Task> {
        let (page, place) = place_of(key);
        self.pages.get(&page)?.places[place].as_deref()
    }

    /// A task, to change it.
    pub fn get_mut(&mut self, key: &TaskKey) -> Option<&mut Task> {
        self.changes.mark(*key);
        let (page, place) = place_of(key);
        self.pages.get_mut(&page)?.places[place].as_deref_mut()
    }

    /// Whether there is one of this key.
    #[must_use]
    pub fn contains_key(&self, key: &TaskKey) -> bool {
        self.get(key).is_some()
    }

    /// All keys, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &TaskKey> {
        self.values().map(|task| &task.key)
    }

    /// All tasks, in no order.
    pub fn values(&self) -> impl Iterator<Item = &Task> {
        self.pages.values().flat_map(|page| page.places.iter().filter_map(|task| task.as_deref()))
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
