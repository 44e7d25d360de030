//! One task, from submission to its end.

use std::sync::Arc;

use plasmon_protocol::error::Error;
use plasmon_protocol::id::{JobId, ObjectKey, ProcessId, SiteId, TaskKey};
use plasmon_protocol::record::TaskStatus;

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
    /// Thousandths of a CPU.
    pub milli_cpus: u32,
    /// How often it may still be tried again after a crash.
    pub retries_left: u32,
    /// It may be tried again at all.
    pub retriable: bool,
    /// How often it was put back because its worker had to go for want of memory.
    pub oom_retries: u32,
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
    /// It waits in a `get` and gave its CPU back.
    pub blocked: bool,
    /// When it was submitted, milliseconds since the Unix epoch.
    pub submitted_ms: u64,
    /// When its last attempt began.
    pub started_ms: Option<u64>,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// Why it failed.
    pub error: Option<Error>,
}

impl Task {
    /// Whether it has not ended.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        !matches!(self.status, TaskStatus::Finished | TaskStatus::Failed)
    }
}
