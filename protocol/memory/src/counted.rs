//! Counted values whose memory each thread keeps for the next ones: as `Arc` without weak references, for what a program makes and drops by
//! the thousand. The C library's allocator takes a lock for what was not freed just before.

#![expect(unsafe_code, reason = "owns memory by pointers")]

use std::alloc::{Layout, handle_alloc_error};
use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

/// Pieces of memory that a thread keeps at most, as many as a large list has of references: 896 KiB with what the allocator adds.
const KEPT: usize = 16_384;
/// A piece: what counts and value have room in.
const PIECE: Layout = Layout::new::<[u64; 4]>();
/// More are no count: it would take more memory than there is.
const MOST: usize = usize::MAX / 2;

thread_local! {
    static PIECES: RefCell<Pieces> = const { RefCell::new(Pieces(Vec::new())) };
}

/// What this thread keeps.
struct Pieces(Vec<NonNull<u8>>);

impl Drop for Pieces {
    fn drop(&mut self) {
        // SAFETY: of `take`, and nobody's.
        self.0.drain(..).for_each(|piece| unsafe { std::alloc::dealloc(piece.as_ptr(), PIECE) });
    }
}

#[inline]
fn take() -> NonNull<u8> {
    // A thread that ends keeps nothing.
    let kept = PIECES.try_with(|pieces| pieces.try_borrow_mut().ok().and_then(|mut pieces| pieces.0.pop()));
    kept.ok().flatten().unwrap_or_else(allocate)
}

#[cold]
fn allocate() -> NonNull<u8> {
    // SAFETY: the layout is not of size 0.
    let piece = unsafe { std::alloc::alloc(PIECE) };
    NonNull::new(piece).unwrap_or_else(|| handle_alloc_error(PIECE))
}

/// The caller has it of [`take`], and uses it no more.
#[inline]
fn keep(piece: NonNull<u8>) {
    let kept = PIECES.try_with(|pieces| {
        pieces.try_borrow_mut().is_ok_and(|mut pieces| {
            let room = pieces.0.len() < KEPT;
            if room {
                pieces.0.push(piece);
            }
            room
        })
    });
    if !kept.unwrap_or(false) {
        // SAFETY: of `take`, whose layout this is, and nobody's by now.
        unsafe { std::alloc::dealloc(piece.as_ptr(), PIECE) };
    }
}

struct Inner<T> {
    count: AtomicUsize,
    value: T,
}

/// One of those that share a value, which ends with the last of them.
pub struct Counted<T> {
    inner: NonNull<Inner<T>>,
    kind: PhantomData<Inner<T>>,
}

// SAFETY: as for `Arc`: gives `&T` to any thread, and drops the value on any.
unsafe impl<T: Send + Sync> Send for Counted<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Counted<T> {}

impl<T> Counted<T> {
    const FITS: () = assert!(size_of::<Inner<T>>() <= PIECE.size() && align_of::<Inner<T>>() <= PIECE.align());

    /// The first one.
    #[inline]
    pub fn new(value: T) -> Self {
        Self::of(|| value)
    }

    /// The first one, of a value that is made where it is to stay.
    #[inline(always)]
    pub fn of(make: impl FnOnce() -> T) -> Self {
        const { Self::FITS };
        let inner = take().cast::<Inner<T>>();
        // SAFETY: a piece of this one's own, large enough and aligned.
        unsafe { inner.write(Inner { count: AtomicUsize::new(1), value: make() }) };
        Self { inner, kind: PhantomData }
    }

    /// Whether this is the only one: it stays so for as long as it is not cloned.
    #[inline]
    pub fn is_only(&self) -> bool {
        // Whatever others did before they let go has been done.
        self.inner().count.load(Ordering::Acquire) == 1
    }

    #[inline]
    fn inner(&self) -> &Inner<T> {
        // SAFETY: there until the last one is dropped.
        unsafe { self.inner.as_ref() }
    }

    #[cold]
    fn overflow() -> ! {
        std::process::abort()
    }
}

impl<T> Deref for Counted<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.inner().value
    }
}

impl<T> Clone for Counted<T> {
    #[inline]
    fn clone(&self) -> Self {
        if self.inner().count.fetch_add(1, Ordering::Relaxed) > MOST {
            Self::overflow();
        }
        Self { inner: self.inner, kind: PhantomData }
    }
}

impl<T> Drop for Counted<T> {
    #[inline]
    fn drop(&mut self) {
        // Who is alone stays alone, and need not say that it goes.
        if !self.is_only() {
            if self.inner().count.fetch_sub(1, Ordering::Release) != 1 {
                return;
            }
            // What the others did comes before the end.
            fence(Ordering::Acquire);
        }
        /// Keeps the memory, also when the value's end panics.
        struct End(NonNull<u8>);
        impl Drop for End {
            fn drop(&mut self) {
                keep(self.0);
            }
        }
        let _end = End(self.inner.cast());
        // SAFETY: the last one; nobody uses the value afterwards.
        unsafe { self.inner.drop_in_place() };
    }
}

impl<T: fmt::Debug> fmt::Debug for Counted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn the_value_ends_with_the_last_one_wherever_that_is() {
        let value = Arc::new(());
        let one = Counted::new(Arc::clone(&value));
        assert!(one.is_only());
        let others: Vec<_> = (0..4).map(|_| one.clone()).collect();
        assert!(!one.is_only());
        drop(one);
        let threads: Vec<_> = others.into_iter().map(|other| thread::spawn(move || drop(other))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(Arc::strong_count(&value), 1);
    }

    #[test]
    fn memory_is_used_anew_and_no_more_is_kept_than_said() {
        let first = Counted::new(1_u64);
        let piece = first.inner;
        drop(first);
        let second = Counted::new(2_u64);
        assert!(second.inner == piece && *second == 2);
        let many: Vec<_> = (0..KEPT as u64 + 100).map(Counted::new).collect();
        assert!(many.iter().zip(0..).all(|(one, number)| **one == number));
        drop((second, many));
        assert_eq!(PIECES.with_borrow(|pieces| pieces.0.len()), KEPT);
        // One thread's are kept by the other one that dropped them.
        let made: Vec<_> = (0..10_u64).map(Counted::new).collect();
        let kept = thread::spawn(move || {
            drop(made);
            PIECES.with_borrow(|pieces| pieces.0.len())
        });
        assert_eq!(kept.join().unwrap(), 10);
    }

    #[test]
    fn a_value_may_make_others_at_its_end_and_panic() {
        struct Chain(u32, #[expect(dead_code, reason = "ends with it")] Option<Counted<Self>>);
        impl Drop for Chain {
            fn drop(&mut self) {
                drop(Counted::new(self.0));
                assert!(self.0 != 3, "the third one");
            }
        }
        let chain = (0..10).fold(None, |rest, number| Some(Counted::new(Chain(number, rest))));
        let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(chain)));
        assert!(end.is_err());
        assert_eq!(*Counted::new(7_u8), 7);
    }
}
