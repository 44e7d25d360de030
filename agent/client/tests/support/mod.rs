//! What API tests share. Every test runs in a process of its own, with an agent of its own: see [`alone`].
#![allow(dead_code, unused_imports, unused_macros, reason = "each test file uses a part of it")]

mod alone;
mod content;
mod flag;
mod fork;
mod rows;
mod shared;
mod signal;
mod standalone;
mod viewer;

use std::time::{Duration, Instant};

pub(crate) use alone::{Child, alone, directory, role, sessions, start, start_sized, start_without_disk};
pub(crate) use content::{Random, check, content};
pub(crate) use flag::Flag;
pub(crate) use fork::{Forked, close_standard, leave};
pub(crate) use rows::{Expected, Place, line_of, rows_of};
pub(crate) use shared::{attach, descriptors, descriptors_of_agent, publish, worker_pids};
pub(crate) use signal::{go_on, stop};
pub(crate) use standalone::Standalone;
pub(crate) use viewer::{Report, Viewer};

/// How long anything may take that takes milliseconds on an idle machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether a process runs; one that ended and was not reaped does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    stat.rsplit(") ").next().is_some_and(|rest| !rest.starts_with(['Z', 'X']))
}

/// `kill -9`
pub(crate) fn kill(pid: u32) {
    try_kill(pid).expect("it can be killed");
}

/// `kill -9` of a process that may have ended.
pub(crate) fn try_kill(pid: u32) -> rustix::io::Result<()> {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a process id");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL)
}

/// A value with the place of the expression that made it: what the call site of a reference must say.
macro_rules! at {
    ($value:expr) => {
        ($value, $crate::support::Place { file: file!(), line: line!() })
    };
}
pub(crate) use at;
