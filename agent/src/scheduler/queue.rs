//! Tasks that have all they need but a CPU and a worker: one queue for each job, served in turn.

use std::collections::{BTreeMap, VecDeque};

use plasmon_protocol::id::{JobId, TaskKey};

/// The queues. A job without queued tasks has none.
#[derive(Debug, Default)]
pub struct ReadyQueue {
    jobs: BTreeMap<JobId, VecDeque<TaskKey>>,
    length: usize,
}

impl ReadyQueue {
    /// Puts a task behind its job's others.
    pub fn push(&mut self, job: JobId, task: TaskKey) {
        self.jobs.entry(job).or_default().push_back(task);
        self.length += 1;
    }

    /// Puts a task before its job's others: one that has waited already.
    pub fn push_front(&mut self, job: JobId, task: TaskKey) {
        self.jobs.entry(job).or_default().push_front(task);
        self.length += 1;
    }

    /// The task that is next in a job.
    #[must_use]
    pub fn front(&self, job: JobId) -> Option<TaskKey> {
        self.jobs.get(&job)?.front().copied()
    }

    /// Takes the task that is next in a job.
    pub fn pop(&mut self, job: JobId) -> Option<TaskKey> {
        let queue = self.jobs.get_mut(&job)?;
        let task = queue.pop_front();
        self.length -= usize::from(task.is_some());
        if queue.is_empty() {
            self.jobs.remove(&job);
        }
        task
    }

    /// Takes a task out from wherever it stands.
    pub fn remove(&mut self, job: JobId, task: TaskKey) {
        let Some(queue) = self.jobs.get_mut(&job) else { return };
        if let Some(index) = queue.iter().position(|queued| *queued == task) {
            queue.remove(index);
            self.length -= 1;
        }
        if queue.is_empty() {
            self.jobs.remove(&job);
        }
    }

    /// Tasks queued in a job.
    #[must_use]
    pub fn length_of(&self, job: JobId) -> usize {
        self.jobs.get(&job).map_or(0, VecDeque::len)
    }

    /// Jobs with queued tasks, beginning after `after`, so that turns are taken.
    #[must_use]
    pub fn jobs_after(&self, after: JobId) -> Vec<JobId> {
        let later = self.jobs.range(JobId(after.0 + 1)..).map(|(job, _)| *job);
        later.chain(self.jobs.range(..=after).map(|(job, _)| *job)).collect()
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
