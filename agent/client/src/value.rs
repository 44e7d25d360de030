//! What can be an object, and how it is written and read.

use std::panic::Location;
use std::sync::Arc;

use plasmon_memory::number::{Number, numbers_as_bytes};
use plasmon_protocol::error::Error;
use plasmon_protocol::id::{ObjectId, ObjectKey};
use plasmon_protocol::record::SiteKind;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::failpoint::copy_behind;
use crate::object_ref::Held;
use crate::pinned::{Pin, Pinned};
use crate::scope::{self, Reading};
use crate::writer;

/// A type whose values can be objects: every type that serialises with serde, and slices of plain numbers, which are stored as they
/// are.
pub trait Value {
    /// What [`crate::get`] returns: the value itself, or for a slice a [`Pinned`] view.
    type Output;

    /// Stores the value as a new object with one local reference.
    #[doc(hidden)]
    fn write(&self, client: &Arc<Client>, site: u32) -> Result<ObjectKey, Error>;

    /// The value's bytes, where they are stored as they are.
    #[doc(hidden)]
    #[inline]
    fn plain(&self) -> Option<&[u8]> {
        None
    }

    /// Reads an object.
    #[doc(hidden)]
    fn read(fetched: Fetched) -> Result<Self::Output, Error>;
}

/// An object that can be read now.
#[doc(hidden)]
pub struct Fetched {
    source: Source,
    location: &'static Location<'static>,
    /// Another site than the one of `location`, with its kind: a task's own.
    site: Option<u32>,
    /// An argument that was put for one task alone: nobody's object.
    block: bool,
}

/// Where the bytes of an object are.
pub(crate) enum Source {
    Pinned(Pin),
    Inline(Arc<Client>, ObjectKey, Arc<[u8]>),
}

impl Fetched {
    pub(crate) fn pinned(pin: Pin, location: &'static Location<'static>) -> Self {
        Self { source: Source::Pinned(pin), location, site: None, block: false }
    }

    pub(crate) fn inline(client: &Arc<Client>, key: ObjectKey, bytes: Arc<[u8]>, location: &'static Location<'static>) -> Self {
        Self { source: Source::Inline(Arc::clone(client), key, bytes), location, site: None, block: false }
    }

    /// References and views belong to this site of the client's.
    pub(crate) fn at(mut self, site: u32) -> Self {
        self.site = Some(site);
        self
    }

    /// Whether it is an argument block: read without a row of its own.
    pub(crate) fn block(mut self, block: bool) -> Self {
        self.block = block;
        self
    }

    pub(crate) fn is_block(&self) -> bool {
        self.block
    }

    fn decode<T: DeserializeOwned>(self) -> Result<T, Error> {
        let (client, key, bytes): (_, _, &[u8]) = match &self.source {
            Source::Pinned(pin) => (pin.client(), pin.id().key(), pin.bytes()),
            Source::Inline(client, key, bytes) => (client, *key, bytes),
        };
        let site = || self.site.unwrap_or_else(|| client.sites.number(client, SiteKind::DeserializeObject, self.location));
        decode(client, client.id(key), bytes, site)
    }

    fn view<N: Number>(self) -> Result<Pinned<[N]>, Error> {
        match self.source {
            Source::Pinned(mut pin) => {
                match self.site {
                    Some(site) => pin.count(|_| site),
                    None => pin.count_at(self.location),
                }
                Pinned::new(pin)
            }
            Source::Inline(client, key, _) => Err(Error::Decode {
                object: client.id(key),
                wanted: std::any::type_name::<[N]>().to_owned(),
                cause: "it was not stored as a slice of numbers".to_owned(),
            }),
        }
    }

    /// Keeps the object's view alive as long as the task that got it as an argument.
    pub(crate) fn into_pin(self) -> Option<Pin> {
        match self.source {
            Source::Pinned(pin) => Some(pin),
            Source::Inline(..) => None,
        }
    }

    pub(crate) fn into_source(self) -> Source {
        self.source
    }

    pub(crate) fn count(&mut self, site: u32) {
        if let Source::Pinned(pin) = &mut self.source
            && !self.block
        {
            pin.count(|_| site);
        }
    }

    /// The encoded bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.source {
            Source::Pinned(pin) => pin.bytes(),
            Source::Inline(_, _, bytes) => bytes,
        }
    }
}

/// Decodes the value of `object`; references inside it become this process's, at the site that `site` tells.
///
/// # Errors
/// [`Error::Decode`]; the connection's end, when that is why a reference could not become this process's.
pub(crate) fn decode<T: DeserializeOwned>(
    client: &Arc<Client>,
    object: ObjectId,
    bytes: &[u8],
    site: impl FnOnce() -> u32,
) -> Result<T, Error> {
    let reading = Reading { client: Arc::clone(client), site: site() };
    let (decoded, refused) = scope::reading(reading, || match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(format!("{} bytes are left", rest.len())),
        Err(error) => Err(error.to_string()),
    });
    decoded.map_err(|cause| refused.unwrap_or_else(|| Error::Decode { object, wanted: std::any::type_name::<T>().to_owned(), cause }))
}

/// Encodes a value, and tells which references are inside.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<(Vec<u8>, Vec<Held>), Error> {
    let (encoded, contains) = scope::writing(|| postcard::to_allocvec(value));
    let bytes = encoded.map_err(|error| Error::Encode { kind: std::any::type_name::<T>().to_owned(), cause: error.to_string() })?;
    Ok((bytes, contains))
}

/// The keys of references for a message of `client`.
///
/// # Errors
/// One of them is of an earlier connection.
pub(crate) fn keys(client: &Arc<Client>, handles: &[Held]) -> Result<Vec<ObjectKey>, Error> {
    handles.iter().map(|handle| handle.key_on(client)).collect()
}

impl<T: Serialize + DeserializeOwned> Value for T {
    type Output = T;

    fn write(&self, client: &Arc<Client>, site: u32) -> Result<ObjectKey, Error> {
        let (bytes, contains) = encode(self)?;
        let contains = keys(client, &contains)?;
        writer::put(client, bytes.len() as u64, site, &contains, false, |room, reach| copy_behind(room, &bytes, reach))
    }

    fn read(fetched: Fetched) -> Result<T, Error> {
        fetched.decode()
    }
}

impl<N: Number> Value for [N] {
    type Output = Pinned<[N]>;

    fn write(&self, client: &Arc<Client>, site: u32) -> Result<ObjectKey, Error> {
        let bytes = numbers_as_bytes(self);
        writer::put(client, bytes.len() as u64, site, &[], false, |room, reach| copy_behind(room, bytes, reach))
    }

    #[inline]
    fn plain(&self) -> Option<&[u8]> {
        Some(numbers_as_bytes(self))
    }

    fn read(fetched: Fetched) -> Result<Pinned<[N]>, Error> {
        fetched.view()
    }
}
