//! Submitting tasks.

use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use plasmon_protocol::error::Error;
use plasmon_protocol::id::ObjectKey;
use plasmon_protocol::local::{Argument, INLINE, ToAgent};
use plasmon_protocol::record::SiteKind;

use crate::argument::Encoded;
use crate::client::Client;
use crate::failpoint::copy;
use crate::init::connection;
use crate::object_ref::{Handle, ObjectRef};
use crate::value;
use crate::writer;

/// How often a task is tried again after its worker died, unless said otherwise.
const MAX_RETRIES: u32 = 3;
/// Bytes of inlined arguments in one submission; what goes beyond is put.
const MAX_INLINED: usize = 16 << 10;

/// How a task runs. Static in `#[plasmon::remote(...)]`, changed for one call by `.options(...)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TaskOptions {
    milli_cpus: u32,
    max_retries: u32,
}

impl TaskOptions {
    /// One CPU, three retries.
    #[must_use]
    pub const fn new() -> Self {
        Self { milli_cpus: 1000, max_retries: MAX_RETRIES }
    }

    /// Reserves this many CPUs while the task runs, in thousandths; admission only, not a limit. Negative counts as 0.
    #[must_use]
    pub const fn num_cpus(mut self, cpus: f64) -> Self {
        self.milli_cpus = milli(cpus);
        self
    }

    /// Tries the task again this often after its worker died.
    #[must_use]
    pub const fn max_retries(mut self, retries: u32) -> Self {
        self.max_retries = retries;
        self
    }
}

/// Thousandths of a CPU; negative counts as 0.
pub(crate) const fn milli(cpus: f64) -> u32 {
    // A cast from a float saturates.
    (cpus * 1000.0 + 0.5) as u32
}

impl Default for TaskOptions {
    fn default() -> Self {
        Self::new()
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
    let mut prepared = Prepared { wire: Vec::with_capacity(arguments.len()), nested: Vec::new(), blocks: Vec::new() };
    let mut inlined = 0;
    for argument in arguments {
        prepared.wire.push(match argument {
            Encoded::Object(handle) => Argument::Object(handle.key_on(client)?),
            Encoded::Value { bytes, contains } => {
                prepared.nested.extend(value::keys(client, contains)?);
                if bytes.len() <= INLINE && inlined + bytes.len() <= MAX_INLINED {
                    inlined += bytes.len();
                    Argument::Inline(bytes)
                } else {
                    let key = writer::put(client, bytes.len() as u64, site, &[], true, |room| copy(room, bytes))?;
                    prepared.blocks.push(Handle { client: Arc::clone(client), key });
                    Argument::Block(key)
                }
            }
        });
    }
    prepared.nested.sort_unstable();
    prepared.nested.dedup();
    Ok(prepared)
}

/// Sends what `message` makes of the task's number, its arguments and the slots of its results.
pub(crate) fn send<'a>(
    client: &Arc<Client>,
    prepared: Prepared<'a>,
    returns: usize,
    message: impl FnOnce(u32, Vec<Argument<'a>>, Vec<ObjectKey>) -> ToAgent<'a>,
) -> Result<Vec<Handed>, Error> {
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
    sender.stage(&nested)?;
    sender.push(&message(number, wire, keys.clone()))?;
    sender.finish(true);
    failpoint!("submitted");
    drop(blocks);
    for key in &keys {
        writer::settle_slot(client, *key, true);
    }
    Ok(keys.into_iter().map(|key| Handed { client: Arc::clone(client), key }).collect())
}

/// Submits a task, and returns the references to its results.
///
/// # Errors
/// An argument could not be encoded or stored; the agent is gone.
#[doc(hidden)]
#[track_caller]
pub fn submit(
    function: &'static str,
    options: TaskOptions,
    arguments: Vec<Result<Encoded, Error>>,
    returns: usize,
) -> Result<Vec<Handed>, Error> {
    let client = connection()?;
    let site = client.sites.number(&client, SiteKind::TaskCall, Location::caller());
    let arguments: Vec<Encoded> = arguments.into_iter().collect::<Result<_, _>>()?;
    let prepared = prepare(&client, site, &arguments)?;
    send(&client, prepared, returns, |number, arguments, returns| ToAgent::Submit {
        number,
        function,
        arguments,
        returns,
        milli_cpus: options.milli_cpus,
        retries: options.max_retries,
        site,
    })
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
