//! What a client (driver or worker) and its agent say to each other on one machine.
//!
//! Cold, over the unix socket: [`ClientHello`], then [`AgentHello`] with the descriptors of the shared memory. Hot, through
//! the rings, in postcard: [`ToAgent`] and [`ToClient`]. Both borrow from the ring's bytes, so a hot message allocates nothing.
//! Numbers of the hottest ones ([`Short`]) are of fixed length.

mod encoding;
mod fixed;
mod hello;
mod limits;
mod short;
mod work;

use serde::{Deserialize, Serialize};

pub use encoding::{decode, decode_to_agent, encode, encode_into};
pub use hello::{AgentHello, BOOT, ClientHello, Farewell, Welcome, version_of_hello, version_of_welcome};
pub use limits::*;
pub use short::{LONGEST_SHORT, Room, Short};
pub use work::{Actor, Argument, CallRetries, Ending, Memory, RetryExceptions, Task, Value, Work};

use crate::error::Error;
use crate::id::{ObjectKey, TaskKey};
use crate::record::SiteKind;

/// Version of these messages and of every shared layout; both sides must have the same.
pub const VERSION: u32 = 7;

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
