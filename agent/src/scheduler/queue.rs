//! Tasks that have all they need but resources and a worker. Each job has its own queues, one for each shape, and jobs are served in
//! turn; within a job the oldest task comes first, and one that does not fit lets those pass that want something else or less, but not
//! for ever: see [`ReadyQueue::impatient`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plasmon_protocol::id::{JobId, TaskKey};

use self::heads::JobQueues;
use super::resources::Need;
use super::shape::Shape;

mod heads;

/// How many others may be started while a task does not fit, before what it lacks is kept for it.
pub const PATIENCE: u64 = 32;

/// Which queue of a job: the shape's number, and whether its tasks have arguments in the store, which those without never wait for.
pub type QueueKey = (u64, bool);

/// The first of a queue.
#[derive(Clone, Debug)]
pub struct Head {
    /// Its place in the order in which tasks became ready.
    pub order: u64,
    /// The task.
    pub task: TaskKey,
    /// What it asks for.
    pub shape: Arc<Shape>,
    /// Its queue.
    pub queue: QueueKey,
}

/// The queues. A job without queued tasks has none, and no queue is empty.
#[derive(Debug, Default)]
pub struct ReadyQueue {
    jobs: BTreeMap<JobId, JobQueues>,
    length: usize,
    /// Tasks that were started.
    started: u64,
    blocked: Blocked,
}

/// Queues whose first task was found not to fit.
#[derive(Debug, Default)]
struct Blocked {
    /// By when that was, while it has not let [`PATIENCE`] others pass.
    patient: BTreeSet<(u64, JobId, QueueKey)>,
    /// The others, by the places of their first tasks.
    impatient: BTreeSet<(u64, JobId, QueueKey)>,
    /// Those of them that could not be helped when that was last asked.
    hopeless: BTreeSet<(u64, JobId, QueueKey)>,
}

impl Blocked {
    /// The first task of a queue is another one now: nothing is known of that yet.
    fn forget(&mut self, at: Option<u64>, order: u64, job: JobId, key: QueueKey) {
        if let Some(at) = at
            && !self.patient.remove(&(at, job, key))
            && !self.impatient.remove(&(order, job, key))
        {
            self.hopeless.remove(&(order, job, key));
        }
    }
}

impl ReadyQueue {
    /// Puts a task where its order has it. Returns the one that was the first of its queue, if it is that no more.
    pub fn push(&mut self, job: JobId, shape: &Arc<Shape>, with_arguments: bool, order: u64, task: TaskKey) -> Option<TaskKey> {
        let queues = self.jobs.entry(job).or_default();
        let key = (shape.number, with_arguments);
        let queue = queues.queue(key, shape);
        let first = queue.tasks.front().copied();
        // Nearly always the last: only tasks that are tried again come earlier.
        let place = match queue.tasks.back() {
            Some((last, _)) if *last > order => queue.tasks.partition_point(|(before, _)| *before < order),
            _ => queue.tasks.len(),
        };
        queue.tasks.insert(place, (order, task));
        if place == 0 {
            let blocked_at = queue.blocked_at.take();
            if let Some((first, _)) = first {
                queues.remove_head(first, key);
                self.blocked.forget(blocked_at, first, job, key);
            }
            queues.add_head(order, key);
        }
        queues.length += 1;
        self.length += 1;
        first.filter(|_| place == 0).map(|(_, task)| task)
    }

    /// Takes a task out from wherever it stands. False when it does not stand there.
    pub fn remove(&mut self, job: JobId, key: QueueKey, order: u64) -> bool {
        let Some(queues) = self.jobs.get_mut(&job) else { return false };
        let Some(queue) = queues.queues.get_mut(&key) else { return false };
        // Nearly always the first, which is about to be started.
        let place = match queue.tasks.front() {
            Some((first, _)) if *first == order => 0,
            _ => match queue.tasks.binary_search_by_key(&order, |(order, _)| *order) {
                Ok(place) => place,
                Err(_) => return false,
            },
        };
        queue.tasks.remove(place);
        if place == 0 {
            let blocked_at = queue.blocked_at.take();
            let next = queue.tasks.front().map(|(next, _)| *next);
            queues.remove_head(order, key);
            self.blocked.forget(blocked_at, order, job, key);
            match next {
                Some(next) => queues.add_head(next, key),
                None => drop(queues.queues.remove(&key)),
            }
        }
        queues.length -= 1;
        self.length -= 1;
        if queues.length == 0 {
            self.jobs.remove(&job);
        }
        true
    }

    /// Takes the first of a queue to be sent to a worker that has its place already; false when it may not be. While all that wait are alike
    /// but for their jobs that lets nobody pass: every job has its turn. Otherwise it is as if it were started, and not while anybody has let
    /// [`PATIENCE`] others pass.
    pub fn send_ahead(&mut self, job: JobId, head: &Head) -> bool {
        if self.jobs.values().all(|queues| queues.are_all(head.queue)) {
            return self.remove(job, head.queue, head.order);
        }
        let is_patient = self.blocked.impatient.is_empty() && self.blocked.hopeless.is_empty();
        if is_patient {
            self.start(job, head);
        }
        is_patient
    }

    /// Takes the first of a queue to be started.
    pub fn start(&mut self, job: JobId, head: &Head) {
        if !self.remove(job, head.queue, head.order) {
            return;
        }
        self.started += 1;
        while let Some((at, job, key)) = self.blocked.patient.first().copied().filter(|(at, ..)| self.started - at >= PATIENCE) {
            self.blocked.patient.remove(&(at, job, key));
            let first = self.jobs.get(&job).and_then(|queues| queues.queues.get(&key)?.tasks.front());
            self.blocked.impatient.extend(first.map(|(order, _)| (*order, job, key)));
        }
    }

    /// The first of a job's queues behind `after`, in order, where so much is `free` of each resource: without those that were found to
    /// lack more of one.
    #[must_use]
    pub fn head_after(&self, job: JobId, after: Option<(u64, QueueKey)>, free: impl Fn(usize) -> u64) -> Option<Head> {
        let queues = self.jobs.get(&job)?;
        let (order, key) = queues.head_after(after, free)?;
        let queue = queues.queues.get(&key)?;
        let (_, task) = queue.tasks.front()?;
        Some(Head { order, task: *task, shape: Arc::clone(&queue.shape), queue: key })
    }

    /// The oldest of a job's tasks, unless it has arguments in the store.
    #[must_use]
    pub fn oldest(&self, job: JobId) -> Option<Head> {
        let queues = self.jobs.get(&job)?;
        let (order, key) = queues.oldest().filter(|(_, key)| !key.1)?;
        self.head_of((order, job, key))
    }

    /// Whether anything waits beside the tasks of one queue.
    #[must_use]
    pub fn others_wait(&self, job: JobId, key: QueueKey) -> bool {
        self.jobs.len() > 1 || !self.jobs.get(&job).is_some_and(|queues| queues.are_all(key))
    }

    /// The first of a queue was found not to fit. Until it changes there is nothing to learn of it while there is not so much free of what
    /// it lacks, if that can be told.
    pub fn blocked(&mut self, job: JobId, key: QueueKey, lacks: Option<Need>) {
        let started = self.started;
        let Some(queues) = self.jobs.get_mut(&job) else { return };
        if let Some(queue) = queues.queues.get_mut(&key)
            && queue.blocked_at.is_none()
        {
            queue.blocked_at = Some(started);
            self.blocked.patient.insert((started, job, key));
        }
        queues.shut_head(key, lacks);
    }

    /// Something is about to be kept for the first of a queue: it is looked at from here on, so that it can be let go.
    pub fn watch(&mut self, job: JobId, head: &Head) {
        if let Some(queues) = self.jobs.get_mut(&job) {
            queues.open_head(head.order, head.queue);
        }
    }

    /// The oldest task that let [`PATIENCE`] others pass and that `can` be helped by keeping for it what it lacks. Of those that cannot, it is
    /// not asked again before [`ReadyQueue::hope`].
    pub fn impatient(&mut self, can: impl Fn(&Shape) -> bool) -> Option<Head> {
        while let Some(first) = self.blocked.impatient.first().copied() {
            match self.head_of(first) {
                Some(head) if can(&head.shape) => return Some(head),
                _ => self.blocked.hopeless.extend(self.blocked.impatient.pop_first()),
            }
        }
        None
    }

    /// What could not be helped may be helped now.
    pub fn hope(&mut self) {
        self.blocked.impatient.append(&mut self.blocked.hopeless);
    }

    /// What [`ReadyQueue::impatient`] tells after [`ReadyQueue::hope`].
    #[must_use]
    pub fn impatient_now(&self, can: impl Fn(&Shape) -> bool) -> Option<Head> {
        let first = |places: &BTreeSet<(u64, JobId, QueueKey)>| {
            let heads = places.iter().filter_map(|place| self.head_of(*place));
            heads.into_iter().find(|head| can(&head.shape))
        };
        let found = [first(&self.blocked.impatient), first(&self.blocked.hopeless)];
        found.into_iter().flatten().min_by_key(|head| head.order)
    }

    fn head_of(&self, (order, job, key): (u64, JobId, QueueKey)) -> Option<Head> {
        let queue = self.jobs.get(&job)?.queues.get(&key)?;
        let (_, task) = queue.tasks.front()?;
        Some(Head { order, task: *task, shape: Arc::clone(&queue.shape), queue: key })
    }

    /// The place of a task in its queue, from 0, and how many stand there.
    #[must_use]
    pub fn place(&self, job: JobId, key: QueueKey, order: u64) -> Option<(usize, usize)> {
        let queue = self.jobs.get(&job)?.queues.get(&key)?;
        let place = queue.tasks.binary_search_by_key(&order, |(order, _)| *order).ok()?;
        Some((place, queue.tasks.len()))
    }

    /// Tasks queued in a job.
    #[must_use]
    pub fn length_of(&self, job: JobId) -> usize {
        self.jobs.get(&job).map_or(0, |queues| queues.length)
    }

    /// The job with queued tasks that follows `after`, so that turns are taken.
    #[must_use]
    pub fn job_after(&self, after: JobId) -> Option<JobId> {
        self.later_job(after).or_else(|| self.jobs.first_key_value().map(|(job, _)| *job))
    }

    /// The next job with queued tasks in the order of their numbers, which are from 1.
    #[must_use]
    pub fn later_job(&self, before: JobId) -> Option<JobId> {
        self.jobs.range(JobId(before.0.saturating_add(1))..).next().map(|(job, _)| *job)
    }

    /// Jobs with queued tasks.
    #[must_use]
    pub fn jobs(&self) -> usize {
        self.jobs.len()
    }

    /// Tasks queued in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether none is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

#[cfg(test)]
mod tests;
