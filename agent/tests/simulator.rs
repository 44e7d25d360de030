//! A seeded simulator of the reactor: random programs on random machines drive one `Core` through its only entry points, beside
//! a plain model of what must be true. After every step: the rows equal the model's, nothing is freed that is held, nothing is
//! kept that is not, the ledger sums to the capacity, shared memory says what is so, every answer is the right one and comes
//! once. In the end everybody dies, and nothing may be left.
//!
//! Everything follows from the seed. One seed again, with all that happens in it:
//!
//! ```sh
//! SEED=123 cargo test --release -p plasmon-agent --test simulator -- replay --nocapture
//! ```
//!
//! `SEEDS=N` sets how many seeds the long test runs (5,000 when optimised), `FIRST=N` where they begin.
//!
//! The simulator itself is tested with planted bugs ([`simulator::bugs::Bug`]): it must find each.

mod simulator {
    pub(crate) mod actors;
    pub(crate) mod bugs;
    pub(crate) mod client;
    pub(crate) mod disk;
    pub(crate) mod effects;
    pub(crate) mod fate;
    pub(crate) mod follower;
    pub(crate) mod hostile;
    pub(crate) mod model;
    pub(crate) mod program;
    pub(crate) mod random;
    pub(crate) mod run;
    pub(crate) mod world;
}

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use simulator::bugs::Bug;
use simulator::model::Check;
use simulator::run::{STEPS, run};

/// Lines of the trace that a failure shows.
const TAIL: usize = 60;
/// Seeds within which every planted bug must be found.
const SEEDS_FOR_BUGS: u64 = 500;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

fn attempt(seed: u64, bug: Option<Bug>) -> Check {
    run(seed, bug, false).0
}

#[test]
fn no_seed_breaks_the_reactor() {
    let seeds = number("SEEDS").unwrap_or(if cfg!(debug_assertions) { 400 } else { 5_000 });
    let first = number("FIRST").unwrap_or(0);
    let next = AtomicU64::new(first);
    let failure = Mutex::new(None);
    let begin = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while failure.lock().unwrap().is_none() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        break;
                    }
                    if let Err(what) = attempt(seed, None) {
                        failure.lock().unwrap().get_or_insert((seed, what));
                    }
                }
            });
        }
    });
    if let Some((seed, what)) = failure.into_inner().unwrap() {
        panic!("seed {seed}: {what}\nall of it: SEED={seed} cargo test --release -p plasmon-agent --test simulator -- replay --nocapture");
    }
    let seconds = begin.elapsed().as_secs_f64();
    eprintln!("{seeds} seeds of {STEPS} steps in {seconds:.1} s: {:.0} seeds/s", seeds as f64 / seconds);
}

#[test]
fn every_planted_bug_is_found() {
    let (next, missed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(bug) = Bug::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = (0..SEEDS_FOR_BUGS).find_map(|seed| Some((seed, attempt(seed, Some(*bug)).err()?)));
                    match &found {
                        Some((seed, what)) => eprintln!("{bug:?}: seed {seed}: {}", what.chars().take(160).collect::<String>()),
                        None => missed.lock().unwrap().push(*bug),
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "not found within {SEEDS_FOR_BUGS} seeds: {missed:?}");
}

/// `SEED` again, with its trace; without one, a seed is the same whenever it runs.
#[test]
fn replay() {
    let Some(seed) = number("SEED") else {
        let (first, second) = (run(1, None, true), run(1, None, true));
        assert!(first.1.len() > STEPS as usize);
        assert_eq!(first, second);
        return;
    };
    let (result, trace) = run(seed, None, true);
    let skipped = if number("ALL").is_some() { 0 } else { trace.len().saturating_sub(TAIL) };
    trace.iter().skip(skipped).for_each(|line| eprintln!("{line}"));
    result.unwrap_or_else(|what| panic!("seed {seed}: {what}"));
}
