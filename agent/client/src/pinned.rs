//! Views into shared memory.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::panic::Location;
use std::sync::Arc;

use plasmon_memory::counted::Counted;
use plasmon_memory::number::{Number, bytes_as_numbers};
use plasmon_memory::pin::PinIndex;
use plasmon_protocol::error::Error;
use plasmon_protocol::id::{ObjectId, ObjectKey};
use plasmon_protocol::local::ToAgent;
use plasmon_protocol::record::SiteKind;

use crate::client::{Client, InPool};
use crate::object_ref::{Handle, Held};

/// Keeps one object in its place while this process looks at it.
pub(crate) struct Pin {
    keeper: Keeper,
    /// Its place in the pin table, which keeps the connection open; without one, the connection counts it.
    index: Option<PinIndex>,
    /// Where the bytes are in the pool, and how many; they are inside.
    place: (u64, u64),
    /// The agent was told of it: a row says so.
    counted: bool,
}

/// Why the object lives as long as the pin.
enum Keeper {
    /// The handle that it was got by. The agent finds in the pin table that it is viewed.
    Handle(Counted<Handle>),
    /// The agent counts the pin, or will soon; or the object is only read for as long as something else keeps it.
    Agent(Arc<Client>, ObjectKey),
}

impl Pin {
    /// Through the pin table, by a handle.
    #[inline]
    pub(crate) fn by(handle: &Held, index: PinIndex, place: (u64, u64)) -> Self {
        Self { keeper: Keeper::Handle(handle.keep()), index: Some(index), place, counted: false }
    }

    /// Through the pin table; the agent does not know of it yet.
    pub(crate) fn new(client: &Arc<Client>, key: ObjectKey, index: PinIndex, place: (u64, u64)) -> Self {
        Self { keeper: Keeper::Agent(Arc::clone(client), key), index: Some(index), place, counted: false }
    }

    /// One that the agent has counted already. Keeps the connection open as `inside` did.
    pub(crate) fn counted(client: &Arc<Client>, inside: InPool<'_>, key: ObjectKey, place: (u64, u64)) -> Self {
        std::mem::forget(inside);
        Self { keeper: Keeper::Agent(Arc::clone(client), key), index: None, place, counted: true }
    }

    #[inline]
    pub(crate) fn client(&self) -> &Arc<Client> {
        match &self.keeper {
            Keeper::Handle(handle) => &handle.client,
            Keeper::Agent(client, _) => client,
        }
    }

    fn key(&self) -> ObjectKey {
        match &self.keeper {
            Keeper::Handle(handle) => handle.key,
            Keeper::Agent(_, key) => *key,
        }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        self.check();
        // Checked when the view was made; the pool has kept its size.
        self.client().pool.slice(self.place.0, self.place.1).unwrap_or_default()
    }

    /// The memory is where it was when the view was taken.
    #[inline]
    fn check(&self) {
        if !self.client().is_here() {
            self.refuse();
        }
    }

    /// There is nothing to return: the pages of the view are not there.
    #[cold]
    fn refuse(&self) -> ! {
        panic!("a view of object {} was read in a forked child: {}", self.id(), self.client().forked_away());
    }

    pub(crate) fn id(&self) -> ObjectId {
        self.client().id(self.key())
    }

    /// A row says from here on that the object is viewed, for as long as the pin lives: the agent finds it where it looks, or is told, before
    /// any handle that the view outlives is dropped; both go through the same ring.
    #[inline]
    pub(crate) fn count(&mut self, site: impl FnOnce(&Arc<Client>) -> u32) {
        failpoint!("pinned");
        match (&self.keeper, &self.index) {
            (Keeper::Handle(handle), Some(index)) => handle.client.words.pins().view(index),
            (Keeper::Agent(client, key), _) if !self.counted => {
                self.counted = client.push(&ToAgent::AddPin { key: *key, site: site(client) }).is_ok();
            }
            _ => {}
        }
    }

    #[inline]
    pub(crate) fn count_at(&mut self, location: &'static Location<'static>) {
        self.count(|client| client.sites.number(client, SiteKind::GetObject, location));
    }

    /// The same once more: of one that the agent does not count.
    fn share(&self) -> Self {
        let keeper = match &self.keeper {
            Keeper::Handle(handle) => Keeper::Handle(handle.clone()),
            Keeper::Agent(client, key) => Keeper::Agent(Arc::clone(client), *key),
        };
        let index = self.index.as_ref().map(|index| self.client().words.pins().share(index));
        Self { keeper, index, place: self.place, counted: false }
    }
}

impl Drop for Pin {
    #[inline]
    fn drop(&mut self) {
        if !self.client().is_here() {
            return;
        }
        let index = self.index.take();
        let through_table = index.is_some();
        if let Some(index) = index {
            self.client().words.pins().unpin(index);
        }
        failpoint!("unpinned");
        if self.counted {
            let _ = self.client().push(&ToAgent::DropPin { key: self.key() });
        }
        if through_table { self.client().pin_closed() } else { self.client().view_closed() }
    }
}

/// One pin of one view and its clones.
enum Shared {
    /// It counts itself.
    Own(Pin),
    /// The agent counts it once.
    Counted(Arc<Pin>),
}

impl Deref for Shared {
    type Target = Pin;

    #[inline]
    fn deref(&self) -> &Pin {
        match self {
            Self::Own(pin) => pin,
            Self::Counted(pin) => pin,
        }
    }
}

impl Clone for Shared {
    fn clone(&self) -> Self {
        match self {
            Self::Own(pin) => Self::Own(pin.share()),
            Self::Counted(pin) => Self::Counted(Arc::clone(pin)),
        }
    }
}

/// A view into an object in shared memory: the very bytes that were put, readable as a slice. The object stays in memory as long as
/// a view of it lives.
///
/// A process that is forked from the view's has no shared memory: there, dereferencing it panics, and a slice that was taken before
/// the fork must not be read.
pub struct Pinned<T: ?Sized> {
    pin: Shared,
    kind: PhantomData<fn() -> Box<T>>,
}

impl<N: Number> Pinned<[N]> {
    /// The object as numbers.
    ///
    /// # Errors
    /// [`Error::Decode`] when its size is not a whole number of them.
    pub(crate) fn new(pin: Pin) -> Result<Self, Error> {
        if bytes_as_numbers::<N>(pin.bytes()).is_none() {
            return Err(Error::Decode {
                object: pin.id(),
                wanted: std::any::type_name::<[N]>().to_owned(),
                cause: format!("its {} bytes are not a whole number of {}", pin.place.1, size_of::<N>()),
            });
        }
        let pin = if pin.counted { Shared::Counted(Arc::new(pin)) } else { Shared::Own(pin) };
        Ok(Self { pin, kind: PhantomData })
    }
}

impl<T: ?Sized> Pinned<T> {
    /// The object's id.
    #[must_use]
    pub fn id(&self) -> ObjectId {
        self.pin.id()
    }
}

impl<N: Number> Deref for Pinned<[N]> {
    type Target = [N];

    fn deref(&self) -> &[N] {
        bytes_as_numbers(self.pin.bytes()).unwrap_or_default()
    }
}

impl<N: Number> AsRef<[N]> for Pinned<[N]> {
    fn as_ref(&self) -> &[N] {
        self
    }
}

impl<T: ?Sized> Clone for Pinned<T> {
    fn clone(&self) -> Self {
        Self { pin: self.pin.clone(), kind: PhantomData }
    }
}

impl<N: Number + fmt::Debug> fmt::Debug for Pinned<[N]> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
