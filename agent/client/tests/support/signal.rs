//! Processes that stand still.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use rustix::process::{Pid, Signal, kill_process};

/// Stops a process, and waits until all of its threads stand still.
#[track_caller]
pub(crate) fn stop(pid: u32) {
    send(pid, Signal::STOP);
    super::eventually("it stands still", || {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let stopped = |stat: String| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'));
        // A thread that ended meanwhile stands still too.
        tasks.flatten().all(|task| std::fs::read_to_string(task.path().join("stat")).map_or(true, stopped))
    });
}

/// Lets a stopped process go on.
pub(crate) fn go_on(pid: u32) {
    send(pid, Signal::CONT);
}

fn send(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}
