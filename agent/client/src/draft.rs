//! Objects that are written in place: no copy at all.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::sync::Arc;

use plasmon_memory::number::{Number, bytes_as_numbers, bytes_as_numbers_mut};
use plasmon_protocol::error::Error;
use plasmon_protocol::record::SiteKind;

use crate::client::Client;
use crate::init::connection;
use crate::object_ref::ObjectRef;
use crate::writer::{self, Room};

/// An object that is being written, in shared memory already. [`Draft::seal`] makes it an object; a task may also return it.
/// Dropped without that, its room is free again. In a process that is forked from the draft's, dereferencing it panics.
pub struct Draft<T: ?Sized> {
    client: Arc<Client>,
    room: Option<Room>,
    site: u32,
    kind: PhantomData<fn() -> Box<T>>,
}

/// Room for `length` numbers in shared memory. What stands there at first is left from before: write all of it.
///
/// # Errors
/// As for [`crate::put`].
#[track_caller]
pub fn create<N: Number>(length: usize) -> Result<Draft<[N]>, Error> {
    let client = connection()?;
    let site = client.sites.number(&client, SiteKind::PutObject, Location::caller());
    let bytes = length.checked_mul(size_of::<N>()).map_or(u64::MAX, |bytes| bytes as u64);
    let room = writer::single(&client, bytes, site, false)?;
    Ok(Draft { client, room: Some(room), site, kind: PhantomData })
}

impl<N: Number> Draft<[N]> {
    /// Makes it an object, which never changes again.
    ///
    /// # Errors
    /// [`Error::AgentDied`].
    pub fn seal(mut self) -> Result<ObjectRef<[N]>, Error> {
        let client = Arc::clone(&self.client);
        let room = self.take()?;
        failpoint!("drafted");
        let key = writer::publish(&client, room, self.site, &[], false)?;
        Ok(ObjectRef::adopt(&client, key))
    }

    pub(crate) fn take(&mut self) -> Result<Room, Error> {
        self.room.take().ok_or_else(|| Error::NotConnected { cause: "the draft was used already".to_owned() })
    }
}

impl<N: Number> Deref for Draft<[N]> {
    type Target = [N];

    fn deref(&self) -> &[N] {
        self.room.as_ref().and_then(|room| bytes_as_numbers(room.bytes())).unwrap_or_default()
    }
}

impl<N: Number> DerefMut for Draft<[N]> {
    fn deref_mut(&mut self) -> &mut [N] {
        self.room.as_mut().and_then(|room| bytes_as_numbers_mut(room.bytes_mut())).unwrap_or_default()
    }
}

impl<T: ?Sized> fmt::Debug for Draft<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Draft({} bytes)", self.room.as_ref().map_or(0, Room::len))
    }
}
