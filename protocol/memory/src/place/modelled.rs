//! Ordinary memory in the place of shared segments, for loom.

use std::ops::Deref;
use std::sync::Arc;

use loom::cell::Cell;

/// A shared `T`.
pub(crate) struct Place<T: ?Sized>(Arc<T>);

impl<T: ?Sized> std::fmt::Debug for Place<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Place")
    }
}

impl<T: ?Sized> Clone for Place<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: ?Sized> Deref for Place<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Place<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T> Place<[T]> {
    pub(crate) fn many(values: impl IntoIterator<Item = T>) -> Self {
        Self(values.into_iter().collect())
    }
}

/// Bytes that loom watches: an unordered read and write of one of them fails the model.
#[derive(Clone)]
pub(crate) struct Bytes(Arc<[Watched]>);

struct Watched(Cell<u8>);

#[expect(unsafe_code, reason = "the model shares unsynchronised cells between threads in order to have loom judge it")]
// SAFETY: loom runs one thread at a time and panics on a race.
unsafe impl Sync for Watched {}
#[expect(unsafe_code, reason = "as above")]
// SAFETY: as above.
unsafe impl Send for Watched {}

impl Bytes {
    pub(crate) fn new(length: usize) -> Self {
        Self((0..length).map(|_| Watched(Cell::new(0))).collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn write(&self, from: usize, bytes: &[u8]) {
        for (cell, byte) in self.0[from..].iter().zip(bytes) {
            cell.0.set(*byte);
        }
    }

    pub(crate) fn read(&self, from: usize, count: usize, into: &mut Vec<u8>) {
        into.extend(self.0[from..from + count].iter().map(|cell| cell.0.get()));
    }
}

/// No model's ring is as large as a window.
pub(crate) enum Window<'a> {
    #[expect(dead_code, reason = "there is none")]
    Never(&'a std::convert::Infallible),
}

impl Bytes {
    pub(crate) fn window(&self, _from: usize) -> Option<Window<'_>> {
        None
    }
}

impl Window<'_> {
    pub(crate) fn write_u64(&self, _from: usize, _word: u64) {}

    pub(crate) fn write_u32(&self, _from: usize, _word: u32) {}
}
