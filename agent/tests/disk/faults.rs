//! Places that refuse, hang, panic or are slow: a report comes, and nothing stays behind.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use plasmon_agent::disk::directory::Directory;
use plasmon_agent::disk::failing::{Failing, Faults, Operation};
use plasmon_agent::disk::target::{NewFile, OldFile, SpillTarget};
use plasmon_agent::spill::job::{DiskRoom, Failure, Job, ReadItem, ReadJob, Report};
use plasmon_protocol::id::SpillFileId;

use crate::rig::{DEADLINE, Object, Rig, names};

const MIB: u64 = 1 << 20;

fn failing(spill: &Path) -> (Arc<dyn SpillTarget>, Faults) {
    let faults = Faults::default();
    (Arc::new(Failing::new(Arc::new(Directory::make(spill).unwrap()), faults.clone())), faults)
}

/// Descriptors of this process that are files in a directory.
fn descriptors(spill: &Path) -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    open.filter(|path| path.starts_with(spill)).count()
}

/// Writes, reads, compacts, reads, removes, whatever fails; true when nothing did.
fn scenario(rig: &mut Rig, objects: &mut [Object], spill: &Path, short: bool) -> bool {
    let mut good = true;
    let mut fair = |failure: &Failure| {
        good = false;
        assert!(short || !matches!(failure, Failure::Corrupt(_)), "a refusal is no damage: {failure}");
    };
    if let Err(failure) = rig.write(1, objects) {
        fair(&failure);
        assert!(!spill.join("1").exists(), "a file that failed is there");
        return false;
    }
    rig.check(1, objects).iter().for_each(|(_, failure)| fair(failure));
    let mut live: Vec<Object> = objects.iter().copied().step_by(2).collect();
    match rig.compact(1, 2, &mut live) {
        Ok(damaged) => {
            damaged.iter().for_each(|(_, failure)| fair(failure));
            live.retain(|object| !damaged.iter().any(|(key, _)| *key == object.key));
            rig.check(2, &live).iter().for_each(|(_, failure)| fair(failure));
        }
        Err(failure) => {
            fair(&failure);
            assert!(!spill.join("2").exists(), "a file that failed is there");
        }
    }
    for file in [1, 2] {
        match rig.delete(file) {
            Ok(()) => assert!(!spill.join(file.to_string()).exists()),
            Err(failure) => fair(&failure),
        }
    }
    good
}

#[test]
fn whichever_operation_fails_a_report_comes_and_nothing_leaks() {
    let directory = tempfile::tempdir().unwrap();
    let spill = directory.path().join("spill");
    let (place, faults) = failing(&spill);
    let mut rig = Rig::new(vec![place], 64 * MIB, 1);
    let mut objects: Vec<Object> = [10, 9 * MIB, 0, 5000, MIB, 70_000].into_iter().map(|length| rig.put(length, 4096)).collect();
    assert!(scenario(&mut rig, &mut objects, &spill, false));
    let operations = faults.operations();
    assert!(operations > 15, "{operations}");
    let mut failed = 0;
    for number in 1..=operations {
        for way in ["EIO", "ENOSPC", "EROFS", "short"] {
            for from_there_on in ["once", "always"] {
                faults.switch(&format!("any:{number}:{way}:{from_there_on}")).unwrap();
                failed += u32::from(!scenario(&mut rig, &mut objects, &spill, way == "short"));
                faults.switch("off").unwrap();
                for file in [1, 2] {
                    rig.delete(file).unwrap();
                }
                assert_eq!(names(&spill), [""; 0], "{number} {way} {from_there_on}");
                assert_eq!(descriptors(&spill), 0, "{number} {way} {from_there_on}");
                // The place works again.
                assert!(number % 5 != 0 || scenario(&mut rig, &mut objects, &spill, false));
            }
        }
    }
    println!("{operations} operations, each refused in 8 ways: {failed} runs failed, none leaked");
    assert!(failed > operations as u32);
}

#[test]
fn each_kind_of_operation_is_counted_and_named_when_refused() {
    let directory = tempfile::tempdir().unwrap();
    let spill = directory.path().join("spill");
    let (place, faults) = failing(&spill);
    let mut rig = Rig::new(vec![place], 64 * MIB, 1);
    let mut objects = [rig.put(100, 64)];
    let path = spill.join("1").display().to_string();
    for (fault, what) in [("create", "make"), ("write", "write"), ("sync", "sync")] {
        faults.switch(&format!("{fault}:1:EIO:once")).unwrap();
        let Err(Failure::Io(cause)) = rig.write(1, &mut objects) else { panic!("{fault}") };
        assert!(cause.starts_with(what) && cause.contains(&path) && cause.contains("os error 5"), "{cause}");
        faults.switch(&format!("{fault}:1:ENOSPC:once")).unwrap();
        assert!(matches!(rig.write(1, &mut objects), Err(Failure::NoRoom(cause)) if cause.contains(&path)));
    }
    faults.switch("write:1:short:once").unwrap();
    assert!(matches!(rig.write(1, &mut objects), Err(Failure::Io(cause)) if cause.contains("went out")));
    faults.switch("").unwrap();
    rig.write(1, &mut objects).unwrap();
    assert_eq!([Operation::Create, Operation::Write, Operation::Sync].map(|operation| faults.count(operation)), [1; 3]);
    faults.switch("delete:1:EROFS:once").unwrap();
    assert!(matches!(rig.delete(1), Err(Failure::Io(cause)) if cause.contains(&path)));
    rig.delete(1).unwrap();
}

#[test]
fn a_slow_place_gives_signs_of_life() {
    let directory = tempfile::tempdir().unwrap();
    let spill = directory.path().join("spill");
    let (place, faults) = failing(&spill);
    let mut rig = Rig::new(vec![place], 64 * MIB, 1);
    let mut objects = [rig.put(32 * MIB, 4096)];
    faults.switch("slow:60ms").unwrap();
    rig.submit(Job::Write(Rig::write_job(1, 0, &mut objects)));
    let mut signs = 0;
    let result = loop {
        match rig.report(|_| true) {
            Report::Progress => signs += 1,
            Report::Written { result, .. } => break result,
            _ => {}
        }
    };
    assert!(result.is_ok() && signs >= 2, "{signs}");
    assert!(rig.check(1, &objects).is_empty());
}

#[test]
fn one_thread_serves_interleaved_jobs() {
    let directory = tempfile::tempdir().unwrap();
    let (place, _) = failing(&directory.path().join("spill"));
    let mut rig = Rig::new(vec![place], 64 * MIB, 1);
    let mut kept = [rig.put(1 << 17, 4096)];
    rig.write(100, &mut kept).unwrap();
    let into = rig.room(1 << 17, 4096);
    for file in 1..30 {
        let mut objects = [rig.put(1000 * u64::from(file), 64), rig.put(1 << 17, 4096)];
        rig.submit(Job::Write(Rig::write_job(file, 0, &mut objects)));
        rig.submit(Job::Delete { file: SpillFileId(file), place: 0 });
        let items = vec![ReadItem { key: kept[0].key, at: kept[0].at, length: kept[0].length, into }];
        rig.submit(Job::Read(ReadJob { number: file.into(), file: SpillFileId(100), place: 0, items }));
    }
    let mut ended = 0;
    while ended < 3 * 29 {
        match rig.report(|_| true) {
            Report::Written { result, .. } | Report::Deleted { result, .. } => assert_eq!(result, Ok(())),
            Report::Read { results, .. } => assert_eq!(results, [Ok(())]),
            _ => continue,
        }
        ended += 1;
    }
    rig.delete(100).unwrap();
    assert_eq!(names(&directory.path().join("spill")), [""; 0]);
}

/// A place whose writes wait for a word, or panic.
struct Stuck {
    word: Arc<Mutex<Receiver<()>>>,
    begun: Sender<()>,
    panics: bool,
}

struct StuckFile(Arc<Mutex<Receiver<()>>>, Sender<()>, bool);

impl SpillTarget for Stuck {
    fn create(&self, _file: SpillFileId, _bytes: u64) -> Result<Box<dyn NewFile>, Failure> {
        Ok(Box::new(StuckFile(Arc::clone(&self.word), self.begun.clone(), self.panics)))
    }
    fn open(&self, _file: SpillFileId) -> Result<Box<dyn OldFile>, Failure> {
        panic!("no file opens here")
    }
    fn delete(&self, _file: SpillFileId) -> Result<(), Failure> {
        Ok(())
    }
    fn room(&self) -> Result<Option<DiskRoom>, Failure> {
        Ok(None)
    }
    fn name(&self, file: SpillFileId) -> String {
        file.to_string()
    }
}

impl NewFile for StuckFile {
    fn write(&self, _at: u64, _bytes: &[u8]) -> Result<(), Failure> {
        assert!(!self.2, "nothing is written here");
        self.1.send(()).unwrap();
        // Ends when the word's sender is gone, too.
        let _ = self.0.lock().unwrap().recv();
        Ok(())
    }
    fn finish(self: Box<Self>) -> Result<(), Failure> {
        Ok(())
    }
}

fn stuck(panics: bool) -> (Rig, Sender<()>, Receiver<()>) {
    let (word, heard) = channel();
    let (begun, began) = channel();
    let place = Stuck { word: Arc::new(Mutex::new(heard)), begun, panics };
    (Rig::new(vec![Arc::new(place)], 64 * MIB, 1), word, began)
}

#[test]
fn a_panic_is_a_failure() {
    let (mut rig, ..) = stuck(true);
    let mut objects = [rig.put(100, 64), rig.put(20 * MIB, 4096)];
    for objects in objects.chunks_mut(1) {
        assert!(matches!(rig.write(1, objects), Err(Failure::Io(cause)) if cause.contains("panicked")));
        assert!(matches!(&rig.check(1, objects)[..], [(_, Failure::Io(cause))] if cause.contains("no file opens here")));
        assert!(matches!(rig.compact(1, 2, objects), Err(Failure::Io(cause)) if cause.contains("panicked")));
    }
}

#[test]
fn a_removal_waits_for_its_own_file_only() {
    let (mut rig, word, began) = stuck(false);
    let mut objects = [rig.put(100, 64)];
    rig.submit(Job::Write(Rig::write_job(1, 0, &mut objects)));
    rig.submit(Job::Write(Rig::write_job(2, 0, &mut objects)));
    began.recv_timeout(DEADLINE).unwrap();
    for file in [1, 2, 3] {
        rig.submit(Job::Delete { file: SpillFileId(file), place: 0 });
    }
    let next = || match rig.report(|report| matches!(report, Report::Deleted { .. } | Report::Written { .. })) {
        Report::Deleted { file, .. } => ("deleted", file.0),
        Report::Written { file, .. } => ("written", file.0),
        _ => unreachable!(),
    };
    assert_eq!(next(), ("deleted", 3));
    word.send(()).unwrap();
    word.send(()).unwrap();
    let rest = [next(), next(), next(), next()];
    for file in [1, 2] {
        let at = |what| rest.iter().position(|report| *report == (what, file));
        assert!(at("written").is_some() && at("deleted").is_some(), "{rest:?}");
    }
}

#[test]
fn the_end_does_not_wait_for_what_hangs() {
    let (mut rig, word, began) = stuck(false);
    let mut objects = [rig.put(100, 64)];
    rig.submit(Job::Write(Rig::write_job(1, 0, &mut objects)));
    began.recv_timeout(DEADLINE).unwrap();
    drop(rig);
    // Only now may it go on.
    drop(word);
}
