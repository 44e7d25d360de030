//! Where every byte of the store is, whatever churn there was.

use super::store::{Known, MIB, spill_row, start};
use crate::support::{Random, Viewer, alone};

const CHUNK: u64 = 256 << 10;

/// Keeps about one of `keep` of many small objects, made in any order.
fn churn(rounds: u64, keep: u64, seed: u64) -> Vec<Known> {
    let mut random = Random(seed);
    let mut held: Vec<Known> = Vec::new();
    for round in 0..rounds {
        for index in 0..200 {
            held.push(Known::put(seed << 40 | round << 16 | index, 200 + random.below(3000) as usize));
        }
        held.retain(|_| random.below(keep) != 0 || random.below(2) == 0);
    }
    held.retain(|_| random.below(keep) == 0);
    held
}

#[test]
fn churn_leaves_no_holes() {
    alone(|| {
        start(64 * MIB, |_| {});
        let mut viewer = Viewer::here();
        let held = churn(60, 10, 3);
        assert!(held.len() > 100, "{}", held.len());
        // The driver's chunk, and the agent's.
        let processes = 2;
        viewer.until("slack and holes are a tenth of what lives, and a chunk for each process", |report| {
            let ledger = report.ledger();
            let bound = ledger.used_bytes() / 10 + processes * CHUNK;
            ledger.hole_bytes <= bound && ledger.slack_bytes <= bound
        });
        held.iter().for_each(Known::check);
        drop(held);
        viewer.until_empty();
    });
}

#[test]
fn churn_with_spilling_leaves_no_holes() {
    alone(|| {
        start(4 * MIB, |_| {});
        let mut viewer = Viewer::here();
        let held = churn(100, 4, 5);
        assert!(spill_row(&mut viewer).spilled_objects_total > 0);
        viewer.until("slack and holes are a tenth of what lives, and a chunk for each process", |report| {
            let ledger = report.ledger();
            // A store of so few chunks has small ones.
            let bound = ledger.used_bytes() / 10 + 2 * CHUNK;
            ledger.hole_bytes <= bound && ledger.slack_bytes <= bound
        });
        held.iter().for_each(Known::check);
        drop(held);
        viewer.until("nothing is left, on disk neither", |report| report.is_empty() && report.store.spill.files == 0);
    });
}

#[test]
fn more_views_than_a_table_holds_stay_where_they_are() {
    alone(|| {
        start(16 * MIB, |_| {});
        let held: Vec<Known> = (0..1500).map(|seed| Known::put(seed, 4000)).collect();
        let views: Vec<_> = held.iter().map(|known| plasmon::get(&known.object).unwrap()).collect();
        // Everything else has to make room around them.
        for seed in 0..30 {
            Known::put(1 << 32 | seed, 1 << 20).check();
            let more: Vec<Known> = (0..4).map(|index| Known::put(seed << 20 | index, 2 << 20)).collect();
            more.iter().for_each(Known::check);
        }
        for (known, view) in held.iter().zip(&views) {
            super::pattern::must_be(view, known.seed, known.length);
        }
        drop(views);
        drop(held);
        Viewer::here().until_empty();
    });
}

#[test]
fn an_agent_that_has_spilled_needs_no_more_than_before() {
    alone(|| {
        start(32 * MIB, |_| {});
        let mut viewer = Viewer::here();
        let heap = |viewer: &mut Viewer| viewer.report().store.node.agent_heap_bytes;
        // What it needs for objects at all, without any of them spilled. Measured now and then: the most of many looks is of now.
        let few: Vec<Known> = (0..4).map(|seed| Known::put(seed, 1 << 20)).collect();
        few.iter().for_each(Known::check);
        let (mut before, mut looks) = (0, 0);
        crate::support::eventually("its heap is known", || {
            before = before.max(heap(&mut viewer));
            looks += u32::from(before > 0);
            looks > 500
        });
        drop(few);
        let held: Vec<Known> = (0..24).map(|seed| Known::put(seed, 4 << 20)).collect();
        // One buffer is more than this.
        crate::support::eventually("buffers are in use", || {
            held.iter().for_each(Known::check);
            heap(&mut viewer) > before + 3 * MIB
        });
        crate::support::eventually("the buffers have gone", || heap(&mut viewer) < before + 3 * MIB);
        held.iter().for_each(Known::check);
    });
}
