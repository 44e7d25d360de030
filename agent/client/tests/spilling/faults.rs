//! Faults of external storage: what a program is told, and that work goes on.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use plasmon::Error;
use plasmon_protocol::record::{EventKind, ObjectState};

use super::scenarios::through_a_small_store;
use super::store::{Known, MIB, spill_dir, spill_files, spill_row, start};
use crate::support::{Place, Viewer, alone, at, directory, eventually};

/// Lets external storage fail like this from now on; nothing: not at all.
fn faults(plan: &str) {
    let draft = directory().join("fault.new");
    std::fs::write(&draft, plan).unwrap();
    std::fs::rename(&draft, directory().join("fault")).unwrap();
}

#[test]
fn a_disk_that_fails_now_and_then_costs_nobody_anything() {
    alone(|| {
        start(32 * MIB, |_| {});
        let done = Arc::new(AtomicBool::new(false));
        let trouble = {
            let done = Arc::clone(&done);
            std::thread::spawn(move || {
                let plans = ["write:3:EIO:once", "any:2:ENOSPC:always", "sync:1:EIO:once", "write:2:short:once", "create:1:EROFS:always"];
                for plan in plans.iter().cycle() {
                    faults(plan);
                    std::thread::sleep(Duration::from_millis(60));
                    faults("");
                    std::thread::sleep(Duration::from_millis(120));
                    if done.load(Ordering::SeqCst) {
                        return;
                    }
                }
            })
        };
        // Gets may hit a failing read: they say so, and another one serves. What is there is always right.
        let objects: Vec<Known> = (0..80).map(|seed| put_at_last(seed, 3 << 20)).collect();
        for _ in 0..2 {
            objects.iter().for_each(check_at_last);
        }
        done.store(true, Ordering::SeqCst);
        trouble.join().unwrap();
        faults("");
        let mut viewer = Viewer::here();
        let row = spill_row(&mut viewer);
        assert!(row.failures_total > 0, "nothing failed: {row:?}");
        drop(objects);
        viewer.until("nothing is left, on disk neither", |report| report.is_empty() && report.store.spill.files == 0);
        eventually("no file is left", || spill_files().is_empty());
    });
}

/// Puts until there is room: a disk that fails for long refuses, and then serves again.
fn put_at_last(seed: u64, length: usize) -> Known {
    loop {
        match Known::try_put(seed, length) {
            Ok(known) => return known,
            Err(Error::OutOfDisk { .. } | Error::ObjectStoreFull { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn check_at_last(known: &Known) {
    loop {
        match plasmon::get(&known.object) {
            Ok(view) => return super::pattern::must_be(&view, known.seed, known.length),
            Err(Error::ObjectLost { cause, .. }) => assert!(cause.contains("cannot be read back now"), "{cause}"),
            Err(Error::OutOfDisk { .. } | Error::ObjectStoreFull { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_slow_disk_is_only_slow() {
    alone(|| {
        faults("slow:20ms");
        start(75 * MIB, |agent| agent.spill_threads = Some(1));
        through_a_small_store(20, 60, 3);
    });
}

#[test]
fn a_disk_that_takes_seconds_for_one_operation_is_waited_for() {
    alone(|| {
        // Longer than a create waits for room that nobody makes.
        faults("slow:2500ms");
        start(16 * MIB, |_| {});
        let objects: Vec<Known> = (0..8).map(|seed| Known::put(seed, 3 << 20)).collect();
        faults("");
        objects.iter().for_each(Known::check);
    });
}

#[test]
fn a_full_disk_is_said_once_and_spilling_goes_on_by_itself() {
    alone(|| {
        start(16 * MIB, |_| {});
        let mut viewer = Viewer::here();
        let mut held: Vec<Known> = (0..10).map(|seed| Known::put(seed, 2 << 20)).collect();
        faults("write:1:ENOSPC:always");
        let error = loop {
            match Known::try_put(held.len() as u64, 2 << 20) {
                Ok(known) => held.push(known),
                Err(error) => break error,
            }
            assert!(held.len() < 40, "nothing is refused");
        };
        let Error::OutOfDisk { cause, site, .. } = &error else { panic!("{error}") };
        assert!(cause.contains(spill_dir().to_str().unwrap()) && cause.contains("No space left"), "{cause}");
        assert!(site.contains("store.rs"), "{site}");
        // What is held is all there, in memory or on disk, although nothing more can be written.
        held.iter().for_each(Known::check);
        let row = spill_row(&mut viewer);
        assert!(row.failing && row.state.contains("No space left"), "{row:?}");
        let said = viewer.events().iter().filter(|event| event.kind == EventKind::SpillState).count();
        assert_eq!(said, 1, "one line for one state");
        faults("");
        viewer.until("spilling goes on by itself", |report| !report.store.spill.failing);
        held.extend((100..110).map(|seed| Known::put(seed, 2 << 20)));
        held.iter().for_each(Known::check);
    });
}

/// Spilled objects, all of them away from memory, with the line that put them.
fn spilled() -> (Vec<Known>, Place) {
    start(16 * MIB, |_| {});
    let put = |seed| {
        let bytes = super::pattern::pattern(seed, 2 << 20);
        let (object, place) = at!(plasmon::put(&bytes[..]).unwrap());
        (Known { seed, length: bytes.len(), object }, place)
    };
    let (objects, places): (Vec<Known>, Vec<Place>) = (0..16).map(put).unzip();
    (objects, places[0])
}

fn away(viewer: &mut Viewer, objects: &[Known]) -> Vec<usize> {
    let rows = viewer.objects();
    let is_away = |known: &Known| rows.iter().any(|row| row.object_id == known.object.id() && row.state == ObjectState::Spilled);
    (0..objects.len()).filter(|index| is_away(&objects[*index])).collect()
}

/// Damages what is on disk, and sees that nothing of it is ever taken for a value.
fn damaged(damage: impl FnOnce(&[PathBuf]), words: &[&str]) {
    let (objects, place) = spilled();
    let mut viewer = Viewer::here();
    viewer.until("nothing is being written", |report| report.store.spill.writing_bytes == 0);
    let gone = away(&mut viewer, &objects);
    assert!(gone.len() >= 6, "{gone:?}");
    damage(&spill_files());
    let mut lost = 0;
    for index in gone {
        let known = &objects[index];
        match plasmon::get(&known.object) {
            Ok(view) => super::pattern::must_be(&view, known.seed, known.length),
            Err(Error::ObjectLost { object, cause }) => {
                lost += 1;
                assert_eq!(object, known.object.id());
                assert!(cause.contains(spill_dir().to_str().unwrap()), "names its file: {cause}");
                assert!(cause.contains(&format!("faults.rs:{}", place.line)), "names its site: {cause}");
                assert!(words.iter().any(|word| cause.contains(word)), "{cause} says none of {words:?}");
                // It stays lost, and says the same again.
                let again = plasmon::get(&known.object).unwrap_err();
                assert_eq!(again, Error::ObjectLost { object, cause });
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(lost > 0, "no damage was noticed");
    assert_eq!(viewer.events_of(EventKind::ObjectLost), lost);
    // Everybody else goes on.
    Known::put(77, 3 << 20).check();
    drop(objects);
    viewer.until("nothing is left, on disk neither", |report| report.is_empty() && report.store.spill.files == 0);
}

#[test]
fn a_flipped_bit_is_a_lost_object() {
    alone(|| {
        damaged(
            |files| {
                for path in files {
                    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
                    let mut byte = [0];
                    file.read_exact_at(&mut byte, 300_000).unwrap();
                    file.write_all_at(&[byte[0] ^ 4], 300_000).unwrap();
                }
            },
            &["checksum"],
        );
    });
}

#[test]
fn a_truncated_file_is_a_lost_object() {
    alone(|| {
        damaged(
            |files| {
                for path in files {
                    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(8192).unwrap();
                }
            },
            &["ends"],
        );
    });
}

#[test]
fn a_missing_file_is_a_lost_object() {
    alone(|| {
        damaged(
            |files| files.iter().for_each(|path| std::fs::remove_file(path).unwrap()),
            &["missing", "gone", "not there", "No such file"],
        )
    });
}

#[test]
fn swapped_files_are_lost_objects() {
    alone(|| {
        damaged(
            |files| {
                let aside = directory().join("aside");
                for pair in files.chunks_exact(2) {
                    std::fs::rename(&pair[0], &aside).unwrap();
                    std::fs::rename(&pair[1], &pair[0]).unwrap();
                    std::fs::rename(&aside, &pair[1]).unwrap();
                }
            },
            &["is that of object"],
        );
    });
}

#[test]
fn a_read_that_fails_once_is_tried_again_by_the_next_get() {
    alone(|| {
        let (objects, _) = spilled();
        let mut viewer = Viewer::here();
        let gone = away(&mut viewer, &objects);
        faults("read:1:EIO:always");
        let known = &objects[gone[0]];
        let error = plasmon::get(&known.object).unwrap_err();
        let Error::ObjectLost { cause, .. } = &error else { panic!("{error}") };
        assert!(cause.contains("cannot be read back now"), "{cause}");
        faults("");
        objects.iter().for_each(Known::check);
    });
}

#[test]
fn a_vanished_directory_loses_what_was_in_it_and_nothing_else() {
    alone(|| {
        let (mut objects, _) = spilled();
        let mut viewer = Viewer::here();
        viewer.until("nothing is being written", |report| report.store.spill.writing_bytes == 0);
        let gone = away(&mut viewer, &objects);
        std::fs::remove_dir_all(spill_dir()).unwrap();
        let mut lost = 0;
        for known in &objects {
            match plasmon::get(&known.object) {
                Ok(view) => super::pattern::must_be(&view, known.seed, known.length),
                Err(Error::ObjectLost { cause, .. }) => {
                    assert!(cause.contains(spill_dir().to_str().unwrap()), "{cause}");
                    lost += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!(lost >= gone.len(), "{lost} of {gone:?}");
        // It is made again, or refused by name; either way nobody waits for ever.
        objects.clear();
        objects.extend((20..30).filter_map(|seed| Known::try_put(seed, 2 << 20).ok()));
        assert!(objects.len() >= 6, "a store of 16 MiB holds that");
        objects.iter().for_each(Known::check);
    });
}
