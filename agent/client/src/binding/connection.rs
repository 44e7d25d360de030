//! The connection, and objects by it.

use std::sync::Arc;
use std::time::Duration;

use plasmon_memory::words::CallSites;
use plasmon_protocol::error::Error;
use plasmon_protocol::id::{ObjectId, ObjectKey, TaskId};
use plasmon_protocol::record::SiteKind;

use super::{Content, Reference};
use crate::cancelled;
use crate::client::Client;
use crate::init::connection;
use crate::object::{Fetch, fetch_all, fetch_until, is_ready, wait_for};
use crate::object_ref::{Held, ObjectRef};
use crate::scope;
use crate::site::Frame;
use crate::value::Source;
use crate::writer::{self, Reach};

/// The connection of this process.
#[derive(Clone, Debug)]
pub struct Connection {
    pub(super) client: Arc<Client>,
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

    /// The task that the calling thread works for, as far as can be known: its id, and its function's name.
    #[must_use]
    pub fn current_task(&self) -> Option<(TaskId, Box<str>)> {
        cancelled::current_task().map(|(task, name)| (task.on(self.client.hello.node), name))
    }

    /// Whether it still serves.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.client.alive().is_ok()
    }

    /// Whether places are wanted at all.
    #[must_use]
    pub fn wants_sites(&self) -> bool {
        self.client.words.sites() != CallSites::Off
    }

    /// The number of a place of the program's; 0, the unknown one, where none is wanted.
    #[must_use]
    pub fn site(&self, kind: SiteKind, file: &str, line: u32, function: &str) -> u32 {
        self.site_of_stack(kind, &[Frame { file, line, function }])
    }

    /// The number of a place with all that it was called from, innermost frame first: at most [`MAX_STACK`], the outermost of more are left
    /// out. Stacks share their outer frames. 0, the unknown one, where none is wanted, and without a frame. It costs a look-up for each
    /// frame: whoever asks often remembers the answer, which is good for as long as [`Connection::serial`] is the same.
    ///
    /// [`MAX_STACK`]: super::MAX_STACK
    #[must_use]
    pub fn site_of_stack(&self, kind: SiteKind, frames: &[Frame<'_>]) -> u32 {
        self.client.sites.define_stack(&self.client, kind, frames)
    }

    /// Makes a new object of `length` bytes, which `fill` writes as far as it may reach, with references inside; it is called again where it
    /// could not reach all. A `hidden` one is the package's own: it has no rows.
    ///
    /// # Errors
    /// As for [`crate::put`].
    pub fn put(
        &self,
        length: usize,
        site: u32,
        contains: &[Reference],
        hidden: bool,
        fill: impl FnMut(&mut [u8], &Reach<'_>),
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
        Ok(crate::object::view(&reference.handle).map(|pin| Content(Source::Pinned(pin))))
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
        let handles: Vec<&Held> = references.iter().map(|reference| &reference.handle).collect();
        let all = fetch_all(&handles, site, limit, (pause, stop))?;
        Ok(all.map(|all| all.into_iter().map(|fetched| Content(fetched.into_source())).collect()))
    }

    /// The object's number in messages of this connection.
    ///
    /// # Errors
    /// The reference is of another connection, or this one has ended.
    #[inline]
    pub fn key(&self, reference: &Reference) -> Result<ObjectKey, Error> {
        reference.handle.key_on(&self.client)
    }

    /// Whether an object is there, with a value or an error, as far as can be seen without asking: false may also mean that it is lost.
    #[inline]
    #[must_use]
    pub fn has(&self, key: ObjectKey) -> bool {
        is_ready(&self.client, key)
    }

    /// Waits until at least `num_returns` of the objects are there, or `timeout` has passed; which ones are there. `None` when `stop`,
    /// asked every `pause`, says so.
    ///
    /// # Errors
    /// As for [`crate::wait`].
    pub fn wait(
        &self,
        references: &[&Reference],
        num_returns: usize,
        timeout: Option<Duration>,
        pause: Duration,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Vec<bool>>, Error> {
        let handles: Vec<&Held> = references.iter().map(|reference| &reference.handle).collect();
        wait_for(&self.client, &handles, num_returns, timeout, Some((pause, stop)))
    }

    /// References to objects whose ids were read from a value, all at once; they are held at `site`. `None` for one that is not there.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn borrow_all(&self, ids: impl ExactSizeIterator<Item = ObjectId>, site: u32) -> Result<Vec<Option<Reference>>, Error> {
        scope::borrow_all(&self.client, ids, site)
    }
}
