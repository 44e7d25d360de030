//! The right of one thread to take a lock without an exchange, until another thread wants it.

use crate::barrier::{heavy, light};
use crate::sync::{AtomicU32, Ordering};

/// One thread's seat at one lock. Only that thread enters and leaves; whoever grants or revokes holds the lock that stands behind it, and
/// only the thread itself is granted its seat by itself.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    inside: AtomicU32,
    granted: AtomicU32,
    #[cfg(loom)]
    asleep: (loom::sync::Mutex<()>, loom::sync::Condvar),
}

impl Seat {
    /// True when the thread has what is locked, until it leaves. False when it has to take the lock: it was revoked, or the thread is
    /// inside already.
    #[inline]
    pub(crate) fn enter(&self) -> bool {
        if self.granted.load(Ordering::Relaxed) == 0 || self.inside.load(Ordering::Relaxed) != 0 {
            return false;
        }
        self.inside.store(1, Ordering::Relaxed);
        // Pairs with the barrier in `revoke`: either this side sees that it was revoked, or that one that somebody is inside.
        light();
        if self.granted.load(Ordering::Acquire) != 0 {
            return true;
        }
        self.leave();
        false
    }

    /// After [`Seat::enter`] said true.
    #[inline]
    pub(crate) fn leave(&self) {
        self.inside.store(0, Ordering::Release);
        // Pairs with the same one: either this side sees that it was revoked, and wakes, or that one that nobody is inside.
        light();
        if self.granted.load(Ordering::Relaxed) == 0 {
            self.wake();
        }
    }

    /// The lock's holder lets the thread enter by itself from now on: it is that thread.
    pub(crate) fn grant(&self) {
        self.granted.store(1, Ordering::Release);
    }

    /// The lock's holder lets nobody enter any more. Until [`Seat::is_left`] the thread may be inside yet.
    pub(crate) fn revoke(&self) {
        self.granted.store(0, Ordering::Relaxed);
        heavy();
    }

    /// Whether the thread may enter, as the lock's holder knows.
    pub(crate) fn is_granted(&self) -> bool {
        self.granted.load(Ordering::Relaxed) != 0
    }

    /// Whether nobody is inside: after [`Seat::revoke`] for good.
    pub(crate) fn is_left(&self) -> bool {
        self.inside.load(Ordering::Acquire) == 0
    }
}

#[cfg(not(loom))]
impl Seat {
    /// Sleeps until nobody is inside, after [`Seat::revoke`].
    pub(crate) fn wait_until_left(&self) {
        while !self.is_left() {
            // Interrupted, or left meanwhile: looks again.
            let _ = rustix::thread::futex::wait(&self.inside, rustix::thread::futex::Flags::PRIVATE, 1, None);
        }
    }

    #[cold]
    fn wake(&self) {
        let _ = rustix::thread::futex::wake(&self.inside, rustix::thread::futex::Flags::PRIVATE, 1);
    }
}

/// A futex as loom can judge it: whoever sleeps has looked under the same lock that whoever wakes takes.
#[cfg(loom)]
impl Seat {
    pub(crate) fn wait_until_left(&self) {
        let mut asleep = self.asleep.0.lock().unwrap();
        while !self.is_left() {
            asleep = self.asleep.1.wait(asleep).unwrap();
        }
    }

    fn wake(&self) {
        let _asleep = self.asleep.0.lock().unwrap();
        self.asleep.1.notify_one();
    }
}
