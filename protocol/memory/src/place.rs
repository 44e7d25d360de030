//! Typed places inside a segment. Under loom the same names stand for ordinary memory (`place/modelled.rs`).

#![expect(unsafe_code, reason = "turns checked ranges of a mapped segment into references to atomics")]

use std::io;
use std::marker::PhantomData;
use std::mem::{align_of, size_of};
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use crate::ring::WINDOW;
use crate::segment::Segment;
use crate::sync::{AtomicU32, AtomicU64};

/// What may lie in memory that other processes write.
///
/// # Safety
/// Consists of atomics and nothing else, without padding: any bytes are a value, and a foreign write is never a data race.
pub(crate) unsafe trait Shared: Sync {}

// SAFETY: an atomic.
unsafe impl Shared for AtomicU32 {}
// SAFETY: an atomic.
unsafe impl Shared for AtomicU64 {}

/// A `T` inside a segment, which it keeps mapped.
pub(crate) struct Place<T: ?Sized> {
    at: NonNull<T>,
    _segment: Arc<Segment>,
}

// SAFETY: gives nothing but `&T`, and the segment can be used from and dropped on any thread.
unsafe impl<T: ?Sized + Sync> Send for Place<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Sync> Sync for Place<T> {}

impl<T: ?Sized> Deref for Place<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the constructors checked range and alignment; `T` is `Shared`, so any contents are valid; `_segment` keeps the map.
        unsafe { self.at.as_ref() }
    }
}

impl<T: Shared> Place<T> {
    /// The `T` at byte `offset`.
    ///
    /// # Errors
    /// When it does not lie in the segment, aligned.
    pub(crate) fn at(segment: &Arc<Segment>, offset: u64) -> io::Result<Self> {
        let at = segment.checked(offset, size_of::<T>() as u64, align_of::<T>())?.cast();
        Ok(Self { at, _segment: Arc::clone(segment) })
    }
}

impl<T: Shared> Place<[T]> {
    /// `count` of `T` from byte `offset` on.
    ///
    /// # Errors
    /// When they don't lie in the segment, aligned.
    pub(crate) fn many(segment: &Arc<Segment>, offset: u64, count: usize) -> io::Result<Self> {
        let bytes = (count as u64).saturating_mul(size_of::<T>() as u64);
        let first = segment.checked(offset, bytes, align_of::<T>())?.cast();
        Ok(Self { at: NonNull::slice_from_raw_parts(first, count), _segment: Arc::clone(segment) })
    }
}

/// Plain bytes inside a segment whose ownership the two sides of a ring pass to and fro by its head and tail.
pub(crate) struct Bytes {
    at: NonNull<u8>,
    length: usize,
    segment: Arc<Segment>,
}

// SAFETY: an address and a length; access goes through the functions below, whose callers hold the range.
unsafe impl Send for Bytes {}

impl Bytes {
    /// `length` bytes from byte `offset` on.
    ///
    /// # Errors
    /// When they don't lie in the segment.
    pub(crate) fn at(segment: &Arc<Segment>, offset: u64, length: usize) -> io::Result<Self> {
        Ok(Self { at: segment.checked(offset, length as u64, 1)?, length, segment: Arc::clone(segment) })
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Writes `bytes` at `from`; the caller holds that range by the ring's protocol. Writes nothing that is out of range.
    #[inline]
    pub(crate) fn write(&self, from: usize, bytes: &[u8]) {
        if !self.segment.writable() || from > self.length || self.length - from < bytes.len() {
            debug_assert!(false, "{} bytes at {from} are outside the ring", bytes.len());
            return;
        }
        // SAFETY: checked just above to lie in the writable map. A correct peer leaves the range alone until it is published;
        // a faulty one is another process, and what it reads then is its own affair.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.at.as_ptr().add(from), bytes.len()) }
    }

    /// The [`WINDOW`] bytes at `from`, for writing words; the caller holds them by the ring's protocol. `None` when they don't lie here.
    #[inline]
    pub(crate) fn window(&self, from: usize) -> Option<Window<'_>> {
        let is_here = self.segment.writable() && from <= self.length && self.length - from >= WINDOW;
        // SAFETY: inside the map, checked just above.
        is_here.then(|| Window { at: unsafe { self.at.add(from) }, bytes: PhantomData })
    }

    /// Appends `count` bytes at `from` to `into`; the caller holds that range by the ring's protocol. Appends nothing that is out of range.
    #[inline]
    pub(crate) fn read(&self, from: usize, count: usize, into: &mut Vec<u8>) {
        if from > self.length || self.length - from < count {
            debug_assert!(false, "{count} bytes at {from} are outside the ring");
            return;
        }
        into.reserve(count);
        // SAFETY: source checked just above, destination reserved. No reference to the shared bytes is made: a faulty peer that
        // writes them meanwhile leaves unspecified bytes in private memory, which are checked only after this copy.
        unsafe {
            ptr::copy_nonoverlapping(self.at.as_ptr().add(from), into.as_mut_ptr().add(into.len()), count);
            into.set_len(into.len() + count);
        }
    }
}

/// [`WINDOW`] bytes of a ring.
pub(crate) struct Window<'a> {
    at: NonNull<u8>,
    bytes: PhantomData<&'a Bytes>,
}

impl Window<'_> {
    /// Writes a word, little-endian. Writes nothing that is out of range.
    #[inline]
    pub(crate) fn write_u64(&self, from: usize, word: u64) {
        self.write(from, word.to_le_bytes());
    }

    /// The same with half a word.
    #[inline]
    pub(crate) fn write_u32(&self, from: usize, word: u32) {
        self.write(from, word.to_le_bytes());
    }

    #[inline]
    fn write<const N: usize>(&self, from: usize, bytes: [u8; N]) {
        if from > WINDOW - N {
            debug_assert!(false, "{N} bytes at {from} are outside the window");
            return;
        }
        // SAFETY: checked just above to lie in the window, which lies in the writable map; else as for `Bytes::write`.
        unsafe { self.at.add(from).cast().write_unaligned(bytes) }
    }
}

impl<T: ?Sized> std::fmt::Debug for Place<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("at", &self.at).finish_non_exhaustive()
    }
}
