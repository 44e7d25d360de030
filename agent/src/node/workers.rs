//! Starts worker processes, and tells how a process ended.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use command_fds::{CommandFdExt, FdMapping};
use plasmon_memory::channel::Channel;
use plasmon_memory::process::Pidfd;
use plasmon_protocol::id::ProcessId;
use plasmon_protocol::local::BOOT;
use rustix::process::{WaitId, WaitIdOptions};

use super::peer::Program;
use crate::reactor::Departure;

/// The number that a worker finds its socket under.
const WORKER_FD: i32 = 3;

/// Starts a worker from the driver's executable: the file that the driver runs, even if another one lies at its path by now.
/// Its output goes to a file of its own in `logs`.
///
/// # Errors
/// What the system says.
pub fn start(program: &Program, worker: ProcessId, logs: &Path) -> io::Result<(Channel, u32)> {
    let (ours, theirs) = Channel::pair()?;
    let log = File::options().create(true).append(true).open(logs.join(format!("worker-{worker}.log")))?;
    let mut command = Command::new(format!("/proc/self/fd/{}", program.executable.as_raw_fd()));
    command
        .arg0(&program.path)
        .current_dir(if program.directory.is_dir() { program.directory.as_path() } else { Path::new("/") })
        .env_clear()
        .envs(program.environment.iter().map(|(name, value)| (name, value)))
        .env(BOOT, format!("worker:{WORKER_FD}"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .fd_mappings(vec![FdMapping { parent_fd: theirs.into_fd(), child_fd: WORKER_FD }])
        .map_err(io::Error::other)?;
    let child = command.spawn()?;
    Ok((ours, child.id()))
}

/// The environment that a process was started with; this process's own when it cannot be read.
#[must_use]
pub fn environment(pid: u32) -> Vec<(OsString, OsString)> {
    let Ok(bytes) = std::fs::read(format!("/proc/{pid}/environ")) else {
        return std::env::vars_os().filter(|(name, _)| name != BOOT).collect();
    };
    bytes
        .split(|byte| *byte == 0)
        .filter_map(|entry| {
            let at = entry.iter().position(|byte| *byte == b'=')?;
            let (name, value) = (entry.get(..at)?, entry.get(at + 1..)?);
            (!name.is_empty() && name != BOOT.as_bytes()).then(|| (OsString::from_vec(name.to_vec()), OsString::from_vec(value.to_vec())))
        })
        .collect()
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
