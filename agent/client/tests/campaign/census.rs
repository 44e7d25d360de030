//! What must hold when everybody is at rest: nothing lost, nothing left.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use plasmon::Info;
use plasmon_protocol::record::{ObjectState, ProcessRow, ProcessType, ReferenceType};

use crate::content::Ids;
use crate::procs;
use crate::storage::{self, Storage};
use crate::support::{Report, Viewer};

/// How long what follows from a death may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The agent as it is with nobody but this process, and what each process adds to it.
pub(crate) struct Census {
    viewer: Viewer,
    directory: PathBuf,
    info: Info,
    storage: Storage,
    base: Footprint,
    each_driver: Footprint,
    each_worker: Footprint,
    threads: Vec<String>,
    files: BTreeSet<PathBuf>,
    /// Bytes that the agent has spilled and restored, as of the last look.
    pub(crate) moved: (u64, u64),
}

/// What clients cost the agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Footprint {
    descriptors: usize,
    maps: usize,
}

impl Footprint {
    fn of(pid: u32) -> Self {
        Self { descriptors: procs::descriptors(pid).len(), maps: procs::shared_maps(pid) }
    }

    fn minus(self, other: Self) -> Self {
        Self { descriptors: self.descriptors - other.descriptors, maps: self.maps - other.maps }
    }

    fn plus(self, times: usize, other: Self) -> Self {
        Self { descriptors: self.descriptors + times * other.descriptors, maps: self.maps + times * other.maps }
    }
}

impl Census {
    /// Takes the agent's measure. `add_driver` starts a driver that does nothing; `add_worker` makes sure that this process has a worker.
    pub(crate) fn begin(info: &Info, storage: Storage, directory: &Path, add_worker: impl FnOnce(), add_driver: impl FnOnce()) -> Self {
        let mut viewer = Viewer::of(&info.session);
        // It has that file open for as long as it lives, and not from its first moment on.
        let recording = info.session.join(plasmon_protocol::recording::FILE);
        crate::support::eventually("the agent records", || recording.exists());
        let count = |viewer: &mut Viewer, kind, wanted: usize| {
            let deadline = Instant::now() + PATIENCE;
            while viewer.processes().iter().filter(procs::of(kind)).count() != wanted {
                assert!(Instant::now() < deadline, "there never were {wanted} processes of the kind {kind:?}");
            }
            Footprint::of(info.agent_pid)
        };
        let base = count(&mut viewer, ProcessType::Worker, 0);
        add_worker();
        let with_worker = count(&mut viewer, ProcessType::Worker, 1);
        add_driver();
        let with_driver = count(&mut viewer, ProcessType::Driver, 2);
        let threads = lasting_threads(info.agent_pid);
        let files = files_below(&info.session);
        let (each_worker, each_driver) = (with_worker.minus(base), with_driver.minus(with_worker));
        Self {
            viewer,
            directory: directory.to_owned(),
            info: info.clone(),
            storage,
            base,
            each_driver,
            each_worker,
            threads,
            files,
            moved: (0, 0),
        }
    }

    /// Waits until everything is as it must be with these drivers beside this process, and these objects held. False when one of them
    /// has died meanwhile: an agent that is short of room asks those at rest too, and some have an order to die at their answer.
    ///
    /// # Errors
    /// What is not, after a long while.
    pub(crate) fn check(&mut self, drivers: &BTreeSet<u32>, held: &Ids) -> Result<bool, String> {
        // A viewer that does not read for long is dropped.
        self.viewer = Viewer::of(&self.info.session);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let wrong = self.look(drivers, held);
            if wrong.is_empty() {
                return Ok(true);
            }
            if drivers.iter().any(|pid| procs::read(*pid).is_none_or(|process| process.zombie)) {
                return Ok(false);
            }
            if Instant::now() >= deadline {
                return Err(wrong.join("\n"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until no task runs and none waits: what those who have died left behind is done or cancelled.
    ///
    /// # Errors
    /// Something still runs after a long while.
    pub(crate) fn calm(&mut self) -> Result<(), String> {
        self.viewer = Viewer::of(&self.info.session);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let node = self.viewer.report().store.node;
            if (node.tasks_pending, node.tasks_running) == (0, 0) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(format!("tasks don't end\n{}", self.picture()));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn look(&mut self, drivers: &BTreeSet<u32>, held: &Ids) -> Vec<String> {
        let mut wrong = Vec::new();
        let report = self.viewer.report();
        let rows = self.viewer.processes();
        let of_kind = |kind| rows.iter().filter(procs::of(kind)).map(|row| row.pid).collect::<BTreeSet<u32>>();
        let workers = of_kind(ProcessType::Worker);
        let mut expected = drivers.clone();
        expected.insert(std::process::id());
        if of_kind(ProcessType::Driver) != expected {
            wrong.push(format!("drivers {:?} instead of {expected:?}", of_kind(ProcessType::Driver)));
        }
        let node = &report.store.node;
        if (node.tasks_pending, node.tasks_running, report.store.creates_queued) != (0, 0, 0) || node.used_cpus != 0.0 {
            wrong.push(format!("{} tasks wait and {} run, with {} CPUs", node.tasks_pending, node.tasks_running, node.used_cpus));
        }
        objects(&report, held, &mut wrong);
        holders(&report, &expected, &workers, &mut wrong);
        ledger(&report, &rows, &mut wrong);
        storage::ledger(&mut self.viewer, &report, &self.directory, self.storage, &mut wrong);
        self.moved = (report.store.spill.spilled_bytes_total, report.store.spill.restored_bytes_total);
        self.system(&expected, &rows, &workers, &mut wrong);
        wrong
    }

    /// Descriptors, maps, threads, processes and files.
    fn system(&self, drivers: &BTreeSet<u32>, rows: &[ProcessRow], workers: &BTreeSet<u32>, wrong: &mut Vec<String>) {
        let agent = self.info.agent_pid;
        let footprint = Footprint::of(agent);
        let expected = self.base.plus(drivers.len() - 1, self.each_driver).plus(workers.len(), self.each_worker);
        if footprint != expected {
            let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
            procs::descriptors(agent).into_iter().for_each(|kind| *kinds.entry(kind).or_default() += 1);
            let clients = format!("{} drivers and {} workers", drivers.len(), workers.len());
            wrong.push(format!("the agent has {footprint:?} with {clients} instead of {expected:?}: {kinds:?}"));
        }
        if lasting_threads(agent) != self.threads {
            wrong.push(format!("the agent has the threads {:?} instead of {:?}", lasting_threads(agent), self.threads));
        }
        let processes = procs::all();
        let strays: Vec<_> = processes
            .iter()
            .filter(|process| {
                let known = process.pid == agent || drivers.contains(&process.pid) || workers.contains(&process.pid);
                let ours = process.parent == agent || drivers.contains(&process.parent) || procs::is_marked(process.pid, &self.directory);
                ours && (process.zombie || !known)
            })
            .collect();
        if !strays.is_empty() {
            wrong.push(format!("processes that nobody knows: {strays:?}"));
        }
        let logs = self.info.session.join("logs");
        let known: BTreeSet<PathBuf> =
            rows.iter().flat_map(|row| ["out", "err"].map(|stream| logs.join(format!("worker-{}.{stream}", row.process)))).collect();
        let mut files = files_below(&self.info.session);
        // What a worker has said stays as long as the session.
        let has_text = |file: &Path| file.starts_with(&logs) && std::fs::metadata(file).is_ok_and(|file| file.len() > 0);
        files.retain(|file| !known.contains(file) && !has_text(file));
        let extra: Vec<_> = files.difference(&self.files).collect();
        if !extra.is_empty() {
            wrong.push(format!("files that nobody needs: {extra:?}"));
        }
        if !self.files.iter().all(|file| file.exists() || known.contains(file) || file.starts_with(&logs)) {
            wrong.push("the session misses files".to_owned());
        }
        let shared: Vec<_> =
            files_below(Path::new("/dev/shm")).into_iter().filter(|path| path.to_string_lossy().contains("plasmon")).collect();
        if !shared.is_empty() {
            wrong.push(format!("shared memory with names: {shared:?}"));
        }
    }

    /// What the agent knows of those who do not come to rest.
    pub(crate) fn picture(&mut self) -> String {
        self.viewer = Viewer::of(&self.info.session);
        let tasks = self.viewer.tasks().into_iter().filter(|task| task.ended_ms.is_none());
        let mut lines: Vec<String> = tasks
            .map(|task| {
                let (name, status, worker) = (&task.name, task.status, task.worker_pid);
                format!(
                    "task {} {name}: {status:?}, worker {worker:?}, waits for {}, blocked {}",
                    task.task_id, task.waits_for, task.blocked
                )
            })
            .collect();
        let processes = self.viewer.processes();
        lines.extend(
            processes.iter().map(|row| format!("{:?} {} of job {}: {} {:?}", row.process_type, row.pid, row.job, row.state, row.task)),
        );
        lines.join("\n")
    }

    /// The agent's own memory, bytes.
    pub(crate) fn agent_heap(&self) -> u64 {
        let agent = self.info.agent_pid;
        let status = std::fs::read_to_string(format!("/proc/{agent}/status")).unwrap_or_default();
        let kib = status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    }
}

/// The objects that live are those that are held.
fn objects(report: &Report, held: &Ids, wrong: &mut Vec<String>) {
    let live: Ids = report.references.iter().map(|row| row.object_id).collect();
    let lost: Vec<_> = held.difference(&live).collect();
    if !lost.is_empty() {
        wrong.push(format!("lost, and held: {lost:?}"));
    }
    let leaked: Vec<_> = report.references.iter().filter(|row| !held.contains(&row.object_id)).collect();
    if !leaked.is_empty() {
        wrong.push(format!("{} rows of objects that nobody holds, the first {:#?}", leaked.len(), leaked[0]));
    }
}

/// Only the living hold anything; workers that are no actors and the agent only what is inside of what they, or the dead, put.
fn holders(report: &Report, drivers: &BTreeSet<u32>, workers: &BTreeSet<u32>, wrong: &mut Vec<String>) {
    for row in &report.references {
        let counts = (row.local, row.pinned, row.submitted);
        let right = match row.process_type {
            ProcessType::Driver => drivers.contains(&row.pid) && row.submitted == 0,
            ProcessType::Worker => {
                let keeps = row.submitted == 0 && row.call_site.file.ends_with("vault.rs");
                workers.contains(&row.pid) && (keeps || counts == (0, 0, 0))
            }
            // A detached actor's handle is the agent's.
            ProcessType::Agent => counts == (0, 0, 0) || row.reference_type == ReferenceType::ActorHandle,
        };
        if !right {
            return wrong.push(format!("a row of nobody, or of the wrong kind: {row:#?}"));
        }
    }
}

/// Every byte is where the rows say.
fn ledger(report: &Report, rows: &[ProcessRow], wrong: &mut Vec<String>) {
    let ledger = report.ledger();
    let mut sizes: BTreeMap<_, (u64, ObjectState)> = BTreeMap::new();
    sizes.extend(report.references.iter().map(|row| (row.object_id, (row.size_bytes.unwrap_or(0), row.state))));
    let sum = |state| sizes.values().filter(|(_, found)| *found == state).map(|(bytes, _)| bytes).sum::<u64>();
    let memory = sum(ObjectState::InMemory) + sum(ObjectState::InMemoryCopy);
    let inlined = sum(ObjectState::Inlined);
    if (ledger.used_bytes(), ledger.inlined_bytes) != (memory, inlined) {
        let (used, inside) = (ledger.used_bytes(), ledger.inlined_bytes);
        wrong.push(format!("the ledger says {used} bytes used and {inside} inlined, the rows {memory} and {inlined}"));
    }
    let slack: u64 = rows.iter().map(|row| row.slack_bytes).sum();
    // What the dead have left of a lease stays slack as long as an object lives in it.
    let explained = if sizes.is_empty() { slack == ledger.slack_bytes } else { slack <= ledger.slack_bytes };
    if ledger.creating_bytes != 0 || !explained {
        wrong.push(format!("creating {} and slack {}, of which the living have {slack}", ledger.creating_bytes, ledger.slack_bytes));
    }
}

/// Threads but for those that come and go with the work of the stream.
fn lasting_threads(pid: u32) -> Vec<String> {
    procs::threads(pid).into_iter().filter(|name| !name.starts_with("tokio")).collect()
}

/// Files and directories below a directory.
pub(crate) fn files_below(directory: &Path) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    let Ok(entries) = std::fs::read_dir(directory) else { return files };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() {
            files.extend(files_below(&path));
        }
        files.insert(path);
    }
    files
}
