//! The outermost process of a campaign: starts the rest, and sees that nothing of it is left.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::census::files_below;
use crate::plan::Plan;
use crate::procs::{self, Proc};
use crate::storage;

/// How long what ends with the campaign may take to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the campaign in a process of its own, with a scratch directory of its own.
pub(crate) fn run(plan: Plan) -> ExitCode {
    println!("campaign: seed {}", plan.seed);
    let directory = tempfile::Builder::new().prefix("plasmon").tempdir().expect("a scratch directory");
    // What the dead leave behind becomes this process's, which then sees it.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).expect("orphans are ours");
    let mut child = Command::new(std::env::current_exe().expect("this program has a path"))
        .arg("inside")
        .args(plan.arguments())
        .env(procs::DIRECTORY, directory.path())
        .env("PLASMON_POISON", "1")
        .env("XDG_STATE_HOME", directory.path().join("state"))
        .env("PLASMON_SPILL_FAULT", format!("file:{}", storage::faults(directory.path()).display()))
        .env_remove("PLASMON_ADDRESS")
        .stdin(Stdio::null())
        .spawn()
        .expect("this program can be started again");
    let limit = Duration::from_secs(300) + Duration::from_millis(500) * (plan.kills + 10 * plan.agents) as u32;
    let deadline = Instant::now() + limit;
    let status = loop {
        match child.try_wait().expect("a child can be waited for") {
            Some(status) => break status.to_string(),
            None if Instant::now() < deadline => {
                procs::reap(child.id());
                std::thread::sleep(Duration::from_millis(20));
            }
            None => {
                eprintln!("campaign: hangs after {limit:?}\n{}", procs::picture(directory.path()));
                let _ = child.kill();
                let _ = child.wait();
                break "killed".to_owned();
            }
        }
    };
    let mut wrong = leftovers(directory.path());
    let deadline = Instant::now() + PATIENCE;
    while !wrong.is_empty() && Instant::now() < deadline {
        procs::reap(0);
        std::thread::sleep(Duration::from_millis(5));
        wrong = leftovers(directory.path());
    }
    // What a failed campaign leaves must not outlive it.
    for process in marked(directory.path()) {
        if let Some(pid) = rustix::process::Pid::from_raw(process.pid.cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
    if !directory.path().join("done").exists() {
        wrong.push(format!("the campaign ended with {status}"));
        wrong.extend(std::fs::read_to_string(directory.path().join("errors")));
    }
    for what in &wrong {
        eprintln!("campaign: {what}");
    }
    if wrong.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("campaign: failed with seed {}", plan.seed);
    ExitCode::FAILURE
}

/// Recordings that are kept of agents that were killed.
const RECORDINGS: usize = 5;

/// Processes and files that a campaign has left.
fn leftovers(directory: &Path) -> Vec<String> {
    let mut wrong: Vec<String> = marked(directory).iter().map(|process| format!("left the process {process:?}")).collect();
    let mut kept = ["done", "errors", "deaths"].map(|name| directory.join(name)).to_vec();
    kept.extend([storage::place(directory), storage::faults(directory)]);
    let base = directory.join(format!("plasmon-{}", rustix::process::getuid().as_raw()));
    let recordings = directory.join("state/plasmon");
    let is_recording = |path: &Path| path.parent() == Some(&recordings) && path.extension().is_some_and(|extension| extension == "ndjson");
    kept.extend([directory.join("state"), recordings.clone(), base.clone(), base.join("lock")]);
    let (recorded, files): (Vec<PathBuf>, Vec<PathBuf>) = files_below(directory).into_iter().partition(|path| is_recording(path));
    if recorded.len() > RECORDINGS {
        wrong.push(format!("left {} recordings of dead agents", recorded.len()));
    }
    let files = files.into_iter().filter(|path| !kept.contains(path));
    wrong.extend(files.take(10).map(|path| format!("left {}", path.display())));
    wrong
}

/// Processes of the campaign, and its dead that nobody reaped.
fn marked(directory: &Path) -> Vec<Proc> {
    let own = std::process::id();
    procs::all().into_iter().filter(|process| process.parent == own || procs::is_marked(process.pid, directory)).collect()
}
