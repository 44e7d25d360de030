//! Limits of a process that are too low to connect: a typed error that says so, and no harm once they are raised.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::os::fd::AsRawFd;

use plasmon::{Error, Info, Options};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{Child, Flag, Viewer, alone, check, content, descriptors, directory, eventually, is_alive, publish, role, start};

/// Lowers or raises one limit of this process, as far as it may be raised.
fn limit(resource: Resource, current: Option<u64>) {
    let maximum = getrlimit(resource).maximum;
    setrlimit(resource, Rlimit { current: current.or(maximum), maximum }).unwrap();
}

/// The number that the next file gets.
fn next_file() -> u64 {
    u64::try_from(std::fs::File::open("/dev/null").unwrap().as_raw_fd()).unwrap()
}

/// Bytes of address space that this process uses.
fn space() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').next().unwrap().parse::<u64>().unwrap() * 4096
}

#[track_caller]
fn typed(error: &Error) {
    assert!(matches!(error, Error::System { .. } | Error::Connect { .. }), "{error}");
    assert!(!error.hint().is_empty() && !plasmon::is_initialized());
}

fn works() {
    let put = plasmon::put(&content(1, 5000)[..]).unwrap();
    check(&plasmon::get(&put).unwrap()).unwrap();
}

/// Tries with ever more files, until they are enough; how many errors there were.
fn tries(init: impl Fn() -> Result<Info, Error>, step: usize) -> usize {
    let (used, open) = (next_file(), descriptors(std::process::id()));
    for (errors, more) in (0..200).step_by(step).enumerate() {
        limit(Resource::Nofile, Some(used + more));
        let result = init();
        limit(Resource::Nofile, None);
        match result {
            Ok(_) => return errors,
            Err(error) => typed(&error),
        }
        assert_eq!((next_file(), descriptors(std::process::id())), (used, open), "a vain attempt left files open");
    }
    panic!("200 files are not enough");
}

#[test]
fn too_few_files_to_connect_are_a_typed_error() {
    alone(|| {
        if role().is_some() {
            let session = Flag::named("session").wait();
            assert!(tries(|| Options::new().address(&session).init(), 1) > 2);
            works();
            plasmon::shutdown().unwrap();
            return;
        }
        let info = start(1.0);
        publish(&info);
        let mut viewer = Viewer::here();
        Child::start("driver").succeed();
        viewer.until_empty();
        eventually("nobody else is connected", || viewer.processes().len() == 2);
    });
}

#[test]
fn too_few_files_to_start_an_agent_are_a_typed_error() {
    alone(|| {
        let own = || Options::new().num_cpus(1.0).object_store_memory(8 << 20).temp_dir(directory()).init();
        assert!(tries(own, 4) > 2);
        assert!(plasmon::info().unwrap().started);
        works();
    });
}

#[test]
fn too_little_address_space_is_a_typed_error() {
    alone(|| {
        if let Some(role) = role() {
            let init = || match &*role {
                "attaches" => Options::new().address(Flag::named("session").wait()).init(),
                _ => Options::new().num_cpus(1.0).object_store_memory(64 << 20).temp_dir(directory()).init(),
            };
            limit(Resource::As, Some(space() + (24 << 20)));
            let result = init();
            limit(Resource::As, None);
            let error = result.unwrap_err();
            typed(&error);
            if role == "attaches" {
                assert!(error.to_string().contains("map the object store"), "{error}");
            }
            let info = init().unwrap();
            works();
            plasmon::shutdown().unwrap();
            assert_eq!(is_alive(info.agent_pid), !info.started);
            return;
        }
        let info = start(1.0);
        publish(&info);
        let mut viewer = Viewer::here();
        Child::start("attaches").succeed();
        viewer.until_empty();
        eventually("nobody else is connected", || viewer.processes().len() == 2);
        Child::start("starts").succeed();
    });
}
