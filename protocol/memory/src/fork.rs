//! What a forked child must not take for its own. Maps of shared memory are not inherited by `fork`, but everything that points into
//! them is, and so are locks that other threads held. The types here tell parent and child apart without a system call.

#![expect(unsafe_code, reason = "reads a page that the kernel wipes in a forked child; frees what belongs to this process alone")]

use std::io;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

use memmap2::MmapMut;
use plasmon_protocol::local::PAGE;
use rustix::mm::Advice;

/// What stands in a page of the process that made it; the kernel wipes it in a forked child.
const HERE: u8 = 1;

/// The page of the newest process among this one and its ancestors. A page lives as long as the process.
static NEWEST: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());

/// Tells the process that it was made in from those that were forked from it later.
#[derive(Clone, Copy, Debug)]
pub struct Mark(NonNull<u8>);

// SAFETY: the page is never unmapped, and nobody writes it after it was published: the one change is the kernel's, in a child that has
// a single thread then.
unsafe impl Send for Mark {}
// SAFETY: as above.
unsafe impl Sync for Mark {}

impl Mark {
    /// This process's mark.
    ///
    /// # Errors
    /// Out of memory or maps; invalid input on a kernel that does not wipe pages (before 4.14).
    pub fn of_this_process() -> io::Result<Self> {
        let known = NEWEST.load(Ordering::Acquire);
        if let Some(mark) = NonNull::new(known).map(Self)
            && mark.is_here()
        {
            return Ok(mark);
        }
        let mut page = MmapMut::map_anon(PAGE as usize)?;
        // SAFETY: changes nothing in this process, and in a child a page that nobody but this file looks at.
        unsafe { rustix::mm::madvise(page.as_mut_ptr().cast(), page.len(), Advice::LinuxWipeOnFork)? };
        page[0] = HERE;
        let made = page.as_mut_ptr();
        let newest = match NEWEST.compare_exchange(known, made, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => {
                std::mem::forget(page);
                made
            }
            // Another thread of this process was faster.
            Err(other) => other,
        };
        NonNull::new(newest).map(Self).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }

    /// Whether this is the process that the mark was made in. One load, which is no atomic one: it can leave a loop.
    #[inline]
    #[must_use]
    pub fn is_here(self) -> bool {
        // SAFETY: mapped for as long as the process lives, and its children; written before it was published, and in this process
        // by nobody since.
        unsafe { self.0.read() == HERE }
    }
}

/// What belongs to the process that made it: a forked child can look at it, but never ends it. Maps that are not there any more are not
/// unmapped, nor descriptors closed that may be others by now.
#[derive(Debug)]
pub struct Own<T> {
    mark: Mark,
    value: ManuallyDrop<T>,
}

impl<T> Own<T> {
    /// A value of the process that `mark` is of.
    pub fn new(mark: Mark, value: T) -> Self {
        Self { mark, value: ManuallyDrop::new(value) }
    }

    /// Whether this is its process.
    #[inline]
    pub fn is_here(&self) -> bool {
        self.mark.is_here()
    }
}

impl<T> Deref for Own<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Drop for Own<T> {
    fn drop(&mut self) {
        if self.mark.is_here() {
            // SAFETY: dropped once, here, and not used again.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        }
    }
}

/// A static value that every process has anew: a forked child never sees its parent's, whose locks may be held by threads that it does
/// not have.
#[derive(Debug)]
pub struct PerProcess<T: 'static> {
    newest: AtomicPtr<(Mark, T)>,
    make: fn(Option<&T>) -> T,
}

impl<T: Send + Sync + 'static> PerProcess<T> {
    /// Made on first use: from nothing, or in a forked child from its parent's, of which no lock may be waited for.
    pub const fn new(make: fn(Option<&T>) -> T) -> Self {
        Self { newest: AtomicPtr::new(ptr::null_mut()), make }
    }

    /// This process's value.
    ///
    /// # Errors
    /// As for [`Mark::of_this_process`], on first use alone.
    #[inline]
    pub fn get(&'static self) -> io::Result<&'static T> {
        let known = self.newest.load(Ordering::Acquire);
        // SAFETY: null, or published below and never freed.
        match unsafe { known.as_ref() } {
            Some((mark, value)) if mark.is_here() => Ok(value),
            parents => self.first(known, parents.map(|(_, value)| value)),
        }
    }

    #[cold]
    fn first(&'static self, known: *mut (Mark, T), parents: Option<&T>) -> io::Result<&'static T> {
        let made = Box::into_raw(Box::new((Mark::of_this_process()?, (self.make)(parents))));
        let (current, unused) = match self.newest.compare_exchange(known, made, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => (made, None),
            // Another thread of this process was faster.
            Err(other) => (other, Some(made)),
        };
        if let Some(unused) = unused {
            // SAFETY: from the box above, and seen by nobody else.
            drop(unsafe { Box::from_raw(unused) });
        }
        // SAFETY: not null, and never freed.
        Ok(unsafe { &(*current).1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_one_mark() {
        let marks: Vec<Mark> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| Mark::of_this_process().unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(marks.iter().all(|mark| mark.is_here() && mark.0 == marks[0].0));
    }

    #[test]
    fn a_value_is_made_once_for_a_process() {
        static VALUE: PerProcess<std::sync::atomic::AtomicU32> = PerProcess::new(|parents| {
            assert!(parents.is_none());
            std::sync::atomic::AtomicU32::new(7)
        });
        let first = VALUE.get().unwrap();
        first.store(9, Ordering::Relaxed);
        assert!(ptr::eq(first, VALUE.get().unwrap()));
    }

    #[test]
    fn what_is_owned_ends_here() {
        let value = std::rc::Rc::new(());
        let own = Own::new(Mark::of_this_process().unwrap(), std::rc::Rc::clone(&value));
        assert!(own.is_here());
        drop(own);
        assert_eq!(std::rc::Rc::strong_count(&value), 1);
    }
}
