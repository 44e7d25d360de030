use proptest::prelude::*;

use super::*;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn worker(number: u32, standing: Standing, since_ms: u64, bytes: u64) -> Candidate {
    Candidate { process: ProcessId(number), standing, since_ms, bytes }
}

/// 100 GiB of memory, of which this much is used beyond 95 GiB.
fn over(bytes: u64) -> Demand {
    Demand { total: 100 * GIB, used: 95 * GIB + bytes, threshold: 95 * GIB }
}

fn numbers(chosen: &[Candidate]) -> Vec<u32> {
    chosen.iter().map(|candidate| candidate.process.0).collect()
}

#[test]
fn nothing_is_done_up_to_the_threshold() {
    let candidates = [worker(1, Standing::Retriable, 1, 50 * GIB)];
    assert_eq!(over(0).goal(), 0);
    assert_eq!(victims(&candidates, &over(0)), []);
    assert_eq!(victims(&candidates, &Demand { total: GIB, used: 0, threshold: GIB }), []);
    assert_eq!(numbers(&victims(&candidates, &over(1))), [1]);
}

#[test]
fn the_goal_has_a_margin_that_is_bounded() {
    assert_eq!(over(GIB).goal(), 4 * GIB);
    let small = Demand { total: 400 * MIB, used: 390 * MIB, threshold: 380 * MIB };
    assert_eq!(small.goal(), 10 * MIB + 400 * MIB / 100 * 5);
}

#[test]
fn large_idle_workers_go_first_and_the_largest_before_the_others() {
    let candidates = [
        worker(1, Standing::Retriable, 900, 8 * GIB),
        worker(2, Standing::Idle, 100, 2 * GIB),
        worker(3, Standing::Idle, 200, 3 * GIB),
        worker(4, Standing::Idle, 300, GIB),
        worker(5, Standing::Leaving, 50, MIB),
    ];
    // What holds no more than 1 GiB is no victim while it is idle.
    assert_eq!(numbers(&ranking(&candidates, 100 * GIB)), [5, 3, 2, 1]);
    assert_eq!(numbers(&victims(&candidates, &over(GIB))), [3, 2]);
    // On a small machine much is less.
    assert_eq!(numbers(&ranking(&candidates, 10 * GIB)), [5, 3, 2, 4, 1]);
}

#[test]
fn the_newest_retriable_worker_goes_before_older_and_lasting_ones() {
    let candidates = [
        worker(1, Standing::Lasting, 900, 8 * GIB),
        worker(2, Standing::Retriable, 100, 8 * GIB),
        worker(3, Standing::Retriable, 300, 8 * GIB),
        worker(4, Standing::Retriable, 200, 8 * GIB),
        worker(5, Standing::Lasting, 100, 8 * GIB),
    ];
    assert_eq!(numbers(&ranking(&candidates, 100 * GIB)), [3, 4, 2, 1, 5]);
    assert_eq!(numbers(&victims(&candidates, &over(GIB))), [3]);
    assert_eq!(numbers(&victims(&candidates, &over(6 * GIB))), [3, 4]);
    assert_eq!(numbers(&victims(&candidates[..1], &over(GIB))), [1]);
}

#[test]
fn of_the_same_moment_the_one_that_came_last_goes() {
    let candidates = [worker(1, Standing::Retriable, 5, 8 * GIB), worker(2, Standing::Retriable, 5, 8 * GIB)];
    assert_eq!(numbers(&victims(&candidates, &over(GIB))), [2]);
}

#[test]
fn nobody_goes_whose_memory_is_not_needed() {
    let candidates = [worker(1, Standing::Retriable, 100, 8 * GIB), worker(2, Standing::Retriable, 200, 40 * MIB)];
    // Two are taken before the goal is reached; the older one alone does as well.
    assert_eq!(numbers(&victims(&candidates, &over(GIB))), [1]);
}

#[test]
fn when_others_have_the_memory_workers_go_one_at_a_time() {
    let candidates = [worker(1, Standing::Retriable, 100, GIB), worker(2, Standing::Retriable, 200, GIB)];
    assert_eq!(numbers(&victims(&candidates, &over(10 * GIB))), [2]);
    assert_eq!(victims(&[], &over(10 * GIB)), []);
}

fn some_candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let standing = prop_oneof![Just(Standing::Leaving), Just(Standing::Idle), Just(Standing::Retriable), Just(Standing::Lasting)];
    proptest::collection::vec((standing, 0..20_u64, 0..8 * GIB), 0..12).prop_map(|candidates| {
        let numbered = candidates.into_iter().zip(1..);
        numbered.map(|((standing, since_ms, bytes), number)| worker(number, standing, since_ms, bytes)).collect()
    })
}

proptest! {
    #[test]
    fn whoever_goes_is_needed_and_ranked(candidates in some_candidates(), total in 1..200 * GIB, used in 0..210 * GIB, percent in 1..=100_u64) {
        let demand = Demand { total, used, threshold: total / 100 * percent };
        let chosen = victims(&candidates, &demand);
        let ranked = ranking(&candidates, total);
        let freed = |chosen: &[Candidate]| chosen.iter().map(|candidate| candidate.bytes).sum::<u64>();
        prop_assert!(used > demand.threshold || chosen.is_empty());
        // In the order of the ranking, each once.
        let places: Vec<_> = chosen.iter().map(|one| ranked.iter().position(|other| other == one)).collect();
        prop_assert!(places.iter().all(Option::is_some) && places.is_sorted_by(|one, next| one < next));
        if used > demand.threshold && !ranked.is_empty() {
            prop_assert!(!chosen.is_empty());
        }
        if freed(&ranked) >= demand.goal() && demand.goal() > 0 {
            prop_assert!(freed(&chosen) >= demand.goal());
            for one in &chosen {
                prop_assert!(freed(&chosen) - one.bytes < demand.goal(), "{one:?} goes for nothing");
            }
            // Nobody stands behind one who would have been enough before him.
            let first = ranked.iter().scan(0, |sum, one| { *sum += one.bytes; Some(*sum) }).position(|sum| sum >= demand.goal());
            prop_assert!(places.iter().all(|place| *place <= first));
        } else {
            prop_assert!(chosen.len() <= 1);
        }
    }
}
