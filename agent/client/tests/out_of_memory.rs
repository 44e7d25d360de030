//! Memory runs out: the right worker goes, its caller is told everything, and nobody goes for nothing. In a real control group where
//! root is available; what else can be tested, with a threshold that every machine is above.

mod support;

mod confined {
    pub(crate) mod group;
}

mod out_of_memory {
    mod group;
    mod machine;
}

use std::path::Path;
use std::time::Duration;

use plasmon::{Options, TaskOptions};
use plasmon_agent::config::AgentOptions;
use plasmon_protocol::record::{EventKind, EventRow, PressureRow, StoreRow, TaskRow, TaskStatus};
use support::{Viewer, directory};

const MIB: u64 = 1 << 20;

/// Fills so much memory, and waits for a flag.
#[plasmon::remote]
fn fill(mebibytes: u64, flag: &str) -> u32 {
    hold(mebibytes, &directory().join(flag))
}

/// Fills so much memory when it runs for the first time, and nothing after that.
#[plasmon::remote]
fn fill_once(mebibytes: u64, flag: &str) -> u32 {
    let been = directory().join(format!("been {flag}"));
    if been.exists() {
        return std::process::id();
    }
    std::fs::write(been, "").expect("the scratch directory is writable");
    hold(mebibytes, &directory().join(flag))
}

fn hold(mebibytes: u64, flag: &Path) -> u32 {
    let memory = std::hint::black_box(vec![1_u8; (mebibytes * MIB) as usize]);
    while !flag.exists() {
        std::thread::sleep(Duration::from_millis(2));
    }
    drop(memory);
    std::process::id()
}

/// An agent that ends somebody when more than this share of memory is in use.
fn start(cpus: f64, store: u64, agent: AgentOptions) {
    let options = Options::new().agent(agent).num_cpus(cpus).object_store_memory(store).temp_dir(directory());
    assert!(options.init().expect("an agent starts").started);
}

fn limits(share: f64) -> AgentOptions {
    AgentOptions { oom_threshold: Some(share), ..AgentOptions::default() }
}

fn raise(flag: &str) {
    std::fs::write(directory().join(flag), "").expect("the scratch directory is writable");
}

fn retries(most: u32) -> TaskOptions {
    TaskOptions::new().max_retries(most)
}

/// The first pressure that `holds` likes.
#[track_caller]
fn until_pressure(viewer: &mut Viewer, what: &str, mut holds: impl FnMut(&PressureRow) -> bool) -> StoreRow {
    viewer.until(what, |report| holds(&report.store.pressure)).store
}

/// The worker of the task that a row is about, once it runs and holds so much memory.
#[track_caller]
fn until_running(viewer: &mut Viewer, which: impl Fn(&TaskRow) -> bool, mebibytes: u64) -> u32 {
    let deadline = std::time::Instant::now() + support::PATIENCE;
    loop {
        let tasks = viewer.tasks();
        let running = tasks.iter().find(|row| which(row) && row.status == TaskStatus::Running);
        if let Some(pid) = running.and_then(|row| row.worker_pid)
            && viewer.processes().iter().any(|process| process.pid == pid && process.heap_bytes >= mebibytes * MIB)
        {
            return pid;
        }
        assert!(std::time::Instant::now() < deadline, "it never ran with {mebibytes} MiB: {tasks:#?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn told(viewer: &mut Viewer) -> Vec<EventRow> {
    viewer.events().into_iter().filter(|event| event.kind == EventKind::OutOfMemory).collect()
}
