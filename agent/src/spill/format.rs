//! The format of a spill file: records one after the other, nothing else. A record is a header of [`HEADER`] bytes and the object's bytes.
//!
//! | bytes of the header | what |
//! |---|---|
//! | 0..8 | `PLSMrec1` |
//! | 8..24 | the object's id |
//! | 24..32 | the object's size, little-endian |
//! | 32..40 | XXH3-64 of the object's bytes, little-endian |
//! | 40..44 | the file's number, little-endian |
//! | 44..48 | zero |
//! | 48..56 | where the record begins in the file, little-endian |
//! | 56..64 | XXH3-64 of the bytes before, little-endian |
//!
//! Records begin at multiples of [`UNIT`]. The bytes of large objects begin at multiples of [`BLOCK`], so that they travel between disk and
//! pool without a copy: their header ends where a block does. What lies between records is zero.

use plasmon_protocol::id::{ObjectId, SpillFileId};
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a header.
pub const HEADER: u64 = 64;
/// Records begin at multiples of this many bytes.
pub const UNIT: u64 = 64;
/// What direct I/O is aligned to, bytes.
pub const BLOCK: u64 = 4096;
/// Objects from this size on are aligned to blocks, bytes.
pub const ALIGNED_FROM: u64 = 64 << 10;

const MAGIC: [u8; 8] = *b"PLSMrec1";

/// Whether the bytes of an object of this size begin at a multiple of [`BLOCK`].
#[must_use]
pub fn is_aligned(length: u64) -> bool {
    length >= ALIGNED_FROM
}

/// Where records go, one after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Layout {
    end: u64,
}

impl Layout {
    /// Where the next record, of an object of `length` bytes, begins; its bytes follow [`HEADER`] bytes later.
    pub fn place(&mut self, length: u64) -> u64 {
        let at = if is_aligned(length) { (self.end + HEADER).next_multiple_of(BLOCK) - HEADER } else { self.end.next_multiple_of(UNIT) };
        self.end = at + HEADER + length;
        at
    }

    /// The file's size so far, bytes: whole blocks.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.end.next_multiple_of(BLOCK)
    }

    /// The file's size with one more object of `length` bytes, bytes.
    #[must_use]
    pub fn bytes_with(mut self, length: u64) -> u64 {
        self.place(length);
        self.bytes()
    }
}

/// What a header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// The object.
    pub object: ObjectId,
    /// Its size, bytes.
    pub length: u64,
    /// XXH3-64 of its bytes.
    pub checksum: u64,
    /// The file.
    pub file: SpillFileId,
    /// Where the record begins in it.
    pub at: u64,
}

impl Header {
    /// As it is written.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER as usize] {
        let mut bytes = [0; HEADER as usize];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..24].copy_from_slice(&self.object.0);
        bytes[24..32].copy_from_slice(&self.length.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.checksum.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.file.0.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.at.to_le_bytes());
        let sum = xxh3_64(&bytes[..56]);
        bytes[56..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Whether `bytes`, read back, are the header of this object's record at this place; its checksum then.
    ///
    /// # Errors
    /// What is wrong with it, in words that follow the record's name.
    pub fn check(bytes: &[u8], object: ObjectId, length: u64, file: SpillFileId, at: u64) -> Result<u64, String> {
        let Some(bytes) = bytes.first_chunk::<{ HEADER as usize }>() else {
            return Err(format!("ends after {} bytes", bytes.len()));
        };
        let number = |from: usize| bytes[from..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        if xxh3_64(&bytes[..56]) != number(56) {
            return Err("has a damaged header".to_owned());
        }
        let checksum = number(32);
        let expected = Self { object, length, checksum, file, at }.encode();
        if *bytes == expected {
            return Ok(checksum);
        }
        let mut id = [0; 16];
        id.copy_from_slice(&bytes[8..24]);
        Err(format!("is that of object {} with {} bytes, written at {}", ObjectId(id), number(24), number(48)))
    }
}

/// The checksum of an object's bytes.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn records_never_overlap_and_large_ones_are_aligned(lengths in prop::collection::vec(prop_oneof![0_u64..3000, 60_000_u64..200_000], 1..40)) {
            let mut layout = Layout::default();
            let mut end = 0;
            for length in lengths {
                prop_assert_eq!(layout.bytes_with(length) % BLOCK, 0);
                let at = layout.place(length);
                prop_assert!(at >= end && at.is_multiple_of(UNIT) && at < end + BLOCK + HEADER);
                prop_assert!(!is_aligned(length) || (at + HEADER).is_multiple_of(BLOCK));
                end = at + HEADER + length;
                prop_assert!(layout.bytes() >= end && layout.bytes() < end + BLOCK);
            }
        }

        #[test]
        fn any_changed_bit_of_a_header_is_found(object in any::<[u8; 16]>(), length in any::<u64>(), checksum in any::<u64>(), bit in 0_usize..512) {
            let header = Header { object: ObjectId(object), length, checksum, file: SpillFileId(3), at: 64 };
            let mut bytes = header.encode();
            prop_assert_eq!(Header::check(&bytes, header.object, length, header.file, 64), Ok(checksum));
            prop_assert!(Header::check(&bytes, header.object, length, header.file, 128).is_err());
            prop_assert!(Header::check(&bytes, header.object, length, SpillFileId(4), 64).is_err());
            prop_assert!(Header::check(&bytes, header.object, length ^ 1, header.file, 64).is_err());
            prop_assert!(Header::check(&bytes[..63], header.object, length, header.file, 64).is_err());
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Header::check(&bytes, header.object, length, header.file, 64).is_err());
        }
    }
}
