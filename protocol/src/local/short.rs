//! The messages that every object costs, encoded without the way through serde: the same bytes in a fifth of the time.

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

/// The longest one, bytes: its kind, four numbers of 32 bits, two of 64, and a flag.
pub const LONGEST_SHORT: usize = 42;

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
        number(room, self.key.slot.into());
        number(room, self.key.generation.into());
        if self.kind == Self::PUT {
            number(room, self.memory.lease.into());
            number(room, self.memory.offset);
            number(room, self.memory.length);
        }
        if matches!(self.kind, Self::PUT | Self::ADD_LOCAL | Self::ADD_PIN) {
            number(room, self.site.into());
        }
        if self.kind == Self::PUT {
            room.append(self.hidden.into(), 1);
        }
    }
}

/// Appends a number as postcard does (<https://postcard.jamesmunns.com/wire-format.html#varint-encoded-integers>): seven bits a byte, the
/// low ones first; the high bit says that more follow.
#[inline(always)]
fn number(room: &mut impl Room, number: u64) {
    /// Of 56 bits, which are eight bytes of seven.
    const MOST: u64 = (1 << 56) - 1;
    const MORE: u64 = 0x8080_8080_8080_8080;
    if number < 0x80 {
        room.append(number, 1);
    } else if number <= MOST {
        let last = number.ilog2() / 7;
        room.append(spread(number) | MORE & ((1 << (8 * last)) - 1), last as usize + 1);
    } else {
        room.append(spread(number & MOST) | MORE, 8);
        // Eight bits: one byte of seven, and perhaps one more.
        let rest = number >> 56;
        if rest < 0x80 { room.append(rest, 1) } else { room.append(rest & 0x7f | 0x80 | (rest >> 7) << 8, 2) }
    }
}

/// Each seven of 56 bits in a byte of its own: halves, quarters and eighths are moved apart.
#[inline]
const fn spread(number: u64) -> u64 {
    let number = number & 0x0fff_ffff | (number & 0x00ff_ffff_f000_0000) << 4;
    let number = number & 0x0000_3fff_0000_3fff | (number & 0x0fff_c000_0fff_c000) << 2;
    number & 0x007f_007f_007f_007f | (number & 0x3f80_3f80_3f80_3f80) << 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::{decode, encode};

    #[test]
    fn short_messages_are_encoded_as_all_others() {
        // Every length of a number, and what lies just beside.
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
            }
        }
        assert!(Short::of(&ToAgent::Slots { request: 1 }).is_none());
    }
}
