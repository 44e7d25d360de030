//! What a package for another language builds on: objects as bytes, places as text, functions by name, interpreters as workers.
//!
//! - [`Launch`]: how an interpreter becomes a worker or an agent; [`become_what_was_started`]: what it calls then, with a [`Runner`].
//! - [`Connection`]: objects, tasks and actors of [`Raw`] values.
//! - [`writing`] and [`reading`]: while they run, references can be written into values and read from them, and are counted.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use plasmon_protocol::error::Error;
use plasmon_protocol::id::{ActorId, ObjectId, ObjectKey};
use plasmon_protocol::local::{self, INLINE, MAX_CONCURRENCY, MAX_NAME, ToAgent};
pub use plasmon_protocol::local::{MAX_STACK, RetryExceptions, Work};
pub use plasmon_protocol::record::SiteKind;
use plasmon_protocol::resources::Amount;

pub use crate::argument::Encoded;
use crate::client::Client;
use crate::init::connection;
use crate::object::{Fetch, fetch_all, fetch_until, wait_for};
use crate::object_ref::{Handle, ObjectRef};
use crate::options::Reserve;
pub use crate::registry::{Call, Failure, Fill};
use crate::registry::{Given, Outgoing};
use crate::scope::{self, Reading};
pub use crate::site::Frame;
use crate::value::{Fetched, Source, Value};
use crate::{actor, boot, task, writer};

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

/// The type of objects that are bytes to Plasmon, and something else to another language.
#[derive(Clone, Copy, Debug)]
pub enum Raw {}

/// A reference to such an object.
pub type Reference = ObjectRef<Raw>;

impl Value for Raw {
    type Output = Content;

    fn write(&self, _client: &Arc<Client>, _site: u32) -> Result<ObjectKey, Error> {
        match *self {}
    }

    fn read(fetched: Fetched) -> Result<Content, Error> {
        Ok(Content(fetched.into_source()))
    }
}

/// An object's bytes, which stay where they are for as long as this lives.
pub struct Content(Source);

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Content({} bytes)", self.bytes().len())
    }
}

impl Content {
    /// Bytes that came inside a message.
    #[must_use]
    pub fn of_message(connection: &Connection, bytes: Box<[u8]>) -> Self {
        Self(Source::Inline(Arc::clone(&connection.client), ObjectKey::default(), bytes.into()))
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            Source::Pinned(pin) => pin.bytes(),
            Source::Inline(_, _, bytes) => bytes,
        }
    }

    /// The object's id; that of no object where the bytes came inside a message.
    #[must_use]
    pub fn id(&self) -> ObjectId {
        match &self.0 {
            Source::Pinned(pin) => pin.id(),
            Source::Inline(client, key, _) => client.id(*key),
        }
    }

    /// Whether this process may look at them: not in a child that was forked since.
    #[must_use]
    pub fn is_here(&self) -> bool {
        match &self.0 {
            Source::Pinned(pin) => pin.client().is_here(),
            Source::Inline(..) => true,
        }
    }

    /// Tells the agent that the program keeps looking at the object: it has a row until this is dropped. Needed where the view outlives
    /// the reference that it was got by.
    pub fn count(&mut self, site: u32) {
        if let Source::Pinned(pin) = &mut self.0 {
            pin.count(site);
        }
    }
}

/// What a task or an actor reserves; amounts are exact to a ten-thousandth, memory is in bytes.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Demand<'a> {
    /// CPUs.
    pub cpus: Option<f64>,
    /// GPUs.
    pub gpus: Option<f64>,
    /// Heap memory, bytes.
    pub memory: Option<u64>,
    /// Custom resources by name.
    pub custom: Option<&'a [(&'a str, f64)]>,
}

impl<'a> Demand<'a> {
    fn wire(self, cpus: Amount) -> Result<plasmon_protocol::resources::Demand<'a>, Error> {
        Reserve { cpus: self.cpus, gpus: self.gpus, memory: self.memory, custom: self.custom }.demand(cpus)
    }
}

/// How a task runs.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct TaskSettings<'a> {
    /// What it reserves; one CPU where nothing is said of them.
    pub demand: Demand<'a>,
    /// How often it is tried again after its worker died.
    pub max_retries: u32,
    /// Whether it is tried again after an exception, too.
    pub retry_exceptions: RetryExceptions,
    /// When an attempt is cancelled that still runs, milliseconds; 0 for never.
    pub timeout_ms: u64,
}

/// How an actor lives.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct ActorSettings<'a> {
    /// What it reserves while it lives; where nothing is said of CPUs, one must be free to place it.
    pub demand: Demand<'a>,
    /// Its name; empty for none.
    pub name: &'a str,
    /// It lives on without handles.
    pub detached: bool,
    /// Calls that it runs side by side.
    pub max_concurrency: u32,
    /// How often it is made anew.
    pub max_restarts: u32,
    /// How often its calls are tried again.
    pub max_task_retries: u32,
}

/// The connection of this process.
#[derive(Clone, Debug)]
pub struct Connection {
    client: Arc<Client>,
}

impl Connection {
    /// The one that there is.
    ///
    /// # Errors
    /// [`Error::NotConnected`]; [`Error::AgentDied`].
    pub fn current() -> Result<Self, Error> {
        let client = connection()?;
        client.alive()?;
        Ok(Self { client })
    }

    /// Tells it from earlier ones.
    #[must_use]
    pub fn serial(&self) -> u64 {
        self.client.serial
    }

    /// Whether this process is a worker.
    #[must_use]
    pub fn is_worker(&self) -> bool {
        self.client.worker
    }

    /// The job's number.
    #[must_use]
    pub fn job(&self) -> u32 {
        self.client.hello.job.0
    }

    /// Whether it still serves.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.client.alive().is_ok()
    }

    /// Whether places are wanted at all.
    #[must_use]
    pub fn wants_sites(&self) -> bool {
        self.client.words.sites()
    }

    /// The number of a place of the program's; 0, the unknown one, where none is wanted.
    #[must_use]
    pub fn site(&self, kind: SiteKind, file: &str, line: u32, function: &str) -> u32 {
        self.site_of_stack(kind, &[Frame { file, line, function }])
    }

    /// The number of a place with all that it was called from, innermost frame first: at most [`MAX_STACK`], the outermost of more are left
    /// out. Stacks share their outer frames. 0, the unknown one, where none is wanted, and without a frame. It costs a look-up for each
    /// frame: whoever asks often remembers the answer, which is good for as long as [`Connection::serial`] is the same.
    #[must_use]
    pub fn site_of_stack(&self, kind: SiteKind, frames: &[Frame<'_>]) -> u32 {
        self.client.sites.define_stack(&self.client, kind, frames)
    }

    /// Makes a new object of `length` bytes, which `fill` writes, with references inside. A `hidden` one is the package's own: it has
    /// no rows.
    ///
    /// # Errors
    /// As for [`crate::put`].
    pub fn put(
        &self,
        length: usize,
        site: u32,
        contains: &[Reference],
        hidden: bool,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<Reference, Error> {
        let contains = contains.iter().map(|inner| inner.handle.key_on(&self.client)).collect::<Result<Vec<_>, _>>()?;
        let key = writer::put(&self.client, length as u64, site, &contains, hidden, fill)?;
        Ok(ObjectRef::adopt(&self.client, key))
    }

    /// The object if it can be read at once.
    ///
    /// # Errors
    /// The reference is of another connection, or this one has ended.
    pub fn try_get(&self, reference: &Reference) -> Result<Option<Content>, Error> {
        reference.handle.key_on(&self.client)?;
        self.client.alive()?;
        Ok(crate::object::pin(&self.client, reference.key()).map(|pin| Content(Source::Pinned(pin))))
    }

    /// The object; waits for it, for `limit` at most. Every `pause`, `stop` is asked whether to go on; `None` when it says no.
    ///
    /// # Errors
    /// As for [`crate::get_timeout`].
    pub fn get(
        &self,
        reference: &Reference,
        site: u32,
        limit: Option<Duration>,
        pause: Duration,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Content>, Error> {
        reference.handle.key_on(&self.client)?;
        let fetched = fetch_until(Fetch::at(&reference.handle, site), limit, Some((pause, stop)))?;
        Ok(fetched.map(|fetched| Content(fetched.into_source())))
    }

    /// Several objects, asked for at once; else as [`Connection::get`]. Each that is in memory stays there until its content is dropped.
    ///
    /// # Errors
    /// The first that there is, in the order of the references.
    pub fn get_all(
        &self,
        references: &[&Reference],
        site: u32,
        limit: Option<Duration>,
        pause: Duration,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Vec<Content>>, Error> {
        references.iter().try_for_each(|reference| reference.handle.key_on(&self.client).map(drop))?;
        let handles: Vec<&Arc<Handle>> = references.iter().map(|reference| &reference.handle).collect();
        let all = fetch_all(&handles, site, limit, (pause, stop))?;
        Ok(all.map(|all| all.into_iter().map(|fetched| Content(fetched.into_source())).collect()))
    }

    /// Waits until at least `num_returns` of the objects are there, or `timeout` has passed; which ones are there. `None` when `stop`,
    /// asked every `pause`, says so.
    ///
    /// # Errors
    /// As for [`crate::wait`].
    pub fn wait(
        &self,
        references: &[Reference],
        num_returns: usize,
        timeout: Option<Duration>,
        pause: Duration,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Vec<bool>>, Error> {
        let handles: Vec<&Arc<Handle>> = references.iter().map(|reference| &reference.handle).collect();
        wait_for(&self.client, &handles, num_returns, timeout, Some((pause, stop)))
    }

    /// An argument: its bytes, and the references inside. What is too large for a message is put for the task alone.
    ///
    /// # Errors
    /// As for [`crate::put`].
    pub fn argument(&self, length: usize, site: u32, contains: Vec<Reference>, fill: impl FnOnce(&mut [u8])) -> Result<Encoded, Error> {
        let contains = contains.into_iter().map(|reference| reference.handle).collect();
        if length <= INLINE {
            let mut bytes = vec![0; length];
            fill(&mut bytes);
            return Ok(Encoded::Value { bytes, contains });
        }
        let key = writer::put(&self.client, length as u64, site, &[], true, fill)?;
        let block = Arc::new(Handle { client: Arc::clone(&self.client), key });
        Ok(Encoded::Put { block, contains })
    }

    /// An argument: an object, for which the task waits.
    #[must_use]
    pub fn object_argument(&self, reference: &Reference) -> Encoded {
        Encoded::Object(Arc::clone(&reference.handle))
    }

    /// An argument: something that was put by this package itself, hidden.
    #[must_use]
    pub fn hidden_argument(&self, reference: &Reference) -> Encoded {
        Encoded::Put { block: Arc::clone(&reference.handle), contains: Vec::new() }
    }

    /// Submits a task; the references to its results.
    ///
    /// # Errors
    /// [`Error::Invalid`] for settings that cannot be; the agent is gone.
    pub fn submit(
        &self,
        function: &str,
        settings: &TaskSettings<'_>,
        arguments: &[Encoded],
        returns: usize,
        site: u32,
    ) -> Result<Vec<Reference>, Error> {
        let options = local::Task {
            demand: settings.demand.wire(Amount::ONE)?,
            max_retries: settings.max_retries,
            retry_exceptions: settings.retry_exceptions,
            timeout_ms: settings.timeout_ms,
        };
        let prepared = task::prepare(&self.client, site, arguments)?;
        let results = task::send(&self.client, prepared, returns, |number, arguments, returns| ToAgent::Submit {
            number,
            function: cut(function),
            arguments,
            returns,
            options,
            site,
        })?;
        Ok(results.into_iter().map(task::Handed::typed).collect())
    }

    /// Creates an actor; the object that its handles refer to.
    ///
    /// # Errors
    /// [`Error::Invalid`] for settings that cannot be; [`Error::ActorNameTaken`]; the agent is gone.
    pub fn create_actor(
        &self,
        constructor: &str,
        settings: &ActorSettings<'_>,
        arguments: &[Encoded],
        site: u32,
    ) -> Result<Reference, Error> {
        if !(1..=MAX_CONCURRENCY).contains(&settings.max_concurrency) {
            let cause = format!("an actor runs 1 to {MAX_CONCURRENCY} calls side by side");
            return Err(Error::invalid("max_concurrency", settings.max_concurrency.to_string(), cause));
        }
        if settings.name.len() > MAX_NAME {
            return Err(Error::invalid("actor name", settings.name, format!("a name has at most {MAX_NAME} bytes")));
        }
        let options = local::Actor {
            name: settings.name,
            detached: settings.detached,
            max_concurrency: settings.max_concurrency,
            placed: settings.demand.wire(Amount::ONE)?,
            held: settings.demand.wire(Amount::ZERO)?,
            max_restarts: settings.max_restarts,
            max_task_retries: settings.max_task_retries,
        };
        actor::create_with(&self.client, cut(constructor), options, arguments, site)
    }

    /// Calls a method of an actor; the references to its results.
    ///
    /// # Errors
    /// The agent is gone.
    pub fn call(&self, actor: &Reference, method: &str, arguments: &[Encoded], returns: usize, site: u32) -> Result<Vec<Reference>, Error> {
        let prepared = task::prepare(&self.client, site, arguments)?;
        let actor = actor.handle.key_on(&self.client)?;
        let results = task::send(&self.client, prepared, returns, |number, arguments, returns| ToAgent::Call {
            number,
            actor,
            function: cut(method),
            arguments,
            returns,
            site,
        })?;
        Ok(results.into_iter().map(task::Handed::typed).collect())
    }

    /// The live actor of that name, and what its constructor is called.
    ///
    /// # Errors
    /// [`Error::NoActor`]; the agent is gone.
    pub fn find_actor(&self, name: &str, site: u32) -> Result<(Reference, String), Error> {
        actor::find(&self.client, name, site)
    }

    /// Ends an actor, see [`crate::kill_with`].
    ///
    /// # Errors
    /// The agent is gone.
    pub fn kill(&self, actor: &Reference, no_restart: bool, site: u32) -> Result<(), Error> {
        self.client.push_urgent(&ToAgent::KillActor { actor: actor.handle.key_on(&self.client)?, no_restart, site })
    }

    /// Cancels what makes an object, see [`crate::cancel`].
    ///
    /// # Errors
    /// The agent is gone.
    pub fn cancel(&self, reference: &Reference, force: bool, site: u32) -> Result<(), Error> {
        self.client.push_urgent(&ToAgent::CancelTask { key: reference.handle.key_on(&self.client)?, force, site })
    }
}

/// Runs `write`, and returns the references that it wrote.
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

/// A reference that is read from a value, within [`reading`].
///
/// # Errors
/// [`Error::OutOfBand`] outside of it; [`Error::ObjectLost`] when the object is not there.
pub fn borrow(id: ObjectId) -> Result<Reference, Error> {
    scope::borrow(id)
}

/// Runs `read`; references in what it reads are of `connection`, at `site`.
pub fn reading<T>(connection: &Connection, site: u32, read: impl FnOnce() -> T) -> T {
    scope::reading(Reading { client: Arc::clone(&connection.client), site }, read).0
}

/// The actor of a handle's object.
#[must_use]
pub fn actor_id(reference: &Reference) -> ActorId {
    reference.id().into()
}

/// An argument as a worker gets it.
#[derive(Debug)]
pub enum Argument {
    /// What was passed itself.
    Bytes(Box<[u8]>),
    /// An object, or what was put for the task.
    Object(Content),
}

impl Argument {
    /// The encoded value.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Object(content) => content.bytes(),
        }
    }
}

impl Call {
    /// The next argument as it was sent; `None` after the last.
    pub fn next_raw(&mut self) -> Option<Argument> {
        Some(match self.arguments.next()? {
            Given::Bytes(bytes) => Argument::Bytes(bytes),
            Given::Object(fetched) => Argument::Object(Content(fetched.into_source())),
        })
    }

    /// The connection that the call came by.
    #[must_use]
    pub fn connection(&self) -> Connection {
        Connection { client: Arc::clone(&self.client) }
    }

    /// Where the function is, from here on: the place of its arguments' and results' references.
    pub fn set_site(&mut self, site: u32) {
        self.site = site;
    }

    /// The next result: `length` bytes that `fill` writes, with references inside.
    pub fn give_raw(&mut self, length: usize, contains: Vec<Reference>, fill: Fill) {
        let contains = contains.into_iter().map(|reference| reference.handle).collect();
        self.results.push(Outgoing::Filled { length, contains, fill });
    }
}

/// What the agent takes of a text.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(local::MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
