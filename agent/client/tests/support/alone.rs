//! Tests in processes of their own: one connection a process, so one test a process.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use plasmon::{Info, Options};

/// The test that this process is to run.
const TEST: &str = "PLASMON_TEST";
/// Its scratch directory: sessions and flags.
const DIRECTORY: &str = "PLASMON_TEST_DIRECTORY";
/// What the process is in its test, when it is not the main one.
const ROLE: &str = "PLASMON_TEST_ROLE";
/// Longer than all patience within a test, so that what hangs is named by the test itself.
const LIMIT: Duration = Duration::from_secs(480);

/// Runs `body`, the body of the calling test, in a process of its own with a scratch directory of its own. Agents that it starts
/// poison what they reclaim. When it returns, nothing of the test is left: no session, no process.
#[track_caller]
pub(crate) fn alone<F: FnOnce()>(body: F) {
    let name = test_name::<F>();
    if std::env::var(TEST).is_ok_and(|test| test == name) {
        body();
        if role().is_none() {
            plasmon::shutdown().expect("the agent ends");
            std::fs::write(directory().join("done"), "").expect("the scratch directory is writable");
        }
        return;
    }
    let directory = tempfile::Builder::new().prefix("plasmon").tempdir().expect("a scratch directory");
    let errors = directory.path().join("stderr");
    let mut child = command(&name)
        .env(TEST, &name)
        .env(DIRECTORY, directory.path())
        .env("PLASMON_POISON", "1")
        .env("XDG_STATE_HOME", directory.path().join("state"))
        .env("PLASMON_SPILL_FAULT", format!("file:{}", directory.path().join("fault").display()))
        .stdout(Stdio::null())
        .stderr(File::create(&errors).expect("a file for its errors"))
        .spawn()
        .expect("this test can be started again");
    let deadline = Instant::now() + LIMIT;
    let status = loop {
        match child.try_wait().expect("a child can be waited for") {
            Some(status) => break status.to_string(),
            None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                break format!("killed after {LIMIT:?}");
            }
        }
    };
    let said = std::fs::read_to_string(&errors).unwrap_or_default();
    let processes = processes_of(directory.path());
    let sessions = sessions(directory.path());
    // What a failed test leaves must not outlive it.
    for pid in &processes {
        let _ = super::try_kill(*pid);
    }
    assert!(directory.path().join("done").exists(), "{name}: {status}\n{said}");
    said.lines().filter(|line| line.starts_with("NOT TESTED")).for_each(|line| eprintln!("{name}: {line}"));
    assert!(processes.is_empty() && sessions.is_empty(), "{name} left {processes:?} and {sessions:?}");
}

/// Processes that live and belong to the test with this scratch directory, or one inside: its environment is theirs.
fn processes_of(directory: &std::path::Path) -> Vec<u32> {
    let mark = format!("{DIRECTORY}={}", directory.display());
    let belongs = |pid: &u32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.windows(mark.len()).any(|window| window == mark.as_bytes())
    };
    // What names functions for a sanitizer ends a moment after the process that it serves.
    let serves = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "llvm-symbolizer");
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(belongs).filter(|pid| super::is_alive(*pid) && !serves(pid)).collect()
}

/// What this process is in its test; `None` in the main one.
pub(crate) fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// The test's scratch directory, known to all its processes, workers included.
pub(crate) fn directory() -> PathBuf {
    PathBuf::from(std::env::var_os(DIRECTORY).expect("a process of a test"))
}

/// Directories of sessions in `directory`, dead ones included.
pub(crate) fn sessions(directory: &std::path::Path) -> Vec<PathBuf> {
    let base = directory.join(format!("plasmon-{}", rustix::process::getuid().as_raw()));
    let Ok(entries) = std::fs::read_dir(base) else { return Vec::new() };
    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect()
}

/// Starts this test's agent with 64 MiB and so many CPUs.
pub(crate) fn start(cpus: f64) -> Info {
    start_sized(cpus, 64 << 20)
}

/// Starts this test's agent.
pub(crate) fn start_sized(cpus: f64, bytes: u64) -> Info {
    let info = Options::new().num_cpus(cpus).object_store_memory(bytes).temp_dir(directory()).init().expect("an agent starts");
    assert!(info.started);
    info
}

/// The same, without external storage: what does not fit is refused.
pub(crate) fn start_without_disk(cpus: f64, bytes: u64) -> Info {
    let agent = plasmon_agent::config::AgentOptions { spill: Some(false), ..Default::default() };
    let options = Options::new().agent(agent).num_cpus(cpus).object_store_memory(bytes).temp_dir(directory());
    let info = options.init().expect("an agent starts");
    assert!(info.started);
    info
}

/// Another process of the test: the same test, in a role.
pub(crate) struct Child(std::process::Child);

impl Child {
    /// Starts the calling test again as `role`.
    pub(crate) fn start(role: &str) -> Self {
        let name = std::env::var(TEST).expect("a process of a test");
        let child = command(&name).env(ROLE, role).stdout(Stdio::null()).spawn();
        Self(child.expect("this test can be started again"))
    }

    /// Like [`Child::start`], with a scratch directory of its own inside this one, for an agent of its own.
    pub(crate) fn start_apart(role: &str) -> Self {
        let name = std::env::var(TEST).expect("a process of a test");
        let directory = directory().join(role);
        std::fs::create_dir(&directory).expect("the scratch directory is writable");
        let child = command(&name).env(ROLE, role).env(DIRECTORY, directory).stdout(Stdio::null()).spawn();
        Self(child.expect("this test can be started again"))
    }

    /// Starts `program`, this one or a copy of it, as `role` from a shell that did `first` before: what it does to its process is the
    /// program's.
    pub(crate) fn start_after(first: &str, program: &std::path::Path, role: &str) -> Self {
        let name = std::env::var(TEST).expect("a process of a test");
        let child = Command::new("sh")
            .args(["-c", &format!("{first}\nexec \"$0\" \"$@\"")])
            .arg(program)
            .args(arguments(&name))
            .env(ROLE, role)
            .env_remove("PLASMON_ADDRESS")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        Self(child.expect("a shell can be started"))
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// `kill -9`, and waits for its end.
    pub(crate) fn kill(mut self) {
        self.0.kill().expect("it can be killed");
        self.0.wait().expect("it ends");
    }

    /// Waits for an end without an error. A child may have patience of its own to lose.
    pub(crate) fn succeed(mut self) {
        let deadline = Instant::now() + 4 * super::PATIENCE;
        let mut status = None;
        while status.is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
            status = self.0.try_wait().expect("it ends");
        }
        assert!(status.is_some_and(|status| status.success()), "{status:?}");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // After a failed assertion; else it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.args(arguments(test)).stdin(Stdio::null()).env_remove("PLASMON_ADDRESS");
    command
}

/// What makes this program run one test.
fn arguments(test: &str) -> [&str; 4] {
    ["--exact", test, "--nocapture", "--test-threads=1"]
}

/// The function that a closure is the body of: `crate::test::{{closure}}` without what is around it.
fn test_name<F>() -> String {
    let path = std::any::type_name::<F>();
    let path = path.split("::{{closure}}").next().unwrap_or(path);
    path.split_once("::").map_or(path, |(_, name)| name).to_owned()
}
