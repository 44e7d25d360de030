//! An agent with a small store, and where it spills to.

use std::path::{Path, PathBuf};

use plasmon::{Info, ObjectRef, Options};
use plasmon_agent::config::AgentOptions;
use plasmon_protocol::column::Table;
use plasmon_protocol::record::{SpillFileRow, SpillRow};
use plasmon_protocol::size::Bytes;
use plasmon_protocol::stream::Rows;

use super::pattern::{must_be, pattern};
use crate::support::{Viewer, directory};

pub(crate) const MIB: u64 = 1 << 20;

/// Where a test's agent spills to.
pub(crate) fn spill_dir() -> PathBuf {
    directory().join("spilled")
}

/// Starts an agent with a store of `bytes` that spills to [`spill_dir`], and connects.
pub(crate) fn start(bytes: u64, change: impl FnOnce(&mut AgentOptions)) -> Info {
    let mut agent = AgentOptions { spill_dir: vec![spill_dir()], ..AgentOptions::default() };
    change(&mut agent);
    agent.object_store_memory = Some(Bytes(bytes));
    Options::new().num_cpus(2.0).temp_dir(directory()).agent(agent).init().expect("an agent starts")
}

/// Every file below a directory.
pub(crate) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.into_iter().flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// Files with objects in them: nothing else there is large.
pub(crate) fn spill_files() -> Vec<PathBuf> {
    let large = |path: &PathBuf| path.metadata().is_ok_and(|metadata| metadata.len() >= 4096);
    let mut files: Vec<PathBuf> = files_below(&spill_dir()).into_iter().filter(large).collect();
    files.sort();
    files
}

/// What a viewer sees of external storage.
pub(crate) fn spill_row(viewer: &mut Viewer) -> SpillRow {
    viewer.report().store.spill
}

pub(crate) fn file_rows(viewer: &mut Viewer) -> Vec<SpillFileRow> {
    let Rows::SpillFiles(rows) = viewer.table(Table::SpillFiles) else { panic!("no spill files") };
    rows
}

/// One object of a known content.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) seed: u64,
    pub(crate) length: usize,
    pub(crate) object: ObjectRef<[u8]>,
}

impl Known {
    pub(crate) fn put(seed: u64, length: usize) -> Self {
        Self::try_put(seed, length).expect("there is room, or room can be made")
    }

    pub(crate) fn try_put(seed: u64, length: usize) -> Result<Self, plasmon::Error> {
        Ok(Self { seed, length, object: plasmon::put(&pattern(seed, length)[..])? })
    }

    #[track_caller]
    pub(crate) fn check(&self) {
        let view = plasmon::get(&self.object).unwrap_or_else(|error| panic!("seed {}: {error}", self.seed));
        must_be(&view, self.seed, self.length);
    }
}
