//! An honest driver that works all the time: whatever others do, its objects are what it put.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use plasmon::ObjectRef;

use crate::support::{PATIENCE, Random, check, content};

/// Rounds that it has worked, and whether it is to end.
#[derive(Default)]
pub(crate) struct Honest {
    rounds: AtomicU64,
    ends: AtomicBool,
}

/// A value with references inside.
type Bundle = Vec<ObjectRef<[u64]>>;

#[plasmon::remote]
fn first(numbers: &[u64]) -> u64 {
    numbers[0]
}

impl Honest {
    /// Works until told to end: puts, gets, references inside, and a task now and then.
    pub(crate) fn work(&self) {
        let mut random = Random(1);
        let mut held: Vec<ObjectRef<[u64]>> = Vec::new();
        let mut bundles: Vec<ObjectRef<Bundle>> = Vec::new();
        while !self.ends.load(Ordering::Relaxed) {
            let round = self.rounds.load(Ordering::Relaxed);
            let length = if random.below(20) == 0 { 40_000 } else { 1 + random.below(800) };
            held.push(plasmon::put(&content(round, length as usize)[..]).expect("the store has room"));
            let one = &held[random.below(held.len() as u64) as usize];
            check(&plasmon::get(one).expect("it is held")).expect("what was put");
            if round.is_multiple_of(10) {
                bundles.push(plasmon::put(&held.clone()).expect("the store has room"));
                for inside in plasmon::get(&bundles[0]).expect("it is held") {
                    check(&plasmon::get(&inside).expect("it is held")).expect("what was put");
                }
            }
            if round.is_multiple_of(50) {
                let last = held.last().expect("it was just put");
                assert_eq!(plasmon::get(&first.remote(last).expect("a task")), Ok(round));
            }
            if held.len() > 30 {
                held.remove(0);
            }
            if bundles.len() > 3 {
                bundles.remove(0);
            }
            self.rounds.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until it has worked some more.
    #[track_caller]
    pub(crate) fn goes_on(&self) {
        let wanted = self.rounds.load(Ordering::Relaxed) + 20;
        let deadline = Instant::now() + PATIENCE;
        while self.rounds.load(Ordering::Relaxed) < wanted {
            assert!(Instant::now() < deadline, "the honest driver stands still");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends the work when dropped, so that nothing waits for it after a failed assertion.
    pub(crate) fn until_dropped(&self) -> End<'_> {
        End(self)
    }
}

pub(crate) struct End<'a>(&'a Honest);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.ends.store(true, Ordering::Relaxed);
    }
}
