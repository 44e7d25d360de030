//! The queues of one job, and the first task of each: those that may fit now are found without a look at the others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

use plasmon_protocol::id::TaskKey;

use super::QueueKey;
use crate::scheduler::resources::Need;
use crate::scheduler::shape::Shape;

/// Where the first task of a queue stands among all: its order, and its queue.
pub(super) type Place = (u64, QueueKey);

/// Tasks of one shape, oldest first.
#[derive(Debug)]
pub(super) struct ShapeQueue {
    /// What each of them asks for.
    pub(super) shape: Arc<Shape>,
    pub(super) tasks: VecDeque<(u64, TaskKey)>,
    /// How many tasks had been started when the first one was found not to fit.
    pub(super) blocked_at: Option<u64>,
    /// What the first one was found to lack, as long as it stands among the shut ones.
    lacks: Option<Need>,
}

/// All queues of a job; none is empty.
#[derive(Debug, Default)]
pub(super) struct JobQueues {
    pub(super) queues: BTreeMap<QueueKey, ShapeQueue>,
    /// The first of each queue that is looked at whatever is free.
    open: BTreeSet<Place>,
    /// The others, by what each was found to lack: not looked at before so much of that is free.
    shut: BTreeMap<Need, BTreeSet<Place>>,
    pub(super) length: usize,
}

impl JobQueues {
    /// The queue of that shape, made when there is none.
    pub(super) fn queue(&mut self, key: QueueKey, shape: &Arc<Shape>) -> &mut ShapeQueue {
        let new = || ShapeQueue { shape: Arc::clone(shape), tasks: VecDeque::new(), blocked_at: None, lacks: None };
        self.queues.entry(key).or_insert_with(new)
    }

    /// A queue has this first task now.
    pub(super) fn add_head(&mut self, order: u64, key: QueueKey) {
        self.open.insert((order, key));
    }

    /// That is not the first of its queue any more.
    pub(super) fn remove_head(&mut self, order: u64, key: QueueKey) {
        if !self.open.remove(&(order, key)) {
            self.take_shut(order, key);
        }
    }

    /// The first of a queue was found to lack this, or to fit no more for another reason.
    pub(super) fn shut_head(&mut self, key: QueueKey, need: Option<Need>) {
        let Some(queue) = self.queues.get_mut(&key).filter(|queue| queue.lacks != need) else { return };
        let Some(order) = queue.tasks.front().map(|(order, _)| *order) else { return };
        self.remove_head(order, key);
        let Some(need) = need else { return self.add_head(order, key) };
        if let Some(queue) = self.queues.get_mut(&key) {
            queue.lacks = Some(need);
        }
        self.shut.entry(need).or_default().insert((order, key));
    }

    /// The first of a queue is looked at from here on, whatever is free.
    pub(super) fn open_head(&mut self, order: u64, key: QueueKey) {
        if self.take_shut(order, key) {
            self.add_head(order, key);
        }
    }

    fn take_shut(&mut self, order: u64, key: QueueKey) -> bool {
        let Some(need) = self.queues.get_mut(&key).and_then(|queue| queue.lacks.take()) else { return false };
        let Some(heads) = self.shut.get_mut(&need) else { return false };
        let there = heads.remove(&(order, key));
        if heads.is_empty() {
            self.shut.remove(&need);
        }
        there
    }

    /// Whether all tasks are in this queue.
    pub(super) fn are_all(&self, key: QueueKey) -> bool {
        self.queues.len() == 1 && self.queues.contains_key(&key)
    }

    /// The first of all heads.
    pub(super) fn oldest(&self) -> Option<Place> {
        let shut = self.shut.values().filter_map(BTreeSet::first);
        self.open.first().into_iter().chain(shut).min().copied()
    }

    /// The first head behind `after` that may fit, where so much is `free` of each resource.
    pub(super) fn head_after(&self, after: Option<Place>, free: impl Fn(usize) -> u64) -> Option<Place> {
        let next = |heads: &BTreeSet<Place>| match after {
            Some(after) => heads.range((Excluded(after), Unbounded)).next().copied(),
            None => heads.first().copied(),
        };
        let mut first = next(&self.open);
        let mut from = Included((0, 0));
        while let Some((need, heads)) = self.shut.range((from, Unbounded)).next() {
            let (resource, amount) = *need;
            from = if amount <= free(resource) {
                first = first.into_iter().chain(next(heads)).min();
                Excluded(*need)
            } else {
                Included((resource + 1, 0))
            };
        }
        first
    }
}
