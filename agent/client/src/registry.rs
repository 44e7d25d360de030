//! Remote functions, known by name since the program was linked.

use std::any::Any;
use std::sync::{Arc, RwLock};

use linkme::distributed_slice;
use plasmon_memory::number::{Number, numbers_as_bytes};
use plasmon_protocol::error::Error;
use plasmon_protocol::id::{ObjectId, TaskKey};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::draft::Draft;
use crate::listed::Errors;
use crate::object_ref::Held;
use crate::pinned::Pinned;
use crate::turn::Turn;
use crate::value::{self, Fetched};
use crate::writer::Room;

/// Every remote function of the program.
#[doc(hidden)]
#[distributed_slice]
pub static REMOTE_FUNCTIONS: [RemoteFunction];

/// One remote function.
#[doc(hidden)]
pub struct RemoteFunction {
    /// Its path.
    pub name: &'static str,
    /// Where it is defined.
    pub file: &'static str,
    /// Where it is defined.
    pub line: u32,
    /// Decodes its arguments, calls it, and collects its results.
    pub run: fn(&mut Call) -> Result<(), Failure>,
}

/// Why a call has no results.
#[doc(hidden)]
#[derive(Debug)]
pub enum Failure {
    /// The function returned an error value, or raised an exception.
    Value {
        /// Printed.
        message: String,
        /// It is worth a retry: one of those that the function lists, if it lists any.
        listed: bool,
        /// As the function's language encodes it; empty in Rust.
        value: Vec<u8>,
    },
    /// It could not be called, or its results not be stored.
    Error(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// One argument as the worker has it.
pub(crate) enum Given {
    /// The encoded value.
    Bytes(Box<[u8]>),
    /// An object that is there.
    Object(Fetched),
}

/// Writes an object's bytes into the room that was found for them. What it keeps is let go of afterwards, where that may say something.
pub type Fill = Box<dyn Fn(&mut [u8])>;

/// One result, ready to be published.
pub(crate) enum Outgoing {
    /// Encoded with serde: inlined when it is small.
    Encoded { bytes: Vec<u8>, contains: Vec<Held> },
    /// A slice's bytes: in the pool whatever its size, so that `get` is a view.
    Numbers(Box<dyn AsRef<[u8]>>),
    /// Written in place.
    Draft(Room),
    /// So many bytes that are written once it is known where: in a message when there are few.
    Filled { length: usize, contains: Vec<Held>, fill: Fill },
}

/// One call of a remote function.
#[doc(hidden)]
pub struct Call {
    pub(crate) client: Arc<Client>,
    pub(crate) task: TaskKey,
    pub(crate) site: u32,
    pub(crate) arguments: std::vec::IntoIter<Given>,
    pub(crate) results: Vec<Outgoing>,
    /// How many results it has places for; `None` where it is no generator.
    pub(crate) yielded: Option<u32>,
    /// Views of arguments that were decoded: held until the task ends, as a view argument is.
    pub(crate) held: Vec<crate::pinned::Pin>,
    /// The actor that a method is called of, or that a constructor has made.
    pub(crate) actor: Option<State>,
    /// When its turn is to take the actor's lock; `None` where calls run one after the other.
    pub(crate) turn: Option<Turn>,
}

/// An actor's value, an `RwLock` of its type: methods that take `&self` run side by side, those that take `&mut self` alone.
pub(crate) type State = Arc<dyn Any + Send + Sync>;

impl Call {
    fn next(&mut self) -> Result<Given, Error> {
        self.arguments.next().ok_or_else(|| Error::invalid("arguments", "", "the caller passed fewer than the function takes"))
    }

    /// The next argument, decoded.
    ///
    /// # Errors
    /// It does not decode.
    pub fn value<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        let site = self.site;
        match self.next()? {
            Given::Bytes(bytes) => value::decode(&self.client, ObjectId::default(), &bytes, || site),
            Given::Object(mut fetched) => {
                fetched.count(site);
                let value = value::decode(&self.client, ObjectId::default(), fetched.bytes(), || site)?;
                self.held.extend(fetched.into_pin());
                Ok(value)
            }
        }
    }

    /// The next argument, as a slice of numbers.
    ///
    /// # Errors
    /// It is none.
    pub fn slice<N: Number>(&mut self) -> Result<Slice<N>, Error> {
        let site = self.site;
        match self.next()? {
            Given::Bytes(bytes) => Slice::copied(&bytes),
            Given::Object(fetched) if fetched.is_block() => Slice::copied(fetched.bytes()),
            Given::Object(fetched) => <[N] as crate::value::Value>::read(fetched.at(site)).map(Slice::Shared),
        }
    }

    /// The errors that are worth a retry for this call alone, if it says so: an argument behind those of the function names them.
    ///
    /// # Errors
    /// This program has no such list.
    pub fn errors(&mut self) -> Result<Option<&'static Errors>, Error> {
        let named = |name: &[u8]| {
            let unknown = || Error::invalid("retry_errors", String::from_utf8_lossy(name), "this program has no such list of errors");
            Errors::named(name).ok_or_else(unknown)
        };
        match self.arguments.next() {
            None => Ok(None),
            Some(Given::Bytes(name)) => named(&name).map(Some),
            Some(Given::Object(fetched)) => named(fetched.bytes()).map(Some),
        }
    }

    /// What an actor's constructor has made.
    pub fn become_actor<T: Send + Sync + 'static>(&mut self, actor: T) {
        self.actor = Some(Arc::new(RwLock::new(actor)));
    }

    /// The actor that the method is called of; waits for the call's turn to take its lock.
    ///
    /// # Errors
    /// It is of another type.
    pub fn actor<T: Send + Sync + 'static>(&self) -> Result<Arc<RwLock<T>>, Error> {
        if let Some(turn) = &self.turn {
            turn.wait();
        }
        let actor = self.actor.clone().and_then(|actor| actor.downcast().ok());
        let cause = "the actor is of another type; its handle was decoded as what it is not";
        actor.ok_or_else(|| Error::invalid("actor", std::any::type_name::<T>(), cause))
    }

    /// The actor's lock was taken: the next call's turn.
    pub fn locked(&mut self) {
        self.turn = None;
    }

    /// Its turn, where calls run side by side: the next call's comes when this is dropped.
    pub fn take_turn(&mut self) -> Option<Turn> {
        self.turn.take()
    }

    /// The next result.
    ///
    /// # Errors
    /// It does not encode.
    pub fn give<R: Returned>(&mut self, result: R) -> Result<(), Error> {
        self.results.push(result.outgoing()?);
        Ok(())
    }
}

/// A slice argument: a view of an object, or numbers that came inside the call.
#[doc(hidden)]
pub enum Slice<N: Number> {
    /// A view into shared memory.
    Shared(Pinned<[N]>),
    /// A copy, aligned.
    Own(Vec<N>),
}

impl<N: Number> Slice<N> {
    fn copied(bytes: &[u8]) -> Result<Self, Error> {
        if !bytes.len().is_multiple_of(size_of::<N>()) {
            let cause = format!("its {} bytes are not a whole number of {}", bytes.len(), size_of::<N>());
            return Err(Error::Decode { object: Default::default(), wanted: std::any::type_name::<[N]>().to_owned(), cause });
        }
        let mut numbers = vec![N::default(); bytes.len() / size_of::<N>()];
        plasmon_memory::number::numbers_as_bytes_mut(&mut numbers).copy_from_slice(bytes);
        Ok(Self::Own(numbers))
    }
}

impl<N: Number> std::ops::Deref for Slice<N> {
    type Target = [N];

    fn deref(&self) -> &[N] {
        match self {
            Self::Shared(view) => view,
            Self::Own(numbers) => numbers,
        }
    }
}

/// What a remote function can return, as the macro found it in the signature.
#[doc(hidden)]
pub trait Returned {
    #[doc(hidden)]
    #[expect(private_interfaces, reason = "called by Call::give alone")]
    fn outgoing(self) -> Result<Outgoing, Error>;
}

/// A value that goes through serde.
#[doc(hidden)]
pub struct Plain<T>(pub T);

/// A vector of numbers that becomes a slice object.
#[doc(hidden)]
pub struct Numbers<N>(pub Vec<N>);

impl<T: Serialize> Returned for Plain<T> {
    #[expect(private_interfaces, reason = "called by Call::give alone")]
    fn outgoing(self) -> Result<Outgoing, Error> {
        let (bytes, contains) = value::encode(&self.0)?;
        Ok(Outgoing::Encoded { bytes, contains })
    }
}

impl<N: Number> AsRef<[u8]> for Numbers<N> {
    fn as_ref(&self) -> &[u8] {
        numbers_as_bytes(&self.0)
    }
}

impl<N: Number> Returned for Numbers<N> {
    #[expect(private_interfaces, reason = "called by Call::give alone")]
    fn outgoing(self) -> Result<Outgoing, Error> {
        Ok(Outgoing::Numbers(Box::new(self)))
    }
}

impl<N: Number> Returned for Draft<[N]> {
    #[expect(private_interfaces, reason = "called by Call::give alone")]
    fn outgoing(mut self) -> Result<Outgoing, Error> {
        Ok(Outgoing::Draft(self.take()?))
    }
}
