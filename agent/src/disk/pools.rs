//! The threads that do the I/O: those that write, those that read, and one that removes files, so that neither of these ever waits for
//! another kind, and a removal never for a write that hangs.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use plasmon_memory::pool::Pool;
use plasmon_protocol::error::Error;
use plasmon_protocol::id::{NodeId, SpillFileId};

use super::buffer::Buffer;
use super::target::SpillTarget;
use super::{compact, read, write};
use crate::spill::job::{Failure, Job, Report};

/// The least time between two signs of life.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// How long a thread without work keeps its buffer.
const KEEP_BUFFER: Duration = Duration::from_secs(1);
/// How long the end waits for I/O that is under way.
const END_WITHIN: Duration = Duration::from_secs(2);

/// The threads of external storage. Ended by dropping: jobs that nobody began are forgotten, what is under way is cut short without a
/// file left, and I/O that hangs keeps its thread, but not the dropper.
#[derive(Debug)]
pub struct Pools {
    queues: Arc<Queues>,
}

/// What a thread does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Write,
    Read,
    Delete,
}

#[derive(Debug, Default)]
struct Queues {
    work: Mutex<Work>,
    /// There is work for a role, by its number: one thread for each job is woken, and none of another role.
    come: [Condvar; 3],
    /// A thread has ended.
    left: Condvar,
}

#[derive(Debug, Default)]
struct Work {
    writes: VecDeque<Job>,
    reads: VecDeque<Job>,
    deletes: VecDeque<(SpillFileId, usize)>,
    /// Files being written.
    writing: Vec<SpillFileId>,
    /// Threads that live.
    threads: usize,
    closing: bool,
    last_progress: Option<Instant>,
}

impl Pools {
    /// Starts `threads` threads that write, as many that read (at least one each), and one that removes files. They serve `places`,
    /// which jobs name by their index, and restore into `pool`, the agent's own. The room of each place is reported first, and then after
    /// each job that changes it. `report` is called on these threads.
    ///
    /// # Errors
    /// [`Error::System`] when a thread cannot be started.
    pub fn start(
        places: Vec<Arc<dyn SpillTarget>>,
        pool: Arc<Pool>,
        node: NodeId,
        threads: u32,
        report: impl Fn(Report) + Send + Sync + Clone + 'static,
    ) -> Result<Self, Error> {
        let pools = Self { queues: Arc::default() };
        let places: Arc<[_]> = places.into();
        let count = threads.max(1);
        let roles = (0..count).flat_map(|_| [Role::Write, Role::Read]).chain([Role::Delete]);
        for role in roles {
            let name = match role {
                Role::Write => "spill-write",
                Role::Read => "spill-read",
                Role::Delete => "spill-delete",
            };
            let server = Server { queues: Arc::clone(&pools.queues), places: Arc::clone(&places), pool: Arc::clone(&pool), node };
            let report = report.clone();
            pools.queues.lock().threads += 1;
            let spawned = Builder::new().name(name.to_owned()).spawn(move || {
                let _last = Leaving(Arc::clone(&server.queues));
                if role == Role::Delete {
                    (0..server.places.len()).for_each(|place| server.room(place, &report));
                }
                server.run(role, &report);
            });
            spawned.map_err(|error| {
                pools.queues.lock().threads -= 1;
                Error::system(format!("start the thread {name}"), error)
            })?;
        }
        Ok(pools)
    }

    /// Has a job done; its report comes. Jobs of one kind begin in order, but a removal waits until its file has been written.
    pub fn submit(&self, job: Job) {
        let mut work = self.queues.lock();
        let role = match job {
            Job::Read(_) => {
                work.reads.push_back(job);
                Role::Read
            }
            Job::Write(_) | Job::Compact(_) => {
                work.writes.push_back(job);
                Role::Write
            }
            Job::Delete { file, place } => {
                work.deletes.push_back((file, place));
                Role::Delete
            }
        };
        drop(work);
        self.queues.come[role as usize].notify_one();
    }
}

impl Drop for Pools {
    fn drop(&mut self) {
        let mut work = self.queues.lock();
        work.closing = true;
        work.writes.clear();
        work.reads.clear();
        work.deletes.clear();
        self.queues.come.iter().for_each(Condvar::notify_all);
        let left = self.queues.left.wait_timeout_while(work, END_WITHIN, |work| work.threads > 0);
        let (work, _) = left.unwrap_or_else(PoisonError::into_inner);
        if work.threads > 0 {
            tracing::warn!(threads = work.threads, "external storage does not answer; the agent ends without it");
        }
    }
}

impl Queues {
    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a job of this role; none at the end. A buffer that is not used for a while goes meanwhile: all of them together are
    /// more than everything else that an agent needs.
    fn take(&self, role: Role, buffer: &mut Option<Buffer>) -> Option<Job> {
        let begun = Instant::now();
        let mut work = self.lock();
        loop {
            if work.closing {
                return None;
            }
            if let Some(job) = work.next(role) {
                return Some(job);
            }
            let kept = KEEP_BUFFER.saturating_sub(begun.elapsed());
            buffer.take_if(|_| kept.is_zero());
            let come = &self.come[role as usize];
            work = match buffer {
                Some(_) => come.wait_timeout(work, kept).unwrap_or_else(PoisonError::into_inner).0,
                None => come.wait(work).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn wrote(&self, file: SpillFileId) {
        self.lock().writing.retain(|other| *other != file);
        // Its removal may have waited for that.
        self.come[Role::Delete as usize].notify_one();
    }

    /// A failure at the end.
    fn alive(&self) -> Result<(), Failure> {
        if self.lock().closing { Err(Failure::Io("the agent ends".to_owned())) } else { Ok(()) }
    }

    /// Whether a sign of life is due.
    fn is_due(&self) -> bool {
        let mut work = self.lock();
        let now = Instant::now();
        let due = work.last_progress.is_none_or(|last| now.duration_since(last) >= PROGRESS_EVERY);
        if due {
            work.last_progress = Some(now);
        }
        due
    }
}

impl Work {
    fn next(&mut self, role: Role) -> Option<Job> {
        match role {
            Role::Read => self.reads.pop_front(),
            Role::Write => {
                let job = self.writes.pop_front()?;
                self.writing.extend(written(&job));
                Some(job)
            }
            Role::Delete => {
                let busy = |file| self.writing.contains(&file) || self.writes.iter().any(|job| written(job) == Some(file));
                let at = self.deletes.iter().position(|(file, _)| !busy(*file))?;
                self.deletes.remove(at).map(|(file, place)| Job::Delete { file, place })
            }
        }
    }
}

/// The file that a job makes.
fn written(job: &Job) -> Option<SpillFileId> {
    match job {
        Job::Write(job) => Some(job.file),
        Job::Compact(job) => Some(job.file),
        Job::Read(_) | Job::Delete { .. } => None,
    }
}

/// Counts a thread out, whatever ended it.
struct Leaving(Arc<Queues>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.lock().threads -= 1;
        self.0.left.notify_all();
    }
}

struct Server {
    queues: Arc<Queues>,
    places: Arc<[Arc<dyn SpillTarget>]>,
    pool: Arc<Pool>,
    node: NodeId,
}

impl Server {
    fn run(&self, role: Role, report: &(impl Fn(Report) + Sync)) {
        let mut buffer = None;
        while let Some(job) = self.queues.take(role, &mut buffer) {
            self.serve(&job, &mut buffer, report);
        }
    }

    fn serve(&self, job: &Job, buffer: &mut Option<Buffer>, report: &(impl Fn(Report) + Sync)) {
        let begun = Instant::now();
        let took_ms = || u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let sign = || {
            if self.queues.is_due() {
                report(Report::Progress);
            }
            self.queues.alive()
        };
        match job {
            Job::Write(job) => {
                let result = guarded(|| {
                    let place = self.place(job.place)?;
                    write::write(place, &self.pool, self.node, job, ready(buffer)?, &sign)
                });
                self.queues.wrote(job.file);
                report(Report::Written { file: job.file, result, took_ms: took_ms() });
                self.room(job.place, report);
            }
            Job::Compact(job) => {
                let result = guarded(|| {
                    let (from, to) = (self.place(job.from_place)?, self.place(job.place)?);
                    compact::compact(from, to, self.node, job, ready(buffer)?, &sign)
                });
                self.queues.wrote(job.file);
                report(Report::Compacted { file: job.file, result, took_ms: took_ms() });
                self.room(job.place, report);
            }
            Job::Read(job) => {
                let alive = || self.queues.alive();
                let results = guarded(|| {
                    let place = self.place(job.place)?;
                    Ok(read::read(place, &self.pool, self.node, job, ready(buffer)?, &alive))
                });
                let results = results.unwrap_or_else(|failure| vec![Err(failure); job.items.len()]);
                report(Report::Read { number: job.number, results, took_ms: took_ms() });
            }
            Job::Delete { file, place } => {
                let result = guarded(|| self.place(*place)?.delete(*file));
                report(Report::Deleted { file: *file, result });
                self.room(*place, report);
            }
        }
    }

    fn place(&self, place: usize) -> Result<&dyn SpillTarget, Failure> {
        let found = self.places.get(place).map(|place| &**place);
        found.ok_or_else(|| Failure::Io(format!("there is no place {place} for spill files, only {}", self.places.len())))
    }

    fn room(&self, place: usize, report: &impl Fn(Report)) {
        let room = guarded(|| self.place(place)?.room());
        report(Report::Room { place, room: room.unwrap_or_default() });
    }
}

/// A panic is a failure too: whoever waits for the report must not wait for ever.
fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Failure::Io(format!("a thread of external storage panicked: {}", text.unwrap_or("without a word"))))
    })
}

fn ready(buffer: &mut Option<Buffer>) -> Result<&mut Buffer, Failure> {
    match buffer {
        Some(buffer) => Ok(buffer),
        None => {
            let new = Buffer::new().map_err(|error| Failure::Io(format!("make a buffer: {error}")))?;
            Ok(buffer.insert(new))
        }
    }
}
