//! Actors: values that live in a worker of their own, and are called there.

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use plasmon_protocol::error::Error;
use plasmon_protocol::id::ActorId;
use plasmon_protocol::local::{self, MAX_CONCURRENCY, MAX_NAME, ToAgent};
use plasmon_protocol::record::SiteKind;
use serde::{Deserialize, Serialize};

use crate::argument::Encoded;
use crate::client::Client;
use crate::init::connection;
use crate::object_ref::ObjectRef;
use crate::request::Answer;
use crate::task::{self, Handed};
use crate::writer;

/// CPUs that must be free to place an actor that says nothing, in thousandths; it reserves none while it lives.
const PLACED_MILLI_CPUS: u32 = 1000;

/// A type that [`macro@crate::actor`] made an actor of.
pub trait Actor: Send + Sync + Sized + 'static {
    /// Calls its methods. Generated, with the type's name and `Handle`.
    type Handle: From<ActorHandle> + AsRef<ActorHandle>;
    /// Its path, by which agents and handles know it.
    const CLASS: &'static str;
}

/// How an actor lives. Static in `#[plasmon::actor(...)]`, changed for one by `Type::options(...)`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ActorOptions {
    milli_cpus: Option<u32>,
    max_concurrency: u32,
    name: Cow<'static, str>,
    detached: bool,
}

impl ActorOptions {
    /// No name, one call at a time; one CPU must be free to place it, none is reserved while it lives; it ends with its last handle.
    #[must_use]
    pub const fn new() -> Self {
        Self { milli_cpus: None, max_concurrency: 1, name: Cow::Borrowed(""), detached: false }
    }

    /// Reserves this many CPUs, in thousandths, as long as the actor lives; admission only, not a limit. Negative counts as 0.
    #[must_use]
    pub fn num_cpus(mut self, cpus: f64) -> Self {
        self.milli_cpus = Some(task::milli(cpus));
        self
    }

    /// Runs up to this many calls side by side, from 1 to 1000: those of methods that take `&self`. One that takes `&mut self` runs
    /// alone.
    #[must_use]
    pub fn max_concurrency(mut self, calls: u32) -> Self {
        self.max_concurrency = calls;
        self
    }

    /// Gives it a name, at most 256 bytes, under which [`get_actor`] finds it in every program on the node while it lives.
    #[must_use]
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Lets it live on without handles, and when its driver has ended, until [`kill`] ends it.
    #[must_use]
    pub fn detached(mut self, detached: bool) -> Self {
        self.detached = detached;
        self
    }

    fn check(&self) -> Result<(), Error> {
        if !(1..=MAX_CONCURRENCY).contains(&self.max_concurrency) {
            let cause = format!("an actor runs 1 to {MAX_CONCURRENCY} calls side by side");
            return Err(Error::invalid("max_concurrency", self.max_concurrency.to_string(), cause));
        }
        if self.name.len() > MAX_NAME {
            return Err(Error::invalid("actor name", self.name.clone(), format!("a name has at most {MAX_NAME} bytes")));
        }
        Ok(())
    }
}

impl Default for ActorOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// A handle to an actor of whatever type. The actor lives as long as any handle, in any process, in any object and in any pending task;
/// then it runs what was called before, drops its value, and ends. Generated handle types dereference to it.
///
/// Cloning is cheap. A handle can be part of a value that is put, of an argument or of a result, as an [`ObjectRef`] can.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ActorHandle {
    /// To the object that all handles refer to; it has no value.
    object: ObjectRef<()>,
}

impl ActorHandle {
    /// The actor's id.
    #[must_use]
    pub fn id(&self) -> ActorId {
        self.object.id().into()
    }

    /// The id as the report and the dashboard print it.
    #[must_use]
    pub fn hex(&self) -> String {
        self.object.hex()
    }

    /// Waits until the actor takes calls.
    ///
    /// # Errors
    /// [`Error::ActorDied`] when its constructor failed, or it has ended since; the agent is gone.
    #[track_caller]
    pub fn ready(&self) -> Result<(), Error> {
        crate::object::fetch(&self.object.handle, Location::caller(), None).map(drop)
    }
}

impl AsRef<Self> for ActorHandle {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl fmt::Debug for ActorHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActorHandle({})", self.id())
    }
}

/// A handle to the live actor with that name, whichever program on the node created it.
///
/// # Errors
/// [`Error::NoActor`]; [`Error::Invalid`] when it is an actor of another type; the agent is gone.
#[track_caller]
pub fn get_actor<A: Actor>(name: &str) -> Result<A::Handle, Error> {
    let client = connection()?;
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(Error::invalid("actor name", name, format!("a name has 1 to {MAX_NAME} bytes")));
    }
    let site = client.sites.number(&client, SiteKind::ActorCall, Location::caller());
    let (request, pending) = client.requests.open()?;
    client.push_urgent(&ToAgent::FindActor { request, name, site })?;
    match pending.wait(None) {
        Some(Answer::Found { actor, class }) => {
            failpoint!("actor_found");
            let handle = ActorHandle { object: ObjectRef::adopt(&client, actor) };
            if class != A::CLASS {
                return Err(Error::invalid("actor", name, format!("it is a {class}, not a {}", A::CLASS)));
            }
            Ok(handle.into())
        }
        Some(Answer::Refused(error)) => Err(error),
        _ => Err(no_answer()),
    }
}

/// Ends an actor at once, whatever it is doing, as `SIGKILL` does: its value is not dropped, its calls fail with
/// [`Error::ActorDied`]. An actor that has ended stays so.
///
/// # Errors
/// The agent is gone.
#[track_caller]
pub fn kill(actor: impl AsRef<ActorHandle>) -> Result<(), Error> {
    let handle = actor.as_ref();
    let client = connection()?;
    let site = client.sites.number(&client, SiteKind::ActorCall, Location::caller());
    client.push_urgent(&ToAgent::KillActor { actor: handle.object.handle.key_on(&client)?, site })
}

/// Creates an actor; its constructor runs in a worker.
///
/// # Errors
/// [`Error::Invalid`] for options out of range; [`Error::ActorNameTaken`]; an argument could not be encoded or stored; the agent is
/// gone.
#[doc(hidden)]
#[track_caller]
pub fn create<A: Actor>(
    constructor: &'static str,
    options: &ActorOptions,
    arguments: Vec<Result<Encoded, Error>>,
) -> Result<A::Handle, Error> {
    options.check()?;
    let client = connection()?;
    let site = client.sites.number(&client, SiteKind::ActorCall, Location::caller());
    let arguments: Vec<Encoded> = arguments.into_iter().collect::<Result<_, _>>()?;
    let prepared = task::prepare(&client, site, &arguments)?;
    let named = if options.name.is_empty() { None } else { Some(client.requests.open()?) };
    let request = named.as_ref().map_or(0, |(request, _)| *request);
    let actor = writer::slot(&client)?;
    let sent = task::send(&client, prepared, 0, |number, arguments, _| ToAgent::CreateActor {
        number,
        request,
        actor,
        function: constructor,
        arguments,
        options: local::Actor {
            name: &options.name,
            detached: options.detached,
            max_concurrency: options.max_concurrency,
            placed_milli_cpus: options.milli_cpus.unwrap_or(PLACED_MILLI_CPUS),
            milli_cpus: options.milli_cpus.unwrap_or(0),
        },
        site,
    });
    failpoint!("actor_asked");
    let refused = match (sent, named) {
        (Err(error), _) => Some(error),
        (Ok(_), None) => None,
        (Ok(_), Some((_, pending))) => match pending.wait(None) {
            Some(Answer::Ready | Answer::Inline(_)) => None,
            Some(Answer::Refused(error)) => Some(error),
            _ => Some(no_answer()),
        },
    };
    writer::settle_slot(&client, actor, refused.is_none());
    match refused {
        Some(error) => Err(error),
        None => Ok(ActorHandle { object: ObjectRef::adopt(&client, actor) }.into()),
    }
}

/// Calls a method.
///
/// # Errors
/// An argument could not be encoded or stored; the agent is gone.
#[doc(hidden)]
#[track_caller]
pub fn call(
    actor: &ActorHandle,
    method: &'static str,
    arguments: Vec<Result<Encoded, Error>>,
    returns: usize,
) -> Result<Vec<Handed>, Error> {
    let client: Arc<Client> = connection()?;
    let site = client.sites.number(&client, SiteKind::ActorCall, Location::caller());
    let arguments: Vec<Encoded> = arguments.into_iter().collect::<Result<_, _>>()?;
    let prepared = task::prepare(&client, site, &arguments)?;
    let actor = actor.object.handle.key_on(&client)?;
    task::send(&client, prepared, returns, |number, arguments, returns| ToAgent::Call {
        number,
        actor,
        function: method,
        arguments,
        returns,
        site,
    })
}

fn no_answer() -> Error {
    Error::Protocol { who: "the agent".to_owned(), cause: "it answered another question".to_owned() }
}
