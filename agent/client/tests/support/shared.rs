//! One agent shared by a test's main process and its children.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::PathBuf;

use plasmon::{Info, Options};
use plasmon_protocol::record::ProcessType;

use super::{Flag, Viewer, eventually};

pub(crate) fn worker_pids(viewer: &mut Viewer) -> Vec<u32> {
    viewer.processes().iter().filter(|row| row.process_type == ProcessType::Worker).map(|row| row.pid).collect()
}

/// Connects to the agent of the test's main process.
pub(crate) fn attach() -> Info {
    let session = PathBuf::from(Flag::named("session").wait());
    let info = Options::new().address(session).init().unwrap();
    assert!(!info.started);
    info
}

pub(crate) fn publish(info: &Info) {
    Flag::named("session").say(info.session.to_str().unwrap());
}

pub(crate) fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// How many descriptors the agent has open, from the moment on in which it records: the fewest of several looks, for what it reads of the
/// system now and then it opens and closes again.
pub(crate) fn descriptors_of_agent(info: &Info) -> usize {
    let recording = info.session.join(plasmon_protocol::recording::FILE);
    eventually("the agent records", || recording.exists());
    let look = |_| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        std::fs::read_dir(format!("/proc/{}/fd", info.agent_pid)).unwrap().count()
    };
    (0..20).map(look).min().unwrap_or(0)
}
