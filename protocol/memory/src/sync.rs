//! The atomics of the shared protocols: the real ones, or loom's.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// Loads `word` with acquire order from memory that may be mapped read-only.
#[inline]
pub(crate) fn acquire(word: &AtomicU64) -> u64 {
    let value = word.load(Ordering::Relaxed);
    fence(Ordering::Acquire);
    value
}

/// A full fence right behind an exchange of this thread's. On x86-64 every exchange is a full fence already (Intel SDM volume 3A, 9.2.3.9); a
/// second one would cost as much again.
#[inline]
pub(crate) fn fence_after_exchange() {
    if cfg!(all(target_arch = "x86_64", not(loom))) {
        std::sync::atomic::compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}

/// A full fence.
#[cfg(loom)]
pub(crate) fn full() {
    fence(Ordering::SeqCst);
}
