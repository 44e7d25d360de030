//! What a task or an actor is, what goes into it and what comes out.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::id::ObjectKey;
use crate::resources::Demand;

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
    /// The encoded value itself, at most [`super::INLINE`] bytes.
    Inline(&'a [u8]),
    /// A range that the worker has written.
    Memory(Memory),
}

/// A range of the pool that holds one object.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    /// The putter's lease that the range lies in.
    pub lease: u32,
    /// Bytes from the pool's begin; a multiple of [`super::ALIGNMENT`].
    pub offset: u64,
    /// The object's size, bytes.
    pub length: u64,
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
        /// As the function's language encodes it, at most [`super::MAX_RAISED`] bytes; empty where it is text alone.
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
    /// How often; [`super::ENDLESS`] for as often as it takes, `None` for as often as its actor says of all its calls.
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
    /// How often it is tried again after its worker died; [`super::ENDLESS`] for as often as it takes.
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
    /// How often it is made anew after its worker died; [`super::ENDLESS`] for as often as it takes.
    pub max_restarts: u32,
    /// How often a call of it is tried again after its worker died; [`super::ENDLESS`] for as often as it takes.
    pub max_task_retries: u32,
}
