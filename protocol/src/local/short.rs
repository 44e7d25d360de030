//! The messages that every object costs, encoded and decoded without the way through serde: the same bytes in a fraction of the time.

use super::fixed::Fixed;
use super::{Memory, ToAgent};
use crate::id::ObjectKey;

/// Such a message, which is written where it is to stand.
#[derive(Clone, Copy, Debug)]
pub struct Short {
    kind: u8,
    key: ObjectKey,
    memory: Memory,
    site: u32,
    hidden: bool,
}

/// Where a message is written.
pub trait Room {
    /// Appends the low `count` bytes of a word, the lowest first. All eight may be written: what is behind those that count is overwritten by
    /// what follows. Nobody reads what was written here, and so waits for it, before all is.
    fn append(&mut self, word: u64, count: usize);
}

/// Bytes of an object's key, of a place in the pool, and of a site.
const KEY: usize = 8;
const MEMORY: usize = 20;
const SITE: usize = 4;

/// The longest one, bytes: its kind, key, place and site, and a flag.
pub const LONGEST_SHORT: usize = 1 + KEY + MEMORY + SITE + 1;

impl Room for Vec<u8> {
    fn append(&mut self, word: u64, count: usize) {
        self.extend_from_slice(&word.to_le_bytes()[..count]);
    }
}

impl Short {
    const PUT: u8 = 0;
    const ADD_LOCAL: u8 = 1;
    const DROP_LOCAL: u8 = 2;
    const ADD_PIN: u8 = 3;
    const DROP_PIN: u8 = 4;

    /// The message if it is one of those.
    #[inline]
    #[must_use]
    pub fn of(message: &ToAgent<'_>) -> Option<Self> {
        Some(match *message {
            ToAgent::Put { key, memory, site, hidden } => Self::put(key, memory, site, hidden),
            ToAgent::AddLocal { key, site } => Self::add_local(key, site),
            ToAgent::DropLocal { key } => Self::drop_local(key),
            ToAgent::AddPin { key, site } => Self { site, ..Self::about(Self::ADD_PIN, key) },
            ToAgent::DropPin { key } => Self::about(Self::DROP_PIN, key),
            _ => return None,
        })
    }

    /// [`ToAgent::Put`].
    #[inline]
    #[must_use]
    pub fn put(key: ObjectKey, memory: Memory, site: u32, hidden: bool) -> Self {
        Self { kind: Self::PUT, key, memory, site, hidden }
    }

    /// [`ToAgent::AddLocal`].
    #[inline]
    #[must_use]
    pub fn add_local(key: ObjectKey, site: u32) -> Self {
        Self { site, ..Self::about(Self::ADD_LOCAL, key) }
    }

    /// [`ToAgent::DropLocal`].
    #[inline]
    #[must_use]
    pub fn drop_local(key: ObjectKey) -> Self {
        Self::about(Self::DROP_LOCAL, key)
    }

    #[inline]
    fn about(kind: u8, key: ObjectKey) -> Self {
        Self { kind, key, memory: Memory::default(), site: 0, hidden: false }
    }

    /// Encodes the message: at most [`LONGEST_SHORT`] bytes.
    #[inline(always)]
    pub fn write(&self, room: &mut impl Room) {
        room.append(self.kind.into(), 1);
        room.append(u64::from(self.key.slot) | u64::from(self.key.generation) << 32, KEY);
        if self.kind == Self::PUT {
            room.append(self.memory.lease.into(), 4);
            room.append(self.memory.offset, 8);
            room.append(self.memory.length, 8);
        }
        if matches!(self.kind, Self::PUT | Self::ADD_LOCAL | Self::ADD_PIN) {
            room.append(self.site.into(), SITE);
        }
        if self.kind == Self::PUT {
            room.append(self.hidden.into(), 1);
        }
    }

    /// Decodes one that is one of those, as [`super::decode`] would; `None` of any other bytes.
    #[inline]
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<ToAgent<'static>> {
        let (kind, bytes) = bytes.split_first()?;
        let (key, bytes) = bytes.split_first_chunk::<KEY>()?;
        let key = ObjectKey::of(*key);
        match *kind {
            Self::PUT => {
                let (memory, bytes) = bytes.split_first_chunk::<MEMORY>()?;
                let (site, flag) = bytes.split_first_chunk::<SITE>()?;
                let hidden = match flag {
                    [0] => false,
                    [1] => true,
                    _ => return None,
                };
                Some(ToAgent::Put { key, memory: Memory::of(*memory), site: u32::of(*site), hidden })
            }
            Self::DROP_LOCAL if bytes.is_empty() => Some(ToAgent::DropLocal { key }),
            Self::DROP_PIN if bytes.is_empty() => Some(ToAgent::DropPin { key }),
            Self::ADD_LOCAL => Some(ToAgent::AddLocal { key, site: u32::of(bytes.try_into().ok()?) }),
            Self::ADD_PIN => Some(ToAgent::AddPin { key, site: u32::of(bytes.try_into().ok()?) }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::{decode, encode};

    #[test]
    fn short_messages_are_encoded_as_all_others() {
        let numbers = (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit]).chain([u64::MAX, 0x0123_4567_89ab_cdef]);
        for number in numbers {
            let small = number as u32;
            let key = ObjectKey { slot: small, generation: !small };
            for message in [
                ToAgent::Put { key, memory: Memory { lease: small, offset: number, length: !number }, site: small, hidden: small > 7 },
                ToAgent::AddLocal { key, site: small },
                ToAgent::DropLocal { key },
                ToAgent::AddPin { key, site: small },
                ToAgent::DropPin { key },
            ] {
                let mut bytes = Vec::new();
                Short::of(&message).unwrap().write(&mut bytes);
                assert_eq!(bytes, encode(&message).unwrap());
                assert!(bytes.len() <= LONGEST_SHORT);
                assert_eq!(decode::<ToAgent<'_>>("test", &bytes).unwrap(), message);
                assert_eq!(Short::read(&bytes), Some(message));
                // What is too short or too long is none.
                assert!((0..bytes.len()).all(|length| Short::read(&bytes[..length]).is_none()));
                bytes.push(0);
                assert!(Short::read(&bytes).is_none() && decode::<ToAgent<'_>>("test", &bytes).is_err());
            }
        }
        let mut flagged = encode(&ToAgent::Put { key: ObjectKey::default(), memory: Memory::default(), site: 0, hidden: true }).unwrap();
        *flagged.last_mut().unwrap() = 2;
        assert!(Short::read(&flagged).is_none() && decode::<ToAgent<'_>>("test", &flagged).is_err());
        assert!(Short::read(&encode(&ToAgent::Slots { request: 1 }).unwrap()).is_none());
        assert!(Short::of(&ToAgent::Slots { request: 1 }).is_none());
    }
}
