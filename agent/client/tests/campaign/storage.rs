//! External storage of a campaign's agents: most have a store so small that objects come and go all the time, and some have none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use plasmon::Options;
use plasmon_agent::config::AgentOptions;
use plasmon_protocol::column::Table;
use plasmon_protocol::record::{ObjectState, SpillFileRow, SpillFileState, SpillRow};
use plasmon_protocol::stream::Rows;

use crate::support::{Random, Report, Viewer};

/// How the disk fails: nothing of it is a reason for wrong bytes or a lost object.
const FAULTS: [&str; 10] = [
    "write:1:EIO:always",
    "write:3:ENOSPC:once",
    "create:1:ENOSPC:always",
    "create:2:EROFS:once",
    "write:1:short:always",
    "sync:1:EIO:once",
    "read:2:EIO:once",
    "read:1:EIO:always,open:3:EMFILE:once",
    "slow:10ms",
    "slow:2ms,write:5:short:once,read:9:EIO:once",
];

/// The share of the store from which on agents spill: low, so that there is something to spill in every round.
const THRESHOLD: f64 = 0.4;

/// What one agent's external storage is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Storage {
    /// Threads that write, and as many that read; `None`: nothing is spilled.
    threads: Option<u32>,
}

impl Storage {
    /// With one to four threads; none at all one time of so many.
    pub(crate) fn any(random: &mut Random, off: u64) -> Self {
        let threads = 1 + random.below(4) as u32;
        Self { threads: (random.below(off) > 0).then_some(threads) }
    }

    pub(crate) fn is_on(self) -> bool {
        self.threads.is_some()
    }

    /// An agent with it: `small` bytes of store, or `large` ones without a disk.
    pub(crate) fn agent(self, directory: &Path, cpus: f64, small: u64, large: u64) -> Options {
        let bytes = if self.is_on() { small } else { large };
        let agent = match self.threads {
            Some(_) => AgentOptions {
                spill_dir: vec![place(directory)],
                spill_threads: self.threads,
                spill_threshold: Some(THRESHOLD),
                ..AgentOptions::default()
            },
            None => AgentOptions { spill: Some(false), ..AgentOptions::default() },
        };
        Options::new().agent(agent).num_cpus(cpus).object_store_memory(bytes).temp_dir(directory)
    }
}

/// The directory in which every agent has one of its own.
pub(crate) fn place(directory: &Path) -> PathBuf {
    directory.join("spilled")
}

/// The file that tells the agents' disks to fail.
pub(crate) fn faults(directory: &Path) -> PathBuf {
    directory.join("fault")
}

/// Agents' directories for spill files, dead ones included.
pub(crate) fn directories(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(place(directory)) else { return Vec::new() };
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

/// Files in them, with their sizes.
pub(crate) fn files(directory: &Path) -> BTreeMap<PathBuf, u64> {
    let in_one = |path: PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten();
    let entries = directories(directory).into_iter().flat_map(in_one);
    entries.filter_map(|entry| Some((entry.path(), entry.metadata().ok()?.len()))).collect()
}

/// A disk that fails now and then.
pub(crate) struct Faults {
    file: PathBuf,
    on: bool,
    /// How often it was told to.
    pub(crate) times: u64,
}

impl Faults {
    pub(crate) fn new(directory: &Path) -> Self {
        Self { file: faults(directory), on: false, times: 0 }
    }

    /// Begins or ends to fail, one time of a few.
    pub(crate) fn turn(&mut self, random: &mut Random) {
        if random.below(4) > 0 {
            return;
        }
        if self.on {
            return self.end();
        }
        self.on = true;
        self.times += 1;
        self.say(FAULTS[random.below(FAULTS.len() as u64) as usize]);
    }

    pub(crate) fn end(&mut self) {
        self.on = false;
        self.say("off");
    }

    fn say(&self, what: &str) {
        std::fs::write(&self.file, what).expect("the scratch directory is writable");
    }
}

/// Every byte on disk is where the rows say, and every row is a file.
pub(crate) fn ledger(viewer: &mut Viewer, report: &Report, directory: &Path, storage: Storage, wrong: &mut Vec<String>) {
    let Rows::SpillFiles(rows) = viewer.table(Table::SpillFiles) else { return wrong.push("no table of files".to_owned()) };
    let row = &report.store.spill;
    let found = files(directory);
    if !storage.is_on() {
        let written = (row.files_total, row.spilled_bytes_total, rows.len(), found.len());
        if &*row.state != "off" || written != (0, 0, 0, 0) || crate::storage::place(directory).exists() {
            wrong.push(format!("nothing may be spilled, and the state is {}, with {written:?} files and bytes", row.state));
        }
        return;
    }
    let moving = (row.writing_objects, row.writing_bytes, row.reading_objects, row.reading_bytes);
    let unfinished: Vec<_> = rows.iter().filter(|file| file.state != SpillFileState::Ready).collect();
    if moving != (0, 0, 0, 0) || !unfinished.is_empty() || &*row.state == "off" {
        return wrong.push(format!("external storage is at work: {moving:?}, {unfinished:?}, {}", row.state));
    }
    for file in rows.iter().filter(|file| file.live_bytes + file.dead_bytes + file.header_bytes != file.file_bytes || file.objects == 0) {
        wrong.push(format!("a spill file's bytes are not those of its parts, or nothing in it lives: {file:?}"));
    }
    let sum = |part: fn(&SpillFileRow) -> u64| rows.iter().map(part).sum::<u64>();
    let sums = [rows.len() as u64, sum(|file| file.file_bytes), sum(|file| file.live_bytes), sum(|file| file.dead_bytes)];
    let (headers, objects) = (sum(|file| file.header_bytes), sum(|file| u64::from(file.objects)));
    let told = [u64::from(row.files), row.file_bytes, row.live_bytes, row.dead_bytes];
    if (sums, headers, objects) != (told, row.header_bytes, row.objects) {
        wrong.push(format!("the files sum to {sums:?}, {headers}, {objects}, and the agent says {row:?}"));
    }
    copies(row, report, wrong);
    let named: BTreeMap<PathBuf, u64> = rows.iter().map(|file| (Path::new(&*file.place).join(&*file.name), file.file_bytes)).collect();
    if named != found {
        wrong.push(format!("the rows name the files {named:?}, and there are {found:?}"));
    }
    if report.references.is_empty() && (row.files, row.file_bytes, row.objects, row.spilled_objects) != (0, 0, 0, 0) {
        wrong.push(format!("nothing is held, and something is left on disk: {row:?}"));
    }
}

/// What lives in files are the objects that are spilled, and those that came back.
fn copies(row: &SpillRow, report: &Report, wrong: &mut Vec<String>) {
    let mut sizes: BTreeMap<_, (u64, ObjectState)> = BTreeMap::new();
    sizes.extend(report.references.iter().map(|row| (row.object_id, (row.size_bytes.unwrap_or(0), row.state))));
    let of = |state| {
        let sizes = sizes.values().filter(|(_, found)| *found == state).map(|(bytes, _)| *bytes);
        sizes.fold((0, 0), |(objects, sum), bytes| (objects + 1, sum + bytes))
    };
    let ((away, away_bytes), (copies, copy_bytes)) = (of(ObjectState::Spilled), of(ObjectState::InMemoryCopy));
    let (told, live) = ((row.spilled_objects, row.spilled_bytes), (row.objects, row.live_bytes));
    if told != (away, away_bytes) || live != (away + copies, away_bytes + copy_bytes) {
        wrong.push(format!(
            "{away} objects of {away_bytes} bytes are spilled and {copies} of {copy_bytes} came back, and the agent says {row:?}"
        ));
    }
}
