//! Every typed error, once: a stable code, a message that names what failed and with which value, and a hint.

mod memory;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{ActorId, NodeId, ObjectId, TaskId};
use crate::size::Bytes;

pub use memory::{MAX_COMMAND, MAX_PROCESSES, MemoryReport, ProcessMemory};

/// What can go wrong between a program and Plasmon. Cheap to move, clonable, and the same on every side of a socket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Error {
    /// The store has no room for an object and none came free in time.
    #[error("object store full: {asked} asked at {site}, {free} of {capacity} free{}{}", in_pieces(*.asked, *.free, *.longest), largest(.holders))]
    ObjectStoreFull {
        /// Bytes that the create asked for.
        asked: Bytes,
        /// Bytes of capacity that nobody uses.
        free: Bytes,
        /// The longest range of them: what is in use between two cannot move while somebody reads it.
        longest: Bytes,
        /// Bytes of capacity in all.
        capacity: Bytes,
        /// Where the create was called, `function file:line`.
        site: String,
        /// The creation sites that hold most, largest first, at most three.
        holders: Vec<Holder>,
    },
    /// The store has no room for an object, and external storage takes no more.
    #[error("out of disk: {asked} asked at {site}, and nothing can be spilled: {cause}")]
    OutOfDisk {
        /// Bytes that the create or get asked for.
        asked: Bytes,
        /// Where it was called, `function file:line`.
        site: String,
        /// What stands in the way: a limit with its value, or what the system said of which file.
        cause: String,
    },
    /// A `get` or `wait` reached its time limit.
    #[error("timed out after {after:?} waiting for object {object}")]
    GetTimeout {
        /// The first object that was not ready.
        object: ObjectId,
        /// The limit.
        after: Duration,
    },
    /// The object is gone: nobody held it any more, or it never was.
    #[error("object {object} is lost: {cause}")]
    ObjectLost {
        /// The object.
        object: ObjectId,
        /// Why there is nothing to return.
        cause: String,
    },
    /// The object's bytes are not what the type asked for would have written.
    #[error("object {object} does not decode as {wanted}: {cause}")]
    Decode {
        /// The object.
        object: ObjectId,
        /// The Rust type asked for.
        wanted: String,
        /// What the decoder says.
        cause: String,
    },
    /// A value could not be written as an object.
    #[error("a value of type {kind} cannot be stored: {cause}")]
    Encode {
        /// The Rust type given.
        kind: String,
        /// What the encoder says.
        cause: String,
    },
    /// The task returned an error value.
    #[error("task {name} failed in process {pid} at {site}: {message}")]
    TaskFailed {
        /// The task.
        task: TaskId,
        /// The remote function's name.
        name: String,
        /// The worker's process id.
        pid: u32,
        /// Where the task was submitted, `function file:line`.
        site: String,
        /// The error value, printed.
        message: String,
        /// The error value itself, as the program's language encodes it; empty where it is text alone. Shared: it may be that of
        /// many tasks that need the result.
        value: Arc<[u8]>,
    },
    /// The task panicked.
    #[error("task {name} panicked in process {pid}, submitted at {site}: {message} at {place}")]
    TaskPanicked {
        /// The task.
        task: TaskId,
        /// The remote function's name.
        name: String,
        /// The worker's process id.
        pid: u32,
        /// Where the task was submitted, `function file:line`.
        site: String,
        /// The panic's message.
        message: String,
        /// The panic's place, `file:line:column`.
        place: String,
    },
    /// The worker that ran the task died, and no retry was left.
    #[error("worker {pid} died running task {name} submitted at {site} ({how}, attempt {attempt})")]
    WorkerCrashed {
        /// The task.
        task: TaskId,
        /// The remote function's name.
        name: String,
        /// The worker's process id.
        pid: u32,
        /// Where the task was submitted, `function file:line`.
        site: String,
        /// The signal or exit code.
        how: String,
        /// Attempts made, from 1.
        attempt: u32,
    },
    /// The task was cancelled, took too long, or its job ended first.
    #[error("task {name} of job {job} was cancelled: {cause}")]
    TaskCancelled {
        /// The task.
        task: TaskId,
        /// The remote function's name.
        name: String,
        /// The job's number.
        job: u32,
        /// Why.
        cause: String,
    },
    /// The actor is gone: what was called of it will never run.
    #[error("actor {class}{} died in process {pid}, created at {site}: {cause}", named(.name))]
    ActorDied {
        /// The actor.
        actor: ActorId,
        /// Its type's name.
        class: String,
        /// The name that it could be found by, empty without one.
        name: String,
        /// Its worker's process id; 0 when it never had one.
        pid: u32,
        /// Where it was created, `function file:line`.
        site: String,
        /// What ended it.
        cause: String,
    },
    /// No live actor has that name.
    #[error("no actor named '{name}' lives on this node")]
    NoActor {
        /// The name asked for.
        name: String,
    },
    /// A live actor has the name already.
    #[error("an actor named '{name}' lives already: a {class} created at {site}")]
    ActorNameTaken {
        /// The name.
        name: String,
        /// The type of the actor that has it.
        class: String,
        /// Where that one was created, `function file:line`.
        site: String,
    },
    /// A task names a function that the worker's executable does not have.
    #[error("no remote function named '{name}' in {executable}")]
    UnknownFunction {
        /// The name asked for.
        name: String,
        /// The executable that was asked.
        executable: String,
    },
    /// The task asks for more than the node has, so it could never run.
    #[error("task {name} submitted at {site} asks for {asked}, the node has {total}")]
    Infeasible {
        /// The remote function's name.
        name: String,
        /// Where it was submitted, `function file:line`.
        site: String,
        /// What it asks for and the node does not have so much of.
        asked: String,
        /// How much of that the node has in all.
        total: String,
    },
    /// The agent is gone.
    #[error("agent {node} is gone: {cause}")]
    AgentDied {
        /// The agent's node.
        node: NodeId,
        /// How that became known, naming the starter where it ended the agent.
        cause: String,
    },
    /// The agent is about to end and takes no new work.
    #[error("agent {node} takes no new work: it is draining ({cause})")]
    Draining {
        /// The agent's node.
        node: NodeId,
        /// What told it to end.
        cause: String,
    },
    /// This process has no connection (never made, shut down, or forked away from one that had).
    #[error("this process is not connected to an agent: {cause}")]
    NotConnected {
        /// Which of those.
        cause: String,
    },
    /// An agent could not be started or reached.
    #[error("cannot {action}: {cause}")]
    Connect {
        /// What was tried, with the address.
        action: String,
        /// What happened.
        cause: String,
    },
    /// Both ends speak, but not the same version.
    #[error("version mismatch: {ours} here, {theirs} there")]
    Version {
        /// This side's version.
        ours: String,
        /// The other side's.
        theirs: String,
    },
    /// A reference was serialised outside of an object or a task's argument or result.
    #[error("a reference to object {object} was serialised outside of an object, a task's argument or its result")]
    OutOfBand {
        /// The object.
        object: ObjectId,
    },
    /// A value given from outside is malformed.
    #[error("{what} '{value}' is not valid: {cause}")]
    Invalid {
        /// What the value is for.
        what: String,
        /// The value.
        value: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A peer broke the protocol and was dropped.
    #[error("{who} broke the protocol: {cause}")]
    Protocol {
        /// Which peer.
        who: String,
        /// What it did.
        cause: String,
    },
    /// The operating system refused something.
    #[error("cannot {action}: {cause}")]
    System {
        /// What was tried, with its value.
        action: String,
        /// The system's words.
        cause: String,
    },
    /// Memory ran out, the worker that ran the task was ended before the kernel ends something, and no retry was left.
    #[error(
        "out of memory: worker {pid} was killed running task {name} submitted at {site} (attempt {attempt}): {}\n{report}",
        .report.summary()
    )]
    OutOfMemory {
        /// The task.
        task: TaskId,
        /// The remote function's name.
        name: String,
        /// The worker's process id.
        pid: u32,
        /// Where the task was submitted, `function file:line`.
        site: String,
        /// Attempts made, from 1.
        attempt: u32,
        /// The numbers.
        report: Box<MemoryReport>,
    },
    /// The task's generator had yielded all its values before this one.
    #[error("task {task} has no more results: its generator has yielded all its values")]
    NoMoreResults {
        /// The task.
        task: TaskId,
    },
}

/// One creation site that holds much of a full store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// `function file:line`.
    pub site: String,
    /// Bytes of unique objects created there.
    pub bytes: Bytes,
    /// How many objects.
    pub objects: u64,
}

/// Why that much is free and is not enough.
fn in_pieces(asked: Bytes, free: Bytes, longest: Bytes) -> String {
    if free.0 < asked.0 || longest.0 >= asked.0 { String::new() } else { format!(" in pieces of at most {longest}") }
}

fn largest(holders: &[Holder]) -> String {
    let mut text = String::new();
    for (index, holder) in holders.iter().enumerate() {
        text.push_str(if index == 0 { "; largest: " } else { ", " });
        text.push_str(&format!("{} {} in {} objects", holder.site, holder.bytes, holder.objects));
    }
    text
}

fn named(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" '{name}'") }
}

impl Error {
    /// A malformed id.
    #[must_use]
    pub fn bad_id(kind: &str, text: &str) -> Self {
        Self::invalid(kind, text, "it is not lower-case hex of the right length")
    }

    /// A malformed value from outside.
    #[must_use]
    pub fn invalid(what: impl Into<String>, value: impl Into<String>, cause: impl Into<String>) -> Self {
        Self::Invalid { what: what.into(), value: value.into(), cause: cause.into() }
    }

    /// A refusal of the operating system.
    #[must_use]
    pub fn system(action: impl Into<String>, cause: impl std::fmt::Display) -> Self {
        Self::System { action: action.into(), cause: cause.to_string() }
    }

    /// The message's first line: all that fits a row.
    #[must_use]
    pub fn line(&self) -> String {
        let mut text = self.to_string();
        if let Self::OutOfMemory { .. } = self {
            text.truncate(text.find('\n').unwrap_or(text.len()));
        }
        text
    }

    /// The stable code that scripts match on.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::ObjectStoreFull { .. } => "object_store_full",
            Self::OutOfDisk { .. } => "out_of_disk",
            Self::GetTimeout { .. } => "get_timeout",
            Self::ObjectLost { .. } => "object_lost",
            Self::Decode { .. } => "decode",
            Self::Encode { .. } => "encode",
            Self::TaskFailed { .. } => "task_failed",
            Self::TaskPanicked { .. } => "task_panicked",
            Self::WorkerCrashed { .. } => "worker_crashed",
            Self::TaskCancelled { .. } => "task_cancelled",
            Self::ActorDied { .. } => "actor_died",
            Self::NoActor { .. } => "no_actor",
            Self::ActorNameTaken { .. } => "actor_name_taken",
            Self::UnknownFunction { .. } => "unknown_function",
            Self::Infeasible { .. } => "infeasible",
            Self::AgentDied { .. } => "agent_died",
            Self::Draining { .. } => "draining",
            Self::NotConnected { .. } => "not_connected",
            Self::Connect { .. } => "connect",
            Self::Version { .. } => "version",
            Self::OutOfBand { .. } => "out_of_band",
            Self::Invalid { .. } => "invalid",
            Self::Protocol { .. } => "protocol",
            Self::System { .. } => "system",
            Self::OutOfMemory { .. } => "out_of_memory",
            Self::NoMoreResults { .. } => "no_more_results",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::ObjectStoreFull { .. } => {
                "drop references that are no longer needed, or start the agent with a larger --object-store-memory"
            }
            Self::OutOfDisk { .. } => {
                "make room on the disk, raise --spill-limit, or give another --spill-dir; the Spill view of `plasmon` shows what is there"
            }
            Self::GetTimeout { .. } => "the Tasks view of `plasmon` shows what the task that makes it waits for",
            Self::ObjectLost { .. } => {
                "keep an ObjectRef for as long as the object is needed; when a disk could not be read, get it again once it works"
            }
            Self::Decode { .. } => "get it as the type that it was put as",
            Self::Encode { .. } => "the type must serialise with serde, or be a slice of plain numbers",
            Self::TaskFailed { .. } | Self::TaskPanicked { .. } => {
                "the task's own error is in the message; its worker's output is in the session's logs"
            }
            Self::WorkerCrashed { .. } => {
                "the worker's output is in the session's logs; raise max_retries if the crash is not the task's fault"
            }
            Self::TaskCancelled { .. } => {
                "it was cancelled, took longer than its timeout, or its driver ended; a cancelled task is never tried again"
            }
            Self::ActorDied { .. } => "create it again; what ended it is in the message, its output is in the session's logs",
            Self::NoActor { .. } => "create it with ActorOptions::name, and keep a handle or make it detached",
            Self::ActorNameTaken { .. } => "get that one with get_actor, or choose another name",
            Self::UnknownFunction { .. } => "driver and worker must be the same program; mark the function #[plasmon::remote]",
            Self::Infeasible { .. } => {
                "ask for less with .options(..), or start the agent with more: --num-cpus, --num-gpus, --memory, --resources"
            }
            Self::AgentDied { .. } => "start a new agent with `plasmon agent`, or call init() again",
            Self::Draining { .. } => "start another agent with `plasmon agent`; this one ends when its running tasks have",
            Self::NotConnected { .. } => "call plasmon::init() in this process first",
            Self::Connect { .. } => "check that the agent runs and that the address is right",
            Self::Version { .. } => "build both sides from the same release",
            Self::OutOfBand { .. } => "pass the reference inside a put value or a task's argument, which is how it is counted",
            Self::Invalid { .. } => "see --help for what is accepted",
            Self::Protocol { .. } => "both sides must be the same release; if they are, this is a bug",
            Self::System { .. } => "check the limits and permissions that the message names",
            Self::OutOfMemory { .. } => {
                "let fewer tasks run at once (num_cpus), make them smaller, or allow more with --oom-threshold or --oom-min-free; the Tasks \
                 view of `plasmon` shows what each kind of task uses"
            }
            Self::NoMoreResults { .. } => "iterate over what the task returns: the iteration ends there",
        }
    }
}
