//! Tasks and actors of functions by name.

use std::sync::Arc;
use std::time::Duration;

use plasmon_protocol::error::Error;
use plasmon_protocol::id::{ActorId, ObjectKey};
use plasmon_protocol::local::{self, CallRetries, INLINE, RetryExceptions, ToAgent, cut};
use plasmon_protocol::resources::Amount;

use super::{Connection, Raw, Reference};
use crate::argument::Encoded;
use crate::client::Client;
use crate::generator::Results;
use crate::object_ref::Held;
use crate::options::Reserve;
use crate::writer::{self, Reach};
use crate::{actor, task};

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

/// Where an actor goes that is created in a moment.
#[derive(Debug)]
pub struct ActorPlace {
    pub(crate) client: Arc<Client>,
    /// A free slot of the client's with its next generation; `None` once it was used.
    pub(crate) key: Option<ObjectKey>,
}

impl ActorPlace {
    pub(crate) fn new(client: &Arc<Client>) -> Result<Self, Error> {
        Ok(Self { client: Arc::clone(client), key: Some(writer::slot(client)?) })
    }

    /// The actor's id.
    #[must_use]
    pub fn id(&self) -> ActorId {
        self.client.id(self.key.unwrap_or_default()).into()
    }
}

impl Drop for ActorPlace {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            writer::settle_slot(&self.client, key, false);
        }
    }
}

impl Connection {
    /// An argument: its bytes, and the references inside. What is too large for a message is put for the task alone.
    ///
    /// # Errors
    /// As for [`crate::put`].
    pub fn argument(
        &self,
        length: usize,
        site: u32,
        contains: Vec<Reference>,
        mut fill: impl FnMut(&mut [u8], &Reach<'_>),
    ) -> Result<Encoded, Error> {
        let contains = contains.into_iter().map(|reference| reference.handle).collect();
        if length <= INLINE {
            let mut bytes = vec![0; length];
            fill(&mut bytes, &Reach::all());
            return Ok(Encoded::Value { bytes, contains });
        }
        let key = writer::put(&self.client, length as u64, site, &[], true, fill)?;
        let block = Held::new(Arc::clone(&self.client), key);
        Ok(Encoded::Put { block, contains })
    }

    /// An argument: an object, for which the task waits.
    #[must_use]
    pub fn object_argument(&self, reference: &Reference) -> Encoded {
        Encoded::Object(reference.handle.clone())
    }

    /// An argument: something that was put by this package itself, hidden.
    #[must_use]
    pub fn hidden_argument(&self, reference: &Reference) -> Encoded {
        Encoded::Put { block: reference.handle.clone(), contains: Vec::new() }
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
        self.send_task(function, settings, arguments, returns, site).map(|(_, results)| results)
    }

    /// Submits a task that is a generator; what it yields.
    ///
    /// # Errors
    /// As for [`Connection::submit`].
    pub fn submit_generator(
        &self,
        function: &str,
        settings: &TaskSettings<'_>,
        arguments: &[Encoded],
        site: u32,
    ) -> Result<Results<Raw>, Error> {
        let (number, _) = self.send_task(function, settings, arguments, 0, site)?;
        Results::of(&self.client, number, site)
    }

    fn send_task(
        &self,
        function: &str,
        settings: &TaskSettings<'_>,
        arguments: &[Encoded],
        returns: usize,
        site: u32,
    ) -> Result<(u32, Vec<Reference>), Error> {
        let options = local::Task {
            demand: settings.demand.wire(Amount::ONE)?,
            max_retries: settings.max_retries,
            retry_exceptions: settings.retry_exceptions,
            timeout_ms: settings.timeout_ms,
        };
        let prepared = task::prepare(&self.client, site, arguments)?;
        let (number, results) = task::send_numbered(&self.client, prepared, returns, |number, arguments, returns| ToAgent::Submit {
            number,
            function: cut(function),
            arguments,
            returns,
            options,
            site,
        })?;
        Ok((number, results.into_iter().map(task::Handed::typed).collect()))
    }

    /// A place for an actor that is about to be created: its id is known before its arguments are encoded.
    ///
    /// # Errors
    /// The agent is gone.
    pub fn actor_place(&self) -> Result<ActorPlace, Error> {
        ActorPlace::new(&self.client)
    }

    /// Creates an actor; the object that its handles refer to.
    ///
    /// # Errors
    /// [`Error::Invalid`] for settings that cannot be; [`Error::ActorNameTaken`]; the agent is gone.
    pub fn create_actor(
        &self,
        place: ActorPlace,
        constructor: &str,
        settings: &ActorSettings<'_>,
        arguments: &[Encoded],
        site: u32,
    ) -> Result<Reference, Error> {
        actor::check(settings.name, settings.max_concurrency)?;
        let options = local::Actor {
            name: settings.name,
            detached: settings.detached,
            max_concurrency: settings.max_concurrency,
            placed: settings.demand.wire(Amount::ONE)?,
            held: settings.demand.wire(Amount::ZERO)?,
            max_restarts: settings.max_restarts,
            max_task_retries: settings.max_task_retries,
        };
        actor::create_with(place, cut(constructor), options, arguments, site)
    }

    /// Calls a method of an actor; the references to its results.
    ///
    /// # Errors
    /// The agent is gone.
    pub fn call(
        &self,
        actor: &Reference,
        method: &str,
        retries: CallRetries,
        arguments: &[Encoded],
        returns: usize,
        site: u32,
    ) -> Result<Vec<Reference>, Error> {
        self.send_call(actor, method, retries, arguments, returns, site).map(|(_, results)| results)
    }

    /// Calls a method that is a generator; what it yields.
    ///
    /// # Errors
    /// The agent is gone.
    pub fn call_generator(
        &self,
        actor: &Reference,
        method: &str,
        retries: CallRetries,
        arguments: &[Encoded],
        site: u32,
    ) -> Result<Results<Raw>, Error> {
        let (number, _) = self.send_call(actor, method, retries, arguments, 0, site)?;
        Results::of(&self.client, number, site)
    }

    fn send_call(
        &self,
        actor: &Reference,
        method: &str,
        retries: CallRetries,
        arguments: &[Encoded],
        returns: usize,
        site: u32,
    ) -> Result<(u32, Vec<Reference>), Error> {
        let prepared = task::prepare(&self.client, site, arguments)?;
        let actor = actor.handle.key_on(&self.client)?;
        let (number, results) = task::send_numbered(&self.client, prepared, returns, |number, arguments, returns| ToAgent::Call {
            number,
            actor,
            function: cut(method),
            arguments,
            returns,
            retries,
            site,
        })?;
        Ok((number, results.into_iter().map(task::Handed::typed).collect()))
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

    /// Ends the actor that this worker is, for good: of what it was sent nothing more begins in the thread that calls this. Returns when the
    /// agent has ended instead.
    ///
    /// # Errors
    /// The agent is gone already.
    pub fn exit_actor(&self, actor: ObjectKey, site: u32) -> Result<(), Error> {
        self.client.push_urgent(&ToAgent::KillActor { actor, no_restart: true, site })?;
        while self.client.alive().is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Cancels what makes an object, see [`crate::cancel`].
    ///
    /// # Errors
    /// The agent is gone.
    pub fn cancel(&self, reference: &Reference, force: bool, site: u32) -> Result<(), Error> {
        self.client.push_urgent(&ToAgent::CancelTask { key: reference.handle.key_on(&self.client)?, force, site })
    }
}
