//! What a package for another language builds on: objects as bytes, places as text, functions by name, interpreters as workers.
//!
//! - [`Launch`]: how an interpreter becomes a worker or an agent; [`become_what_was_started`]: what it calls then, with a [`Runner`].
//! - [`Connection`]: objects, tasks and actors of [`Raw`] values.
//! - [`writing`]: while it runs, references can be written into a value, and are counted; [`Connection::borrow_all`] reads them again.

mod call;
mod cancelling;
mod connection;
mod content;
mod submit;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;

pub use call::{Argument, YieldPlace};
pub use cancelling::OnCancel;
pub use connection::Connection;
pub use content::{Content, Raw, Reference};
pub use plasmon_memory::copy::{FAR, copy_past_caches};
pub use plasmon_memory::fork::PerProcess;
use plasmon_protocol::error::Error;
use plasmon_protocol::id::ActorId;
pub use plasmon_protocol::id::{ObjectId, ObjectKey};
pub use plasmon_protocol::local::{CallRetries, MAX_STACK, RetryExceptions, Work};
pub use plasmon_protocol::record::SiteKind;
pub use submit::{ActorPlace, ActorSettings, Demand, TaskSettings};

pub use crate::argument::Encoded;
use crate::boot;
pub use crate::generator::{Next, Results};
use crate::object_ref::ObjectRef;
pub use crate::registry::{Call, Failure, Fill};
use crate::scope;
pub use crate::site::Frame;
pub use crate::turn::Turn;
pub use crate::writer::Reach;

/// How processes are started that this program's executable is no good for: an interpreter's are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Launch {
    /// The interpreter.
    pub executable: PathBuf,
    /// What a worker is started with: a program that calls [`become_what_was_started`].
    pub worker: Vec<String>,
    /// What an agent is started with: one that calls it too.
    pub agent: Vec<String>,
}

/// Runs what the agent sends by a name that no `#[remote]` has. When a task is cancelled while it runs, its process gets `SIGINT`: its
/// language's handler finds out by [`crate::is_cancelled`] whether it is the thread's own.
pub trait Runner: Send + Sync {
    /// Runs a task, a constructor or a method, with the arguments and for the results of `call`.
    ///
    /// # Errors
    /// Why there are no results.
    fn run(&self, work: Work, name: &str, call: &mut Call) -> Result<(), Failure>;
}

static RUNNER: OnceLock<Box<dyn Runner>> = OnceLock::new();

pub(crate) fn runner() -> Option<&'static dyn Runner> {
    RUNNER.get().map(|runner| &**runner)
}

/// A task that runs here was cancelled.
pub(crate) fn interrupt() {
    if runner().is_some() {
        // A process can always signal itself.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::INT);
    }
}

/// The whole life of the worker or the agent that this process was started as; `boot` is what the environment variable `PLASMON_BOOT`
/// said. `None` when it is neither.
pub fn become_what_was_started(boot: &str, runner: impl Runner + 'static) -> Option<ExitCode> {
    // The first one stays; there is no second.
    let _ = RUNNER.set(Box::new(runner));
    boot::run(boot)
}

/// Runs `write`, and returns the references that it wrote, in that order.
pub fn writing<T>(write: impl FnOnce() -> T) -> (T, Vec<Reference>) {
    let (result, handles) = scope::writing(write);
    (result, handles.into_iter().map(ObjectRef::of).collect())
}

/// A reference is being written into a value.
///
/// # Errors
/// [`Error::OutOfBand`] outside of [`writing`].
pub fn wrote(reference: &Reference) -> Result<(), Error> {
    if scope::wrote(&reference.handle) { Ok(()) } else { Err(Error::OutOfBand { object: reference.id() }) }
}

/// What was written into the value so far was in vain: it is written anew.
pub fn write_anew() {
    scope::write_anew();
}

/// The serial number of a reference's connection, and the object's number on it.
#[must_use]
pub fn place_of(reference: &Reference) -> (u64, ObjectKey) {
    (reference.handle.client.serial, reference.key())
}

/// The actor of a handle's object.
#[must_use]
pub fn actor_id(reference: &Reference) -> ActorId {
    reference.id().into()
}
