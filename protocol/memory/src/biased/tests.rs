use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::{Biased, EARNED_AT_MOST};

/// Takes the lock so often that this thread has a seat, and counts how often.
fn settle(lock: &Biased<u64>) -> u64 {
    let times = EARNED_AT_MOST + 2;
    for _ in 0..times {
        *lock.lock() += 1;
    }
    assert!(!lock.has_seats() || lock.guard_by_seat().is_some());
    // As by a guard; inside it nobody enters again, and a panic leaves it.
    assert!(!lock.has_seats() || lock.by_seat(|_| Some(lock.by_seat(|_| Some(())).is_none())) == Some(true));
    let panics = std::panic::AssertUnwindSafe(|| lock.by_seat(|_| -> Option<()> { panic!("inside") }));
    assert!(!lock.has_seats() || std::panic::catch_unwind(panics).is_err());
    assert!(!lock.has_seats() || lock.by_seat(|_| Some(())).is_some());
    times.into()
}

#[test]
fn who_takes_it_often_has_a_seat_until_another_comes() {
    let lock = Arc::new(Biased::new(0));
    let first = settle(&lock);
    assert!(lock.try_lock().is_some());
    let other = Arc::clone(&lock);
    thread::spawn(move || *other.lock() += 1).join().unwrap();
    assert!(lock.guard_by_seat().is_none(), "a seat that was taken away");
    let times = first + 1 + settle(&lock);
    assert_eq!(*lock.lock(), times);
}

#[test]
fn nobody_gets_what_another_thread_has() {
    let lock = Arc::new(Biased::new(0));
    settle(&lock);
    let guard = lock.lock();
    assert!(lock.try_lock().is_none(), "the same thread has it twice");
    let (other, came) = (Arc::clone(&lock), Arc::new(AtomicBool::new(false)));
    let late = Arc::clone(&came);
    let other = thread::spawn(move || {
        assert!(other.try_lock().is_none());
        let guard = other.lock();
        assert!(late.load(Ordering::Acquire), "two threads have it");
        drop(guard);
    });
    // Long enough that the other one waits, most of the time.
    thread::sleep(std::time::Duration::from_millis(20));
    came.store(true, Ordering::Release);
    drop(guard);
    other.join().unwrap();
}

#[test]
fn threads_that_take_turns_lose_nothing() {
    const TIMES: u64 = 20_000;
    let lock = Biased::new(0);
    thread::scope(|scope| {
        for every in [1, 100, 1000] {
            let lock = &lock;
            scope.spawn(move || {
                for time in 0..TIMES {
                    if time % every == 0 {
                        thread::yield_now();
                    }
                    *lock.lock() += 1;
                }
            });
        }
    });
    assert_eq!(*lock.lock(), TIMES * 3);
}

#[test]
fn more_locks_than_a_thread_remembers() {
    let locks: Vec<_> = (0..9).map(|_| Biased::new(0)).collect();
    let first: Vec<_> = locks.iter().map(settle).collect();
    let guards: Vec<_> = locks.iter().map(Biased::lock).collect();
    assert!(locks.iter().all(|lock| lock.try_lock().is_none()));
    drop(guards);
    for (lock, first) in locks.iter().zip(first) {
        let times = first + settle(lock);
        assert_eq!(*lock.lock(), times);
    }
}

#[test]
fn a_panic_is_no_concern_of_the_next_one() {
    let lock = Arc::new(Biased::new(0));
    for seated in [false, true] {
        if seated {
            settle(&lock);
        }
        let other = Arc::clone(&lock);
        let panicked = std::panic::catch_unwind(move || {
            let _guard = other.lock();
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(panicked.is_err());
        *lock.lock() += 1;
    }
}

#[test]
fn a_thread_that_ends_leaves_no_seat_taken() {
    let lock = Arc::new(Biased::new(0));
    let mut times = 0;
    for _ in 0..3 {
        let lock = Arc::clone(&lock);
        times += thread::spawn(move || settle(&lock)).join().unwrap();
    }
    assert_eq!(*lock.lock(), times);
}
