//! Tasks of this worker that nobody wants any more: their waits end, and they are told when they ask.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use plasmon_protocol::error::Error;
use plasmon_protocol::id::TaskKey;
use plasmon_protocol::local::Work;

use crate::client::Client;

/// Waits that are remembered before it is looked which of them are over.
const KEPT: usize = 64;

/// Tasks that were sent to this worker and have not ended.
static ASSIGNED: Mutex<BTreeMap<TaskKey, Arc<Assigned>>> = Mutex::new(BTreeMap::new());
/// The task that has this worker for itself, for threads that it has started.
static ALONE: RwLock<Option<Arc<Assigned>>> = RwLock::new(None);

thread_local! {
    /// The task that this thread runs.
    static CURRENT: RefCell<Option<Arc<Assigned>>> = const { RefCell::new(None) };
}

/// Something that a thread waits in.
pub(crate) trait Interrupt: Send + Sync {
    /// Ends the wait without an answer.
    fn interrupt(&self);
}

/// One task.
#[derive(Default)]
struct Assigned {
    task: TaskKey,
    /// The function's path.
    name: Box<str>,
    /// A remote function: neither a call of an actor nor its constructor.
    is_task: bool,
    cancelled: AtomicBool,
    waits: Mutex<Vec<Weak<dyn Interrupt>>>,
}

impl Assigned {
    fn new(task: TaskKey, name: &str, is_task: bool) -> Arc<Self> {
        Arc::new(Self { task, name: name.into(), is_task, ..Self::default() })
    }

    fn waits(&self) -> MutexGuard<'_, Vec<Weak<dyn Interrupt>>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }
}

fn assigned_tasks() -> MutexGuard<'static, BTreeMap<TaskKey, Arc<Assigned>>> {
    ASSIGNED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The task that the calling thread works for. A thread that a call among several has started works for none, as far as can be known.
fn current() -> Option<Arc<Assigned>> {
    // Tried only: in a forked child somebody who is gone may have the lock.
    own().or_else(|| ALONE.try_read().ok()?.clone())
}

/// The task that the calling thread runs. None any more while the thread ends and its values are dropped.
fn own() -> Option<Arc<Assigned>> {
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

/// The task that the calling thread works for, as far as can be known: its key, and its function's path.
pub(crate) fn current_task() -> Option<(TaskKey, Box<str>)> {
    current().map(|assigned| (assigned.task, assigned.name.clone()))
}

/// The call that the calling thread runs, when others may run in this worker meanwhile.
pub(crate) fn call_beside_others() -> Option<TaskKey> {
    let call = own()?.task;
    ALONE.try_read().ok()?.is_none().then_some(call)
}

/// The agent has sent a task.
pub(crate) fn assigned(task: TaskKey, name: &str, work: Work) {
    assigned_tasks().insert(task, Assigned::new(task, name, work == Work::Task));
}

/// The agent says that a task is not wanted. One that has ended meanwhile is nobody's concern.
pub(crate) fn cancel(task: TaskKey) {
    let Some(assigned) = assigned_tasks().get(&task).cloned() else { return };
    // Set first, looked at after a wait was entered: one of both sees the other.
    assigned.cancelled.store(true, Ordering::SeqCst);
    let waits = std::mem::take(&mut *assigned.waits());
    waits.iter().filter_map(Weak::upgrade).for_each(|wait| wait.interrupt());
    if assigned.is_task {
        crate::binding::interrupt();
    }
}

/// The calling thread runs a task, while this lives.
pub(crate) struct Begun {
    assigned: Arc<Assigned>,
    alone: bool,
}

impl Begun {
    /// `alone`: no other task runs in this worker meanwhile.
    pub(crate) fn new(task: TaskKey, name: &str, alone: bool) -> Self {
        let assigned = assigned_tasks().get(&task).cloned().unwrap_or_else(|| Assigned::new(task, name, false));
        CURRENT.set(Some(Arc::clone(&assigned)));
        if alone {
            *ALONE.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&assigned));
        }
        Self { assigned, alone }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        CURRENT.set(None);
        if self.alone {
            *ALONE.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
        let mut tasks = assigned_tasks();
        // The agent may have sent it again already.
        if tasks.get(&self.assigned.task).is_some_and(|assigned| Arc::ptr_eq(assigned, &self.assigned)) {
            tasks.remove(&self.assigned.task);
        }
    }
}

/// The task that runs here is about to wait: the wait ends when the task is cancelled.
///
/// # Errors
/// [`Error::TaskCancelled`] when it was before.
pub(crate) fn watch<W: Interrupt + 'static>(client: &Client, wait: &Arc<W>) -> Result<(), Error> {
    if !client.worker {
        return Ok(());
    }
    let Some(assigned) = current() else { return Ok(()) };
    let weak: Weak<W> = Arc::downgrade(wait);
    let mut waits = assigned.waits();
    if waits.len() >= KEPT && waits.len().is_power_of_two() {
        waits.retain(|wait| wait.strong_count() > 0);
    }
    waits.push(weak);
    drop(waits);
    check(client)
}

/// Whether the task that runs here is still wanted.
///
/// # Errors
/// [`Error::TaskCancelled`] when it is not.
pub(crate) fn check(client: &Client) -> Result<(), Error> {
    if !client.worker {
        return Ok(());
    }
    match current().filter(|assigned| assigned.is_cancelled()) {
        Some(assigned) => Err(Error::TaskCancelled {
            task: assigned.task.on(client.hello.node),
            name: assigned.name.to_string(),
            job: client.hello.job.0,
            cause: "it is not wanted any more, and told so while it runs".to_owned(),
        }),
        None => Ok(()),
    }
}

/// Whether the task or call that runs here was cancelled. A task that takes long asks now and then, and ends early: nobody can get its
/// results any more. Its waits in [`crate::get`] and [`crate::wait`] end by themselves, with [`Error::TaskCancelled`].
///
/// False outside of tasks, and in threads that a call has started which runs beside others of its actor.
#[must_use]
pub fn is_cancelled() -> bool {
    current().is_some_and(|assigned| assigned.is_cancelled())
}
