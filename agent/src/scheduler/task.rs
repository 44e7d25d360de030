//! One task, from submission to its end.

use std::sync::Arc;

use plasmon_protocol::error::Error;
use plasmon_protocol::id::{JobId, ObjectKey, ProcessId, SiteId, TaskKey};
use plasmon_protocol::local::RetryExceptions;
use plasmon_protocol::record::TaskStatus;

use super::queue::QueueKey;
use super::shape::Shape;

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
    pub arguments: Vec<Argument>,
    /// The objects that it makes.
    pub returns: Vec<ObjectKey>,
    /// Every object that it keeps, once: arguments and the references inside them.
    pub holds: Vec<ObjectKey>,
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
    /// When it is tried again, milliseconds since the Unix epoch.
    pub retry_at_ms: Option<u64>,
    /// When its running attempt has run for too long, milliseconds since the Unix epoch.
    pub limit_at_ms: Option<u64>,
    /// It was cancelled and still runs: what it holds is held until its worker is done with it.
    pub lingers: bool,
    /// The task that submitted it, where that is known: a worker may run several calls side by side.
    pub parent: Option<TaskKey>,
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
    /// Its worker waits for room.
    pub room: Option<Room>,
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
    /// Why it failed.
    pub error: Option<Error>,
}

impl Task {
    /// The last part of the function's path.
    #[must_use]
    pub fn short_function(&self) -> &str {
        self.function.rsplit("::").next().unwrap_or(&self.function)
    }

    /// The objects among its arguments, each once.
    #[must_use]
    pub fn objects(&self) -> Vec<ObjectKey> {
        let objects = self.arguments.iter().filter_map(|argument| match argument {
            Argument::Inline(_) => None,
            Argument::Object(object) | Argument::Block(object) => Some(*object),
        });
        let mut objects: Vec<ObjectKey> = objects.collect();
        objects.sort_unstable();
        objects.dedup();
        objects
    }

    /// Whether a call in its actor's queue lacks at most the room for its arguments.
    #[must_use]
    pub fn is_ready_call(&self) -> bool {
        match self.status {
            TaskStatus::PendingNodeAssignment => true,
            TaskStatus::PendingObjStoreMemAvail => self.paused_ms.is_none(),
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
    Task {
        heap_bytes: 0,
        key,
        function: "f".into(),
        role: Role::Function,
        job: JobId(1),
        site: SiteId(0),
        arguments: Vec::new(),
        returns: Vec::new(),
        holds: Vec::new(),
        holder: key.process,
        shape: super::shape::Shapes::new(&offer).nothing(),
        order: None,
        queue: None,
        max_retries: 3,
        retries_left: 3,
        retry_exceptions: RetryExceptions::Never,
        timeout_ms: 0,
        retried: 0,
        oom_retried: 0,
        retry_at_ms: None,
        limit_at_ms: None,
        lingers: false,
        parent: None,
        fetched: Vec::new(),
        fetched_bytes: 0,
        fetched_lent: false,
        paused_ms: None,
        no_room_since_ms: None,
        attempt: 0,
        status: TaskStatus::PendingArgsAvail,
        waits_for: 0,
        worker: None,
        worker_pid: None,
        outputs: 0,
        yielded: 0,
        closed: false,
        streams: false,
        room: None,
        blocked: false,
        submitted_ms: 0,
        waiting_since_ms: 0,
        started_ms: None,
        ended_ms: None,
        error: None,
    }
}
