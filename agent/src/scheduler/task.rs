//! One task, from submission to its end.

use std::sync::Arc;

use plasmon_protocol::error::Error;
use plasmon_protocol::id::{JobId, ObjectKey, ProcessId, SiteId, TaskKey};
use plasmon_protocol::local::RetryExceptions;
use plasmon_protocol::record::TaskStatus;
use smallvec::SmallVec;

use super::queue::QueueKey;
use super::shape::Shape;

/// Objects of a task, of which there are few as a rule.
pub type Keys = SmallVec<[ObjectKey; 2]>;

/// An argument as the agent keeps it until the task ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Argument {
    /// The encoded value.
    Inline(Box<[u8]>),
    /// An object of the program's.
    Object(ObjectKey),
    /// A value that the client put for this task alone.
    Block(ObjectKey),
}

/// What a task is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Its results.
    Function,
    /// The creation of an actor.
    Constructor(ObjectKey),
    /// A call of an actor.
    Method(ObjectKey),
}

impl Role {
    /// The actor that is created or called.
    #[must_use]
    pub fn actor(self) -> Option<ObjectKey> {
        match self {
            Self::Function => None,
            Self::Constructor(actor) | Self::Method(actor) => Some(actor),
        }
    }
}

/// A worker's question for room for so many results of a generator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    /// The worker's number for it.
    pub request: u32,
    /// How many in all.
    pub results: u32,
}

/// One task. It holds its objects (`submitted` counts) in the submitter's name until it ends.
#[derive(Clone, Debug)]
pub struct Task {
    /// The task.
    pub key: TaskKey,
    /// The remote function's path.
    pub function: Arc<str>,
    /// What it is for.
    pub role: Role,
    /// Its job.
    pub job: JobId,
    /// Where it was submitted.
    pub site: SiteId,
    /// Its arguments.
    pub arguments: SmallVec<[Argument; 1]>,
    /// The objects that it makes, without the first [`Task::gone`].
    pub returns: Keys,
    /// So many of a generator's first results were taken and let go: nothing is kept of them.
    pub gone: u32,
    /// Every object that it keeps, once: arguments and the references inside them.
    pub holds: Keys,
    /// In whose name it keeps them: the submitter, or the agent after the submitter's death.
    pub holder: ProcessId,
    /// What it reserves while it runs.
    pub shape: Arc<Shape>,
    /// Its place among all tasks, in the order in which they became ready for the first time.
    pub order: Option<u64>,
    /// The queue of its job that it stands in.
    pub queue: Option<QueueKey>,
    /// How often it may be tried again after its worker died; [`plasmon_protocol::local::ENDLESS`] for as often as it takes.
    pub max_retries: u32,
    /// How often that may happen yet.
    pub retries_left: u32,
    /// Whether it is tried again after error values and panics, too.
    pub retry_exceptions: RetryExceptions,
    /// After how many milliseconds of running it is cancelled by force; 0 for never.
    pub timeout_ms: u64,
    /// How often it was tried again after a crash, an error value or a panic.
    pub retried: u32,
    /// How often it was tried again after its worker was ended for the memory that it used.
    pub oom_retried: u32,
    /// It was cancelled and still runs: what it holds is held until its worker is done with it.
    pub lingers: bool,
    /// The task that submitted it, where that is known: a worker may run several calls side by side.
    pub parent: Option<TaskKey>,
    /// The largest heap that its worker had while it ran, as far as it was seen. Bytes.
    pub heap_bytes: u64,
    /// Attempts begun.
    pub attempt: u32,
    /// Where it is in its life.
    pub status: TaskStatus,
    /// Argument objects without a value yet.
    pub waits_for: u32,
    /// Where it runs.
    pub worker: Option<ProcessId>,
    /// The worker's process id in the operating system, kept after its end.
    pub worker_pid: Option<u32>,
    /// Results that its running attempt has sent.
    pub outputs: u32,
    /// The most results that an attempt has sent.
    pub yielded: u32,
    /// It is a generator, and no more results are wanted than there is room for.
    pub closed: bool,
    /// Room for more results was made after it was submitted: it is a generator.
    pub streams: bool,
    /// It waits in a `get` and gave its CPU back.
    pub blocked: bool,
    /// When it was submitted, milliseconds since the Unix epoch.
    pub submitted_ms: u64,
    /// Since when it waits for what it waits for now.
    pub waiting_since_ms: u64,
    /// When its last attempt began.
    pub started_ms: Option<u64>,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// What few tasks have, or none for long. A queue may be a million tasks long.
    pub rare: Option<Box<Rare>>,
}

/// What few tasks have.
#[derive(Clone, Debug, Default)]
pub struct Rare {
    /// When it is tried again, milliseconds since the Unix epoch.
    pub retry_at_ms: Option<u64>,
    /// When its running attempt has run for too long, milliseconds since the Unix epoch.
    pub limit_at_ms: Option<u64>,
    /// Arguments that the agent keeps in the store for it, from before it runs to the end of the attempt.
    pub fetched: Vec<ObjectKey>,
    /// Their bytes.
    pub fetched_bytes: u64,
    /// There was no room for some of them; when they are asked for again.
    pub paused_ms: Option<u64>,
    /// Since when there was no room for them whenever they were asked for, milliseconds since the Unix epoch.
    pub no_room_since_ms: Option<u64>,
    /// Their bytes don't count for the moment: the attempt is blocked.
    pub fetched_lent: bool,
    /// Its worker waits for room.
    pub room: Option<Room>,
    /// Why it failed.
    pub error: Option<Error>,
}

/// What most tasks have of it.
static NOTHING_RARE: Rare = Rare {
    retry_at_ms: None,
    limit_at_ms: None,
    fetched: Vec::new(),
    fetched_bytes: 0,
    paused_ms: None,
    no_room_since_ms: None,
    fetched_lent: false,
    room: None,
    error: None,
};

impl Task {
    /// The objects among its arguments.
    pub fn argument_objects(&self) -> impl Iterator<Item = ObjectKey> {
        self.arguments.iter().filter_map(|argument| match argument {
            Argument::Object(key) => Some(*key),
            Argument::Inline(_) | Argument::Block(_) => None,
        })
    }

    /// A task that was submitted just now and waits for its arguments, of which nothing more is known.
    #[must_use]
    pub fn new(key: TaskKey, function: Arc<str>, role: Role, shape: Arc<Shape>, now_ms: u64) -> Self {
        Self {
            key,
            function,
            role,
            job: JobId(0),
            site: SiteId(0),
            arguments: SmallVec::new(),
            returns: Keys::new(),
            gone: 0,
            holds: Keys::new(),
            holder: key.process,
            shape,
            order: None,
            queue: None,
            max_retries: 0,
            retries_left: 0,
            retry_exceptions: RetryExceptions::Never,
            timeout_ms: 0,
            retried: 0,
            oom_retried: 0,
            lingers: false,
            parent: None,
            heap_bytes: 0,
            attempt: 0,
            status: TaskStatus::PendingArgsAvail,
            waits_for: 0,
            worker: None,
            worker_pid: None,
            outputs: 0,
            yielded: 0,
            closed: false,
            streams: false,
            blocked: false,
            submitted_ms: now_ms,
            waiting_since_ms: now_ms,
            started_ms: None,
            ended_ms: None,
            rare: None,
        }
    }

    /// It was sent to a worker: a new attempt, which has sent no results yet.
    pub fn begin(&mut self) {
        (self.outputs, self.heap_bytes) = (0, 0);
        if let Some(rare) = &mut self.rare {
            rare.room = None;
        }
    }

    /// Its attempt has ended.
    pub fn leave_worker(&mut self) {
        self.worker = None;
        if let Some(rare) = &mut self.rare {
            rare.room = None;
        }
    }

    /// Nothing rare is known of it any more: it is as if it had just been submitted.
    pub fn forget_rare(&mut self) {
        self.rare = None;
    }

    /// What few tasks have; mostly nothing.
    #[must_use]
    pub fn rare(&self) -> &Rare {
        self.rare.as_deref().unwrap_or(&NOTHING_RARE)
    }

    /// The same, to set something of it; made when it is missing.
    pub fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// The same, to take something of it, if it has any.
    pub fn rare_if_any(&mut self) -> Option<&mut Rare> {
        self.rare.as_deref_mut()
    }

    /// How many results it has, or has room for.
    #[must_use]
    pub fn results(&self) -> u32 {
        self.gone.saturating_add(self.returns.len() as u32)
    }

    /// One of its results by its number, from 0; of one that is gone, no object's key.
    #[must_use]
    pub fn result(&self, number: u32) -> Option<ObjectKey> {
        match number.checked_sub(self.gone) {
            Some(at) => self.returns.get(at as usize).copied(),
            None => Some(ObjectKey::default()),
        }
    }

    /// The first so many of its results are gone.
    pub fn forget_results(&mut self, count: usize) {
        self.gone = self.gone.saturating_add(self.returns.drain(..count).len() as u32);
    }

    /// The last part of the function's path.
    #[must_use]
    pub fn short_function(&self) -> &str {
        self.function.rsplit("::").next().unwrap_or(&self.function)
    }

    /// The objects among its arguments, each once.
    #[must_use]
    pub fn objects(&self) -> Keys {
        let objects = self.arguments.iter().filter_map(|argument| match argument {
            Argument::Inline(_) => None,
            Argument::Object(object) | Argument::Block(object) => Some(*object),
        });
        let mut objects: Keys = objects.collect();
        objects.sort_unstable();
        objects.dedup();
        objects
    }

    /// Whether a call in its actor's queue lacks at most the room for its arguments.
    #[must_use]
    pub fn is_ready_call(&self) -> bool {
        match self.status {
            TaskStatus::PendingNodeAssignment => self.rare().retry_at_ms.is_none(),
            TaskStatus::PendingObjStoreMemAvail => self.rare().paused_ms.is_none(),
            _ => false,
        }
    }

    /// Whether it has not ended.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        !matches!(self.status, TaskStatus::Finished | TaskStatus::Failed)
    }
}

/// A task to be changed by tests.
#[cfg(test)]
pub(super) fn sample(key: TaskKey) -> Task {
    let offer = super::resources::Offer::new(&plasmon_protocol::resources::Resources::default());
    let shape = super::shape::Shapes::new(&offer).nothing();
    Task { job: JobId(1), max_retries: 3, retries_left: 3, ..Task::new(key, "f".into(), Role::Function, shape, 0) }
}
