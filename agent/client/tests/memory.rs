//! Memory: objects of every size, churn, a full store, views and drafts. Agents poison what they reclaim, so that a view of memory
//! that was given away too early shows.

mod support;

use std::sync::Mutex;

use plasmon::{Error, ObjectRef, Pinned};
use plasmon_protocol::record::{EventKind, ReferenceType};
use support::{Random, Viewer, alone, check, content, eventually, start, start_sized, start_without_disk};

type Numbers = ObjectRef<[u64]>;

#[plasmon::remote]
fn verify(numbers: &[u64]) -> Result<u64, String> {
    check(numbers).map(|()| numbers.len() as u64)
}

#[plasmon::remote]
fn verify_all(objects: Vec<Numbers>) -> Result<u64, String> {
    let mut length = 0;
    for object in &objects {
        let numbers = plasmon::get(object).map_err(|error| error.to_string())?;
        check(&numbers)?;
        length += numbers.len() as u64;
    }
    Ok(length)
}

/// Puts, reads and drops at random; returns what is left in the end.
#[plasmon::remote]
fn churn(seed: u64, rounds: u32) -> Result<Vec<Numbers>, String> {
    churned(seed, rounds)
}

fn churned(seed: u64, rounds: u32) -> Result<Vec<Numbers>, String> {
    let mut random = Random(seed);
    let mut objects: Vec<Numbers> = Vec::new();
    let mut views: Vec<Pinned<[u64]>> = Vec::new();
    let told = |error: Error| error.to_string();
    for _ in 0..rounds {
        match random.below(8) {
            0..=2 if objects.len() < 24 => {
                let length = if random.below(6) == 0 { random.below(20_000) } else { random.below(300) };
                objects.push(plasmon::put(&content(random.next(), length as usize)[..]).map_err(told)?);
            }
            3 if objects.len() < 24 => {
                let length = random.below(5000) as usize;
                let mut draft = plasmon::create::<u64>(length).map_err(told)?;
                draft.copy_from_slice(&content(random.next(), length));
                if random.below(4) > 0 {
                    objects.push(draft.seal().map_err(told)?);
                }
            }
            4 if !objects.is_empty() && views.len() < 16 => {
                let object = &objects[random.below(objects.len() as u64) as usize];
                views.push(plasmon::get(object).map_err(told)?);
            }
            5 if !views.is_empty() => {
                let view = views.swap_remove(random.below(views.len() as u64) as usize);
                check(&view)?;
            }
            _ if !objects.is_empty() => {
                let object = objects.swap_remove(random.below(objects.len() as u64) as usize);
                check(&plasmon::get(&object).map_err(told)?)?;
            }
            _ => {}
        }
    }
    views.iter().try_for_each(|view| check(view))?;
    Ok(objects)
}

#[test]
fn objects_of_every_size_up_to_the_whole_store() {
    alone(|| {
        let info = start_sized(1.0, 16 << 20);
        let mut viewer = Viewer::here();
        assert_eq!(info.capacity, 16 << 20);
        let words = info.capacity as usize / 8;
        for length in [0, 1, 7, 8, 127, 128, 129, 511, 512, 8191, 8192, 8193, 32_768, 32_769, 100_001, words / 2, words - 1, words] {
            let put = plasmon::put(&content(length as u64, length)[..]).unwrap();
            let view = plasmon::get(&put).unwrap();
            assert_eq!(view.len(), length);
            check(&view).unwrap();
            // The worker lets go of the one before a little after it has verified it.
            viewer.until("it is all that is held", |report| report.store.totals.unique_bytes == length as u64 * 8);
            if length < words {
                assert_eq!(plasmon::get(&verify.remote(&put).unwrap()).unwrap(), length as u64);
            } else {
                // There is no byte left for anything else.
                assert_eq!(viewer.report().ledger().pinned_bytes, info.capacity);
            }
        }
        let report = viewer.until_empty();
        assert_eq!(report.store.put_bytes, report.store.put_bytes / 8 * 8);
        // Single bytes, too: no two objects share a place.
        let bytes: Vec<_> = (0..=255_u8).map(|byte| plasmon::put(&vec![byte; usize::from(byte)][..]).unwrap()).collect();
        for (byte, put) in (0..=255_u8).zip(&bytes) {
            assert_eq!(plasmon::get(put).unwrap()[..], vec![byte; usize::from(byte)]);
        }
        drop(bytes);
        viewer.until_empty();
    });
}

#[test]
fn many_small_objects_live_and_die() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let mut random = Random(7);
        let mut objects: Vec<(Numbers, u64)> = Vec::new();
        for round in 0..4_u64 {
            while objects.len() < 10_000 {
                let (seed, length) = (random.next(), random.below(40) as usize);
                objects.push((plasmon::put(&content(seed, length)[..]).unwrap(), seed));
            }
            let bytes: u64 = objects.iter().map(|(object, _)| plasmon::get(object).unwrap().len() as u64 * 8).sum();
            let totals = viewer.report().store.totals;
            assert_eq!((totals.unique_objects, totals.unique_bytes), (10_000, bytes));
            for (object, seed) in &objects {
                let view = plasmon::get(object).unwrap();
                check(&view).unwrap();
                assert!(view.first().is_none_or(|first| first == seed));
            }
            match round {
                // All, the younger half, every other one.
                0 => objects.clear(),
                1 => objects.truncate(5000),
                _ => {
                    let mut keep = false;
                    objects.retain(|_| {
                        keep = !keep;
                        keep
                    });
                }
            }
            let report = viewer.report();
            assert_eq!(report.store.totals.unique_objects, objects.len() as u64);
        }
        drop(objects);
        viewer.until_empty();
    });
}

#[test]
fn a_few_huge_objects_fill_the_store_again_and_again() {
    alone(|| {
        let info = start_without_disk(1.0, 64 << 20);
        let mut viewer = Viewer::here();
        let quarter = info.capacity as usize / 32;
        let mut objects: Vec<Numbers> = (0..4).map(|seed| plasmon::put(&content(seed, quarter)[..]).unwrap()).collect();
        assert_eq!(viewer.report().ledger().referenced_bytes, info.capacity);
        for seed in 4..8 {
            objects.remove(seed as usize % 3);
            objects.push(plasmon::put(&content(seed, quarter)[..]).unwrap());
        }
        objects.iter().for_each(|object| check(&plasmon::get(object).unwrap()).unwrap());
        // Three make room for a larger one, wherever the fourth lies.
        objects.drain(..3);
        let larger = plasmon::put(&content(99, quarter / 2 * 3)[..]).unwrap();
        objects.clear();
        let half = plasmon::put(&content(100, quarter * 2)[..]).unwrap();
        check(&plasmon::get(&larger).unwrap()).unwrap();
        check(&plasmon::get(&half).unwrap()).unwrap();
        drop((larger, half));
        viewer.until_empty();
    });
}

#[test]
fn a_loop_of_puts_and_drops_reuses_its_memory() {
    alone(|| {
        start_sized(1.0, 8 << 20);
        let mut viewer = Viewer::here();
        let numbers = content(3, 1 << 17);
        for _ in 0..300 {
            let put = plasmon::put(&numbers[..]).unwrap();
            drop(put);
        }
        for seed in 0..30_000_u64 {
            let put = plasmon::put(&[seed; 10][..]).unwrap();
            if seed % 1000 == 0 {
                assert_eq!(plasmon::get(&put).unwrap()[9], seed);
            }
        }
        let report = viewer.until_empty();
        assert_eq!((report.store.put_objects, report.store.put_bytes), (30_300, (300 << 20) + 30_000 * 80));
        assert_eq!(viewer.events_of(EventKind::StoreFull), 0);
    });
}

#[test]
fn churn_by_many_threads_and_workers_shows_every_reader_the_right_bytes() {
    alone(|| {
        start(2.0);
        let mut viewer = Viewer::here();
        let left: Mutex<Vec<Numbers>> = Mutex::default();
        let tasks: Vec<_> = (0..4).map(|seed| churn.remote(1000 + seed, 400).unwrap()).collect();
        std::thread::scope(|scope| {
            for seed in 0..4 {
                let left = &left;
                scope.spawn(move || left.lock().unwrap().extend(churned(seed, 600).unwrap()));
            }
            scope.spawn(|| {
                // Objects of one thread, read by tasks, of which nobody else holds a reference.
                for seed in 0..40 {
                    let numbers = plasmon::put(&content(seed, 1 + seed as usize * 100)[..]).unwrap();
                    let alone = verify.remote(numbers).unwrap();
                    let inside = verify_all.remote(vec![plasmon::put(&content(seed, 77)[..]).unwrap(); 3]).unwrap();
                    assert_eq!(plasmon::get(&alone).unwrap(), 1 + seed * 100);
                    assert_eq!(plasmon::get(&inside).unwrap(), 3 * 77);
                }
            });
        });
        for task in &tasks {
            left.lock().unwrap().extend(plasmon::get(task).unwrap());
        }
        drop(tasks);
        let left = left.into_inner().unwrap();
        let length: u64 = left.iter().map(|object| plasmon::get(object).unwrap().len() as u64).sum();
        let report = viewer.until("only what is left is held", |report| report.references.len() == left.len());
        assert_eq!(report.store.totals.unique_bytes, length * 8);
        assert_eq!(plasmon::get(&verify_all.remote(left.clone()).unwrap()).unwrap(), length);
        drop(left);
        viewer.until_empty();
        let limit = report.ledger().capacity_bytes / 16;
        eventually("no process keeps more idle memory than its share", || {
            viewer.processes().iter().all(|process| process.slack_bytes <= limit)
        });
        assert_eq!(viewer.events_of(EventKind::ProcessDropped), 0);
    });
}

#[plasmon::remote]
fn make_full(length: u64) -> Vec<u64> {
    content(length, length as usize)
}

#[test]
fn more_views_than_the_pin_table_has_places() {
    alone(|| {
        start(1.0);
        let objects: Vec<Numbers> = (0..3000).map(|seed| plasmon::put(&content(seed, 20)[..]).unwrap()).collect();
        let views: Vec<_> = objects.iter().map(|object| plasmon::get(object).unwrap()).collect();
        let again: Vec<_> = (0..2000).map(|_| plasmon::get(&objects[7]).unwrap()).collect();
        drop(objects);
        // Only now: on a busy machine those beyond the table take longer than a viewer may be silent.
        let mut viewer = Viewer::here();
        let report = viewer.report();
        assert_eq!(report.references.len(), 3000);
        assert!(report.references.iter().all(|row| row.reference_type == ReferenceType::PinnedInMemory && row.local == 0));
        assert_eq!(report.references.iter().map(|row| u64::from(row.pinned)).sum::<u64>(), 5000);
        assert_eq!(report.ledger().pinned_bytes, 3000 * 160);
        // What is put meanwhile takes no place of theirs.
        for seed in 0..3000 {
            drop(plasmon::put(&content(seed + 10_000, 20)[..]).unwrap());
        }
        let value = plasmon::put(&"read through no pin of its own".to_owned()).unwrap();
        assert_eq!(plasmon::get(&value).unwrap().len(), 30);
        for (seed, view) in (0..).zip(&views) {
            check(view).unwrap();
            assert_eq!(view[0], seed);
        }
        drop(views);
        assert_eq!(viewer.report().references.len(), 2);
        again.iter().for_each(|view| check(view).unwrap());
        drop((again, value));
        viewer.until_empty();
    });
}

#[test]
fn a_draft_is_nobodys_object_until_it_is_sealed() {
    alone(|| {
        let info = start_sized(1.0, 16 << 20);
        let mut viewer = Viewer::here();
        let mut draft = plasmon::create::<u64>(100_000).unwrap();
        let report = viewer.report();
        assert_eq!((report.references.len(), report.ledger().creating_bytes), (0, 800_000_u64.next_multiple_of(4096)));
        draft.copy_from_slice(&content(5, 100_000));
        check(&draft).unwrap();
        let sealed = draft.seal().unwrap();
        let report = viewer.report();
        assert_eq!((report.references.len(), report.ledger().creating_bytes), (1, 0));
        check(&plasmon::get(&sealed).unwrap()).unwrap();
        assert_eq!(plasmon::get(&verify.remote(&sealed).unwrap()).unwrap(), 100_000);
        drop(sealed);
        viewer.until_empty();
        // An abandoned one leaves nothing.
        for length in [0, 1, 1000, 50_000, 1 << 20] {
            let mut draft = plasmon::create::<u64>(length).unwrap();
            draft.fill(1);
            drop(draft);
        }
        viewer.until_empty();
        // Nor does it stand in the way of anybody else.
        let mut draft = plasmon::create::<u64>(info.capacity as usize / 8).unwrap();
        draft[0] = 1;
        drop(draft);
        let result = make_full.remote(info.capacity / 16).unwrap();
        check(&plasmon::get(&result).unwrap()).unwrap();
        let (one, other) = (plasmon::create::<u8>(10).unwrap(), plasmon::create::<u8>(10).unwrap());
        let (one, other) = (other.seal().unwrap(), one.seal().unwrap());
        assert_ne!(one, other);
        drop((one, other, result));
        viewer.until_empty();
    });
}
