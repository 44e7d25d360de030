//! Memory that direct I/O takes.

use std::io;
use std::ops::{Deref, DerefMut};

use memmap2::{Advice, MmapMut};

/// The most that one read or write moves, bytes.
pub const PIECE: usize = 4 << 20;

/// [`PIECE`] bytes that begin where a page does. Behind them is memory once they were used.
#[derive(Debug)]
pub struct Buffer(MmapMut);

impl Buffer {
    /// A new one, all zero.
    ///
    /// # Errors
    /// What the system says.
    pub fn new() -> io::Result<Self> {
        let map = MmapMut::map_anon(PIECE)?;
        // Fewer faults when it is first used; a refusal does no harm.
        let _ = map.advise(Advice::HugePage);
        Ok(Self(map))
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}
