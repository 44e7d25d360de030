//! Many threads at work while others fork: counts stay exact, and no child waits for a lock that a thread it does not have has held.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use plasmon::{Error, ObjectRef};

use crate::support::{Forked, Random, Viewer, alone, check, content, leave, start};

type Numbers = ObjectRef<[u64]>;

const FORKERS: usize = 2;
const FORKS: usize = 60;
/// Every so many forks one child connects.
const CONNECTS: usize = 20;

#[plasmon::remote]
fn total(numbers: &[u64]) -> u64 {
    numbers.iter().fold(0, |sum, number| sum.wrapping_add(*number))
}

/// Everything that takes a lock or touches shared memory, over and over. Returns what it still holds, with what it should read.
fn work(seed: u64, done: &AtomicBool, rounds: &AtomicU64) -> Result<Vec<Numbers>, Error> {
    let mut random = Random(seed);
    let mut held: Vec<Numbers> = Vec::new();
    let mut results = Vec::new();
    while !done.load(Ordering::Relaxed) {
        match random.below(7) {
            0 | 1 => held.push(plasmon::put(&content(random.next(), random.below(400) as usize)[..])?),
            2 => {
                let numbers = content(random.next(), 9000);
                let mut draft = plasmon::create(numbers.len())?;
                draft.copy_from_slice(&numbers);
                if random.below(2) == 0 {
                    held.push(draft.seal()?);
                }
            }
            3 => {
                let numbers = content(random.next(), 50);
                let expected = numbers.iter().fold(0_u64, |sum, number| sum.wrapping_add(*number));
                results.push((total.remote(&plasmon::put(&numbers[..])?)?, expected));
            }
            4 if !results.is_empty() => {
                let (result, expected) = results.swap_remove(random.below(results.len() as u64) as usize);
                assert_eq!(plasmon::get(&result)?, expected);
            }
            5 if !held.is_empty() => {
                let view = plasmon::get(&held[random.below(held.len() as u64) as usize])?;
                check(&view).unwrap();
                assert_eq!(plasmon::wait(&held[..1], 1, None)?.0.len(), 1);
            }
            _ if held.len() > 20 => drop(held.swap_remove(0)),
            _ => {}
        }
        if results.len() > 20 {
            results.remove(0);
        }
        rounds.fetch_add(1, Ordering::Relaxed);
    }
    Ok(held)
}

/// What a child does with what its parent has.
fn visit(held: &mut Option<Numbers>, connect: bool) {
    let held = held.take().unwrap();
    let codes = [
        plasmon::put(&1_u8).map(drop),
        plasmon::create::<u64>(9000).map(drop),
        plasmon::get(&held).map(drop),
        total.remote(&held).map(drop),
        plasmon::info().map(drop),
        plasmon::wait(std::slice::from_ref(&held), 1, None).map(drop),
    ]
    .map(|result| result.map_err(|error| error.code()));
    assert_eq!(codes, [Err("not_connected"); 6]);
    drop(held);
    if connect {
        plasmon::init().unwrap();
        let put = plasmon::put(&content(3, 300)[..]).unwrap();
        check(&plasmon::get(&put).unwrap()).unwrap();
        drop(put);
        plasmon::shutdown().unwrap();
    }
    plasmon::shutdown().unwrap();
}

#[test]
fn threads_work_while_others_fork() {
    alone(|| {
        start(2.0);
        let mut viewer = Viewer::here();
        let (done, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
        let held: Vec<Numbers> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|seed| {
                    scope.spawn({
                        let (done, rounds) = (&done, &rounds);
                        move || work(seed, done, rounds).unwrap()
                    })
                })
                .collect();
            let forkers: Vec<_> = (0..FORKERS)
                .map(|forker| {
                    scope.spawn(move || {
                        for fork in 0..FORKS {
                            let mut held = Some(plasmon::put(&content(fork as u64, 100)[..]).unwrap());
                            let connects = fork % CONNECTS == forker;
                            let child = match fork % 3 {
                                0 if !connects => Forked::start(|| leave(0)),
                                _ => Forked::start(|| visit(&mut held, connects)),
                            };
                            let mine = held.take().unwrap();
                            check(&plasmon::get(&mine).unwrap()).unwrap();
                            child.succeed();
                        }
                    })
                })
                .collect();
            let forked: Vec<_> = forkers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
            done.store(true, Ordering::Relaxed);
            let held = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
            forked.into_iter().for_each(|forker| forker.unwrap());
            held
        });
        assert!(rounds.load(Ordering::Relaxed) > 100, "nobody worked");
        let mut ids: Vec<_> = held.iter().map(ObjectRef::id).collect();
        ids.sort_unstable();
        viewer.until("exactly what the threads hold", |report| {
            let mut rows: Vec<_> =
                report.references.iter().map(|row| (row.object_id, [row.local, row.pinned, row.submitted, row.captured])).collect();
            rows.sort_unstable();
            rows == ids.iter().map(|id| (*id, [1, 0, 0, 0])).collect::<Vec<_>>()
        });
        held.iter().for_each(|numbers| check(&plasmon::get(numbers).unwrap()).unwrap());
        drop(held);
        viewer.until_empty();
    });
}
