//! Agents that the benchmark runs, and its connections to them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use plasmon::Options;
use plasmon_memory::process::Pidfd;
use rustix::process::Signal;

use crate::{Outcome, ROLE};

/// Longer than any start takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a re-executed benchmark does as an agent: what the daemon does, as long as its parent lives.
pub(crate) fn serve() -> ExitCode {
    // Refused on no system that this runs on; without it an agent could outlive a killed run.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::TERM));
    plasmon_agent::command::main(std::env::args_os())
}

/// An agent of its own, ended when dropped.
pub(crate) struct Daemon {
    child: Child,
    session: PathBuf,
}

impl Daemon {
    /// This program as an agent.
    pub(crate) fn start(scratch: &Path, capacity: u64, environment: &[(&str, &str)]) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.env(ROLE, "agent").env("PLASMON_SPILL", "off").envs(environment.iter().copied());
        Self::spawn(command, scratch, capacity)
    }

    /// The same, spilling to `scratch` from this share of its store on.
    pub(crate) fn spilling(scratch: &Path, capacity: u64, threshold: &str) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.env(ROLE, "agent").env("PLASMON_SPILL_DIR", scratch).env("PLASMON_SPILL_THRESHOLD", threshold);
        Self::spawn(command, scratch, capacity)
    }

    /// The daemon itself, where it was built beside this program.
    pub(crate) fn installed() -> Option<PathBuf> {
        let here = std::env::current_exe().ok()?;
        Some(here.parent()?.parent()?.join("plasmon-agent")).filter(|path| path.is_file())
    }

    /// Starts `command` as an agent, and waits until it can be reached.
    pub(crate) fn spawn(mut command: Command, scratch: &Path, capacity: u64) -> Outcome<Self> {
        let directory = tempfile::Builder::new().prefix("agent").tempdir_in(scratch)?.keep();
        command
            .args(["--listen", "127.0.0.1:0", "--object-store-memory", &capacity.to_string(), "--temp-dir"])
            .arg(&directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut daemon = Self { child: command.spawn()?, session: PathBuf::new() };
        let deadline = Instant::now() + PATIENCE;
        let base = directory.join(format!("plasmon-{}", rustix::process::getuid().as_raw()));
        loop {
            let sessions = std::fs::read_dir(&base).into_iter().flatten().flatten().map(|entry| entry.path());
            if let Some(session) = sessions.into_iter().find(|session| session.join("address").exists()) {
                daemon.session = session;
                return Ok(daemon);
            }
            if let Some(status) = daemon.child.try_wait()? {
                return Err(format!("an agent ended at its start: {status}").into());
            }
            if Instant::now() > deadline {
                return Err(format!("an agent was not ready after {PATIENCE:?}").into());
            }
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The session's directory.
    pub(crate) fn session(&self) -> &Path {
        &self.session
    }

    /// Connects this process to it, anew when it was connected.
    pub(crate) fn connect(&self) -> Outcome<()> {
        plasmon::shutdown()?;
        Options::new().address(&self.session).init()?;
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(process) = Pidfd::open(self.child.id()) {
            let _ = process.terminate();
        }
        let _ = self.child.wait();
    }
}

/// Lets the agent work off what was sent, and go to sleep.
pub(crate) fn rest() {
    std::thread::sleep(Duration::from_millis(10));
}
