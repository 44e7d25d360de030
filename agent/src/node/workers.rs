//! Starts worker processes, and tells how a process ended.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use command_fds::{CommandFdExt, FdMapping};
use plasmon_memory::channel::Channel;
use plasmon_memory::process::Pidfd;
use plasmon_protocol::id::ProcessId;
use plasmon_protocol::local::BOOT;
use rustix::process::{WaitId, WaitIdOptions};

use super::line::Line;
use super::program::Program;
use crate::machine::gpus;
use crate::reactor::Departure;
use crate::session::Session;

/// The number that a worker finds its socket under.
const WORKER_FD: i32 = 3;

/// A process that was started and has not said hello.
#[derive(Debug)]
pub struct Started {
    /// The agent's end of its socket. It does not wait.
    pub line: Line,
    /// Its process id.
    pub pid: u32,
    /// Its life; nobody has reaped it.
    pub pidfd: Pidfd,
}

/// Starts a worker that sees these of the node's GPUs, or all when none are named, from the driver's executable: the file that the driver runs, even if another one lies at its path by now.
/// Its output and its errors go to a file of their own each in `logs`; signals of the agent's terminal don't reach it.
///
/// # Errors
/// What the system says; then no process is left.
pub fn start(program: &Program, worker: ProcessId, devices: &[u32], logs: &Path) -> io::Result<Started> {
    let (ours, theirs) = Channel::pair()?;
    ours.set_nonblocking(true)?;
    let [out, err] = Session::worker_logs(logs, worker).map(|log| File::options().create(true).append(true).open(log));
    let mut command = Command::new(format!("/proc/self/fd/{}", program.executable.as_raw_fd()));
    command
        .arg0(&program.path)
        .args(&program.arguments)
        .current_dir(if program.directory.is_dir() { program.directory.as_path() } else { Path::new("/") })
        .env_clear()
        .envs(program.environment.iter().map(|(name, value)| (name, value)))
        .env(BOOT, format!("worker:{WORKER_FD}"))
        .stdin(Stdio::null())
        .stdout(out?)
        .stderr(err?)
        .process_group(0)
        .fd_mappings(vec![FdMapping { parent_fd: theirs.into_fd(), child_fd: WORKER_FD }])
        .map_err(io::Error::other)?;
    if !devices.is_empty() {
        command.env("CUDA_VISIBLE_DEVICES", gpus::names(devices, &gpus::visible()));
    }
    let mut child = command.spawn()?;
    match Pidfd::open(child.id()) {
        Ok(pidfd) => Ok(Started { line: Line::new(ours), pid: child.id(), pidfd }),
        Err(error) => {
            // Nobody could ever see its end.
            let _ = child.kill();
            let _ = child.wait();
            Err(error)
        }
    }
}

/// Kills a child and reaps it; waits until it is gone.
pub fn bury(child: &Pidfd) {
    let _ = child.kill();
    // Fails only where there is nobody to reap.
    while matches!(rustix::process::waitid(WaitId::PidFd(child.fd()), WaitIdOptions::EXITED), Err(rustix::io::Errno::INTR)) {}
}

/// A worker has ended: what it said stays as long as the session; when it said nothing, nothing stays.
pub fn forget(worker: ProcessId, logs: &Path) {
    let mut silent = true;
    for log in Session::worker_logs(logs, worker) {
        if std::fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
            silent = false;
        } else {
            // The session takes it along when it goes.
            let _ = std::fs::remove_file(log);
        }
    }
    if silent {
        let _ = std::fs::remove_file(Session::worker_order(logs, worker));
    }
}

/// How a process ended. Only the parent is told, and only once: this reaps.
#[must_use]
pub fn how_it_ended(pidfd: &Pidfd, child: bool) -> Departure {
    if !child {
        return "ended".into();
    }
    match rustix::process::waitid(WaitId::PidFd(pidfd.fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
        Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Departure { exit_code: Some(code), ..format!("exit code {code}").into() },
            (None, Some(signal)) => Departure { signal: Some(signal), ..format!("signal {signal}{}", name_of(signal)).into() },
            _ => "ended".into(),
        },
        _ => "ended".into(),
    }
}

fn name_of(signal: i32) -> &'static str {
    match signal {
        4 => " SIGILL",
        6 => " SIGABRT",
        7 => " SIGBUS",
        8 => " SIGFPE",
        9 => " SIGKILL",
        11 => " SIGSEGV",
        15 => " SIGTERM",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_worker_that_said_nothing_nothing_stays() {
        let logs = tempfile::tempdir().unwrap();
        let (silent, spoke) = (ProcessId(1), ProcessId(2));
        for worker in [silent, spoke] {
            for file in Session::worker_logs(logs.path(), worker).into_iter().chain([Session::worker_order(logs.path(), worker)]) {
                std::fs::write(file, "").unwrap();
            }
        }
        let [said, _] = Session::worker_logs(logs.path(), spoke);
        std::fs::write(&said, "a line\n").unwrap();
        forget(silent, logs.path());
        forget(spoke, logs.path());
        let mut left: Vec<_> = std::fs::read_dir(logs.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        left.sort();
        assert_eq!(left, [Session::worker_order(logs.path(), spoke), said]);
    }
}
