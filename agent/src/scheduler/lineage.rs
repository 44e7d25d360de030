//! What it takes to run finished tasks again, should their results be lost: kept while any result lives, within a limit. The objects that
//! such a task takes may be freed meanwhile: of those that another kept task can make again only a *trace* stays, without a value.

use std::collections::BTreeMap;

use hashbrown::{HashMap, HashSet};
use plasmon_protocol::id::{JobId, ObjectKey, TaskKey};

use super::task::{Argument, Task};

/// What an object takes beside its value, of the agent's heap and about, bytes: counted as if each that a task takes were a trace.
const TRACE: usize = 192;

/// One finished task.
#[derive(Debug)]
struct Kept {
    task: Box<Task>,
    /// Results that live.
    live: u32,
    bytes: u64,
    age: u64,
}

/// All that may be run again. The oldest are dropped when it becomes too much.
#[derive(Debug)]
pub struct Lineage {
    tasks: HashMap<TaskKey, Kept, foldhash::fast::FixedState>,
    by_age: BTreeMap<u64, TaskKey>,
    /// Objects that kept tasks take, and how many of these.
    wanted: HashMap<ObjectKey, u32, foldhash::fast::FixedState>,
    /// Those of them that nobody else holds any more.
    traces: HashSet<ObjectKey, foldhash::fast::FixedState>,
    /// Traces that no kept task takes any more.
    unwanted: Vec<ObjectKey>,
    bytes: u64,
    limit: u64,
    last: u64,
}

impl Lineage {
    /// Nothing yet, and at most `limit` bytes ever.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self {
            tasks: HashMap::default(),
            by_age: BTreeMap::new(),
            wanted: HashMap::default(),
            traces: HashSet::default(),
            unwanted: Vec::new(),
            bytes: 0,
            limit,
            last: 0,
        }
    }

    /// Bytes of the agent's heap.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many tasks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Keeps a task that finished with so many `live` results.
    pub fn keep(&mut self, task: Task, live: u32) {
        let (key, bytes) = (task.key, weight(&task));
        if bytes > self.limit {
            return;
        }
        self.take(key);
        self.last += 1;
        let age = self.last;
        self.by_age.insert(age, key);
        self.bytes += bytes;
        for object in &task.holds {
            *self.wanted.entry(*object).or_default() += 1;
        }
        self.tasks.insert(key, Kept { task: Box::new(task), live, bytes, age });
        while self.bytes > self.limit
            && let Some((_, oldest)) = self.by_age.first_key_value()
        {
            self.take(*oldest);
        }
    }

    /// A task that may be run again.
    #[must_use]
    pub fn get(&self, key: TaskKey) -> Option<&Task> {
        self.tasks.get(&key).map(|kept| &*kept.task)
    }

    /// Takes a task out.
    pub fn take(&mut self, key: TaskKey) -> Option<Task> {
        let kept = self.tasks.remove(&key)?;
        self.by_age.remove(&kept.age);
        self.bytes -= kept.bytes;
        for object in &kept.task.holds {
            if let Some(count) = self.wanted.get_mut(object) {
                *count -= 1;
                if *count == 0 {
                    self.wanted.remove(object);
                    self.unwanted.extend(self.traces.get(object));
                }
            }
        }
        Some(*kept.task)
    }

    /// Whether a kept task takes this object.
    #[must_use]
    pub fn wants(&self, object: ObjectKey) -> bool {
        self.wanted.contains_key(&object)
    }

    /// Of an object that nobody holds a trace stays.
    pub fn leave_trace(&mut self, object: ObjectKey) {
        self.traces.insert(object);
    }

    /// Whether nothing but a trace is left of an object.
    #[must_use]
    pub fn is_trace(&self, object: ObjectKey) -> bool {
        self.traces.contains(&object)
    }

    /// An object is one as others again, or gone. False when it was no trace.
    pub fn remove_trace(&mut self, object: ObjectKey) -> bool {
        self.traces.remove(&object)
    }

    /// A trace that no kept task takes any more: each is told once.
    pub fn next_unwanted(&mut self) -> Option<ObjectKey> {
        while let Some(object) = self.unwanted.pop() {
            if !self.wants(object) && self.is_trace(object) {
                return Some(object);
            }
        }
        None
    }

    /// The traces.
    pub fn traces(&self) -> impl Iterator<Item = ObjectKey> + '_ {
        self.traces.iter().copied()
    }

    /// One of a task's results is freed; with the last one the task is forgotten.
    pub fn result_gone(&mut self, key: TaskKey) {
        let Some(kept) = self.tasks.get_mut(&key) else { return };
        kept.live = kept.live.saturating_sub(1);
        if kept.live == 0 {
            self.take(key);
        }
    }

    /// A job is over: none of its tasks can run again.
    pub fn forget_job(&mut self, job: JobId) {
        let theirs: Vec<TaskKey> = self.tasks.iter().filter(|(_, kept)| kept.task.job == job).map(|(key, _)| *key).collect();
        for key in theirs {
            self.take(key);
        }
    }

    /// The sum over all tasks, by a walk: what [`Lineage::bytes`] must be.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.tasks.values().map(|kept| weight(&kept.task)).sum()
    }
}

/// Bytes that a kept task takes, its entries in the tables included.
fn weight(task: &Task) -> u64 {
    let inline = task.arguments.iter().map(|argument| if let Argument::Inline(bytes) = argument { bytes.len() } else { 0 });
    let object = size_of::<ObjectKey>();
    let parts = task.arguments.len() * size_of::<Argument>() + task.returns.len() * object + task.holds.len() * (object + TRACE);
    let tables = size_of::<Kept>() + 2 * size_of::<(u64, TaskKey)>();
    (size_of::<Task>() + tables + task.function.len() + parts + inline.sum::<usize>()) as u64
}

#[cfg(test)]
mod tests {
    use plasmon_protocol::id::{ObjectKey, ProcessId};

    use super::*;
    use crate::scheduler::task::sample;

    fn task(number: u32) -> Task {
        Task { arguments: [Argument::Inline([7; 100].into())].into_iter().collect(), ..sample(TaskKey { process: ProcessId(1), number }) }
    }

    #[test]
    fn the_oldest_go_when_it_becomes_too_much() {
        let each = weight(&task(1));
        let mut lineage = Lineage::new(3 * each + each / 2);
        (1..=5).for_each(|number| lineage.keep(task(number), 1));
        let left: Vec<u32> = (1..=5).filter(|number| lineage.get(task(*number).key).is_some()).collect();
        assert_eq!(left, [3, 4, 5]);
        assert_eq!((lineage.bytes(), lineage.count(), lineage.len()), (3 * each, 3 * each, 3));
        // One that is larger than all that is allowed leaves the others alone.
        lineage.keep(Task { holds: vec![ObjectKey::default(); 10_000].into(), ..task(6) }, 1);
        assert_eq!(lineage.len(), 3);
    }

    #[test]
    fn a_task_goes_with_its_last_result_or_its_job() {
        let mut lineage = Lineage::new(1 << 20);
        lineage.keep(task(1), 2);
        lineage.keep(Task { job: JobId(7), ..task(2) }, 1);
        lineage.result_gone(task(1).key);
        assert_eq!(lineage.len(), 2);
        lineage.result_gone(task(1).key);
        assert_eq!(lineage.len(), 1);
        lineage.forget_job(JobId(7));
        assert_eq!((lineage.len(), lineage.bytes()), (0, 0));
    }

    #[test]
    fn what_no_task_takes_any_more_is_told_once() {
        let (first, second) = (ObjectKey { slot: 1, generation: 1 }, ObjectKey { slot: 2, generation: 1 });
        let mut lineage = Lineage::new(1 << 20);
        lineage.keep(Task { holds: vec![first, second].into(), ..task(1) }, 1);
        lineage.keep(Task { holds: vec![first].into(), ..task(2) }, 1);
        assert!(lineage.wants(first) && lineage.wants(second));
        [first, second].into_iter().for_each(|object| lineage.leave_trace(object));
        lineage.result_gone(task(1).key);
        assert_eq!((lineage.next_unwanted(), lineage.next_unwanted()), (Some(second), None));
        // Wanted again before it was told: it is not.
        lineage.result_gone(task(2).key);
        lineage.keep(Task { holds: vec![first].into(), ..task(3) }, 1);
        assert_eq!(lineage.next_unwanted(), None);
        lineage.result_gone(task(3).key);
        assert!(lineage.remove_trace(first));
        assert_eq!(lineage.next_unwanted(), None);
    }
}
