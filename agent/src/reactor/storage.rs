//! What the core keeps about external storage, beside what each object says of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::Discriminant;

use plasmon_protocol::id::{ObjectKey, SpillFileId};

use super::compaction::Compaction;
use super::restoring::Read;
use super::thrash::Thrash;
use super::untold::Untold;
use crate::spill::files::Files;
use crate::spill::job::{DiskRoom, Failure};
use crate::spill::policy::SpillConfig;
use crate::store::object::{Place, Residency};

/// Bytes of the pool that a job under way reads or writes. They stay where they are, whatever becomes of the object meanwhile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) key: ObjectKey,
    pub(super) place: Place,
    pub(super) length: u64,
}

/// Jobs of one kind: what they carry at this moment, and the time in which at least one was under way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traffic {
    jobs: u32,
    pub(super) objects: u64,
    pub(super) bytes: u64,
    since_ms: u64,
    total_ms: u64,
}

impl Traffic {
    pub(super) fn begin<'h>(&mut self, held: impl Iterator<Item = &'h Held>, now_ms: u64) {
        if self.jobs == 0 {
            self.since_ms = now_ms;
        }
        self.jobs += 1;
        for held in held {
            self.objects += 1;
            self.bytes += held.length;
        }
    }

    pub(super) fn end<'h>(&mut self, held: impl Iterator<Item = &'h Held>, now_ms: u64) {
        self.jobs = self.jobs.saturating_sub(1);
        if self.jobs == 0 {
            self.total_ms += now_ms.saturating_sub(self.since_ms);
        }
        for held in held {
            self.objects -= 1;
            self.bytes -= held.length;
        }
    }

    /// Milliseconds so far.
    pub(super) fn total_ms(&self, now_ms: u64) -> u64 {
        self.total_ms + if self.jobs == 0 { 0 } else { now_ms.saturating_sub(self.since_ms) }
    }
}

/// One place for files.
#[derive(Clone, Debug, Default)]
pub(super) struct SpillPlace {
    /// How it failed last, while it is left alone.
    pub(super) trouble: Option<Discriminant<Failure>>,
    pub(super) retry_ms: u64,
    pub(super) backoff_ms: u64,
    pub(super) room: Option<DiskRoom>,
}

/// Everything about external storage but the objects themselves.
#[derive(Debug, Default)]
pub(super) struct Spill {
    pub(super) config: SpillConfig,
    pub(super) files: Files,
    /// Files that are being written: what of them, and where each record begins.
    pub(super) writes: BTreeMap<SpillFileId, Vec<(Held, u64)>>,
    pub(super) reads: BTreeMap<u64, Read>,
    pub(super) compactions: BTreeMap<SpillFileId, Compaction>,
    pub(super) places: Vec<SpillPlace>,
    pub(super) next_place: usize,
    /// Bytes of primary copies, pinned ones included.
    pub(super) primary: u64,
    /// Secondary copies and their bytes, pinned ones included.
    pub(super) secondary: (u64, u64),
    /// Objects that are in external storage only, and their bytes.
    pub(super) away: (u64, u64),
    /// Objects whose restoring waits for room.
    pub(super) wanted: BTreeSet<ObjectKey>,
    /// Objects that have room, to be read with the end of this change.
    pub(super) to_read: Vec<ObjectKey>,
    pub(super) last_read: u64,
    pub(super) restores_untold: Untold,
    pub(super) compactions_untold: Untold,
    pub(super) thrash: Thrash,
    /// Somebody waits for room that eviction cannot make.
    pub(super) starved: bool,
    /// The wait for room should be looked at anew.
    pub(super) look: bool,
    /// Room waits for what nobody tells of, the end of a short read or the use of an idle lease: it is looked again at this time.
    pub(super) look_ms: Option<u64>,
    /// When idle leases were called back for whoever waits first.
    pub(super) recalled_ms: Option<u64>,
    pub(super) evictable_ms: u64,
    /// Looking for something to spill was in vain: not before this time again.
    pub(super) gather_ms: u64,
    /// Files that could not be removed, and when they are tried again.
    pub(super) undeleted: BTreeMap<SpillFileId, u64>,
    /// Nothing that is in memory can be spilled, until something changes.
    pub(super) exhausted: bool,
    /// What could be spilled is too little while another file is being written.
    pub(super) deferred: bool,
    /// Some file may be worth writing anew.
    pub(super) sparse: bool,
    pub(super) compact_ms: u64,
    pub(super) compact_rest_ms: u64,
    /// Why nothing can be spilled at all.
    pub(super) trouble: Option<String>,
    /// Failures in a row, which make files smaller.
    pub(super) failed: u32,
    /// When the last bytes were written or read.
    pub(super) progress_ms: u64,
    pub(super) writing: Traffic,
    pub(super) reading: Traffic,
    pub(super) spilled: (u64, u64),
    pub(super) restored: (u64, u64),
    pub(super) failures: u64,
}

impl Spill {
    pub(super) fn new(config: SpillConfig) -> Self {
        let places = vec![SpillPlace::default(); config.places.len()];
        Self { config, places, ..Self::default() }
    }

    /// The next place that serves, in turn.
    pub(super) fn choose_place(&mut self, now_ms: u64) -> Option<usize> {
        let count = self.places.len();
        let place = (0..count).map(|step| (self.next_place + step) % count).find(|place| self.places[*place].retry_ms <= now_ms)?;
        self.next_place = (place + 1) % count;
        Some(place)
    }

    /// When a place that failed is tried again.
    pub(super) fn next_retry_ms(&self) -> u64 {
        self.places.iter().map(|place| place.retry_ms).min().unwrap_or(0).max(self.gather_ms)
    }

    pub(super) fn has_writer(&self) -> bool {
        self.writes.len() + self.compactions.len() < self.config.writers.max(1)
    }

    /// The bytes that another file may have.
    pub(super) fn room_left(&self) -> u64 {
        self.config.limit.map_or(u64::MAX, |limit| limit.saturating_sub(self.files.sums().bytes))
    }

    /// Counts an object's bytes under its residency, or no more.
    pub(super) fn count(&mut self, residency: Residency, length: u64, more: bool) {
        let add = |sum: &mut u64, amount: u64| *sum = if more { *sum + amount } else { *sum - amount };
        match residency {
            Residency::Primary => add(&mut self.primary, length),
            Residency::Secondary => {
                add(&mut self.secondary.0, 1);
                add(&mut self.secondary.1, length);
            }
            Residency::Spilled => {
                add(&mut self.away.0, 1);
                add(&mut self.away.1, length);
            }
            Residency::Spilling | Residency::Restoring => {}
        }
    }
}
