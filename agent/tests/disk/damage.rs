//! Files that somebody changed: found out, or without an effect on what is read, never wrong bytes.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use plasmon_agent::disk::directory::Directory;
use plasmon_agent::spill::job::Failure;

use crate::rig::{Object, Random, Rig};

const MUTATIONS: u64 = 10_000;

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// Does something to one of the two files, or swaps them.
fn mutate(random: &mut Random, spill: &Path) {
    let path = spill.join((1 + random.below(2)).to_string());
    let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    match random.below(6) {
        0 | 1 => {
            let at = random.below(length);
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ (1 << random.below(8))], at).unwrap();
        }
        2 => file.set_len(random.below(length)).unwrap(),
        3 => {
            fs::rename(spill.join("1"), spill.join("0")).unwrap();
            fs::rename(spill.join("2"), spill.join("1")).unwrap();
            fs::rename(spill.join("0"), spill.join("2")).unwrap();
        }
        4 => {
            let at = random.below(length.div_ceil(4096)) * 4096;
            file.write_all_at(&vec![0; 4096.min(length - at) as usize], at).unwrap();
        }
        _ => file.set_len(length + random.below(10_000)).unwrap(),
    }
}

#[test]
fn ten_thousand_mutations_are_found_or_harmless() {
    let directory = tempfile::tempdir().unwrap();
    let spill = directory.path().join("spill");
    let mut rig = Rig::new(vec![Arc::new(Directory::make(&spill).unwrap())], 32 << 20, 1);
    // Twice the same sizes: two files that only their numbers and objects tell apart. The last object is read in pieces.
    let lengths = [0, 1, 100, 5000, 70_000, 1000, 64, (1 << 20) + 77];
    let mut files: Vec<Vec<Object>> = Vec::new();
    for file in 1..3 {
        let mut objects: Vec<Object> = lengths.iter().take(if file == 1 { 8 } else { 7 }).map(|length| rig.put(*length, 4096)).collect();
        rig.write(file, &mut objects).unwrap();
        files.push(objects);
    }
    let whole = [fs::read(spill.join("1")).unwrap(), fs::read(spill.join("2")).unwrap()];
    let mut random = Random(42);
    let (mut found, mut harmless) = (0, 0);
    for round in 0..MUTATIONS {
        mutate(&mut random, &spill);
        let changed = [fs::read(spill.join("1")).unwrap(), fs::read(spill.join("2")).unwrap()];
        let mut failures = 0;
        for (file, objects) in files.iter().enumerate() {
            let failed = rig.check(file as u32 + 1, objects);
            for object in objects {
                // Exactly the objects whose records changed fail.
                let record = object.at as usize..(object.at + 64 + object.length) as usize;
                let damaged = changed[file].get(record.clone()) != whole[file].get(record);
                let failure = failed.iter().find(|(key, _)| *key == object.key).map(|(_, failure)| failure);
                assert_eq!(failure.is_some(), damaged, "round {round}: {object:?}: {failure:?}");
                if let Some(failure) = failure {
                    let Failure::Corrupt(cause) = failure else { panic!("round {round}: {failure:?}") };
                    let path = spill.join((file + 1).to_string()).display().to_string();
                    assert!(cause.contains(&path) && cause.contains(&format!("offset {}", object.at)), "{cause}");
                    assert!(cause.contains(&object.key.on(crate::rig::NODE).to_string()), "{cause}");
                }
            }
            failures += failed.len();
        }
        if failures > 0 {
            found += 1
        } else {
            harmless += 1
        }
        if round % 500 == 0 {
            compacted(&mut rig, &files[0]);
        }
        for (file, whole) in whole.iter().enumerate() {
            if changed[file] != *whole {
                let path = spill.join((file + 1).to_string());
                let file = OpenOptions::new().write(true).open(path).unwrap();
                file.write_all_at(whole, 0).unwrap();
                file.set_len(whole.len() as u64).unwrap();
            }
        }
    }
    println!("{MUTATIONS} mutations: {found} were found, {harmless} were where no record is");
    assert!(found > harmless);
}

/// A new file made of a damaged one: the same objects are lost, and the others are as they were.
fn compacted(rig: &mut Rig, objects: &[Object]) {
    let mut keys = |file, objects: &[Object]| rig.check(file, objects).into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    let lost = keys(1, objects);
    let mut moved = objects.to_vec();
    let named: Vec<_> = rig.compact(1, 3, &mut moved).unwrap().into_iter().map(|(key, _)| key).collect();
    assert_eq!(named, lost);
    moved.retain(|object| !lost.contains(&object.key));
    assert_eq!(rig.check(3, &moved), []);
    rig.delete(3).unwrap();
}
