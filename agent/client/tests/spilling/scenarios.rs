//! What Ray's tests of spilling ask for.

use std::time::Duration;

use plasmon::Error;
use plasmon_protocol::explain::Subject;
use plasmon_protocol::record::{EventKind, ObjectState};
use plasmon_protocol::stream::{Detail, Target};

use super::pattern::must_be;
use super::store::{Known, MIB, file_rows, files_below, spill_dir, spill_files, spill_row, start};
use crate::support::{Random, Viewer, alone, directory, eventually};

/// Puts and gets of objects that together are many times the store.
pub(crate) fn through_a_small_store(count: u64, reads: u64, seed: u64) {
    let mut random = Random(seed);
    let mut objects: Vec<Known> = Vec::new();
    for index in 0..count {
        let length = 8 * MIB + random.below(16 * MIB);
        objects.push(Known::put(index + 1, length as usize));
        if index % 3 == 0 {
            objects[random.below(objects.len() as u64) as usize].check();
        }
    }
    for _ in 0..reads {
        objects[random.below(count) as usize].check();
    }
}

#[test]
fn a_hundred_objects_through_a_store_of_75_mib() {
    alone(|| {
        start(75 * MIB, |_| {});
        through_a_small_store(100, 1000, 7);
        let mut viewer = Viewer::here();
        let row = spill_row(&mut viewer);
        assert!(row.spilled_bytes_total > 10 * 75 * MIB && row.restored_bytes_total > 10 * 75 * MIB, "{row:?}");
        assert!(row.spill_ms_total > 0 && row.restore_ms_total > 0, "{row:?}");
        viewer.until("all is gone, on disk too", |report| {
            let spill = &report.store.spill;
            report.is_empty() && (spill.files, spill.file_bytes, spill.objects) == (0, 0, 0)
        });
        assert_eq!(spill_files(), [] as [std::path::PathBuf; 0]);
        let row = spill_row(&mut viewer);
        assert_eq!(row.files_total, row.deleted_total, "{row:?}");
        assert_eq!(row.spilled_bytes_total, row.dead_bytes_total, "{row:?}");
        plasmon::shutdown().unwrap();
        assert_eq!(files_below(&spill_dir()), [] as [std::path::PathBuf; 0]);
    });
}

#[test]
fn one_thread_for_io_never_locks_up() {
    alone(|| {
        start(32 * MIB, |agent| agent.spill_threads = Some(1));
        let threads: Vec<_> = (0..4_u64)
            .map(|thread| {
                std::thread::spawn(move || {
                    let mut random = Random(thread);
                    let mut objects = Vec::new();
                    for index in 0..40 {
                        objects.push(Known::put(thread << 32 | index, 1 << 20));
                        objects[random.below(objects.len() as u64) as usize].check();
                    }
                    objects.iter().for_each(Known::check);
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        Viewer::here().until_empty();
    });
}

#[plasmon::remote(num_returns = 4)]
fn make_four(length: usize) -> (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>) {
    let make = |seed| super::pattern::pattern(seed, length);
    (make(1), make(2), make(3), make(4))
}

#[test]
fn four_results_of_50_mib_through_a_store_of_100_mib() {
    alone(|| {
        start(100 * MIB, |_| {});
        let length = 50 * MIB as usize;
        let (first, second, third, fourth) = make_four.remote(length).unwrap();
        for (seed, result) in [(1, first), (2, second), (3, third), (4, fourth)] {
            must_be(&plasmon::get(&result).unwrap(), seed, length);
        }
        Viewer::here().until_empty();
    });
}

#[test]
fn a_copy_that_came_back_costs_no_second_write() {
    alone(|| {
        start(32 * MIB, |_| {});
        let mut viewer = Viewer::here();
        let objects: Vec<Known> = (0..24).map(|seed| Known::put(seed, 4 << 20)).collect();
        // What is written from here on is what was never written before: at most all of it once.
        for _ in 0..5 {
            objects.iter().for_each(Known::check);
        }
        let row = spill_row(&mut viewer);
        assert!(row.spilled_objects_total <= 24 && row.restored_objects_total >= 4 * 16, "{row:?}");
        assert_eq!(row.spilled_bytes_total, row.spilled_objects_total * (4 << 20));
        // Copies may still be let go of.
        let mut objects_seen = Vec::new();
        eventually("the rows are as many as the sum says", || {
            objects_seen = viewer.objects();
            let spilled = objects_seen.iter().filter(|row| row.state == ObjectState::Spilled).count() as u64;
            spilled == spill_row(&mut viewer).spilled_objects
        });
        assert!(objects_seen.iter().filter(|row| row.restores > 0).all(|row| row.spilled_ms <= row.restored_ms), "{objects_seen:?}");
        assert_eq!(viewer.events_of(EventKind::Thrash), 1, "the same objects came back again and again");
    });
}

#[test]
fn wait_and_time_limits_know_what_is_spilled() {
    alone(|| {
        start(16 * MIB, |_| {});
        let mut viewer = Viewer::here();
        let objects: Vec<Known> = (0..12).map(|seed| Known::put(seed, 4 << 20)).collect();
        let away = |viewer: &mut Viewer| {
            viewer.objects().iter().filter(|row| row.state == ObjectState::Spilled).map(|row| row.object_id).collect::<Vec<_>>()
        };
        let spilled = away(&mut viewer);
        assert!(spilled.len() >= 8, "{spilled:?}");
        // What is spilled is there, and waiting for it brings nothing back.
        let references: Vec<_> = objects.iter().map(|known| known.object.clone()).collect();
        let (ready, rest) = plasmon::wait(&references, references.len(), Some(Duration::ZERO)).unwrap();
        assert_eq!((ready.len(), rest.len()), (12, 0));
        let still = away(&mut viewer);
        assert!(spilled.iter().all(|object| still.contains(object)), "{still:?} of {spilled:?}");
        // That it is held is no reason for being away, and nobody waits.
        let target = Target::Explain(Subject::Object(spilled[0]));
        let Some(Detail::Explain(told)) = viewer.detail(target) else { panic!("not explained") };
        let verdict = &told.answers[0].verdict;
        assert!(verdict.ends_with("is on disk, and nobody waits for it: a get reads it back"), "{verdict}");
        // A get that gives up gets the object at another time, and leaves no pin behind.
        let gone = objects.iter().find(|known| spilled.contains(&known.object.id())).unwrap();
        match plasmon::get_timeout(&gone.object, Duration::ZERO) {
            Err(Error::GetTimeout { object, .. }) => assert_eq!(object, gone.object.id()),
            Err(error) => panic!("{error}"),
            Ok(view) => must_be(&view, gone.seed, gone.length),
        }
        gone.check();
        viewer.until("no view is left", |report| report.references.iter().all(|row| row.pinned == 0));
    });
}

#[test]
fn spilling_off_writes_nothing_anywhere() {
    alone(|| {
        start(16 * MIB, |agent| agent.spill = Some(false));
        let mut viewer = Viewer::here();
        let held: Vec<Known> = (0..3).map(|seed| Known::put(seed, 4 << 20)).collect();
        let more: Vec<_> = (3..6).map(|seed| Known::try_put(seed, 4 << 20)).collect();
        assert!(more.iter().skip(1).all(|put| matches!(put, Err(Error::ObjectStoreFull { .. }))), "{more:?}");
        held.iter().for_each(Known::check);
        let row = spill_row(&mut viewer);
        assert_eq!((&*row.state, row.files, row.spilled_bytes_total), ("off", 0, 0));
        assert_eq!(files_below(&spill_dir()), [] as [std::path::PathBuf; 0]);
        let in_session = files_below(&directory());
        let large: Vec<_> = in_session.iter().filter(|path| path.metadata().is_ok_and(|metadata| metadata.len() > MIB)).collect();
        assert!(large.is_empty(), "{large:?}");
        assert_eq!(file_rows(&mut viewer), []);
    });
}

#[test]
fn a_get_of_more_than_fits_ends_for_everybody() {
    alone(|| {
        start(32 * MIB, |_| {});
        let objects: Vec<Known> = (0..16).map(|seed| Known::put(seed, 8 << 20)).collect();
        let objects = std::sync::Arc::new(objects);
        // All at once, all kept: those that do not fit are told so in bounded time, and the others are right.
        let getters: Vec<_> = (0..16)
            .map(|index| {
                let objects = std::sync::Arc::clone(&objects);
                std::thread::spawn(move || plasmon::get(&objects[index].object))
            })
            .collect();
        let views: Vec<_> = getters.into_iter().map(|getter| getter.join().unwrap()).collect();
        let mut refused = 0;
        for (known, view) in objects.iter().zip(&views) {
            match view {
                Ok(view) => must_be(view, known.seed, known.length),
                Err(Error::ObjectStoreFull { asked, .. }) => {
                    assert_eq!(asked.0, 8 << 20);
                    refused += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!((1..=13).contains(&refused), "{refused} of 16 were refused");
        drop(views);
        objects.iter().for_each(Known::check);
    });
}

#[test]
fn everything_pinned_is_a_typed_error() {
    alone(|| {
        start(32 * MIB, |_| {});
        let mut viewer = Viewer::here();
        let objects: Vec<Known> = (0..3).map(|seed| Known::put(seed, 8 << 20)).collect();
        let views: Vec<_> = objects.iter().map(|known| plasmon::get(&known.object).unwrap()).collect();
        let error = Known::try_put(9, 16 << 20).unwrap_err();
        assert!(matches!(error, Error::ObjectStoreFull { .. }), "{error}");
        assert!(viewer.report().ledger().pinned_bytes >= 3 * (8 << 20));
        for (known, view) in objects.iter().zip(&views) {
            must_be(view, known.seed, known.length);
        }
        // Room comes as soon as somebody lets go.
        drop(views);
        Known::put(9, 16 << 20).check();
    });
}
