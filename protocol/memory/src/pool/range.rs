//! Ranges of the pool that this process writes.

#![expect(unsafe_code, reason = "makes slices of the mapped pool")]

use std::ptr::NonNull;
use std::sync::Arc;

use plasmon_protocol::local::ALIGNMENT;

use super::Pool;
use super::ahead::Ahead;

/// Write access of this process to a range; taken back when the [`WriteRange`] and all its [`Draft`]s are gone.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) pool: Arc<Pool>,
    pub(super) offset: u64,
    pub(super) len: u64,
    /// Ends with it: nobody looks at a range that was given back.
    pub(super) _ahead: Option<Ahead>,
}

impl Grant {
    /// The address of `len` bytes at `from` within the range.
    #[inline]
    fn address(&self, from: u64, len: u64) -> Option<NonNull<u8>> {
        if from.checked_add(len)? > self.len {
            return None;
        }
        self.pool.segment.address(self.offset + from, len)
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        let mut granted = self.pool.granted();
        // When the system refuses, the range stays writable here: harmless, for nothing hands it out.
        let _ = self.pool.protect(self.offset, self.len, false);
        granted.remove(&self.offset);
    }
}

/// A range of the pool that this process writes: room for one object after the other. Read-only again when dropped.
#[derive(Debug)]
pub struct WriteRange {
    pub(super) grant: Arc<Grant>,
    /// Bytes from the range's begin that were handed out.
    pub(super) used: u64,
}

impl WriteRange {
    /// Bytes from the pool's begin.
    pub fn offset(&self) -> u64 {
        self.grant.offset
    }

    /// Bytes.
    pub fn len(&self) -> u64 {
        self.grant.len
    }

    /// Whether the range is of no bytes.
    pub fn is_empty(&self) -> bool {
        self.grant.len == 0
    }

    /// The longest object that still fits, bytes.
    #[inline]
    pub fn remaining(&self) -> u64 {
        self.grant.len.saturating_sub(self.used.next_multiple_of(ALIGNMENT))
    }

    /// Bytes handed out since the last reset, with the padding between them.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Room for an object of `len` bytes, and where it lies from the pool's begin, a multiple of [`ALIGNMENT`]. `None` when it does not fit.
    /// What stands there is left from before. Nobody gets these bytes for writing again until [`WriteRange::reset`]. No two objects
    /// share a place: an empty one takes up a byte.
    #[inline]
    pub fn take(&mut self, len: u64) -> Option<(u64, &mut [u8])> {
        let (from, at) = self.bump(len)?;
        // SAFETY: inside the range, which is writable and this process's alone; `bump` hands each byte out once; the borrow
        // keeps the range, and with it the map.
        let bytes = unsafe { NonNull::slice_from_raw_parts(at, len as usize).as_mut() };
        Some((self.grant.offset + from, bytes))
    }

    /// Like [`WriteRange::take`], for filling without holding on to the range. `None` when it does not fit.
    pub fn draft(&mut self, len: u64) -> Option<Draft> {
        let (from, _) = self.bump(len)?;
        Some(Draft { grant: Arc::clone(&self.grant), from, len })
    }

    #[inline]
    fn bump(&mut self, len: u64) -> Option<(u64, NonNull<u8>)> {
        let from = self.used.next_multiple_of(ALIGNMENT);
        let taken = len.max(1);
        let at = self.grant.address(from, taken)?;
        self.used = from + taken;
        Some((from, at))
    }

    /// Begins at the range's begin again. Only when nothing in the range is held any more: what was published there has been declared
    /// free by the agent (see [`super`]). False, and nothing done, while a [`Draft`] is being written.
    #[must_use = "a range with drafts is not reset"]
    pub fn reset(&mut self) -> bool {
        let idle = Arc::get_mut(&mut self.grant).is_some();
        if idle {
            self.used = 0;
        }
        idle
    }

    /// Ends the write access (when the last draft is gone), as dropping does.
    pub fn release(self) {}
}

/// Room for one object while it is being written, on any thread. Keeps its range writable.
#[derive(Debug)]
pub struct Draft {
    grant: Arc<Grant>,
    from: u64,
    len: u64,
}

impl Draft {
    /// Bytes from the pool's begin.
    pub fn offset(&self) -> u64 {
        self.grant.offset + self.from
    }

    /// Bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it is of no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes to write; at first what is left from before.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        match self.grant.address(self.from, self.len) {
            // SAFETY: inside the range, which the grant keeps writable and mapped; these bytes were handed out once, to this draft.
            Some(at) => unsafe { NonNull::slice_from_raw_parts(at, self.len as usize).as_mut() },
            None => &mut [],
        }
    }

    /// What has been written so far.
    pub fn bytes(&self) -> &[u8] {
        match self.grant.address(self.from, self.len) {
            // SAFETY: as in `bytes_mut`, whose exclusive borrow excludes this one.
            Some(at) => unsafe { NonNull::slice_from_raw_parts(at, self.len as usize).as_ref() },
            None => &[],
        }
    }
}
