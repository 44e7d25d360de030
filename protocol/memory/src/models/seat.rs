//! A lock that a thread may take by its seat: whoever has what is locked has it alone, and whoever waits for it gets it.

use loom::sync::{Arc, Mutex};
use loom::thread;

use super::{byte, with_preemptions};
use crate::place::Bytes;
use crate::seat::Seat;

/// The steps of `biased.rs`, where what is locked is a byte that counts.
struct Lock {
    turns: Mutex<Option<Arc<Seat>>>,
    value: Bytes,
}

impl Lock {
    /// With the seat granted to its thread.
    fn new(seat: Option<&Arc<Seat>>) -> Arc<Self> {
        seat.iter().for_each(|seat| seat.grant());
        Arc::new(Self { turns: Mutex::new(seat.cloned()), value: Bytes::new(1) })
    }

    fn count(&self) {
        self.value.write(0, &[byte(&self.value, 0) + 1]);
    }

    /// The thread whose seat it is gets it granted with its first turn.
    fn by_seat_or_turns(&self, seat: &Arc<Seat>) {
        if seat.enter() {
            self.count();
            seat.leave();
        } else {
            self.by_turns(Some(seat));
        }
    }

    fn by_turns(&self, own: Option<&Arc<Seat>>) {
        let mut turns = self.turns.lock().unwrap();
        if let Some(seat) = turns.take() {
            if seat.is_granted() {
                seat.revoke();
            }
            seat.wait_until_left();
        }
        self.count();
        if let Some(own) = own {
            own.grant();
            *turns = Some(Arc::clone(own));
        }
    }

    /// False when somebody has it.
    fn try_by_turns(&self) -> bool {
        let Ok(mut turns) = self.turns.try_lock() else { return false };
        turns.iter().filter(|seat| seat.is_granted()).for_each(|seat| seat.revoke());
        turns.take_if(|seat| seat.is_left());
        let is_free = turns.is_none();
        if is_free {
            self.count();
        }
        is_free
    }
}

#[test]
fn a_seat_is_taken_away() {
    with_preemptions(4, || {
        let seat = Arc::new(Seat::default());
        let lock = Lock::new(Some(&seat));
        let other = Arc::clone(&lock);
        let other = thread::spawn(move || other.by_turns(None));
        lock.by_seat_or_turns(&seat);
        lock.by_seat_or_turns(&seat);
        other.join().unwrap();
        assert_eq!(byte(&lock.value, 0), 3);
    });
}

#[test]
fn two_threads_take_each_others_seat() {
    with_preemptions(3, || {
        let seat = Arc::new(Seat::default());
        let lock = Lock::new(Some(&seat));
        let other = Arc::clone(&lock);
        let other = thread::spawn(move || {
            let seat = Arc::new(Seat::default());
            other.by_seat_or_turns(&seat);
            other.by_seat_or_turns(&seat);
        });
        lock.by_seat_or_turns(&seat);
        lock.by_seat_or_turns(&seat);
        other.join().unwrap();
        assert_eq!(byte(&lock.value, 0), 4);
    });
}

/// Who does not wait leaves a seat behind that was taken away and whose thread is inside yet: whoever comes next waits for that one.
#[test]
fn who_does_not_wait_harms_nobody() {
    with_preemptions(3, || {
        let seat = Arc::new(Seat::default());
        let lock = Lock::new(Some(&seat));
        let other = Arc::clone(&lock);
        let other = thread::spawn(move || {
            let had = other.try_by_turns();
            other.by_turns(None);
            had
        });
        lock.by_seat_or_turns(&seat);
        let had = other.join().unwrap();
        assert_eq!(byte(&lock.value, 0), 2 + u8::from(had));
    });
}
