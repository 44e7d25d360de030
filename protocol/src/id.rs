//! Identifiers. Every id is its own type; none is a bare integer.
//!
//! Wide ids ([`ObjectId`], [`TaskId`], [`ActorId`], [`NodeId`]) are unique over nodes and travel as lower-case hex strings
//! wherever people or JSON see them. Narrow ids are unique within one agent's life.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Error;

/// By their values.
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The value of a lower-case digit.
fn half(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// Reads an id where it stands, without a copy.
struct Hex<T>(PhantomData<T>);

impl<T: FromStr<Err = Error>> Visitor<'_> for Hex<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! wide_id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; $bytes]);

        impl $name {
            /// The id as lower-case hex, two digits a byte.
            #[must_use]
            pub fn hex(&self) -> String {
                str::from_utf8(&self.digits()).unwrap_or_default().to_owned()
            }

            /// Its digits. Reports have many ids, and a formatter takes a fraction of a microsecond for each.
            fn digits(&self) -> [u8; 2 * $bytes] {
                let mut digits = [0; 2 * $bytes];
                for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(&self.0) {
                    *pair = [byte >> 4, byte & 15].map(|half| DIGITS[usize::from(half)]);
                }
                digits
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(str::from_utf8(&self.digits()).unwrap_or_default())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                let mut bytes = [0; $bytes];
                let digits = text.as_bytes();
                if digits.len() != 2 * $bytes {
                    return Err(Error::bad_id(stringify!($name), text));
                }
                for (byte, [high, low]) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
                    let halves = half(*high).zip(half(*low)).ok_or_else(|| Error::bad_id(stringify!($name), text))?;
                    *byte = halves.0 << 4 | halves.1;
                }
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.serialize_str(str::from_utf8(&self.digits()).unwrap_or_default())
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    deserializer.deserialize_str(Hex(PhantomData))
                } else {
                    <[u8; $bytes]>::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}

macro_rules! narrow_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

wide_id!(
    /// One agent's life on one machine: 8 random bytes.
    NodeId, 8
);
wide_id!(
    /// One object, on any node: node, generation, slot.
    ObjectId, 16
);
wide_id!(
    /// One task, over all its attempts: node, submitting process, number.
    TaskId, 16
);
wide_id!(
    /// One actor: the id of the object that its handles refer to.
    ActorId, 16
);
narrow_id!(
    /// One driver and all that it started. Job 0 is nobody's.
    JobId
);
narrow_id!(
    /// One process as one agent knows it; never reused, unlike a pid. Process 0 is the agent.
    ProcessId
);
narrow_id!(
    /// One spill file of one agent; never reused. File 0 is none.
    SpillFileId
);
narrow_id!(
    /// One interned call site of one agent. Site 0 is unknown.
    SiteId
);

impl NodeId {
    /// The first four hex digits, enough for people to tell nodes apart.
    #[must_use]
    pub fn short(&self) -> String {
        self.hex()[..4].to_owned()
    }
}

/// An object within its node: an index into the slot table and the generation that makes the index unambiguous.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct ObjectKey {
    /// Index into the slot table.
    pub slot: u32,
    /// Raised each time the slot is used anew; never 0 for an object.
    pub generation: u32,
}

impl ObjectKey {
    /// The object's id on `node`.
    #[must_use]
    pub fn on(self, node: NodeId) -> ObjectId {
        ObjectId(wide(node, self.generation, self.slot))
    }
}

impl ObjectId {
    /// The node that the object was created on.
    #[must_use]
    pub fn node(&self) -> NodeId {
        narrow(self.0).0
    }

    /// The object within its node.
    #[must_use]
    pub fn key(&self) -> ObjectKey {
        let (_, generation, slot) = narrow(self.0);
        ObjectKey { slot, generation }
    }
}

impl ActorId {
    /// The node that the actor was created on.
    #[must_use]
    pub fn node(&self) -> NodeId {
        narrow(self.0).0
    }

    /// The object that the actor's handles refer to, within its node.
    #[must_use]
    pub fn key(&self) -> ObjectKey {
        ObjectId(self.0).key()
    }
}

impl From<ObjectId> for ActorId {
    fn from(id: ObjectId) -> Self {
        Self(id.0)
    }
}

/// A task within its node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct TaskKey {
    /// The process that submitted it.
    pub process: ProcessId,
    /// Counts that process's tasks, from 1.
    pub number: u32,
}

impl TaskKey {
    /// The task's id on `node`.
    #[must_use]
    pub fn on(self, node: NodeId) -> TaskId {
        TaskId(wide(node, self.process.0, self.number))
    }
}

impl TaskId {
    /// The task within its node.
    #[must_use]
    pub fn key(&self) -> TaskKey {
        let (_, process, number) = narrow(self.0);
        TaskKey { process: ProcessId(process), number }
    }

    /// The node that the task was submitted on.
    #[must_use]
    pub fn node(&self) -> NodeId {
        narrow(self.0).0
    }
}

fn wide(node: NodeId, high: u32, low: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&node.0);
    bytes[8..12].copy_from_slice(&high.to_be_bytes());
    bytes[12..].copy_from_slice(&low.to_be_bytes());
    bytes
}

fn narrow(bytes: [u8; 16]) -> (NodeId, u32, u32) {
    let [n0, n1, n2, n3, n4, n5, n6, n7, h0, h1, h2, h3, l0, l1, l2, l3] = bytes;
    let node = NodeId([n0, n1, n2, n3, n4, n5, n6, n7]);
    (node, u32::from_be_bytes([h0, h1, h2, h3]), u32::from_be_bytes([l0, l1, l2, l3]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_hex_json_and_binary() {
        let id = ObjectKey { slot: 7, generation: 0xdead_beef }.on(NodeId([1, 2, 3, 4, 5, 6, 7, 8]));
        assert_eq!(id.hex(), "0102030405060708deadbeef00000007");
        assert_eq!(id.hex().parse::<ObjectId>().unwrap(), id);
        assert_eq!(id.key(), ObjectKey { slot: 7, generation: 0xdead_beef });
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<ObjectId>(&json).unwrap(), id);
        let bytes = postcard::to_allocvec(&id).unwrap();
        assert_eq!(bytes.len(), 16);
        assert_eq!(postcard::from_bytes::<ObjectId>(&bytes).unwrap(), id);
    }

    #[test]
    fn a_malformed_id_is_refused_with_its_value() {
        for text in ["", "zz", "0102030405060708deadbeef0000000", "0102030405060708DEADBEEF00000007", "+102030405060708deadbeef00000007"] {
            let error = text.parse::<ObjectId>().unwrap_err();
            assert!(error.to_string().contains(&format!("'{text}'")), "{error}");
        }
    }
}
