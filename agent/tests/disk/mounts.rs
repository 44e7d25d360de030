//! Real file systems that are full or read-only, where this process may mount them.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use plasmon_agent::disk::directory::Directory;
use plasmon_agent::disk::failing::{Failing, Faults};
use plasmon_agent::disk::target::SpillTarget;
use plasmon_agent::spill::job::Failure;

use crate::rig::{Object, Rig, names};

const MIB: u64 = 1 << 20;

/// A file system in memory, unmounted when dropped.
struct Mount<'p>(&'p Path);

impl<'p> Mount<'p> {
    fn new(path: &'p Path, options: &str) -> Option<Self> {
        run(&["mount", "-t", "tmpfs", "-o", options, "plasmon-test", path.to_str()?]).then_some(Self(path))
    }

    fn remount(&self, option: &str) {
        assert!(run(&["mount", "-o", &format!("remount,{option}"), self.0.to_str().unwrap()]), "remount {option}");
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        run(&["umount", "--lazy", self.0.to_str().unwrap()]);
    }
}

fn run(words: &[&str]) -> bool {
    Command::new(words[0]).args(&words[1..]).output().is_ok_and(|output| output.status.success())
}

#[test]
fn a_tiny_disk_that_fills_up_and_turns_read_only() {
    let directory = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::new(directory.path(), "size=16m,nr_inodes=3") else {
        println!("NOTE: this user may not mount a file system; the failing twin stands in for a full and a read-only disk");
        return stand_in(directory.path());
    };
    println!("on a real file system of 16 MiB, filled up and remounted read-only");
    let spill = directory.path().join("spill");
    let mut rig = Rig::new(vec![Arc::new(Directory::make(&spill).unwrap())], 64 * MIB, 1);
    let mut large = [rig.put(16 * MIB, 4096)];
    let mut small: Vec<Object> = (0..10).map(|_| rig.put(5000, 64)).collect();
    let mut medium = [rig.put(2 * MIB, 4096)];
    // Fuller than the limit: refused before anything is written.
    let Err(Failure::NoRoom(cause)) = rig.write(1, &mut large) else { panic!("it fits") };
    assert!(cause.contains("limit is 95 %") && cause.contains("16 MiB are free"), "{cause}");
    rig.write(2, &mut medium).unwrap();
    // The third inode was the last.
    let Err(Failure::NoRoom(cause)) = rig.write(3, &mut small) else { panic!("there is an inode left") };
    assert!(cause.contains("spill/3") && cause.contains("No space left"), "{cause}");
    assert_eq!(rig.check(2, &medium), []);
    mount.remount("ro");
    let Err(Failure::Io(cause)) = rig.write(3, &mut small) else { panic!("it is not read-only") };
    assert!(cause.contains("Read-only file system"), "{cause}");
    assert!(matches!(rig.delete(2), Err(Failure::Io(_))));
    assert_eq!(rig.check(2, &medium), []);
    mount.remount("rw");
    rig.delete(2).unwrap();
    rig.write(3, &mut small).unwrap();
    assert_eq!(rig.check(3, &small), []);
    assert_eq!(names(&spill), ["3"]);
}

fn stand_in(path: &Path) {
    let faults = Faults::default();
    let inner = Arc::new(Directory::make(&path.join("spill")).unwrap());
    let place: Arc<dyn SpillTarget> = Arc::new(Failing::new(inner, faults.clone()));
    let mut rig = Rig::new(vec![place], 64 * MIB, 1);
    let mut objects = [rig.put(2 * MIB, 4096)];
    faults.switch("write:1:ENOSPC:always").unwrap();
    assert!(matches!(rig.write(1, &mut objects), Err(Failure::NoRoom(_))));
    faults.switch("create:1:EROFS:always,delete:1:EROFS:always").unwrap();
    assert!(matches!(rig.write(1, &mut objects), Err(Failure::Io(_))));
    assert!(matches!(rig.delete(1), Err(Failure::Io(_))));
    faults.switch("off").unwrap();
    rig.write(1, &mut objects).unwrap();
    assert_eq!(rig.check(1, &objects), []);
}
