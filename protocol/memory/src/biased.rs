//! A lock for what one thread takes again and again and others now and then: who has it often takes it with two stores and no exchange,
//! which alone would cost as much as all that is done under it. As a mutex in all else; a panic under it is no concern of the next one.

#![expect(unsafe_code, reason = "hands out the value that it locks")]

use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

use crate::barrier;
use crate::seat::Seat;

/// So many times in a row a thread takes the lock before it has a seat at it: at first, and when it was taken away again and again. To take
/// it away interrupts other processors, some microseconds.
const EARNED: u32 = 128;
const EARNED_AT_MOST: u32 = 4096;
/// Locks at which a thread remembers its seat: a power of two.
const REMEMBERED: usize = 4;

static SERIALS: AtomicU64 = AtomicU64::new(1);

thread_local! {
    static SEATS: Seats = const { Seats([const { Cell::new((0, ptr::null())) }; REMEMBERED]) };
}

/// The seats of one thread: for each remainder of a serial number the lock's serial number, and a seat that this counts.
struct Seats([Cell<(u64, *const Seat)>; REMEMBERED]);

impl Seats {
    #[inline]
    fn at(&self, serial: u64) -> Option<&Seat> {
        let (known, seat) = self.0[serial as usize % REMEMBERED].get();
        // SAFETY: null, or counted by its place, whose count `forget` alone gives back: nobody calls that while the result is used.
        if known == serial { unsafe { seat.as_ref() } } else { None }
    }

    /// This thread's seat at a lock, made if it has none; `None` when it is inside another one of that remainder.
    fn own(&self, serial: u64) -> Option<Arc<Seat>> {
        let place = &self.0[serial as usize % REMEMBERED];
        if place.get().0 != serial {
            if !Self::forget(place) {
                return None;
            }
            place.set((serial, Arc::into_raw(Arc::<Seat>::default())));
        }
        let (_, seat) = place.get();
        // SAFETY: of `Arc::into_raw`, and counted by its place; the second count is the result's.
        unsafe {
            Arc::increment_strong_count(seat);
            Some(Arc::from_raw(seat))
        }
    }

    /// Empties a place, unless this thread is inside the seat there.
    fn forget(place: &Cell<(u64, *const Seat)>) -> bool {
        let (_, seat) = place.get();
        // SAFETY: null, or counted by its place.
        if unsafe { seat.as_ref() }.is_some_and(|seat| !seat.is_left()) {
            return false;
        }
        place.set((0, ptr::null()));
        if !seat.is_null() {
            // SAFETY: of `Arc::into_raw` in `own`; its place has it no longer.
            drop(unsafe { Arc::from_raw(seat) });
        }
        true
    }
}

impl Drop for Seats {
    fn drop(&mut self) {
        // A seat that this thread is inside stays for ever: it ends with a guard that nobody will drop in time.
        for place in &self.0 {
            Self::forget(place);
        }
    }
}

/// A value that one thread has at a time.
pub struct Biased<T> {
    /// Tells the lock from all others that this process has, or had.
    serial: u64,
    /// Threads can be made to give up their seat. Found out when the first has earned one: the kernel takes its time, milliseconds.
    seats: OnceLock<bool>,
    turns: Mutex<Turns>,
    value: UnsafeCell<T>,
}

// SAFETY: the value is handed out to one thread at a time: to whoever has `turns` and has found nobody inside the seat there, or to
// whoever is inside that one.
unsafe impl<T: Send> Sync for Biased<T> {}

/// As for a mutex.
impl<T> UnwindSafe for Biased<T> {}
impl<T> RefUnwindSafe for Biased<T> {}

#[derive(Debug)]
struct Turns {
    /// The only seat that may be granted, or whose thread may be inside yet.
    seat: Option<Arc<Seat>>,
    /// Who has had the turns last, and how many in a row.
    last: usize,
    row: u32,
    /// How many it takes.
    earned: u32,
}

/// The right to the value. It ends on the thread that has it.
pub struct Guard<'a, T> {
    lock: &'a Biased<T>,
    /// The seat that this thread is inside; else it has the turns.
    seat: *const Seat,
    turns: Option<MutexGuard<'a, Turns>>,
}

impl<T> Biased<T> {
    /// Locks `value`, of which a thread of this process will be the one that takes it most. A forked child must not take it.
    pub fn new(value: T) -> Self {
        Self {
            serial: SERIALS.fetch_add(1, Ordering::Relaxed),
            seats: OnceLock::new(),
            turns: Mutex::new(Turns { seat: None, last: 0, row: 0, earned: EARNED }),
            value: UnsafeCell::new(value),
        }
    }

    /// Waits until no other thread has the value. For ever, when this one has.
    #[inline]
    pub fn lock(&self) -> Guard<'_, T> {
        match self.guard_by_seat() {
            Some(guard) => guard,
            None => self.by_turns(),
        }
    }

    /// Runs `with` on the value, if this thread has a seat and is not inside: what it would have to wait for is left to [`Biased::lock`].
    #[inline(always)]
    pub fn by_seat<R>(&self, with: impl FnOnce(&mut T) -> Option<R>) -> Option<R> {
        /// Ends it, also when `with` panics.
        struct Inside(*const Seat);
        impl Drop for Inside {
            #[inline]
            fn drop(&mut self) {
                // SAFETY: this thread's, which remembers it for as long as it is inside.
                unsafe { (*self.0).leave() }
            }
        }
        let inside = Inside(self.enter()?);
        // SAFETY: this thread is inside the seat, so it has the value alone.
        let done = with(unsafe { &mut *self.value.get() });
        drop(inside);
        done
    }

    /// The value, unless any thread has it at this moment.
    pub fn try_lock(&self) -> Option<Guard<'_, T>> {
        if let Some(guard) = self.guard_by_seat() {
            return Some(guard);
        }
        let mut turns = match self.turns.try_lock() {
            Ok(turns) => turns,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        turns.revoke();
        turns.seat.is_none().then(|| self.guard(turns))
    }

    #[cold]
    fn has_seats(&self) -> bool {
        *self.seats.get_or_init(barrier::register)
    }

    /// This thread's seat, which it is inside now.
    #[inline(always)]
    fn enter(&self) -> Option<*const Seat> {
        // A thread that ends takes turns.
        SEATS.try_with(|seats| seats.at(self.serial).filter(|seat| seat.enter()).map(ptr::from_ref)).ok().flatten()
    }

    #[inline]
    fn guard_by_seat(&self) -> Option<Guard<'_, T>> {
        self.enter().map(|seat| Guard { lock: self, seat, turns: None })
    }

    #[cold]
    #[inline(never)]
    fn by_turns(&self) -> Guard<'_, T> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.revoke();
        if let Some(seat) = turns.seat.take() {
            seat.wait_until_left();
        }
        self.guard(turns)
    }

    /// A thread ends its turn: its next one may be by a seat.
    #[cold]
    fn end(&self, mut turns: MutexGuard<'_, Turns>) {
        if turns.row >= turns.earned && self.has_seats() {
            turns.grant(self.serial);
        }
    }

    fn guard<'a>(&'a self, mut turns: MutexGuard<'a, Turns>) -> Guard<'a, T> {
        // Where its seats are tells one thread from another; at worst one of them has earned another's turns.
        let this = SEATS.try_with(|seats| ptr::from_ref(seats).addr()).unwrap_or(0);
        turns.row = if turns.last == this { turns.row.saturating_add(1) } else { 0 };
        turns.last = this;
        Guard { lock: self, seat: ptr::null(), turns: Some(turns) }
    }
}

impl Turns {
    /// Nobody enters by a seat any more. What stands there may be inside yet, or was found left and is gone.
    fn revoke(&mut self) {
        let Some(seat) = &self.seat else { return };
        if seat.is_granted() {
            seat.revoke();
            self.earned = (self.earned * 2).min(EARNED_AT_MOST);
        }
        self.seat.take_if(|seat| seat.is_left());
    }

    /// This thread, which has the turns, enters by its seat from now on.
    #[cold]
    fn grant(&mut self, serial: u64) {
        self.row = 0;
        self.seat = SEATS.try_with(|seats| seats.own(serial)).ok().flatten();
        self.seat.iter().for_each(|seat| seat.grant());
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        match self.turns.take() {
            // SAFETY: this thread's, which remembers it for as long as it is inside.
            None => unsafe { (*self.seat).leave() },
            Some(turns) => self.lock.end(turns),
        }
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this guard has the value.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and it is borrowed alone.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> fmt::Debug for Biased<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Biased").field("serial", &self.serial).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Guard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("lock", self.lock).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
