//! Little memory: a control group smaller than the store, and a `/dev/shm` smaller than it. Both need root, and say so where they
//! are not tested.

mod support;

mod confined {
    pub(crate) mod group;
}

use std::process::{Command, Stdio};

use confined::group::Group;
use plasmon::{Error, ObjectRef, Options};
use support::{Viewer, alone, check, content, directory, role, start_sized};

const MIB: u64 = 1 << 20;
/// Numbers in an object of 4 MiB.
const LARGE: usize = (4 * MIB / 8) as usize;

fn put(seed: u64) -> Result<ObjectRef<[u64]>, Error> {
    plasmon::put(&content(seed, LARGE)[..])
}

#[test]
fn a_store_larger_than_all_memory_is_refused() {
    alone(|| {
        let error = Options::new().object_store_memory(1 << 50).temp_dir(directory()).init().unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }) && error.to_string().contains("more than there is"), "{error}");
    });
}

#[test]
fn a_control_group_that_fills_up_refuses_objects_and_kills_nobody() {
    const LIMIT: u64 = 384 * MIB;
    alone(|| {
        let Some(group) = Group::enter(LIMIT) else { return };
        let error = Options::new().object_store_memory(2 * LIMIT).temp_dir(directory()).init().unwrap_err();
        assert!(error.to_string().contains("cgroup"), "the group's limit is not seen: {error}");
        let info = start_sized(1.0, LIMIT - 64 * MIB);
        let mut viewer = Viewer::here();
        // Half of the group's memory is this process's own.
        let ballast = vec![1_u8; (LIMIT / 2) as usize];
        let mut held = Vec::new();
        let error = loop {
            match put(held.len() as u64) {
                Ok(reference) => held.push(reference),
                Err(error) => break error,
            }
            assert!(held.len() as u64 * 4 * MIB < LIMIT, "more was put than there is");
        };
        assert!(["object_store_full", "system"].contains(&error.code()), "{error}");
        assert!(!held.is_empty(), "{error}");
        // One that is written behind the backing, which does not come.
        let error = plasmon::put(&ballast[..ballast.len() / 3]).unwrap_err();
        assert!(["object_store_full", "system"].contains(&error.code()), "{error}");
        let report = viewer.report();
        assert_eq!((report.references.len(), report.ledger().unattributed_bytes), (held.len(), 0));
        for reference in &held {
            check(&plasmon::get(reference).unwrap()).unwrap();
        }
        assert_eq!(group.kills(), 0, "the kernel killed somebody");
        assert!(support::is_alive(info.agent_pid));
        // With room in the group there is room in the store again.
        drop(ballast);
        held.push(put(held.len() as u64).unwrap());
        for reference in &held {
            check(&plasmon::get(reference).unwrap()).unwrap();
        }
        drop(held);
        viewer.until_empty();
        drop(viewer);
        plasmon::shutdown().unwrap();
        drop(group);
    });
}

#[test]
fn a_store_larger_than_dev_shm_is_all_there() {
    const STORE: u64 = 192 * MIB;
    alone(|| {
        if role().is_some() {
            let shm = rustix::fs::statvfs("/dev/shm").unwrap();
            assert_eq!(shm.f_blocks * shm.f_frsize, 64 * MIB, "this is not the /dev/shm that was mounted");
            start_sized(1.0, STORE);
            let held: Vec<_> = (0..40).map(|seed| put(seed).unwrap()).collect();
            for reference in &held {
                check(&plasmon::get(reference).unwrap()).unwrap();
            }
            drop(held);
            Viewer::here().until_empty();
            plasmon::shutdown().unwrap();
            return;
        }
        if !rustix::process::geteuid().is_root() {
            eprintln!("NOT TESTED: a tiny /dev/shm can only be mounted by root");
            return;
        }
        let script = "mount -t tmpfs -o size=64m tmpfs /dev/shm && exec \"$@\"";
        let status = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "a_store_larger_than_dev_shm_is_all_there", "--nocapture"])
            .env("PLASMON_TEST_ROLE", "tiny")
            .stdout(Stdio::null())
            .status();
        match status {
            Err(error) => eprintln!("NOT TESTED: unshare is not there: {error}"),
            Ok(status) => assert!(status.success(), "{status}"),
        }
    });
}
