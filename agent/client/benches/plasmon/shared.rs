//! The floors' own memory: mapped, shared, resident; and sources that are neither zero nor alike.

use std::sync::Arc;

use plasmon_memory::pool::{Pool, WriteRange};

use crate::Outcome;

/// A resident source of `length` bytes, none of which a kernel could share or a copy skip.
pub(crate) fn source(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length.next_multiple_of(8));
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&(state | 0x0101_0101_0101_0101).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Mapped shared memory with pages behind it, made as the store's is.
pub(crate) fn resident(length: u64) -> Outcome<WriteRange> {
    let pool = Arc::new(Pool::create(length)?);
    pool.populate(0, length)?;
    Ok(pool.write_range(0, length)?)
}

/// Copies `source` to the next place in `range`, from its begin again when it is full.
pub(crate) fn copy(range: &mut WriteRange, source: &[u8]) -> Outcome<()> {
    if range.remaining() < source.len() as u64 && !range.reset() {
        return Err("the floor's memory is in use".into());
    }
    let (_, room) = range.take(source.len() as u64).ok_or("the floor's memory is too small")?;
    room.copy_from_slice(source);
    Ok(())
}
