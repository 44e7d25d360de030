//! References to objects.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::Deref;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};

use plasmon_memory::counted::Counted;
use plasmon_protocol::error::Error;
use plasmon_protocol::id::{ObjectId, ObjectKey};
use plasmon_protocol::local::{Short, ToAgent};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::client::Client;
use crate::object::{Fetch, Step};
use crate::scope;
use crate::value::Value;

/// What keeps an object alive for this process: one local count at the agent, given back with the last that has it. References have it
/// through [`Held`]; a view that was got by one has it too, and needs no count of its own.
pub struct Handle {
    pub(crate) client: Arc<Client>,
    pub(crate) key: ObjectKey,
    /// How many there are of [`Held`].
    holders: AtomicU32,
    /// Only views are left, and the agent knows.
    kept: AtomicBool,
}

impl Handle {
    /// Takes over a count that the agent has, or is about to have by a message that was sent.
    #[inline]
    pub(crate) fn new(client: Arc<Client>, key: ObjectKey) -> Self {
        Self { client, key, holders: AtomicU32::new(1), kept: AtomicBool::new(false) }
    }

    /// The object's key for messages of `client`.
    ///
    /// # Errors
    /// [`Error::ObjectLost`] when the reference is of an earlier connection, whose agent counted it; [`Error::NotConnected`] when it is
    /// of the process that this one was forked from.
    pub(crate) fn key_on(&self, client: &Arc<Client>) -> Result<ObjectKey, Error> {
        // First: the slots that the key is looked up in are not there in a forked child either.
        if !self.client.is_here() {
            return Err(self.client.forked_away());
        }
        if Arc::ptr_eq(&self.client, client) {
            return Ok(self.key);
        }
        let cause = "its reference is of a connection that has ended".to_owned();
        Err(Error::ObjectLost { object: self.client.id(self.key), cause })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        failpoint!("handle_dropped");
        let key = self.key;
        let kept = *self.kept.get_mut();
        // Without an agent there is no count.
        let _ = if kept { self.client.push(&ToAgent::DropViews { key }) } else { self.client.push_short(&Short::drop_local(key)) };
    }
}

/// One of those that hold a handle as a reference does. With the last of them the agent is told that only views are left, if there are any.
pub struct Held(Counted<Handle>);

impl Held {
    #[inline(always)]
    pub(crate) fn new(client: Arc<Client>, key: ObjectKey) -> Self {
        Self(Counted::of(|| Handle::new(client, key)))
    }

    /// For a view, which holds nothing: it only keeps.
    #[inline]
    pub(crate) fn keep(&self) -> Counted<Handle> {
        self.0.clone()
    }

    #[cold]
    fn leave(&self) {
        let handle = &*self.0;
        // Whoever shares it may be another that is just leaving. Views stand in the pin table, and no more of them can come.
        let is_viewed = || handle.client.is_here() && handle.client.words.pins().is_viewed(handle.key);
        if handle.holders.fetch_sub(1, Ordering::AcqRel) == 1 && !self.0.is_only() && is_viewed() {
            // Before this one lets go: the word that they are gone is sent by the last that lets go.
            let _ = handle.client.push(&ToAgent::KeepViews { key: handle.key });
            failpoint!("views_kept");
            self.0.kept.store(true, Ordering::Release);
        }
    }
}

impl Deref for Held {
    type Target = Handle;

    #[inline]
    fn deref(&self) -> &Handle {
        &self.0
    }
}

impl Clone for Held {
    #[inline]
    fn clone(&self) -> Self {
        self.0.holders.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

impl Drop for Held {
    #[inline]
    fn drop(&mut self) {
        // Who is alone stays alone: nobody is there who could make another.
        if !self.0.is_only() {
            self.leave();
        }
    }
}

/// A reference to an object of type `T`, which may not exist yet. As long as a reference is held anywhere, [`crate::get`] returns
/// the object.
///
/// Cloning is cheap and stays within the process. A reference can be part of a value that is put, of a task's argument or of its
/// result; it is refused by any other serialiser, where nobody could count it.
pub struct ObjectRef<T: ?Sized> {
    pub(crate) handle: Held,
    kind: PhantomData<fn() -> Box<T>>,
}

impl<T: ?Sized> ObjectRef<T> {
    /// Takes over a count that the agent has, or is about to have by a message that was sent.
    pub(crate) fn adopt(client: &Arc<Client>, key: ObjectKey) -> Self {
        Self::of(Held::new(Arc::clone(client), key))
    }

    /// One more reference of those that share a count.
    pub(crate) fn of(handle: Held) -> Self {
        Self { handle, kind: PhantomData }
    }

    /// The object's id.
    #[must_use]
    pub fn id(&self) -> ObjectId {
        self.handle.client.id(self.handle.key)
    }

    /// The id as the report and the dashboard print it.
    #[must_use]
    pub fn hex(&self) -> String {
        self.id().hex()
    }

    pub(crate) fn key(&self) -> ObjectKey {
        self.handle.key
    }
}

impl<T: ?Sized> Clone for ObjectRef<T> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone(), kind: PhantomData }
    }
}

impl<T: ?Sized> PartialEq for ObjectRef<T> {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl<T: ?Sized> Eq for ObjectRef<T> {}

impl<T: ?Sized> Hash for ObjectRef<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl<T: ?Sized> fmt::Debug for ObjectRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectRef({})", self.id())
    }
}

impl<T: ?Sized> Serialize for ObjectRef<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !scope::wrote(&self.handle) {
            return Err(serde::ser::Error::custom(Error::OutOfBand { object: self.id() }));
        }
        self.id().serialize(serializer)
    }
}

impl<'de, T: ?Sized> Deserialize<'de> for ObjectRef<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = ObjectId::deserialize(deserializer)?;
        scope::borrow(id).map_err(serde::de::Error::custom)
    }
}

/// Waits for an object without blocking a thread: what `.await` on a reference does.
#[must_use = "a future does nothing until it is awaited"]
pub struct Get<T: Value + ?Sized> {
    fetch: Fetch,
    kind: PhantomData<fn() -> Box<T>>,
}

impl<T: Value + ?Sized> Future for Get<T> {
    type Output = Result<T::Output, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match self.fetch.step() {
                Err(error) => return Poll::Ready(Err(error)),
                Ok(Step::Done(fetched)) => return Poll::Ready(T::read(fetched)),
                Ok(Step::Wait(pending)) => match pending.poll(context.waker()) {
                    Some(answer) => {
                        if let Err(error) = self.fetch.answered(answer) {
                            return Poll::Ready(Err(error));
                        }
                    }
                    None => {
                        // Whoever interrupts the wait wakes the waker that was left.
                        if let Err(error) = self.fetch.check() {
                            return Poll::Ready(Err(error));
                        }
                        return Poll::Pending;
                    }
                },
            }
        }
    }
}

impl<T: Value + ?Sized> IntoFuture for ObjectRef<T> {
    type Output = Result<T::Output, Error>;
    type IntoFuture = Get<T>;

    #[track_caller]
    fn into_future(self) -> Get<T> {
        Get { fetch: Fetch::new(&self.handle, Location::caller()), kind: PhantomData }
    }
}

impl<T: Value + ?Sized> IntoFuture for &ObjectRef<T> {
    type Output = Result<T::Output, Error>;
    type IntoFuture = Get<T>;

    #[track_caller]
    fn into_future(self) -> Get<T> {
        self.clone().into_future()
    }
}
