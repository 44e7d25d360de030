//! Results whose only copy is lost are made again by the tasks that made them.

use plasmon::{Error, ObjectRef, TaskOptions};
use plasmon_protocol::record::{EventKind, ObjectState, TaskStatus};
use plasmon_protocol::size::Bytes;

use super::pattern::{must_be, pattern};
use super::store::{Known, MIB, spill_files, start};
use crate::support::{Flag, Viewer, alone};

const LENGTH: usize = 2 << 20;

/// How often it was made.
fn made(seed: u64) -> Flag {
    Flag::named(&format!("made-{seed}"))
}

#[plasmon::remote]
fn make(seed: u64) -> Vec<u8> {
    let before = made(seed);
    let times = if before.is_raised() { before.wait().parse::<u32>().expect("a number") } else { 0 };
    before.say(&(times + 1).to_string());
    pattern(seed, LENGTH)
}

#[plasmon::remote]
fn copy(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

fn known(seed: u64, object: ObjectRef<[u8]>) -> Known {
    Known { seed, length: LENGTH, object }
}

/// Makes objects until the first ones are in external storage only; and damages all that is there. Which are away.
fn lose(viewer: &mut Viewer, objects: &[Known]) -> Vec<usize> {
    objects.iter().for_each(|known| drop(plasmon::wait(std::slice::from_ref(&known.object), 1, None).unwrap()));
    viewer.until("nothing is being written", |report| report.store.spill.writing_bytes == 0);
    let rows = viewer.objects();
    let is_away = |known: &Known| rows.iter().any(|row| row.object_id == known.object.id() && row.state == ObjectState::Spilled);
    let away: Vec<usize> = (0..objects.len()).filter(|index| is_away(&objects[*index])).collect();
    assert!(away.len() >= 6, "{away:?}");
    for path in spill_files() {
        std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(8192).unwrap();
    }
    away
}

#[test]
fn lost_results_are_made_again() {
    alone(|| {
        start(16 * MIB, |_| {});
        let mut viewer = Viewer::here();
        let objects: Vec<Known> = (0..16).map(|seed| known(seed, make.remote(seed).unwrap())).collect();
        lose(&mut viewer, &objects);
        // Tasks end a little after their results are there.
        let ledger = viewer.until("all are kept, to be made again", |report| report.ledger().lineage_tasks == 16).store.ledger;
        assert!(ledger.lineage_bytes > 16 * 100 && ledger.lineage_bytes < 64 * 1024, "{ledger:?}");
        objects.iter().for_each(Known::check);
        // More may be lost than was away at first: copies in memory go, and their damaged records are read.
        let rebuilt = viewer.events_of(EventKind::TaskRebuilt);
        let again: Vec<u32> = (0..16).map(|seed| made(seed).wait().parse::<u32>().unwrap() - 1).collect();
        assert!(rebuilt > 0 && again.iter().sum::<u32>() as usize == rebuilt, "{rebuilt}: {again:?}");
        assert_eq!(viewer.events_of(EventKind::ObjectLost), 0);
        viewer.until("all have ended once more", |report| report.store.node.tasks_running + report.store.node.tasks_pending == 0);
        for row in viewer.tasks() {
            assert_eq!((row.status, row.retries_left + row.attempt), (TaskStatus::Finished, 4), "{row:?}");
        }
        drop(objects);
        let report = viewer.until("nothing is left", |report| report.is_empty() && report.store.spill.files == 0);
        assert_eq!((report.store.ledger.lineage_tasks, report.store.ledger.lineage_bytes), (0, 0));
    });
}

#[test]
fn a_lost_argument_that_is_held_is_made_again_first() {
    alone(|| {
        start(16 * MIB, |_| {});
        let mut viewer = Viewer::here();
        let sources: Vec<Known> = (0..8).map(|seed| known(seed, make.remote(seed).unwrap())).collect();
        let copies: Vec<Known> = sources.iter().map(|known| self::known(known.seed, copy.remote(&known.object).unwrap())).collect();
        let fill: Vec<Known> = (100..108).map(|seed| known(seed, make.remote(seed).unwrap())).collect();
        let all: Vec<Known> = sources.into_iter().chain(copies).chain(fill).collect();
        lose(&mut viewer, &all);
        all[8..16].iter().for_each(Known::check);
        all.iter().for_each(Known::check);
        assert!(viewer.events_of(EventKind::TaskRebuilt) > 0);
        assert_eq!(viewer.events_of(EventKind::ObjectLost), 0);
        drop(all);
        viewer.until("nothing is left", |report| report.is_empty() && report.store.spill.files == 0);
    });
}

/// Values on the way are freed as soon as nobody holds them; what was made of them is made again all the same, from the first on.
#[test]
fn arguments_that_nobody_holds_are_made_again_by_their_own_tasks() {
    alone(|| {
        start(16 * MIB, |_| {});
        let mut viewer = Viewer::here();
        let copies = (0..16).map(|seed| {
            let source = make.remote(seed).unwrap();
            let middle = copy.remote(&source).unwrap();
            known(seed, copy.remote(&middle).unwrap())
        });
        let copies: Vec<Known> = copies.collect();
        lose(&mut viewer, &copies);
        viewer.until("the values on the way are free, and all tasks kept", |report| {
            (report.store.objects, report.ledger().lineage_tasks) == (16, 48)
        });
        copies.iter().for_each(Known::check);
        let again: u32 = (0..16).map(|seed| made(seed).wait().parse::<u32>().unwrap() - 1).sum();
        assert!(again > 0 && viewer.events_of(EventKind::TaskRebuilt) >= 3 * again as usize, "{again}");
        assert_eq!(viewer.events_of(EventKind::ObjectLost), 0);
        drop(copies);
        let report = viewer.until("nothing is left", |report| report.is_empty() && report.store.spill.files == 0);
        assert_eq!((report.store.ledger.lineage_tasks, report.store.ledger.lineage_bytes), (0, 0));
    });
}

/// All that is lost is lost for ever, and the error says why.
fn stays_lost(objects: Vec<Known>, why: &str) {
    let mut viewer = Viewer::here();
    let away = lose(&mut viewer, &objects);
    let mut lost = 0;
    for index in away {
        match plasmon::get(&objects[index].object) {
            Ok(view) => must_be(&view, objects[index].seed, LENGTH),
            Err(Error::ObjectLost { cause, .. }) => {
                lost += 1;
                assert!(cause.contains(why), "{cause} does not say {why}");
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(lost > 0, "no damage was noticed");
    assert_eq!((viewer.events_of(EventKind::ObjectLost), viewer.events_of(EventKind::TaskRebuilt)), (lost, 0));
}

#[test]
fn a_result_without_retries_stays_lost() {
    alone(|| {
        start(16 * MIB, |_| {});
        let once = TaskOptions::new().max_retries(0);
        stays_lost((0..16).map(|seed| known(seed, make.options(once).remote(seed).unwrap())).collect(), "max_retries = 0");
    });
}

#[test]
fn what_was_put_stays_lost() {
    alone(|| {
        start(16 * MIB, |_| {});
        stays_lost((0..16).map(|seed| Known::put(seed, LENGTH)).collect(), "it was put");
    });
}

#[test]
fn an_argument_that_nobody_held_is_named() {
    alone(|| {
        start(16 * MIB, |_| {});
        let copies = (0..16).map(|seed| {
            let source = Known::put(seed, LENGTH);
            known(seed, copy.remote(&source.object).unwrap())
        });
        stays_lost(copies.collect(), "its argument 1 (object");
    });
}

#[test]
fn lineage_stays_within_its_limit() {
    alone(|| {
        start(16 * MIB, |agent| agent.lineage_limit = Some(Bytes(0)));
        stays_lost((0..16).map(|seed| known(seed, make.remote(seed).unwrap())).collect(), "--lineage-limit");
    });
}
