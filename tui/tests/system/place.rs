//! A directory of its own for the sessions of one test, and the real programs in it.

use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use plasmon_agent::session::{Found, find_live};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Far longer than anything takes: reached only by what never comes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The variable that says where sessions are, and by which a test's processes are known.
const TEMP: &str = "PLASMON_TEMP_DIR";

/// Waits until `found` finds something.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

/// Waits for a program's end.
#[track_caller]
pub(crate) fn ends(child: &mut Child) -> ExitStatus {
    until("the program's end", || child.try_wait().unwrap())
}

/// What a program that ended has left.
#[derive(Debug)]
pub(crate) struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Done, and nothing to complain about.
    #[track_caller]
    pub(crate) fn fine(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        self.stdout
    }

    /// An error: nothing on stdout, `parts` in the message, and a hint.
    #[track_caller]
    pub(crate) fn refused(&self, parts: &[&str]) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(2), ""), "{self:?}");
        let message = self.stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_else(|| panic!("no error line: {self:?}"));
        for part in parts {
            assert!(message.contains(part), "'{part}' is not in: {message}");
        }
        let hint = self.stderr.lines().last().unwrap_or_default();
        assert!(hint.starts_with("hint: ") && hint.len() > 8, "no hint at the end: {self:?}");
    }
}

/// Where one test's sessions and files are.
pub(crate) struct Place {
    directory: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A file with these bytes.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// What the programs see of the environment.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let mut all: Vec<_> = std::env::vars().filter(|(name, _)| name == "PATH").collect();
        all.extend([(TEMP.to_owned(), self.path().to_str().unwrap().to_owned()), ("TERM".to_owned(), "xterm-256color".to_owned())]);
        all.push(("XDG_STATE_HOME".to_owned(), self.path().join("state").to_str().unwrap().to_owned()));
        all
    }

    /// `plasmon` with these arguments, in the workspace's directory, without a terminal.
    pub(crate) fn plasmon<S: AsRef<std::ffi::OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plasmon"));
        command.args(arguments).env_clear().envs(self.environment()).current_dir(workspace()).stdin(Stdio::null());
        command
    }

    /// Runs `plasmon` to its end.
    #[track_caller]
    pub(crate) fn run<S: AsRef<std::ffi::OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ended {
        end(self.plasmon(arguments))
    }

    /// The live agents, newest first.
    pub(crate) fn live(&self) -> Vec<Found> {
        find_live(self.path()).unwrap()
    }

    /// The one live agent.
    pub(crate) fn agent(&self) -> Found {
        until("an agent", || self.live().into_iter().next())
    }

    /// The processes that run here.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let mark = [TEMP.as_bytes(), b"=", self.path().as_os_str().as_bytes()].concat();
        let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        // A process that ends meanwhile has no environment any more.
        let here =
            |pid: &u32| fs::read(format!("/proc/{pid}/environ")).is_ok_and(|all| all.split(|byte| *byte == 0).any(|one| one == mark));
        pids.filter(here).collect()
    }

    /// Names of what lies in the directory of this user's sessions.
    pub(crate) fn sessions(&self) -> Vec<PathBuf> {
        let base = self.path().join(format!("plasmon-{}", rustix::process::getuid().as_raw()));
        fs::read_dir(base).map(|entries| entries.map(|entry| entry.unwrap().path()).collect()).unwrap_or_default()
    }

    /// Nothing is left at once: no process, no session.
    #[track_caller]
    pub(crate) fn assert_empty(&self) {
        assert_eq!((self.processes(), self.sessions()), (vec![], vec![]));
    }

    /// As [`Place::assert_empty`], when what was killed had no time to wait for the others.
    pub(crate) fn wait_empty(&self) {
        until("the end of all processes and sessions", || (self.processes().is_empty() && self.sessions().is_empty()).then_some(()));
    }
}

impl Drop for Place {
    /// Ends what a failed test has left.
    fn drop(&mut self) {
        for pid in self.processes() {
            if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
                // It may have ended by itself.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

/// A command that ended; both its outputs are read meanwhile.
#[track_caller]
pub(crate) fn end(mut command: Command) -> Ended {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Reads on until `text` has come.
pub(crate) fn read_until(from: &mut impl Read, text: &str) -> String {
    let mut seen = Vec::new();
    loop {
        let mut byte = [0];
        let read = from.read(&mut byte).unwrap();
        let so_far = String::from_utf8_lossy(&seen);
        assert!(read > 0, "it ended before '{text}': {so_far}");
        seen.extend(byte);
        if seen.ends_with(text.as_bytes()) {
            return String::from_utf8(seen).unwrap();
        }
    }
}

/// An agent of its own, ended with the test.
pub(crate) struct Daemon {
    pub child: Child,
    pub found: Found,
}

impl Daemon {
    /// `plasmon agent` on a free port, with these arguments too.
    pub(crate) fn start(place: &Place, arguments: &[&str]) -> Self {
        let mut command = place.plasmon(["agent", "--object-store-memory", "64MiB", "--listen", "127.0.0.1:0"]);
        let child = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let found = until("the agent", || place.live().into_iter().find(|found| found.address.pid == child.id()));
        Self { child, found }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.found.address.listen)
    }

    pub(crate) fn token_file(&self) -> &str {
        self.found.address.token_file.to_str().unwrap()
    }

    /// `plasmon record` of it into this file, until it is told to end.
    pub(crate) fn record(&self, place: &Place, file: &Path) -> Child {
        let arguments = ["record", file.to_str().unwrap(), "--address", &self.url(), "--token-file", self.token_file()];
        place.plasmon(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(mut self) -> Option<i32> {
        signal(self.child.id(), Signal::TERM);
        ends(&mut self.child).code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The directory of the workspace, where the demo's source is found.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
