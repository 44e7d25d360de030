//! What the workers of a job are started from.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use plasmon_protocol::local::BOOT;

/// What a driver's workers are started from. Complete when the driver connects: workers may be started after its end.
#[derive(Debug)]
pub struct Program {
    /// The executable, held open.
    pub executable: OwnedFd,
    /// Its path, as `argv[0]`.
    pub path: String,
    /// What is interpreted, where the executable is an interpreter: what follows `argv[0]`.
    pub arguments: Vec<String>,
    /// The working directory.
    pub directory: PathBuf,
    /// The environment that the driver was started with.
    pub environment: Vec<(OsString, OsString)>,
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
