//! Ready tasks go to idle workers while resources last, and the workers that are missing are started.

use std::collections::BTreeMap;
use std::sync::Arc;

use plasmon_protocol::id::{JobId, ProcessId, TaskKey};
use plasmon_protocol::local::Work;
use plasmon_protocol::record::ProcessType;
use plasmon_protocol::resources::Amount;

use super::arguments::Fetched;
use super::{Activity, Core, Outbox, Process};
use crate::scheduler::queue::{Head, QueueKey};
use crate::scheduler::shape::Shape;

/// A task that has let many others pass. All that it asks for is kept for it: nothing that needs any of that is started before.
pub(super) struct Kept {
    pub(super) job: JobId,
    pub(super) head: Head,
}

/// How far each job's heads have been looked at: what could not be started before others were cannot be after that either.
type Seen = BTreeMap<JobId, (u64, QueueKey)>;

impl Core {
    /// Starts what can be started. Jobs take turns.
    pub(super) fn dispatch(&mut self, out: &mut impl Outbox) {
        if self.is_closed() {
            return;
        }
        let mut impatient = self.impatient();
        while let Some(Kept { job, head }) = &impatient
            && self.resources.fits(&head.shape)
            && self.try_start(*job, head, out)
        {
            impatient = self.impatient();
        }
        let kept = impatient.filter(|kept| self.is_worth_keeping(kept));
        // Each job in turn, until none of them has anything that can be started.
        let mut idle_turns = 0;
        let mut seen = Seen::new();
        while idle_turns < self.ready.jobs() {
            let Some(job) = self.ready.job_after(self.last_turn) else { break };
            self.last_turn = job;
            if self.dispatch_one(job, kept.as_ref(), &mut seen, out) { idle_turns = 0 } else { idle_turns += 1 }
        }
        if kept.is_none() {
            self.send_ahead(out);
        }
    }

    fn impatient(&mut self) -> Option<Kept> {
        if self.resources.take_relieved() {
            self.ready.hope();
        }
        let head = self.ready.impatient(|shape| self.resources.could_fit(shape))?;
        Some(Kept { job: self.tasks.get(&head.task)?.job, head })
    }

    /// What is kept for which task, if any.
    pub(super) fn kept(&self) -> Option<Kept> {
        let head = self.ready.impatient_now(|shape| self.resources.could_fit(shape))?;
        Some(Kept { job: self.tasks.get(&head.task)?.job, head }).filter(|kept| self.is_worth_keeping(kept))
    }

    /// A task that lacks no resources but a worker is still kept what it asks for, while one is on its way; not while it waits for what
    /// others may need these resources to give.
    fn is_worth_keeping(&self, kept: &Kept) -> bool {
        let Some(task) = self.tasks.get(&kept.head.task).filter(|task| task.queue.is_some()) else { return false };
        let is_next = || !kept.head.queue.1 || !task.rare().fetched.is_empty();
        !self.resources.fits(&kept.head.shape) || (is_next() && self.jobs.get(&kept.job).is_some_and(|job| job.starting > 0))
    }

    /// Starts the oldest task of a job that fits. False when there is none.
    fn dispatch_one(&mut self, job: JobId, kept: Option<&Kept>, seen: &mut Seen, out: &mut impl Outbox) -> bool {
        while let Some(head) = self.ready.head_after(job, seen.get(&job).copied(), |resource| self.resources.free(resource)) {
            seen.insert(job, (head.order, head.queue));
            if !self.resources.fits(&head.shape) {
                self.ready.blocked(job, head.queue, self.resources.lacks_first(&head.shape));
                self.let_arguments_wait(head.task);
                continue;
            }
            if kept.is_some_and(|kept| kept.head.order != head.order && !self.resources.leaves(&head.shape, &kept.head.shape)) {
                self.let_arguments_wait(head.task);
                continue;
            }
            if self.try_start(job, &head, out) {
                return true;
            }
        }
        false
    }

    /// Starts a task for which there are resources. False when it lacks its arguments or a worker: these are on their way.
    fn try_start(&mut self, job: JobId, head: &Head, out: &mut impl Outbox) -> bool {
        if head.queue.1 {
            self.ready.watch(job, head);
            if self.fetch(head.task) != Fetched::Ready {
                return false;
            }
        }
        let Some(worker) = self.take_idle(job, &head.shape) else {
            self.want_workers(job, &head.shape, out);
            return false;
        };
        self.start(job, head, worker, out);
        true
    }

    fn start(&mut self, job: JobId, head: &Head, worker: ProcessId, out: &mut impl Outbox) {
        let now_ms = self.now_ms;
        self.ready.start(job, head);
        let Some(task) = self.tasks.get_mut(&head.task) else { return };
        task.queue = None;
        let work = match task.role.actor().and_then(|actor| self.actors.get(&actor)) {
            Some(actor) => Work::Constructor { max_concurrency: actor.max_concurrency },
            None => Work::Task,
        };
        if let Some(process) = self.process_mut(worker) {
            process.activity = Activity::Busy(head.task);
            process.window.begin(now_ms);
        }
        self.reserve(worker, Arc::clone(&head.shape));
        self.run(head.task, worker, work, false, out);
    }

    /// Puts a task into its job's queue.
    pub(super) fn enqueue(&mut self, key: TaskKey) {
        let with_arguments = self.has_stored_arguments(key);
        let order = self.order_of(key);
        let Some(task) = self.tasks.get_mut(&key) else { return };
        let queue: QueueKey = (task.shape.number, with_arguments);
        task.queue = Some(queue);
        let displaced = self.ready.push(task.job, &task.shape, queue.1, order, key);
        // It has to wait for this one, and holds up nobody meanwhile.
        if let Some(displaced) = displaced.filter(|_| queue.1) {
            self.let_arguments_wait(displaced);
        }
        self.dispatch_wanted = true;
    }

    /// A task's place among all, from the moment it could begin for the first time.
    pub(super) fn order_of(&mut self, key: TaskKey) -> u64 {
        let Some(task) = self.tasks.get_mut(&key) else { return 0 };
        *task.order.get_or_insert_with(|| {
            self.ordered += 1;
            self.ordered
        })
    }

    /// Takes a task out of its job's queue.
    pub(super) fn dequeue(&mut self, key: TaskKey) {
        let Some(task) = self.tasks.get_mut(&key) else { return };
        if let Some((queue, order)) = task.queue.take().zip(task.order) {
            self.ready.remove(task.job, queue, order);
            // It may have stood before others that fit.
            self.dispatch_wanted = true;
        }
    }

    /// The most recently used idle worker that does not stand still and sees the GPUs that are wanted.
    fn take_idle(&mut self, id: JobId, shape: &Shape) -> Option<ProcessId> {
        let gpus = shape.gpus();
        let devices = self.resources.devices();
        // Parts are packed, so that whole ones stay free.
        let packed = if gpus < Amount::ONE { devices.pick(gpus) } else { None };
        let will_do = |worker: &ProcessId| {
            self.process(*worker).is_some_and(|process| {
                let sees = match &packed {
                    _ if gpus.is_zero() => process.devices.is_empty(),
                    Some(packed) => process.devices == *packed,
                    None => devices.could_be(&process.devices, gpus),
                };
                sees && !process.stopped
            })
        };
        let index = self.jobs.get(&id)?.idle.iter().rposition(will_do)?;
        Some(self.jobs.get_mut(&id)?.idle.remove(index))
    }

    /// Starts as many workers as the job could use now.
    fn want_workers(&mut self, id: JobId, shape: &Shape, out: &mut impl Outbox) {
        let queued = self.ready.length_of(id) as u64;
        let at_once = self.resources.offer().whole_cpus() * 2;
        let free = self.resources.how_many(shape).clamp(1, at_once);
        // Tasks that reserve CPUs are bounded by them; those that reserve none, by this.
        let most = if shape.cpus().is_zero() { at_once } else { u64::MAX };
        let returning = if shape.gpus().is_zero() { self.returning(id) } else { 0 };
        loop {
            let Some(job) = self.jobs.get(&id) else { return };
            let active = u64::from(job.workers - job.blocked);
            // Each that connects asks for the next: no storm of starts.
            if u64::from(job.starting) + returning >= queued.min(free) || active >= most {
                return;
            }
            let Some(devices) = self.devices_for(id, shape) else { return };
            let name = Arc::clone(&job.name);
            self.dismiss_idle_of_others(id, out);
            let mut process = Process::new(0, ProcessType::Worker, id, name, Activity::Starting, self.now_ms);
            process.devices = Arc::clone(&devices);
            let worker = self.add_process(process);
            if let Some(job) = self.jobs.get_mut(&id) {
                job.starting += 1;
                job.workers += 1;
                if !devices.is_empty() {
                    job.starting_with.push((worker, Arc::clone(&devices)));
                }
            }
            out.start_worker(worker, id, &devices);
        }
    }

    /// The GPUs that the next worker of a job is to see: those of no other that is on its way.
    fn devices_for(&self, id: JobId, shape: &Shape) -> Option<Arc<[u32]>> {
        if shape.gpus().is_zero() {
            return Some(Arc::default());
        }
        let starting = &self.jobs.get(&id)?.starting_with;
        let taken = |device: u32| starting.iter().any(|(_, devices)| devices.contains(&device));
        self.resources.devices().pick_where(shape.gpus(), |device| !taken(device))
    }

    /// Makes place for a worker of `job`: an idle one of another job goes, when the node has its share of workers already.
    fn dismiss_idle_of_others(&mut self, job: JobId, out: &mut impl Outbox) {
        let share = self.resources.offer().whole_cpus() * 2;
        let active: u64 = self.jobs.values().map(|job| u64::from(job.workers - job.blocked)).sum();
        if active < share {
            return;
        }
        let other = self
            .jobs
            .iter_mut()
            .filter(|(id, _)| **id != job)
            .find_map(|(_, other)| (!other.idle.is_empty()).then(|| other.idle.remove(0)));
        if let Some(worker) = other {
            self.dismiss(worker, out);
        }
    }
}
