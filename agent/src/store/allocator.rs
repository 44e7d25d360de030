//! Which ranges of the pool nobody leases. First fit by address, so that low pages are reused while they are warm and the
//! pages that need memory behind them grow from one end. Once all have memory, large ranges are taken from the other end: small objects
//! that are pinned here and there then do not stand in the way of large ones.

use std::collections::BTreeMap;

/// The free ranges: disjoint, and never adjacent to each other.
#[derive(Debug)]
pub struct Allocator {
    capacity: u64,
    /// Offset to length.
    free: BTreeMap<u64, u64>,
    free_bytes: u64,
}

impl Allocator {
    /// All of `capacity` is free.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        let free = if capacity == 0 { BTreeMap::new() } else { BTreeMap::from([(0, capacity)]) };
        Self { capacity, free, free_bytes: capacity }
    }

    /// The offset of `length` bytes that are free no more.
    pub fn allocate(&mut self, length: u64) -> Option<u64> {
        if length == 0 || length > self.free_bytes {
            return None;
        }
        let (&offset, &range) = self.free.iter().find(|(_, range)| **range >= length)?;
        self.free.remove(&offset);
        if range > length {
            self.free.insert(offset + length, range - length);
        }
        self.free_bytes -= length;
        Some(offset)
    }

    /// As [`Allocator::allocate`], from the highest range that is long enough.
    pub fn allocate_high(&mut self, length: u64) -> Option<u64> {
        if length == 0 || length > self.free_bytes {
            return None;
        }
        let (&offset, range) = self.free.iter_mut().rev().find(|(_, range)| **range >= length)?;
        *range -= length;
        let (taken, left) = (offset + *range, *range);
        if left == 0 {
            self.free.remove(&offset);
        }
        self.free_bytes -= length;
        Some(taken)
    }

    /// Frees a range that was allocated, whole or in part.
    pub fn free(&mut self, offset: u64, length: u64) {
        let (mut start, mut end) = (offset, offset + length);
        if let Some((&before, &range)) = self.free.range(..offset).next_back() {
            debug_assert!(before + range <= offset, "range freed twice");
            if before + range == offset {
                self.free.remove(&before);
                start = before;
            }
        }
        if let Some((&after, &range)) = self.free.range(offset..).next() {
            debug_assert!(after >= end, "range freed twice");
            if after == end {
                self.free.remove(&after);
                end = after + range;
            }
        }
        self.free.insert(start, end - start);
        self.free_bytes += length;
    }

    /// The free ranges: offset and length, by offset.
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        self.free.iter().map(|(offset, length)| (*offset, *length))
    }

    /// Bytes free in all.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        self.free_bytes
    }

    /// Bytes free at or above `offset`.
    #[must_use]
    pub fn free_above(&self, offset: u64) -> u64 {
        self.free
            .iter()
            .rev()
            .take_while(|(start, length)| *start + *length > offset)
            .map(|(start, length)| start + length - offset.max(*start))
            .sum()
    }

    /// One past the highest byte that is not free.
    #[must_use]
    pub fn high_water(&self) -> u64 {
        match self.free.last_key_value() {
            Some((&offset, &length)) if offset + length == self.capacity => offset,
            _ => self.capacity,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_never_overlap_and_all_come_back(sizes in prop::collection::vec(1_u64..40, 1..80), order in any::<u64>()) {
            let mut allocator = Allocator::new(512);
            let mut taken: Vec<(u64, u64)> = Vec::new();
            let mut state = order;
            for size in sizes {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if state >> 62 == 0 && !taken.is_empty() {
                    let (offset, length) = taken.swap_remove((state >> 8) as usize % taken.len());
                    allocator.free(offset, length);
                } else if let Some(offset) = if state >> 61 & 1 == 0 { allocator.allocate(size) } else { allocator.allocate_high(size) } {
                    prop_assert!(offset + size <= 512);
                    prop_assert!(taken.iter().all(|(start, length)| offset + size <= *start || start + length <= offset));
                    taken.push((offset, size));
                }
                let used: u64 = taken.iter().map(|(_, length)| length).sum();
                prop_assert_eq!(allocator.free_bytes(), 512 - used);
                prop_assert_eq!(allocator.free_above(0), allocator.free_bytes());
                prop_assert_eq!(allocator.high_water(), taken.iter().map(|(start, length)| start + length).max().unwrap_or(0));
            }
            for (offset, length) in taken {
                allocator.free(offset, length);
            }
            prop_assert_eq!(allocator.allocate(512), Some(0));
        }
    }
}
