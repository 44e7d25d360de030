//! Numbers of always the same bytes, the lowest first, in the messages that every object costs: to write as few bytes as each number needs,
//! and to read them, took as long as all else of such a message.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Memory;
use crate::id::ObjectKey;

/// What has `N` bytes.
pub(super) trait Fixed<const N: usize>: Copy {
    fn bytes(self) -> [u8; N];
    fn of(bytes: [u8; N]) -> Self;
}

/// For `#[serde(with = "fixed")]`.
pub(super) fn serialize<T: Fixed<N>, S: Serializer, const N: usize>(value: &T, serializer: S) -> Result<S::Ok, S::Error>
where
    [u8; N]: Serialize,
{
    value.bytes().serialize(serializer)
}

pub(super) fn deserialize<'de, T: Fixed<N>, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<T, D::Error>
where
    [u8; N]: Deserialize<'de>,
{
    <[u8; N]>::deserialize(deserializer).map(T::of)
}

impl Fixed<4> for u32 {
    #[inline]
    fn bytes(self) -> [u8; 4] {
        self.to_le_bytes()
    }

    #[inline]
    fn of(bytes: [u8; 4]) -> Self {
        Self::from_le_bytes(bytes)
    }
}

/// The slot, then its generation.
impl Fixed<8> for ObjectKey {
    #[inline]
    fn bytes(self) -> [u8; 8] {
        (u64::from(self.slot) | u64::from(self.generation) << 32).to_le_bytes()
    }

    #[inline]
    fn of(bytes: [u8; 8]) -> Self {
        let word = u64::from_le_bytes(bytes);
        #[expect(clippy::cast_possible_truncation, reason = "takes the halves apart")]
        Self { slot: word as u32, generation: (word >> 32) as u32 }
    }
}

/// The lease, the place in the pool, the length.
impl Fixed<20> for Memory {
    #[inline]
    fn bytes(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(&self.lease.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.offset.to_le_bytes());
        bytes[12..].copy_from_slice(&self.length.to_le_bytes());
        bytes
    }

    #[inline]
    fn of(bytes: [u8; 20]) -> Self {
        let part = |from: usize| std::array::from_fn(|at| bytes[from + at]);
        Self {
            lease: u32::of(std::array::from_fn(|at| bytes[at])),
            offset: u64::from_le_bytes(part(4)),
            length: u64::from_le_bytes(part(12)),
        }
    }
}
