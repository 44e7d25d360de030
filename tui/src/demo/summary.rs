//! What is verified of lines: how many, which, and whether they are in order.

use serde::{Deserialize, Serialize};

use super::lines::lines;

/// What is verified of some lines.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// How many.
    pub(crate) lines: u64,
    /// Bytes, newlines included.
    pub(crate) bytes: u64,
    /// A sum over the lines that does not depend on their order.
    pub(crate) checksum: u64,
    /// Whether no line is below the one before it.
    pub(crate) ordered: bool,
    first: Vec<u8>,
    last: Vec<u8>,
}

impl Summary {
    /// Of no lines.
    pub(super) fn none() -> Self {
        Self { ordered: true, ..Self::default() }
    }

    /// Adds the lines that follow.
    pub(super) fn append(&mut self, next: Summary) {
        self.ordered &= next.ordered && (self.lines == 0 || next.lines == 0 || self.last <= next.first);
        if next.lines > 0 {
            self.last = next.last;
        }
        self.lines += next.lines;
        self.bytes += next.bytes;
        self.checksum = self.checksum.wrapping_add(next.checksum);
    }
}

/// Counts and checks lines.
pub(super) fn summary(block: &[u8]) -> Summary {
    let mut summary = Summary { bytes: block.len() as u64, ..Summary::none() };
    let mut last: &[u8] = &[];
    for line in lines(block) {
        summary.lines += 1;
        summary.checksum = summary.checksum.wrapping_add(fnv(line));
        summary.ordered &= last <= line;
        last = line;
    }
    summary.first = lines(block).next().unwrap_or_default().to_vec();
    summary.last = last.to_vec();
    summary
}

/// The 64-bit FNV-1a hash.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
