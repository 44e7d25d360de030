//! Actors: values that live in a worker of their own, and are called there.

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use plasmon_protocol::error::Error;
use plasmon_protocol::id::ActorId;
use plasmon_protocol::local::{self, CallRetries, MAX_CONCURRENCY, MAX_NAME, ToAgent};
use plasmon_protocol::record::SiteKind;
use plasmon_protocol::resources::Amount;
use serde::{Deserialize, Serialize};

use crate::argument::Encoded;
use crate::binding::ActorPlace;
use crate::client::Client;
use crate::init::connection;
use crate::object_ref::ObjectRef;
use crate::options::Reserve;
use crate::request::Answer;
use crate::task::{self, Handed};
use crate::writer;

/// A type that [`macro@crate::actor`] made an actor of.
pub trait Actor: Send + Sync + Sized + 'static {
    /// Calls its methods. Generated, with the type's name and `Handle`.
    type Handle: From<ActorHandle> + AsRef<ActorHandle>;
    /// Its path, by which agents and handles know it.
    const CLASS: &'static str;
}

/// How an actor lives. Static in `#[plasmon::actor(...)]`; `Type::options(...)` changes for one what it says, and nothing else.
///
/// What an actor reserves is for admission only: it is placed when so much is free, and nothing holds it to that while it lives.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ActorOptions {
    reserve: Reserve<'static>,
    max_concurrency: Option<u32>,
    name: Option<Cow<'static, str>>,
    detached: Option<bool>,
    max_restarts: Option<u32>,
    max_task_retries: Option<u32>,
}

impl ActorOptions {
    /// Nothing said: no name, one call at a time; one CPU must be free to place it, none is reserved while it lives; it ends with its
    /// last handle or its worker.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reserves this many CPUs as long as the actor lives, exact to a ten-thousandth.
    #[must_use]
    pub fn num_cpus(mut self, cpus: f64) -> Self {
        self.reserve.cpus = Some(cpus);
        self
    }

    /// Reserves this many GPUs as long as the actor lives: a part of one, or whole ones. Its worker sees those alone, in
    /// `CUDA_VISIBLE_DEVICES`.
    #[must_use]
    pub fn num_gpus(mut self, gpus: f64) -> Self {
        self.reserve.gpus = Some(gpus);
        self
    }

    /// Reserves so many bytes of the node's heap memory as long as the actor lives. Admission only: the actor may use more, or less.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.reserve.memory = Some(bytes);
        self
    }

    /// Reserves custom resources by name, as the agent's `--resources` offers them.
    #[must_use]
    pub fn resources(mut self, resources: &'static [(&'static str, f64)]) -> Self {
        self.reserve.custom = Some(resources);
        self
    }

    /// Makes it anew this often after its worker died, with the same arguments; [`ENDLESS`](crate::ENDLESS) for as often as it takes.
    /// The arguments are kept until it has ended for good. It keeps its name and its handles; calls wait until it is there again.
    #[must_use]
    pub fn max_restarts(mut self, restarts: u32) -> Self {
        self.max_restarts = Some(restarts);
        self
    }

    /// Tries its calls again this often after its worker died, in their order; [`ENDLESS`](crate::ENDLESS) for as often as it takes.
    #[must_use]
    pub fn max_task_retries(mut self, retries: u32) -> Self {
        self.max_task_retries = Some(retries);
        self
    }

    /// Runs up to this many calls side by side, from 1 to 1000: those of methods that take `&self`. One that takes `&mut self` runs
    /// alone.
    #[must_use]
    pub fn max_concurrency(mut self, calls: u32) -> Self {
        self.max_concurrency = Some(calls);
        self
    }

    /// Gives it a name, at most 256 bytes, under which [`get_actor`] finds it in every program on the node while it lives.
    #[must_use]
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Lets it live on without handles, and when its driver has ended, until [`kill`] ends it.
    #[must_use]
    pub fn detached(mut self, detached: bool) -> Self {
        self.detached = Some(detached);
        self
    }

    /// What this says, and where it says nothing, what `below` says.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            reserve: self.reserve.over(below.reserve),
            max_concurrency: self.max_concurrency.or(below.max_concurrency),
            name: self.name.or(below.name),
            detached: self.detached.or(below.detached),
            max_restarts: self.max_restarts.or(below.max_restarts),
            max_task_retries: self.max_task_retries.or(below.max_task_retries),
        }
    }

    fn wire(&self) -> Result<local::Actor<'_>, Error> {
        let max_concurrency = self.max_concurrency.unwrap_or(1);
        let name = self.name.as_deref().unwrap_or_default();
        check(name, max_concurrency)?;
        Ok(local::Actor {
            name,
            detached: self.detached.unwrap_or(false),
            max_concurrency,
            // As Ray has it: what says nothing of CPUs needs one to begin, and none to live.
            placed: self.reserve.demand(Amount::ONE)?,
            held: self.reserve.demand(Amount::ZERO)?,
            max_restarts: self.max_restarts.unwrap_or(0),
            max_task_retries: self.max_task_retries.unwrap_or(0),
        })
    }
}

/// Whether an actor can be called so and run so many calls.
///
/// # Errors
/// [`Error::Invalid`] when it cannot.
pub(crate) fn check(name: &str, max_concurrency: u32) -> Result<(), Error> {
    if !(1..=MAX_CONCURRENCY).contains(&max_concurrency) {
        let cause = format!("an actor runs 1 to {MAX_CONCURRENCY} calls side by side");
        return Err(Error::invalid("max_concurrency", max_concurrency.to_string(), cause));
    }
    if name.len() > MAX_NAME {
        return Err(Error::invalid("actor name", name, format!("a name has at most {MAX_NAME} bytes")));
    }
    Ok(())
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
    let site = client.sites.number(&client, SiteKind::ActorCall, Location::caller());
    let (object, class) = find(&client, name, site)?;
    if class != A::CLASS {
        return Err(Error::invalid("actor", name, format!("it is a {class}, not a {}", A::CLASS)));
    }
    Ok(ActorHandle { object }.into())
}

/// The object that the handles of the live actor with that name refer to, and the actor's class.
pub(crate) fn find<T: ?Sized>(client: &Arc<Client>, name: &str, site: u32) -> Result<(ObjectRef<T>, String), Error> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(Error::invalid("actor name", name, format!("a name has 1 to {MAX_NAME} bytes")));
    }
    let (request, pending) = client.requests.open()?;
    client.push_urgent(&ToAgent::FindActor { request, name, site })?;
    match pending.wait(client, None) {
        Some(Answer::Found { actor, class }) => {
            failpoint!("actor_found");
            Ok((ObjectRef::adopt(client, actor), class))
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
    kill_with(actor, true)
}

/// Like [`kill`]; without `no_restart` only the actor's worker ends, and the actor is made anew while it has restarts left. It counts as
/// one of them, and calls that ran are sent again while they have retries left.
///
/// # Errors
/// The agent is gone.
#[track_caller]
pub fn kill_with(actor: impl AsRef<ActorHandle>, no_restart: bool) -> Result<(), Error> {
    let handle = actor.as_ref();
    let client = connection()?;
    let site = client.sites.number(&client, SiteKind::ActorCall, Location::caller());
    client.push_urgent(&ToAgent::KillActor { actor: handle.object.handle.key_on(&client)?, no_restart, site })
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
    let options = options.wire()?;
    let client = connection()?;
    let site = client.sites.number(&client, SiteKind::ActorCall, Location::caller());
    let arguments: Vec<Encoded> = arguments.into_iter().collect::<Result<_, _>>()?;
    Ok(ActorHandle { object: create_with(ActorPlace::new(&client)?, constructor, options, &arguments, site)? }.into())
}

/// Creates an actor: the object that its handles refer to.
pub(crate) fn create_with<T: ?Sized>(
    mut place: ActorPlace,
    constructor: &str,
    options: local::Actor<'_>,
    arguments: &[Encoded],
    site: u32,
) -> Result<ObjectRef<T>, Error> {
    let client = &Arc::clone(&place.client);
    let prepared = task::prepare(client, site, arguments)?;
    let actor = place.key.unwrap_or_default();
    let named = if options.name.is_empty() { None } else { Some(client.requests.open()?) };
    let request = named.as_ref().map_or(0, |(request, _)| *request);
    let sent = task::send(client, prepared, 0, |number, arguments, _| ToAgent::CreateActor {
        number,
        request,
        actor,
        function: constructor,
        arguments,
        options,
        site,
    });
    failpoint!("actor_asked");
    let refused = match (sent, named) {
        (Err(error), named) => {
            if let Some((request, _)) = named {
                client.requests.close(request);
            }
            Some(error)
        }
        (Ok(_), None) => None,
        (Ok(_), Some((_, pending))) => match pending.wait(client, None) {
            Some(Answer::Ready | Answer::Inline(_)) => None,
            Some(Answer::Refused(error)) => Some(error),
            _ => Some(no_answer()),
        },
    };
    if refused.is_none() {
        // Else the place goes back when it is dropped.
        writer::settle_slot(client, actor, true);
        place.key = None;
    }
    match refused {
        Some(error) => Err(error),
        None => Ok(ObjectRef::adopt(client, actor)),
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
    retries: CallRetries,
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
        retries,
        site,
    })
}

fn no_answer() -> Error {
    Error::Protocol { who: "the agent".to_owned(), cause: "it answered another question".to_owned() }
}
