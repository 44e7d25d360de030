//! Contents of many megabytes that are quick to make and to check, also without optimisation: one block of random bytes again and
//! again, each time begun elsewhere, behind a head that names the seed.

use std::sync::OnceLock;

use crate::support::Random;

const BLOCK: usize = 1 << 16;

fn block() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let mut random = Random(0x5eed);
        (0..2 * BLOCK / 8).flat_map(|_| random.next().to_le_bytes()).collect()
    })
}

fn piece(seed: u64, index: usize, length: usize) -> &'static [u8] {
    let from = Random(seed ^ (index as u64) << 40).below(BLOCK as u64) as usize;
    &block()[from..from + length]
}

/// `length` bytes that follow from `seed`.
pub(crate) fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    let mut index = 0;
    while bytes.len() < length {
        bytes.extend_from_slice(piece(seed, index, BLOCK.min(length - bytes.len())));
        index += 1;
    }
    let head = seed.to_le_bytes();
    let named = head.len().min(length);
    bytes[..named].copy_from_slice(&head[..named]);
    bytes
}

/// Panics where `bytes` are not those that [`pattern`] makes of this seed and length.
#[track_caller]
pub(crate) fn must_be(bytes: &[u8], seed: u64, length: usize) {
    assert_eq!(bytes.len(), length, "seed {seed}");
    let head = seed.to_le_bytes();
    let named = head.len().min(length);
    assert_eq!(bytes[..named], head[..named], "another object than that of seed {seed}");
    for (index, chunk) in bytes.chunks(BLOCK).enumerate() {
        let from = if index == 0 { named } else { 0 };
        assert!(chunk[from..] == piece(seed, index, chunk.len())[from..], "block {index} of seed {seed}, {length} bytes, is wrong");
    }
}
