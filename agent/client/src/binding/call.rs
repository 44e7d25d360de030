//! Calls as a worker runs them.

use std::sync::Arc;

use plasmon_protocol::error::Error;
use plasmon_protocol::id::TaskKey;

use super::{Connection, Content, Reference};
use crate::client::Client;
use crate::generator;
use crate::registry::{Call, Fill, Given, Outgoing};
use crate::worker;

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

/// The place of a value that a generator is about to yield.
#[derive(Debug)]
pub struct YieldPlace {
    client: Arc<Client>,
    task: TaskKey,
    /// Values before it.
    sent: u32,
    site: u32,
}

impl YieldPlace {
    /// Waits until somebody wants the value; false when nobody does.
    ///
    /// # Errors
    /// The task was cancelled; the agent is gone.
    pub fn wait(&self) -> Result<bool, Error> {
        generator::room(&self.client, self.task, self.sent)
    }

    /// Sends the value at once: `length` bytes that `fill` writes, with references inside. It waits until there is room in the store.
    ///
    /// # Errors
    /// It could not be stored; the agent is gone.
    pub fn send(self, length: usize, contains: &[Reference], fill: impl FnOnce(&mut [u8]) + 'static) -> Result<(), Error> {
        let contains = contains.iter().map(|reference| reference.handle.clone()).collect();
        worker::send(&self.client, self.task, Outgoing::Filled { length, contains, fill: Box::new(fill) }, self.site)?;
        // Somebody may wait for it.
        self.client.sender()?.finish(true);
        Ok(())
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

    /// The place of the next value, after all those that were asked for before: of a generator, which has the results that it yields and
    /// no others.
    pub fn next_place(&mut self) -> YieldPlace {
        let sent = self.yielded.unwrap_or_default();
        self.yielded = Some(sent + 1);
        YieldPlace { client: Arc::clone(&self.client), task: self.task, sent, site: self.site }
    }

    /// The next result: `length` bytes that `fill` writes, with references inside.
    pub fn give_raw(&mut self, length: usize, contains: Vec<Reference>, fill: Fill) {
        let contains = contains.into_iter().map(|reference| reference.handle).collect();
        self.results.push(Outgoing::Filled { length, contains, fill });
    }
}
