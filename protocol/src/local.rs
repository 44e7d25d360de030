//! What a client (driver or worker) and its agent say to each other on one machine.
//!
//! Cold, over the unix socket: [`ClientHello`], then [`AgentHello`] with the descriptors of the shared memory. Hot, through
//! the rings, in postcard: [`ToAgent`] and [`ToClient`]. Both borrow from the ring's bytes, so a hot message allocates nothing.

mod fixed;
mod short;

use serde::{Deserialize, Serialize};

pub use short::{LONGEST_SHORT, Room, Short};

use crate::error::Error;
use crate::id::{JobId, NodeId, ObjectKey, ProcessId, TaskKey};
use crate::record::{ProcessType, SiteKind};
use crate::resources::Demand;

/// Version of these messages and of every shared layout; both sides must have the same.
pub const VERSION: u32 = 7;

/// Objects begin at multiples of this many bytes (two cache lines would be wasteful, less would split numbers).
pub const ALIGNMENT: u64 = 64;
/// Leases begin and end at multiples of this many bytes: what `mprotect` can flip.
pub const PAGE: u64 = 4096;
/// The largest chunk for small objects, bytes.
pub const CHUNK: u64 = 256 << 10;
/// Objects above this size get a lease of their own, bytes.
pub const SMALL: u64 = CHUNK / 4;
/// Values up to this size travel inside messages instead of the pool, bytes.
pub const INLINE: usize = 1 << 10;
/// Slots are leased in blocks of this many.
pub const SLOT_BLOCK: u32 = 1024;
/// Leases that one process can hold at once.
pub const MAX_LEASES: usize = 1 << 16;
/// Call sites that one client may define; what comes after them is the unknown one, 0.
pub const MAX_SITES: u32 = 65_536;
/// Frames of one stack: how many call sites may follow each other by [`ToAgent::Site`]'s `caller`. The outermost ones are left out.
pub const MAX_STACK: usize = 64;
/// References in one [`ToAgent::Stage`].
pub const MAX_STAGED: usize = 1000;
/// References that a message can take, in as many [`ToAgent::Stage`] as it needs: those inside one object, or inside one task's arguments.
pub const MAX_INSIDE: usize = 1 << 20;
/// Arguments of one task: as many references fit the message to its worker, beside what is inlined.
pub const MAX_TASK_ARGUMENTS: usize = 4000;
/// Answers that one process waits for at once.
pub const MAX_REQUESTS: usize = 1 << 20;
/// The longest string of a message, bytes; longer ones are cut by the sender.
pub const MAX_TEXT: usize = 4096;
/// The longest name of an actor, bytes.
pub const MAX_NAME: usize = 256;
/// The longest error value that a task's error carries, bytes.
pub const MAX_RAISED: usize = 12 << 10;
/// What the arguments that workers are started with may be in all, bytes.
pub const MAX_ARGUMENTS: usize = 32 << 10;
/// Calls that an actor can run side by side.
pub const MAX_CONCURRENCY: u32 = 1000;
/// Results of a generator for which its submitter makes room at once.
pub const GENERATOR_BATCH: u32 = 8;
/// As often as it takes.
pub const ENDLESS: u32 = u32::MAX;

/// What a message takes of a text: [`MAX_TEXT`] bytes, in whole characters.
#[must_use]
pub fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

/// The environment variable that tells a re-executed program what it is: `agent:FD` or `worker:FD`.
pub const BOOT: &str = "PLASMON_BOOT";

/// The first packet on a connection. A driver's carries one descriptor: its executable.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClientHello {
    /// [`VERSION`]
    pub version: u32,
    /// The release, for people.
    pub release: String,
    /// Driver or worker.
    pub process_type: ProcessType,
    /// The process id that the client sees.
    pub pid: u32,
    /// The executable's path, for people and as `argv[0]` of its workers.
    pub executable: String,
    /// The working directory for its workers.
    pub directory: String,
    /// What its workers are started with, after `argv[0]`: where the executable is an interpreter, what to interpret. At most
    /// [`MAX_ARGUMENTS`] bytes.
    pub arguments: Vec<String>,
}

/// The answer. Carries descriptors in this order: pool, slot table, client segment, agent segment, the agent's doorbell,
/// the doorbell of the client's service thread, that of the thread that waits for an answer or a task.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AgentHello {
    /// [`VERSION`]
    pub version: u32,
    /// The node.
    pub node: NodeId,
    /// The client's number.
    pub process: ProcessId,
    /// Its job.
    pub job: JobId,
    /// The agent's process id.
    pub agent_pid: u32,
    /// Who started the agent: `process 123`, or `itself` for a standalone one.
    pub starter: String,
    /// The session's directory.
    pub session: String,
    /// The pool's size, bytes.
    pub capacity: u64,
    /// Slots in the slot table.
    pub slots: u32,
}

/// The second packet's payload.
pub type Welcome = Result<AgentHello, Error>;

/// The agent's last packet on a connection that it ends on purpose.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Farewell {
    /// Why, for people.
    pub cause: String,
}

/// A range of the pool that holds one object.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    /// The putter's lease that the range lies in.
    pub lease: u32,
    /// Bytes from the pool's begin; a multiple of [`ALIGNMENT`].
    pub offset: u64,
    /// The object's size, bytes.
    pub length: u64,
}

/// One argument of a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Argument<'a> {
    /// The encoded value itself.
    Inline(&'a [u8]),
    /// An object; the task waits for it.
    Object(ObjectKey),
    /// A value that was too large to be inlined, put for this task alone and invisible to people.
    Block(ObjectKey),
    /// Agent to worker only: an object whose encoded value is inlined.
    Value(ObjectKey, &'a [u8]),
}

/// One result of a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Value<'a> {
    /// The encoded value itself, at most [`INLINE`] bytes.
    Inline(&'a [u8]),
    /// A range that the worker has written.
    Memory(Memory),
}

/// How a task ended, as its worker tells it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Ending {
    /// All results were sent.
    Finished,
    /// The function returned an error value, or raised an exception.
    Failed {
        /// Printed.
        message: String,
        /// It is of those that the function lists as worth a retry, or the function lists none.
        listed: bool,
        /// As the function's language encodes it, at most [`MAX_RAISED`] bytes; empty where it is text alone.
        value: Vec<u8>,
    },
    /// The function panicked.
    Panicked {
        /// The message.
        message: String,
        /// `file:line:column`.
        place: String,
    },
    /// The task could not be run at all.
    Refused(Error),
    /// The agent had taken the task back before it began.
    Withdrawn,
    /// All that a generator yielded was sent: results beyond that never have a value.
    Exhausted,
}

/// After which failures of its own a task is tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum RetryExceptions {
    /// After none.
    #[default]
    Never,
    /// After the error values that its function lists ([`Ending::Failed`]); no panic is among them.
    Listed,
    /// After every error value and every panic.
    Always,
}

/// How a call of an actor is tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CallRetries {
    /// How often; [`ENDLESS`] for as often as it takes, `None` for as often as its actor says of all its calls.
    pub max_task_retries: Option<u32>,
    /// Whether it is tried again after error values and panics, too: then it goes before the calls that its actor was not sent yet.
    pub retry_exceptions: RetryExceptions,
}

/// How a task runs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Task<'a> {
    /// What it reserves while it runs.
    #[serde(borrow)]
    pub demand: Demand<'a>,
    /// How often it is tried again after its worker died; [`ENDLESS`] for as often as it takes.
    pub max_retries: u32,
    /// Whether it is tried again after error values and panics, too.
    pub retry_exceptions: RetryExceptions,
    /// After how many milliseconds of running it is cancelled by force; 0 for never.
    pub timeout_ms: u64,
}

/// How an actor lives.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Actor<'a> {
    /// The name that it can be found by, empty for none.
    pub name: &'a str,
    /// It lives on without handles, and without its driver.
    pub detached: bool,
    /// Calls that it runs side by side, from 1.
    pub max_concurrency: u32,
    /// What must be free to place it; at least as much of each resource as it holds.
    #[serde(borrow)]
    pub placed: Demand<'a>,
    /// What it reserves while it lives.
    pub held: Demand<'a>,
    /// How often it is made anew after its worker died; [`ENDLESS`] for as often as it takes.
    pub max_restarts: u32,
    /// How often a call of it is tried again after its worker died; [`ENDLESS`] for as often as it takes.
    pub max_task_retries: u32,
}

/// What a worker is to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Work {
    /// A remote function.
    Task,
    /// An actor's constructor: the worker is that actor from then on.
    Constructor {
        /// Calls that it runs side by side, from 1.
        max_concurrency: u32,
    },
    /// A method of the actor that the worker is.
    Method,
}

/// Client to agent. `site` is the client's own number of a call site (0: unknown), defined before its first use.
/// References that a message carries beyond its own fields are *staged*: sent before it, in the same ring.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum ToAgent<'a> {
    /// A new object: published here, with one local reference of this process. Takes the staged references as contained.
    Put {
        /// A free slot of the client's and its next generation.
        #[serde(with = "fixed")]
        key: ObjectKey,
        /// Where the bytes are.
        #[serde(with = "fixed")]
        memory: Memory,
        /// Where the program put it.
        #[serde(with = "fixed")]
        site: u32,
        /// Whether it is an argument block ([`Argument::Block`]), which people don't see.
        hidden: bool,
    },
    /// One more local handle.
    AddLocal {
        /// The object.
        #[serde(with = "fixed")]
        key: ObjectKey,
        /// Where the program got it.
        #[serde(with = "fixed")]
        site: u32,
    },
    /// One local handle fewer.
    DropLocal {
        /// The object.
        #[serde(with = "fixed")]
        key: ObjectKey,
    },
    /// One more view into the object's memory, where it is not by a handle that the view keeps: of such views the pin table tells.
    AddPin {
        /// The object.
        #[serde(with = "fixed")]
        key: ObjectKey,
        /// Where the program took it.
        #[serde(with = "fixed")]
        site: u32,
    },
    /// One view fewer.
    DropPin {
        /// The object.
        #[serde(with = "fixed")]
        key: ObjectKey,
    },
    /// References for the next message that takes them, at most [`MAX_STAGED`] each.
    Stage {
        /// The objects.
        references: Vec<ObjectKey>,
    },
    /// Memory is wanted.
    Lease {
        /// The client's number for the request.
        request: u32,
        /// The size of the object that it is wanted for, bytes.
        bytes: u64,
        /// Room for many small objects instead of this one alone; the agent chooses how much.
        chunk: bool,
        /// Where the program asked.
        site: u32,
    },
    /// A lease without live objects goes back.
    Return {
        /// Which.
        lease: u32,
    },
    /// A block of slots is wanted.
    Slots {
        /// The client's number for the request.
        request: u32,
    },
    /// Answer when the object has a value, with the value. One in the pool is pinned by count from the answer on ([`Outcome::Pinned`]).
    Get {
        /// The client's number for the request.
        request: u32,
        /// The object.
        key: ObjectKey,
        /// Where the program gets it.
        site: u32,
    },
    /// Answer when the object has a value or an error, without it.
    Wait {
        /// The client's number for the request.
        request: u32,
        /// The object.
        key: ObjectKey,
    },
    /// The answer is no longer wanted.
    Cancel {
        /// The client's number for the request.
        request: u32,
    },
    /// A new task. Takes the staged references as nested in its arguments.
    Submit {
        /// Counts this process's tasks, from 1.
        number: u32,
        /// The remote function's path.
        function: &'a str,
        /// Its arguments.
        arguments: Vec<Argument<'a>>,
        /// Free slots of the client's with their next generations: the results, each with one local reference.
        returns: Vec<ObjectKey>,
        /// How it runs.
        options: Task<'a>,
        /// Where the program submitted it.
        site: u32,
    },
    /// A new actor. Its constructor runs as a task without results; its handles refer to the object `actor`. Takes the staged
    /// references as nested in the arguments.
    CreateActor {
        /// Counts this process's tasks, from 1.
        number: u32,
        /// Answered with [`ToClient::Resolved`] or [`ToClient::Refused`] when the actor has a name.
        request: u32,
        /// A free slot of the client's with its next generation, with one local reference.
        actor: ObjectKey,
        /// The constructor's path: that of the type, and the function's name.
        function: &'a str,
        /// Its arguments.
        arguments: Vec<Argument<'a>>,
        /// How it lives.
        options: Actor<'a>,
        /// Where the program created it.
        site: u32,
    },
    /// A call of an actor's method: a task that runs in the actor, after the calls that this process made before. Takes the staged
    /// references as nested in its arguments.
    Call {
        /// Counts this process's tasks, from 1.
        number: u32,
        /// The actor.
        actor: ObjectKey,
        /// The method's path.
        function: &'a str,
        /// Its arguments.
        arguments: Vec<Argument<'a>>,
        /// As for [`ToAgent::Submit`].
        returns: Vec<ObjectKey>,
        /// How it is tried again.
        retries: CallRetries,
        /// Where the program called it.
        site: u32,
    },
    /// Cancels the task that makes an object.
    CancelTask {
        /// One of its results.
        key: ObjectKey,
        /// Kills its worker if it runs.
        force: bool,
        /// Where the program asked.
        site: u32,
    },
    /// Ends an actor.
    KillActor {
        /// The actor.
        actor: ObjectKey,
        /// For good; otherwise it is made anew while it has restarts left.
        no_restart: bool,
        /// Where the program asked.
        site: u32,
    },
    /// A handle to the actor with that name is wanted.
    FindActor {
        /// The client's number for the request.
        request: u32,
        /// The name.
        name: &'a str,
        /// Where the program asked.
        site: u32,
    },
    /// The worker begins the task that it was sent.
    Started {
        /// The task.
        task: TaskKey,
    },
    /// One result, in order. Takes the staged references as contained.
    Output {
        /// The task.
        task: TaskKey,
        /// The value.
        value: Value<'a>,
    },
    /// The task ended.
    Ended {
        /// The task.
        task: TaskKey,
        /// How.
        ending: Ending,
    },
    /// The running task waits in a `get` or `wait` and gives its CPU back.
    Blocked,
    /// It goes on.
    Unblocked,
    /// A call site's number from here on.
    Site {
        /// The client's number for it, counting from 1.
        site: u32,
        /// How references come to be there.
        kind: SiteKind,
        /// The source file as the compiler named it.
        file: &'a str,
        /// The line.
        line: u32,
        /// The enclosing function's path, empty if it is not known yet.
        function: &'a str,
        /// The client's number of the site that this one was called from, defined before; 0 where none is known.
        caller: u32,
    },
    /// The enclosing function's path of a site that was defined without.
    SiteName {
        /// The client's number for it.
        site: u32,
        /// The path.
        function: &'a str,
    },
    /// The client ends on purpose; nothing follows.
    Bye,
    /// The most that the worker's heap had while the task ran, before the task's end is told. Of short tasks nothing is told.
    HeapPeak {
        /// The task.
        task: TaskKey,
        /// Resident memory that is not shared, bytes.
        bytes: u64,
    },
    /// The next task, call or actor is submitted by this call, which the worker runs beside others.
    Submits {
        /// The call.
        task: TaskKey,
    },
    /// Room for more results of a generator that this process submitted, or called.
    Extend {
        /// The number of the task or call.
        number: u32,
        /// Free slots of the client's with their next generations, at most [`GENERATOR_BATCH`], each with one local reference that nobody
        /// sees before the result is there. Empty: no more are wanted.
        returns: Vec<ObjectKey>,
        /// Where the program wants them.
        site: u32,
    },
    /// Answer when the generator that this worker runs has room for so many results in all, or they are not wanted.
    Room {
        /// The client's number for the request.
        request: u32,
        /// The task.
        task: TaskKey,
        /// How many.
        results: u32,
    },
    /// One local handle fewer, by which the process got views that live on: they keep the object from here on, as one pin of which the
    /// process's pin table tells how many views it is.
    KeepViews {
        /// The object.
        key: ObjectKey,
    },
    /// The last of the views is gone that [`ToAgent::KeepViews`] told of.
    DropViews {
        /// The object.
        key: ObjectKey,
    },
    /// Memory is wanted for one object, that the client writes behind the word that says how far the pool is backed: the lease may be
    /// granted while its end has no memory behind it yet.
    LeaseAhead {
        /// The client's number for the request.
        request: u32,
        /// The object's size, bytes.
        bytes: u64,
        /// Where the program asked.
        site: u32,
    },
}

/// Agent to client: answers, tasks within the worker's window, and nothing else.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum ToClient<'a> {
    /// Answers [`ToAgent::Lease`].
    Leased {
        /// The client's number for the request.
        request: u32,
        /// The lease's number, below [`MAX_LEASES`].
        lease: u32,
        /// Bytes from the pool's begin; a multiple of [`PAGE`].
        offset: u64,
        /// Bytes; a multiple of [`PAGE`].
        length: u64,
    },
    /// Answers [`ToAgent::Lease`], [`ToAgent::Slots`], [`ToAgent::FindActor`], [`ToAgent::CreateActor`] or [`ToAgent::Room`].
    Refused {
        /// The client's number for the request.
        request: u32,
        /// Why.
        error: Error,
    },
    /// Answers [`ToAgent::Slots`]: [`SLOT_BLOCK`] slots from here on.
    Slots {
        /// The client's number for the request.
        request: u32,
        /// The first slot.
        first: u32,
    },
    /// Answers [`ToAgent::Get`], [`ToAgent::Wait`] and [`ToAgent::Room`].
    Resolved {
        /// The client's number for the request.
        request: u32,
        /// What became of the object.
        outcome: Outcome<'a>,
    },
    /// Answers [`ToAgent::FindActor`]: the client has one more local reference.
    Found {
        /// The client's number for the request.
        request: u32,
        /// The actor.
        actor: ObjectKey,
        /// Its type's path.
        class: &'a str,
    },
    /// A task to run.
    Run {
        /// The task.
        task: TaskKey,
        /// What kind of function it is.
        work: Work,
        /// The remote function's path.
        function: &'a str,
        /// Its arguments.
        arguments: Vec<Argument<'a>>,
        /// How many results it has.
        returns: u32,
    },
    /// A task that was sent is no longer wanted: its waits end, and it is told when it asks. At most one for each task.
    Cancel {
        /// The task.
        task: TaskKey,
    },
    /// End: nothing more will come.
    Exit,
}

/// What became of an object.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Outcome<'a> {
    /// Answers [`ToAgent::Wait`]: it has a value; and [`ToAgent::Room`].
    Ready,
    /// Answers [`ToAgent::Get`]: it is in the pool, where the slot table says, and stays there until [`ToAgent::DropPin`], which whoever
    /// gets this owes, wanted or not.
    Pinned(ObjectKey),
    /// Its encoded value.
    Inline(&'a [u8]),
    /// There is no value. Empty for [`ToAgent::Wait`]; else an encoded [`Error`].
    Failed(&'a [u8]),
}

/// Encodes any message of this module.
///
/// # Errors
/// Never for the messages of this module; the encoder's word otherwise.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, Error> {
    postcard::to_allocvec(message).map_err(|error| Error::Protocol { who: "this process".into(), cause: error.to_string() })
}

/// Encodes any message of this module into a buffer that is used again and again.
///
/// # Errors
/// As for [`encode`].
pub fn encode_into<T: Serialize>(message: &T, buffer: Vec<u8>) -> Result<Vec<u8>, Error> {
    postcard::to_extend(message, buffer).map_err(|error| Error::Protocol { who: "this process".into(), cause: error.to_string() })
}

/// Decodes a message that fills `bytes` exactly.
///
/// # Errors
/// [`Error::Protocol`] naming `who` when it does not decode, or bytes are left.
pub fn decode<'a, T: Deserialize<'a>>(who: &str, bytes: &'a [u8]) -> Result<T, Error> {
    let bad = |cause: String| Error::Protocol { who: who.to_owned(), cause };
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        Ok((_, rest)) => Err(bad(format!("{} bytes follow a message", rest.len()))),
        Err(error) => Err(bad(format!("a message of {} bytes does not decode: {error}", bytes.len()))),
    }
}

/// The version that a [`ClientHello`] begins with: one of another version may not decode any further. `None` without one.
#[must_use]
pub fn version_of_hello(bytes: &[u8]) -> Option<u32> {
    postcard::take_from_bytes(bytes).ok().map(|(version, _)| version)
}

/// The version that a [`Welcome`] begins with; `None` without one, and for a refusal.
#[must_use]
pub fn version_of_welcome(bytes: &[u8]) -> Option<u32> {
    bytes.strip_prefix(&[0]).and_then(version_of_hello)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hot_message_is_small_and_borrows() {
        let put = ToAgent::Put {
            key: ObjectKey { slot: 70_000, generation: 3 },
            memory: Memory { lease: 3, offset: 1 << 30, length: 64 },
            site: 12,
            hidden: false,
        };
        let bytes = encode(&put).unwrap();
        assert_eq!(bytes.len(), LONGEST_SHORT);
        assert_eq!(decode::<ToAgent<'_>>("test", &bytes).unwrap(), put);
        let run = ToClient::Run {
            task: TaskKey::default(),
            work: Work::Task,
            function: "f",
            arguments: vec![Argument::Inline(b"abc")],
            returns: 1,
        };
        let bytes = encode(&run).unwrap();
        assert_eq!(decode::<ToClient<'_>>("test", &bytes).unwrap(), run);
    }

    #[test]
    fn the_version_of_another_release_is_read_whatever_follows() {
        assert_eq!(version_of_hello(&[0x80, 0x01, 0xff]), Some(128));
        assert_eq!(version_of_welcome(&[0, 7, 0xff]), Some(7));
        assert_eq!((version_of_hello(&[]), version_of_welcome(&[]), version_of_welcome(&[1, 7])), (None, None, None));
    }

    #[test]
    fn garbage_is_a_typed_error() {
        for bytes in [&[][..], &[0xff; 40], &[14, 0], &[0]] {
            let error = decode::<ToAgent<'_>>("process 7", bytes).unwrap_err();
            assert_eq!(error.code(), "protocol");
            assert!(error.to_string().contains("process 7"));
        }
    }
}
