//! Submitting tasks.

use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use plasmon_protocol::error::Error;
use plasmon_protocol::id::ObjectKey;
use plasmon_protocol::local::{self, Argument, INLINE, MAX_TASK_ARGUMENTS, RetryExceptions, ToAgent};
use plasmon_protocol::record::SiteKind;
use plasmon_protocol::resources::Amount;

use crate::argument::Encoded;
use crate::client::{Client, can_be_inside};
use crate::failpoint::copy_behind;
use crate::init::connection;
use crate::listed::{Errors, all_or_none};
use crate::object_ref::{Handle, ObjectRef};
use crate::options::Reserve;
use crate::value;
use crate::writer;

/// How often a task is tried again after its worker died, unless said otherwise.
const MAX_RETRIES: u32 = 3;
/// Bytes of inlined arguments in one submission; what goes beyond is put.
const MAX_INLINED: usize = 16 << 10;

/// How a task runs. Static in `#[plasmon::remote(...)]`; `.options(...)` changes for one call what it says, and nothing else.
///
/// What a task reserves is for admission only: a task starts when so much is free, and nothing holds it to that while it runs.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct TaskOptions {
    reserve: Reserve<'static>,
    max_retries: Option<u32>,
    retry_exceptions: Option<RetryExceptions>,
    errors: Option<&'static Errors>,
    timeout: Option<Duration>,
}

impl TaskOptions {
    /// Nothing said: one CPU, three retries.
    #[must_use]
    pub const fn new() -> Self {
        Self { reserve: Reserve::OPEN, max_retries: None, retry_exceptions: None, errors: None, timeout: None }
    }

    /// Reserves this many CPUs while the task runs, exact to a ten-thousandth.
    #[must_use]
    pub const fn num_cpus(mut self, cpus: f64) -> Self {
        self.reserve.cpus = Some(cpus);
        self
    }

    /// Reserves this many GPUs while the task runs: a part of one, or whole ones. The worker sees those alone, in
    /// `CUDA_VISIBLE_DEVICES`.
    #[must_use]
    pub const fn num_gpus(mut self, gpus: f64) -> Self {
        self.reserve.gpus = Some(gpus);
        self
    }

    /// Reserves so many bytes of the node's heap memory while the task runs. Admission only: the task may use more, or less.
    #[must_use]
    pub const fn memory(mut self, bytes: u64) -> Self {
        self.reserve.memory = Some(bytes);
        self
    }

    /// Reserves custom resources by name, as the agent's `--resources` offers them.
    #[must_use]
    pub const fn resources(mut self, resources: &'static [(&'static str, f64)]) -> Self {
        self.reserve.custom = Some(resources);
        self
    }

    /// Tries the task again this often after its worker died; [`ENDLESS`](crate::ENDLESS) for as often as it takes.
    #[must_use]
    pub const fn max_retries(mut self, retries: u32) -> Self {
        self.max_retries = Some(retries);
        self
    }

    /// Whether retries are also for error values and panics: for all of them, or for none.
    #[must_use]
    pub const fn retry_exceptions(mut self, retry: bool) -> Self {
        self.retry_exceptions = Some(all_or_none(retry));
        self.errors = None;
        self
    }

    /// Retries are also for the errors that the function lists, as `#[plasmon::remote(retry_exceptions = [std::io::Error])]` does; for all
    /// its error values where it lists none. The attribute says this by itself.
    #[must_use]
    pub const fn retry_listed_exceptions(mut self) -> Self {
        self.retry_exceptions = Some(RetryExceptions::Listed);
        self.errors = None;
        self
    }

    /// Retries are also for errors of these types, or caused by one, whatever the function lists: `errors![std::io::Error, Timeout]`.
    #[must_use]
    pub const fn retry_errors(mut self, errors: &'static Errors) -> Self {
        self.retry_exceptions = Some(RetryExceptions::Listed);
        self.errors = Some(errors);
        self
    }

    /// Cancels the task by force when an attempt has run for so long.
    #[must_use]
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// What this says, and where it says nothing, what `below` says.
    #[must_use]
    pub const fn over(self, below: Self) -> Self {
        Self {
            reserve: self.reserve.over(below.reserve),
            max_retries: if self.max_retries.is_some() { self.max_retries } else { below.max_retries },
            retry_exceptions: if self.retry_exceptions.is_some() { self.retry_exceptions } else { below.retry_exceptions },
            errors: if self.retry_exceptions.is_some() { self.errors } else { below.errors },
            timeout: if self.timeout.is_some() { self.timeout } else { below.timeout },
        }
    }

    fn wire(self) -> Result<local::Task<'static>, Error> {
        Ok(local::Task {
            demand: self.reserve.demand(Amount::ONE)?,
            max_retries: self.max_retries.unwrap_or(MAX_RETRIES),
            retry_exceptions: self.retry_exceptions.unwrap_or_default(),
            // A limit of less than a millisecond is one.
            timeout_ms: self.timeout.map_or(0, |limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1)),
        })
    }
}

/// Arguments as a message carries them.
pub(crate) struct Prepared<'a> {
    pub(crate) wire: Vec<Argument<'a>>,
    /// References inside the arguments.
    pub(crate) nested: Vec<ObjectKey>,
    /// Live until the agent has taken note of the task: dropped after the submission, in the same ring.
    blocks: Vec<Handle>,
}

/// Puts what is too large for a message, and collects the references.
pub(crate) fn prepare<'a>(client: &Arc<Client>, site: u32, arguments: &'a [Encoded]) -> Result<Prepared<'a>, Error> {
    if arguments.len() > MAX_TASK_ARGUMENTS {
        let cause = format!("a call has at most {MAX_TASK_ARGUMENTS}; pass many references as one argument, in a list");
        return Err(Error::invalid("arguments", arguments.len().to_string(), cause));
    }
    let mut prepared = Prepared { wire: Vec::with_capacity(arguments.len()), nested: Vec::new(), blocks: Vec::new() };
    let mut inlined = 0;
    for argument in arguments {
        prepared.wire.push(match argument {
            Encoded::Object(handle) => Argument::Object(handle.key_on(client)?),
            Encoded::Put { block, contains } => {
                prepared.nested.extend(value::keys(client, contains)?);
                Argument::Block(block.key_on(client)?)
            }
            Encoded::Value { bytes, contains } => {
                prepared.nested.extend(value::keys(client, contains)?);
                if bytes.len() <= INLINE && inlined + bytes.len() <= MAX_INLINED {
                    inlined += bytes.len();
                    Argument::Inline(bytes)
                } else {
                    let key = writer::put(client, bytes.len() as u64, site, &[], true, |room, reach| copy_behind(room, bytes, reach))?;
                    prepared.blocks.push(Handle::new(Arc::clone(client), key));
                    Argument::Block(key)
                }
            }
        });
    }
    prepared.nested.sort_unstable();
    prepared.nested.dedup();
    can_be_inside(prepared.nested.len())?;
    Ok(prepared)
}

/// Sends what `message` makes of the task's number, its arguments and the slots of its results.
pub(crate) fn send<'a>(
    client: &Arc<Client>,
    prepared: Prepared<'a>,
    returns: usize,
    message: impl FnOnce(u32, Vec<Argument<'a>>, Vec<ObjectKey>) -> ToAgent<'a>,
) -> Result<Vec<Handed>, Error> {
    send_numbered(client, prepared, returns, message).map(|(_, handed)| handed)
}

/// The same; also the task's number.
pub(crate) fn send_numbered<'a>(
    client: &Arc<Client>,
    prepared: Prepared<'a>,
    returns: usize,
    message: impl FnOnce(u32, Vec<Argument<'a>>, Vec<ObjectKey>) -> ToAgent<'a>,
) -> Result<(u32, Vec<Handed>), Error> {
    client.alive()?;
    let Prepared { wire, nested, blocks } = prepared;
    let mut keys = Vec::with_capacity(returns);
    for _ in 0..returns {
        match writer::slot(client) {
            Ok(key) => keys.push(key),
            Err(error) => {
                keys.into_iter().for_each(|key| writer::settle_slot(client, key, false));
                return Err(error);
            }
        }
    }
    failpoint!("before_submit");
    let mut sender = client.sender()?;
    // Numbered under the sender's lock: the agent takes tasks in the order of their numbers.
    let number = client.tasks.fetch_add(1, Ordering::Relaxed) + 1;
    let sent = sender.submit(&nested, &message(number, wire, keys.clone()));
    sender.finish(true);
    failpoint!("submitted");
    drop(blocks);
    for key in &keys {
        writer::settle_slot(client, *key, sent.is_ok());
    }
    sent?;
    Ok((number, keys.into_iter().map(|key| Handed { client: Arc::clone(client), key }).collect()))
}

/// Submits a task, and returns the references to its results.
///
/// # Errors
/// [`Error::Invalid`] for options that cannot be; an argument could not be encoded or stored; the agent is gone.
#[doc(hidden)]
#[track_caller]
pub fn submit(
    function: &'static str,
    options: TaskOptions,
    arguments: Vec<Result<Encoded, Error>>,
    returns: usize,
) -> Result<Vec<Handed>, Error> {
    let errors = options.errors;
    let options = options.wire()?;
    let client = connection()?;
    let site = client.sites.number(&client, SiteKind::TaskCall, Location::caller());
    let mut arguments: Vec<Encoded> = arguments.into_iter().collect::<Result<_, _>>()?;
    arguments.extend(errors.map(|errors| Encoded::Value { bytes: errors.name().into(), contains: Vec::new() }));
    let prepared = prepare(&client, site, &arguments)?;
    send(&client, prepared, returns, |number, arguments, returns| ToAgent::Submit { number, function, arguments, returns, options, site })
}

/// Cancels the task or call that makes an object, and what it has submitted itself.
///
/// One that has not begun never runs. One that runs is told: its waits in [`crate::get`] and [`crate::wait`] end, and
/// [`crate::is_cancelled`] is true there; with `force` its worker is ended at once, unless it is an actor, which goes on. In any case its
/// results are [`Error::TaskCancelled`] from now on, and it is not tried again. Nothing happens to one that has ended, nor to what was
/// put.
///
/// # Errors
/// The agent is gone.
#[track_caller]
pub fn cancel<T: ?Sized>(reference: &ObjectRef<T>, force: bool) -> Result<(), Error> {
    let client = connection()?;
    let site = client.sites.number(&client, SiteKind::TaskCall, Location::caller());
    let key = reference.handle.key_on(&client)?;
    client.push_urgent(&ToAgent::CancelTask { key, force, site })
}

/// One result's reference, before its type is known.
#[doc(hidden)]
pub struct Handed {
    client: Arc<Client>,
    key: ObjectKey,
}

impl Handed {
    /// The reference; `T` is what the remote function returns.
    #[must_use]
    pub fn typed<T: ?Sized>(self) -> ObjectRef<T> {
        ObjectRef::adopt(&self.client, self.key)
    }
}

/// Fewer results than the function has cannot be: they are made here.
#[doc(hidden)]
#[must_use]
pub fn no_result() -> Error {
    Error::Protocol { who: "this process".to_owned(), cause: "a task without its results".to_owned() }
}
