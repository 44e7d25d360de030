//! What can be passed to a remote function: a value, or a reference to one.

use plasmon_memory::number::{Number, numbers_as_bytes};
use plasmon_protocol::error::Error;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::object_ref::{Held, ObjectRef};
use crate::value::{self, Value};

/// An argument on its way to the agent.
#[doc(hidden)]
pub enum Encoded {
    /// A value that was passed itself, and the references inside it.
    Value { bytes: Vec<u8>, contains: Vec<Held> },
    /// A reference: the task gets the object's value.
    Object(Held),
    /// A value that was put for this task alone, and the references inside it.
    Put { block: Held, contains: Vec<Held> },
}

/// What a parameter of type `T` of a remote function takes: a `T`, or an [`ObjectRef`] to one, whose value the task then gets once it
/// is there. For a parameter `&[N]` of plain numbers: a slice, a vector, or a reference.
pub trait IntoArgument<T: Value + ?Sized> {
    /// Encodes the argument.
    #[doc(hidden)]
    fn into_argument(self) -> Result<Encoded, Error>;
}

impl<T: Serialize + DeserializeOwned> IntoArgument<T> for T {
    fn into_argument(self) -> Result<Encoded, Error> {
        let (bytes, contains) = value::encode(&self)?;
        Ok(Encoded::Value { bytes, contains })
    }
}

impl<T: Value + ?Sized> IntoArgument<T> for ObjectRef<T> {
    fn into_argument(self) -> Result<Encoded, Error> {
        Ok(Encoded::Object(self.handle))
    }
}

impl<T: Value + ?Sized> IntoArgument<T> for &ObjectRef<T> {
    fn into_argument(self) -> Result<Encoded, Error> {
        Ok(Encoded::Object(self.handle.clone()))
    }
}

impl<N: Number> IntoArgument<[N]> for &[N] {
    fn into_argument(self) -> Result<Encoded, Error> {
        Ok(Encoded::Object(crate::object::put(self)?.handle))
    }
}

impl<N: Number> IntoArgument<[N]> for Vec<N> {
    fn into_argument(self) -> Result<Encoded, Error> {
        Ok(Encoded::Value { bytes: numbers_as_bytes(&self).to_vec(), contains: Vec::new() })
    }
}

impl IntoArgument<String> for &str {
    fn into_argument(self) -> Result<Encoded, Error> {
        self.to_owned().into_argument()
    }
}
