//! Objects as bytes.

use std::sync::Arc;

use plasmon_protocol::error::Error;
use plasmon_protocol::id::{ObjectId, ObjectKey};

use super::Connection;
use crate::client::Client;
use crate::object_ref::ObjectRef;
use crate::value::{Fetched, Source, Value};

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
pub struct Content(pub(super) Source);

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

    /// The program keeps looking at the object: it has a row until this is dropped, of which the agent is told where it must be. Needed
    /// where the view outlives the reference that it was got by.
    pub fn count(&mut self, site: u32) {
        if let Source::Pinned(pin) = &mut self.0 {
            pin.count(|_| site);
        }
    }
}
