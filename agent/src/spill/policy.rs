//! When to spill, how much, and where a batch is cut.

use std::sync::Arc;

use plasmon_protocol::id::ObjectKey;
use plasmon_protocol::record::SpillCut;

use super::format::Layout;
use super::job::WriteItem;

/// A file should have at least this many bytes (Ray's `min_spilling_size`), where the store is large enough to spare them at once.
pub const MIN_FILE: u64 = 100 << 20;
/// A file has at most this many bytes; a larger object has one of its own.
pub const MAX_FILE: u64 = 512 << 20;
/// A file has at most this many objects (Ray's `max_fused_object_count`).
pub const MAX_OBJECTS: usize = 2000;
/// The part of the store that one file may take at once, so that small stores do not lose all they hold for one create.
const SHARE: u64 = 8;

/// What the reactor is told of external storage at its start.
#[derive(Clone, Debug, Default)]
pub struct SpillConfig {
    /// Where files go, several in turn, for people; none: nothing is ever spilled.
    pub places: Vec<Arc<str>>,
    /// Thousandths of the capacity; spilling starts when primary copies take up so much.
    pub threshold_milli: u32,
    /// Bytes that files may take up in all.
    pub limit: Option<u64>,
    /// Files that are written at once, at least 1.
    pub writers: usize,
}

impl SpillConfig {
    /// Whether anything is spilled at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.places.is_empty()
    }

    /// Bytes of primary copies from which on spilling starts, in a store of `capacity` bytes.
    #[must_use]
    pub fn threshold(&self, capacity: u64) -> u64 {
        (u128::from(capacity) * u128::from(self.threshold_milli) / 1000) as u64
    }
}

/// The bytes that a file should at least have, in a store of `capacity` bytes.
#[must_use]
pub fn min_file(capacity: u64) -> u64 {
    MIN_FILE.min(capacity / SHARE).max(1)
}

/// A file in the making.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    layout: Layout,
    /// The objects so far.
    pub items: Vec<WriteItem>,
    /// Their bytes.
    pub object_bytes: u64,
}

impl Batch {
    /// Takes one more object, which lies at `from`.
    ///
    /// # Errors
    /// Why the file must be cut before it.
    pub fn take(&mut self, key: ObjectKey, from: u64, length: u64, room: u64) -> Result<(), SpillCut> {
        if self.items.len() >= MAX_OBJECTS {
            return Err(SpillCut::Objects);
        }
        let bytes = self.layout.bytes_with(length);
        if bytes > room || (bytes > MAX_FILE && !self.items.is_empty()) {
            return Err(SpillCut::Size);
        }
        let at = self.layout.place(length);
        self.items.push(WriteItem { key, from, length, at });
        self.object_bytes += length;
        Ok(())
    }

    /// The file's size, bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.layout.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: ObjectKey = ObjectKey { slot: 1, generation: 1 };

    #[test]
    fn a_file_is_cut_by_its_objects_its_size_and_its_room() {
        let mut small = Batch::default();
        for _ in 0..MAX_OBJECTS {
            small.take(KEY, 0, 1, u64::MAX).unwrap();
        }
        assert_eq!(small.take(KEY, 0, 1, u64::MAX), Err(SpillCut::Objects));
        let mut large = Batch::default();
        large.take(KEY, 0, MAX_FILE * 2, u64::MAX).unwrap();
        assert_eq!(large.take(KEY, 0, 1, u64::MAX), Err(SpillCut::Size));
        assert_eq!(Batch::default().take(KEY, 0, 1 << 20, 1 << 20), Err(SpillCut::Size));
        assert_eq!(min_file(1 << 40), MIN_FILE);
        assert_eq!(min_file(64 << 20), 8 << 20);
    }
}
