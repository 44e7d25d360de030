//! Real processes that read, verify and drop while the agent evicts what they do not read at that moment.

use super::store::{Known, MIB, start};
use crate::support::{Child, Flag, Random, Viewer, alone, attach, eventually, publish, role};

const READERS: u64 = 3;
const ROUNDS: u64 = 400;

#[plasmon::remote]
fn read_all(objects: Vec<plasmon::ObjectRef<[u8]>>, seeds: Vec<(u64, usize)>, round: u64) -> u64 {
    let mut random = Random(round);
    for _ in 0..ROUNDS {
        let index = random.below(objects.len() as u64) as usize;
        let view = plasmon::get(&objects[index]).unwrap();
        super::pattern::must_be(&view, seeds[index].0, seeds[index].1);
    }
    ROUNDS
}

/// A driver that makes objects of all sizes, reads them, and lets go of them, in a store that holds a part of them.
fn read_and_drop(seed: u64) {
    let mut random = Random(seed);
    let mut held: Vec<Known> = Vec::new();
    for round in 0..ROUNDS {
        let length = match random.below(4) {
            0 => random.below(2000),
            1 => random.below(60_000),
            2 => 65_000 + random.below(300_000),
            _ => random.below(2 << 20),
        };
        held.push(Known::put(seed << 32 | round, length as usize));
        for _ in 0..3 {
            held[random.below(held.len() as u64) as usize].check();
        }
        if held.len() > 60 {
            held.swap_remove(random.below(held.len() as u64) as usize);
        }
    }
    held.iter().for_each(Known::check);
}

#[test]
fn readers_never_see_what_is_not_theirs() {
    alone(|| {
        if let Some(seed) = role().and_then(|role| role.strip_prefix("reader-").map(str::to_owned)) {
            attach();
            read_and_drop(seed.parse().unwrap());
            plasmon::shutdown().unwrap();
            return;
        }
        let info = start(12 * MIB, |_| {});
        publish(&info);
        let readers: Vec<Child> = (1..=READERS).map(|seed| Child::start(&format!("reader-{seed}"))).collect();
        // Tasks read what this process made, beside them.
        let shared: Vec<Known> = (0..40).map(|seed| Known::put(seed, 20_000 * (seed as usize + 1))).collect();
        let objects: Vec<_> = shared.iter().map(|known| known.object.clone()).collect();
        let seeds: Vec<_> = shared.iter().map(|known| (known.seed, known.length)).collect();
        let tasks: Vec<_> = (0..2).map(|round| read_all.remote(objects.clone(), seeds.clone(), round).unwrap()).collect();
        for task in tasks {
            assert_eq!(plasmon::get(&task).unwrap(), ROUNDS);
        }
        shared.iter().for_each(Known::check);
        readers.into_iter().for_each(Child::succeed);
        let mut viewer = Viewer::here();
        let row = viewer.report().store.spill;
        assert!(row.spilled_objects_total > 100 && row.restored_objects_total > 100, "{row:?}");
        drop((objects, shared));
        viewer.until("nothing is left, on disk neither", |report| report.is_empty() && report.store.spill.files == 0);
        let _ = Flag::named("done");
        eventually("no file is left", || super::store::spill_files().is_empty());
    });
}
