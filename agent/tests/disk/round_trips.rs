//! What is written comes back.

use std::sync::Arc;

use plasmon_agent::disk::directory::Directory;
use plasmon_agent::disk::target::SpillTarget;
use plasmon_agent::spill::job::{Failure, Job, Report};

use crate::rig::{Object, Random, Rig, names};

const MIB: u64 = 1 << 20;

fn rig(path: &std::path::Path, threads: u32) -> Rig {
    Rig::new(vec![Arc::new(Directory::make(&path.join("spill")).unwrap())], 192 * MIB, threads)
}

/// Sizes around every boundary there is.
fn lengths() -> Vec<u64> {
    let edges = [0, 1, 63, 64, 65, 4032, 4095, 4096, 4097, 65_535, 65_536, 65_537, 70_000, MIB - 1, MIB, MIB + 1, 4 * MIB, 9 * MIB + 5];
    edges.into_iter().chain([4 * MIB - 64, 4 * MIB + 4096, 0, 7, 300_000, 1000]).collect()
}

#[test]
fn objects_of_every_size_come_back() {
    let directory = tempfile::tempdir().unwrap();
    for (threads, align) in [(1, 64), (2, 4096)] {
        let mut rig = rig(directory.path(), threads);
        let mut objects: Vec<Object> = lengths().into_iter().map(|length| rig.put(length, align)).collect();
        let mut random = Random(threads.into());
        for file in 1..4 {
            objects.sort_by_cached_key(|_| random.next());
            rig.write(file, &mut objects).unwrap();
            assert_eq!(rig.check(file, &objects), []);
            // Some of them, and one alone.
            let some: Vec<Object> = objects.iter().copied().filter(|_| random.next().is_multiple_of(2)).collect();
            assert_eq!(rig.check(file, &some), []);
            assert_eq!(rig.check(file, &objects[..1]), []);
            let mut live = some;
            assert_eq!(rig.compact(file, file + 10, &mut live).unwrap(), []);
            assert_eq!(rig.check(file + 10, &live), []);
            rig.delete(file).unwrap();
            rig.delete(file).unwrap();
            assert_eq!(names(&directory.path().join("spill")), [(file + 10).to_string()]);
            rig.delete(file + 10).unwrap();
        }
    }
}

#[test]
fn small_objects_are_fused() {
    let directory = tempfile::tempdir().unwrap();
    let mut rig = rig(directory.path(), 1);
    let mut objects: Vec<Object> = (0..5000).map(|index| rig.put(index % 1500, 64)).collect();
    rig.write(1, &mut objects).unwrap();
    assert_eq!(rig.check(1, &objects), []);
    let far: Vec<Object> = objects.iter().copied().step_by(700).collect();
    assert_eq!(rig.check(1, &far), []);
    let mut live: Vec<Object> = objects.iter().copied().step_by(3).collect();
    assert_eq!(rig.compact(1, 2, &mut live).unwrap(), []);
    assert_eq!(rig.check(2, &live), []);
}

#[test]
fn a_file_is_private_and_of_the_announced_size() {
    use std::os::unix::fs::MetadataExt;
    let directory = tempfile::tempdir().unwrap();
    let mut rig = rig(directory.path(), 1);
    let mut objects = [rig.put(5 * MIB, 4096), rig.put(10, 64)];
    let bytes = Rig::write_job(7, 0, &mut objects).bytes;
    rig.write(7, &mut objects).unwrap();
    let found = std::fs::metadata(directory.path().join("spill/7")).unwrap();
    assert_eq!((found.len(), found.mode() & 0o777), (bytes, 0o600));
    assert_eq!(std::fs::metadata(directory.path().join("spill")).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn a_planted_link_is_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let mut rig = rig(directory.path(), 1);
    let victim = directory.path().join("victim");
    std::fs::write(&victim, "precious").unwrap();
    let spill = directory.path().join("spill");
    std::os::unix::fs::symlink(&victim, spill.join("1")).unwrap();
    let mut objects = [rig.put(100, 64)];
    rig.write(1, &mut objects).unwrap();
    assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
    assert!(std::fs::symlink_metadata(spill.join("1")).unwrap().is_file());
    std::os::unix::fs::symlink(spill.join("1"), spill.join("2")).unwrap();
    assert!(matches!(&rig.check(2, &objects)[..], [(_, Failure::Io(cause))] if cause.contains("spill/2")));
    // A directory that is a link, or open to others, is none.
    let elsewhere = directory.path().join("elsewhere");
    std::os::unix::fs::symlink(&spill, &elsewhere).unwrap();
    assert!(Directory::make(&elsewhere).is_err());
    std::fs::set_permissions(&spill, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    assert!(matches!(rig.write(3, &mut objects), Err(Failure::Io(cause)) if cause.contains("others may write")));
}

#[test]
fn a_vanished_directory_is_no_damage_and_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut rig = rig(directory.path(), 1);
    let spill = directory.path().join("spill");
    let mut objects = [rig.put(100, 64), rig.put(2 * MIB, 4096)];
    rig.write(1, &mut objects).unwrap();
    std::fs::rename(&spill, directory.path().join("away")).unwrap();
    assert!(rig.check(1, &objects).iter().all(|(_, failure)| matches!(failure, Failure::Io(_))));
    std::fs::rename(directory.path().join("away"), &spill).unwrap();
    assert_eq!(rig.check(1, &objects), []);
    std::fs::remove_dir_all(&spill).unwrap();
    rig.write(2, &mut objects).unwrap();
    assert_eq!(rig.check(2, &objects), []);
    assert!(matches!(&rig.check(1, &objects)[..], [(_, Failure::Corrupt(cause)), _] if cause.contains("missing")));
    // Its parent is gone too: nowhere to make it.
    std::fs::rename(directory.path(), directory.path().with_extension("gone")).unwrap();
    let refused = rig.write(3, &mut objects);
    std::fs::rename(directory.path().with_extension("gone"), directory.path()).unwrap();
    assert!(matches!(refused, Err(Failure::Io(_))), "{refused:?}");
    rig.write(3, &mut objects).unwrap();
}

#[test]
fn what_is_under_way_leaves_no_file_when_the_threads_end() {
    let directory = tempfile::tempdir().unwrap();
    let spill = directory.path().join("spill");
    let mut rig = rig(directory.path(), 2);
    let mut objects = [rig.put(64 * MIB, 4096)];
    for file in 1..6 {
        rig.submit(Job::Write(Rig::write_job(file, 0, &mut objects)));
    }
    rig.report(|report| matches!(report, Report::Progress));
    drop(rig.pools);
    let whole = Rig::write_job(1, 0, &mut objects).bytes;
    for name in names(&spill) {
        assert_eq!(std::fs::metadata(spill.join(name)).unwrap().len(), whole);
    }
}

#[test]
fn room_is_told_and_a_place_that_is_not_there_is_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    let target = Directory::make(&directory.path().join("spill")).unwrap();
    let room = target.room().unwrap().unwrap();
    assert!(room.free > 0 && room.free <= room.total);
    let mut rig = rig(directory.path(), 1);
    assert!(matches!(rig.report(|_| true), Report::Room { place: 0, room: Some(room) } if room.total > 0));
    let mut objects = [rig.put(100, 64)];
    rig.submit(Job::Write(Rig::write_job(1, 5, &mut objects)));
    assert!(matches!(rig.report(|report| matches!(report, Report::Written { .. })), Report::Written { result: Err(Failure::Io(_)), .. }));
    // Outside the pool: refused, not read.
    objects[0].from = 1 << 40;
    assert!(matches!(rig.write(1, &mut objects), Err(Failure::Io(cause)) if cause.contains("outside the pool")));
    assert_eq!(names(&directory.path().join("spill")), [""; 0]);
}
