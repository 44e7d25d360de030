//! The messages that every object costs, encoded without the way through serde: the same bytes in a third of the time.

use std::ops::Deref;

use super::{Memory, ToAgent};
use crate::id::ObjectKey;

/// More bytes than the longest of them has, which is seven numbers at their longest, its kind and a flag: a power of two, so that no
/// place need be checked.
const ROOM: usize = 64;

/// An encoded message that needs no buffer.
#[derive(Clone, Debug)]
pub struct Short {
    bytes: [u8; ROOM],
    length: usize,
}

impl Deref for Short {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Short {
    /// The message if it is one of those.
    #[inline]
    #[must_use]
    pub fn of(message: &ToAgent<'_>) -> Option<Self> {
        let mut short = Self { bytes: [0; ROOM], length: 0 };
        match *message {
            ToAgent::Put { key, memory: Memory { lease, offset, length }, site, hidden } => {
                short.begin(0, key);
                short.number(lease.into());
                short.number(offset);
                short.number(length);
                short.number(site.into());
                short.number(hidden.into());
            }
            ToAgent::AddLocal { key, site } => {
                short.begin(1, key);
                short.number(site.into());
            }
            ToAgent::DropLocal { key } => short.begin(2, key),
            ToAgent::AddPin { key, site } => {
                short.begin(3, key);
                short.number(site.into());
            }
            ToAgent::DropPin { key } => short.begin(4, key),
            _ => return None,
        }
        Some(short)
    }

    #[inline]
    fn begin(&mut self, kind: u64, key: ObjectKey) {
        self.number(kind);
        self.number(key.slot.into());
        self.number(key.generation.into());
    }

    /// Appends a number as postcard does (<https://postcard.jamesmunns.com/wire-format.html#varint-encoded-integers>): seven bits a
    /// byte, the low ones first; the high bit says that more follow.
    #[inline]
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.byte(number as u8 | 0x80);
            number >>= 7;
        }
        self.byte(number as u8);
    }

    #[inline]
    fn byte(&mut self, byte: u8) {
        self.bytes[self.length % ROOM] = byte;
        self.length += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::{decode, encode};

    #[test]
    fn short_messages_are_encoded_as_all_others() {
        // Every length of a number, and what lies just beside.
        let numbers = (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit]).chain([u64::MAX]);
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
                let short = Short::of(&message).unwrap();
                assert_eq!(*short, encode(&message).unwrap());
                assert_eq!(decode::<ToAgent<'_>>("test", &short).unwrap(), message);
            }
        }
        assert!(Short::of(&ToAgent::Slots { request: 1 }).is_none());
    }
}
