//! From messages to bytes and back.

use serde::{Deserialize, Serialize};

use super::{Short, ToAgent};
use crate::error::Error;

/// Encodes any message of this module.
///
/// # Errors
/// Never for the messages of this module; the encoder's word otherwise.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, Error> {
    postcard::to_allocvec(message).map_err(|error| Error::Protocol { who: "this process".into(), cause: error.to_string() })
}

/// Encodes any message of this module into a buffer that is used again and again.
///
/// # Errors
/// As for [`encode`].
pub fn encode_into<T: Serialize>(message: &T, buffer: Vec<u8>) -> Result<Vec<u8>, Error> {
    postcard::to_extend(message, buffer).map_err(|error| Error::Protocol { who: "this process".into(), cause: error.to_string() })
}

/// Decodes a message that fills `bytes` exactly.
///
/// # Errors
/// [`Error::Protocol`] naming `who` when it does not decode, or bytes are left.
pub fn decode<'a, T: Deserialize<'a>>(who: &str, bytes: &'a [u8]) -> Result<T, Error> {
    let bad = |cause: String| Error::Protocol { who: who.to_owned(), cause };
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        Ok((_, rest)) => Err(bad(format!("{} bytes follow a message", rest.len()))),
        Err(error) => Err(bad(format!("a message of {} bytes does not decode: {error}", bytes.len()))),
    }
}

/// Reads what a client says: the hottest messages field by field, the others through serde.
///
/// # Errors
/// As [`decode`].
pub fn decode_to_agent<'a>(who: &str, bytes: &'a [u8]) -> Result<ToAgent<'a>, Error> {
    match Short::read(bytes) {
        Some(message) => Ok(message),
        None => decode(who, bytes),
    }
}
