//! Objects go to external storage: ahead of need when primary copies take up much of the store, and when somebody waits for room. A
//! written object stays in memory as a secondary copy until its place is needed ([`super::eviction`]).

use std::collections::{BTreeMap, BTreeSet};
use std::mem::Discriminant;

use plasmon_protocol::id::{ObjectKey, SpillFileId};
use plasmon_protocol::record::{EventKind, ObjectState, Severity, SpillCause, SpillCut};
use plasmon_protocol::size::Bytes;

use super::memory::{Create, Want};
use super::untold::{self, Untold};
use super::{Core, Outbox};
use crate::spill::files::{Files, Record};
use crate::spill::job::{DiskRoom, Failure, Job as IoJob, Report, WriteJob};
use crate::spill::policy::{Batch, SpillConfig, min_file};
use crate::store::lease::LeaseIndex;
use crate::store::ledger::Class;
use crate::store::object::{Place, Residency};

/// How soon it is looked again whether something can be spilled, when nothing could be, milliseconds.
const LOOK_AGAIN_MS: u64 = 10;
/// How long idle leases that are called back are waited for, milliseconds.
const RECALL_MS: u64 = 100;
/// How soon something to spill is looked for again after there was none, milliseconds: a walk over all that lives.
const GATHER_MS: u64 = 5;
/// How long a place that failed is left alone, milliseconds: at first, and at most.
const BACKOFF_MS: std::ops::RangeInclusive<u64> = 250..=4000;

/// Bytes of the pool that a job under way reads or writes. They stay where they are, whatever becomes of the object meanwhile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) key: ObjectKey,
    pub(super) place: Place,
    pub(super) length: u64,
}

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) held: Vec<(Held, u64)>,
    cause: SpillCause,
    cut: SpillCut,
}

/// Time in which at least one job was under way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Busy {
    jobs: u32,
    since_ms: u64,
    total_ms: u64,
}

impl Busy {
    pub(super) fn begin(&mut self, now_ms: u64) {
        if self.jobs == 0 {
            self.since_ms = now_ms;
        }
        self.jobs += 1;
    }

    pub(super) fn end(&mut self, now_ms: u64) {
        self.jobs = self.jobs.saturating_sub(1);
        if self.jobs == 0 {
            self.total_ms += now_ms.saturating_sub(self.since_ms);
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
    trouble: Option<Discriminant<Failure>>,
    retry_ms: u64,
    backoff_ms: u64,
    pub(super) room: Option<DiskRoom>,
}

/// Everything about external storage but the objects themselves.
#[derive(Debug, Default)]
pub(super) struct Spill {
    pub(super) config: SpillConfig,
    pub(super) files: Files,
    pub(super) writes: BTreeMap<SpillFileId, Write>,
    pub(super) reads: BTreeMap<u64, super::restoring::Read>,
    pub(super) compactions: BTreeMap<SpillFileId, super::compaction::Compaction>,
    pub(super) places: Vec<SpillPlace>,
    next_place: usize,
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
    pub(super) thrash: super::restoring::Thrash,
    /// Somebody waits for room that eviction cannot make.
    starved: bool,
    /// The wait for room should be looked at anew.
    pub(super) look: bool,
    /// Room waits for what nobody tells of, the end of a short read or the use of an idle lease: it is looked again at this time.
    look_ms: Option<u64>,
    /// When idle leases were called back for whoever waits first.
    pub(super) recalled_ms: Option<u64>,
    pub(super) evictable_ms: u64,
    /// Looking for something to spill was in vain: not before this time again.
    gather_ms: u64,
    /// Files that could not be removed, and when they are tried again.
    pub(super) undeleted: BTreeMap<SpillFileId, u64>,
    /// Nothing that is in memory can be spilled, until something changes.
    pub(super) exhausted: bool,
    /// What could be spilled is too little while another file is being written.
    deferred: bool,
    /// Some file may be worth writing anew.
    pub(super) sparse: bool,
    pub(super) compact_ms: u64,
    pub(super) compact_rest_ms: u64,
    /// Why nothing can be spilled at all.
    pub(super) trouble: Option<String>,
    /// Failures in a row, which make files smaller.
    failed: u32,
    /// When the last bytes were written or read.
    pub(super) progress_ms: u64,
    pub(super) writing: Busy,
    pub(super) reading: Busy,
    pub(super) writing_sums: (u64, u64),
    pub(super) reading_sums: (u64, u64),
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
    fn choose_place(&mut self, now_ms: u64) -> Option<usize> {
        let count = self.places.len();
        let place = (0..count).map(|step| (self.next_place + step) % count).find(|place| self.places[*place].retry_ms <= now_ms)?;
        self.next_place = (place + 1) % count;
        Some(place)
    }

    /// When a place that failed is tried again.
    fn next_retry_ms(&self) -> u64 {
        self.places.iter().map(|place| place.retry_ms).min().unwrap_or(0).max(self.gather_ms)
    }

    fn has_writer(&self) -> bool {
        self.writes.len() + self.compactions.len() < self.config.writers.max(1)
    }
}

impl Core {
    /// Sees to room: what can be dropped is dropped, what must be written first is written. Ends every change.
    pub(super) fn manage_room(&mut self, out: &mut impl Outbox) {
        if !self.spill.config.is_on() {
            return;
        }
        self.evict_ahead(out);
        if std::mem::take(&mut self.spill.look) {
            self.make_room(out);
        }
        self.start_reads(out);
        let exhausted = self.spill.exhausted;
        self.start_spilling(out);
        if self.spill.exhausted && !exhausted && !self.creates.is_empty() {
            // What was kept for others is not worth waiting for.
            self.make_room(out);
            self.start_reads(out);
        }
        self.start_compaction(out);
    }

    /// Makes room for whoever waits first in the queue, as far as that takes no writing.
    pub(super) fn make_room(&mut self, out: &mut impl Outbox) {
        self.spill.starved = false;
        self.spill.look_ms = None;
        while let Some(Create { bytes, want, .. }) = self.creates.front().copied() {
            while !self.would_fit(bytes) {
                if self.evict(bytes.max(1), out) == 0 {
                    self.spill.starved = true;
                    self.spill.look_ms = (self.spill.secondary.0 > 0).then_some(self.now_ms + LOOK_AGAIN_MS);
                    return self.tell_of_wait();
                }
            }
            if matches!(want, Want::Lease(_)) && self.is_kept_for_restores(bytes) {
                // What is on disk already goes before anything is written.
                while self.evict(bytes.max(1), out) > 0 {}
                self.spill.starved = true;
                return self.tell_of_wait();
            }
            let waiting = self.creates.len();
            self.serve_creates(out);
            if self.creates.len() == waiting {
                // There is room, in leases that their holders don't need, as far as they don't use them before they hear of it.
                if self.spill.recalled_ms.is_none() {
                    self.spill.recalled_ms = Some(self.now_ms);
                    self.recall(out);
                }
                self.spill.look_ms = Some(self.now_ms + LOOK_AGAIN_MS);
                return;
            }
        }
    }

    /// Whether there is room for whoever waits first. Idle leases that were called back and did not come are none.
    fn would_fit(&self, bytes: u64) -> bool {
        let late = self.spill.recalled_ms.is_some_and(|at_ms| at_ms + RECALL_MS <= self.now_ms);
        if late { self.store.fits(bytes) } else { self.store.would_fit(bytes) }
    }

    fn spill_cause(&self) -> Option<SpillCause> {
        if self.spill.exhausted {
            return None;
        }
        if self.spill.starved
            && let Some(head) = self.creates.front()
            && self.spill.writing_sums.1 < head.bytes.max(1)
        {
            return Some(head.spill_cause());
        }
        let capacity = self.store.capacity();
        // A get goes before what is only ahead of need, but for one file.
        let due = self.spill.primary >= self.spill.config.threshold(capacity)
            && self.spill.primary > 0
            && (self.spill.reads.is_empty() || self.spill.writes.is_empty())
            && !self.spill.deferred;
        due.then_some(SpillCause::Threshold)
    }

    fn start_spilling(&mut self, out: &mut impl Outbox) {
        while self.spill.has_writer() && self.spill.next_retry_ms() <= self.now_ms {
            let Some(cause) = self.spill_cause() else { return };
            let wanted = (min_file(self.store.capacity()) >> self.spill.failed.min(16)).max(1);
            let room = self.spill.config.limit.map_or(u64::MAX, |limit| limit.saturating_sub(self.spill.files.sums().bytes));
            let (batch, cut) = self.gather(wanted, room, cause);
            if batch.items.is_empty() {
                self.spill.exhausted = true;
                self.spill.gather_ms = self.now_ms + GATHER_MS;
                if cut == SpillCut::Size {
                    let limit = Bytes(self.spill.config.limit.unwrap_or(0));
                    let used = Bytes(self.spill.files.sums().bytes);
                    self.spill_trouble(format!("spilled bytes are limited to {limit} (--spill-limit), and {used} are in use"));
                }
                return;
            }
            // A small file is not worth its writing while another one makes room.
            if cause == SpillCause::Threshold && cut == SpillCut::Exhausted && !self.spill.writes.is_empty() {
                self.spill.deferred = true;
                return;
            }
            let Some(place) = self.spill.choose_place(self.now_ms) else { return };
            self.begin_write(batch, place, cause, cut, out);
        }
    }

    /// The oldest objects that may be spilled, up to `wanted` bytes and one file that fits `room`. What pending tasks need comes last.
    fn gather(&self, wanted: u64, room: u64, cause: SpillCause) -> (Batch, SpillCut) {
        let mut leases: Vec<(u64, LeaseIndex)> =
            self.store.leases().filter(|(_, lease)| lease.primary > 0).map(|(index, lease)| (lease.since, index)).collect();
        leases.sort_unstable();
        let mut too_large = false;
        let mut batch = Batch::default();
        for arguments in [false, true] {
            if arguments && (cause == SpillCause::Threshold && !batch.items.is_empty()) {
                break;
            }
            for (key, place, length) in leases.iter().flat_map(|(_, lease)| self.objects_in(*lease)) {
                let Some(object) = self.objects.get(key) else { continue };
                let spillable = object.residency == Residency::Primary && object.counts.pinned == 0;
                if !spillable || (object.counts.submitted > 0) != arguments {
                    continue;
                }
                if batch.object_bytes >= wanted {
                    return (batch, SpillCut::Enough);
                }
                match batch.take(key, place.offset, length, room) {
                    Ok(()) => {}
                    // Beyond what is left of the limit; a smaller one may fit.
                    Err(SpillCut::Size) if batch.items.is_empty() => too_large = true,
                    Err(cut) => return (batch, cut),
                }
            }
        }
        let cut = match batch.object_bytes {
            bytes if bytes >= wanted => SpillCut::Enough,
            _ if batch.items.is_empty() && too_large => SpillCut::Size,
            _ => SpillCut::Exhausted,
        };
        (batch, cut)
    }

    /// The objects whose bytes lie in a lease, in their order.
    pub(super) fn objects_in(&self, index: LeaseIndex) -> impl Iterator<Item = (ObjectKey, Place, u64)> {
        let slots = self.store.lease(index).map_or(&[][..], |lease| &lease.slots);
        slots.iter().filter_map(move |(slot, offset)| {
            let (key, object) = self.objects.in_slot(*slot)?;
            let place = object.place.filter(|place| (place.lease, place.offset) == (index, *offset))?;
            if object.state != Some(ObjectState::InMemory) {
                return None;
            }
            Some((key, place, object.length))
        })
    }

    fn begin_write(&mut self, batch: Batch, place: usize, cause: SpillCause, cut: SpillCut, out: &mut impl Outbox) {
        let (bytes, object_bytes) = (batch.bytes(), batch.object_bytes);
        let file = self.spill.files.begin(place, bytes, &batch.items, (cause, cut), self.now_ms);
        let mut held = Vec::with_capacity(batch.items.len());
        for item in &batch.items {
            self.set_residency(item.key, Residency::Spilling);
            let Some(place) = self.objects.get(item.key).and_then(|object| object.place) else { continue };
            held.push((Held { key: item.key, place, length: item.length }, item.at));
        }
        if self.spill.writes.is_empty() && self.spill.failed == 0 {
            // The time without a sign of life counts from here; where writing failed, trying again is none.
            self.spill.progress_ms = self.now_ms;
        }
        self.spill.writing.begin(self.now_ms);
        self.spill.writing_sums.0 += held.len() as u64;
        self.spill.writing_sums.1 += object_bytes;
        self.spill.writes.insert(file, Write { held, cause, cut });
        out.io(IoJob::Write(WriteJob { file, place, items: batch.items, bytes }));
    }

    /// Changes where an object's copy is, with all sums that depend on it; its place is the caller's affair.
    pub(super) fn set_residency(&mut self, key: ObjectKey, residency: Residency) {
        let Some(object) = self.objects.get_mut(key) else { return };
        let (before, length) = (object.class(), object.length);
        let old = std::mem::replace(&mut object.residency, residency);
        let after = object.class();
        if let Some(place) = object.place {
            self.store.tally(place.lease, old, false);
            self.store.tally(place.lease, residency, true);
            if before != after {
                self.store.reclassify(length, before, after);
            }
        }
        self.spill.count(old, length, false);
        self.spill.count(residency, length, true);
        self.changes += 1;
    }

    /// External storage has done something.
    pub fn on_io(&mut self, report: Report, out: &mut impl Outbox) {
        match report {
            Report::Progress => self.spill.progress_ms = self.now_ms,
            Report::Written { file, result, took_ms } => self.on_written(file, result, took_ms, out),
            Report::Read { number, results, .. } => self.on_read(number, results, out),
            Report::Compacted { file, result, took_ms } => self.on_compacted(file, result, took_ms, out),
            Report::Deleted { file, result } => {
                self.on_deleted(file, result);
            }
            Report::Room { place, room } => {
                if let Some(place) = self.spill.places.get_mut(place) {
                    place.room = room;
                }
                self.changes += 1;
                return;
            }
        }
        self.settle(out);
    }

    /// A file is gone; one that could not be removed stays in the books, and is tried again.
    fn on_deleted(&mut self, file: SpillFileId, result: Result<(), Failure>) {
        if let Err(failure) = result {
            self.spill.failures += 1;
            if self.spill.undeleted.is_empty() {
                let message = format!("spill file {file} could not be removed, and is tried again: {failure}");
                self.event(EventKind::SpillFile, Severity::Warning, None, message);
            }
            self.spill.undeleted.insert(file, self.now_ms + *BACKOFF_MS.end());
            return;
        }
        self.spill.undeleted.remove(&file);
        self.spill.files.deleted(file);
        self.spill.exhausted = false;
        // Only a limit stood in the way.
        if self.spill.places.iter().all(|place| place.trouble.is_none()) {
            self.spilling_goes_on();
        }
    }

    fn on_written(&mut self, file: SpillFileId, result: Result<(), Failure>, took_ms: u64, out: &mut impl Outbox) {
        let Some(Write { held, cause, cut }) = self.spill.writes.remove(&file) else { return };
        let (objects, bytes) = (held.len() as u64, held.iter().map(|(held, _)| held.length).sum::<u64>());
        self.spill.writing.end(self.now_ms);
        self.spill.writing_sums.0 -= objects;
        self.spill.writing_sums.1 -= bytes;
        self.spill.look = true;
        self.spill.deferred = false;
        self.spill.exhausted = false;
        let place = self.spill.files.get(file).map_or(0, |file| file.place);
        if let Err(failure) = result {
            for (held, _) in held {
                self.keep_or_free(held, Residency::Primary, out);
            }
            self.spill.files.failed(file);
            out.io(IoJob::Delete { file, place });
            return self.place_failed(place, &failure);
        }
        self.spill.progress_ms = self.now_ms;
        // What was freed meanwhile may be most of it.
        self.spill.sparse = true;
        self.spill.files.written(file, took_ms);
        for (held, at) in held {
            if self.keep_or_free(held, Residency::Secondary, out) {
                let record = Record {
                    key: held.key,
                    file,
                    at,
                    length: held.length,
                    spilled_ms: self.now_ms,
                    evicted_ms: None,
                    restored_ms: None,
                    restores: 0,
                };
                let number = self.spill.files.enter(record);
                if let Some(object) = self.objects.get_mut(held.key) {
                    object.record = Some(number);
                }
            } else {
                self.spill.files.bury(file, held.length);
            }
        }
        self.spill.spilled.0 += objects;
        self.spill.spilled.1 += bytes;
        self.place_serves(place);
        let message = format!(
            "spilled {}, {} in {:.2} s; cause: {cause}, batch cut: {cut}",
            untold::objects(objects),
            Bytes(bytes),
            took_ms as f64 / 1000.0
        );
        self.event(EventKind::Spilled, Severity::Info, None, message);
        self.retire_file(file, out);
    }

    /// A job is done with an object's bytes. False when the object was freed meanwhile: its bytes go now.
    pub(super) fn keep_or_free(&mut self, held: Held, residency: Residency, out: &mut impl Outbox) -> bool {
        if self.objects.get(held.key).is_some() {
            self.set_residency(held.key, residency);
            return true;
        }
        // It stood in the line of the job.
        let class = if residency == Residency::Restoring { Class::Restoring } else { Class::Spilling };
        self.vacate(held.key, held.place, held.length, class, out);
        false
    }

    /// A file whose objects are all gone is removed.
    pub(super) fn retire_file(&mut self, file: SpillFileId, out: &mut impl Outbox) {
        if let Some(place) = self.spill.files.retire(file) {
            out.io(IoJob::Delete { file, place });
        }
    }

    /// A place did not serve: it is left alone for a while, and the next file is smaller.
    pub(super) fn place_failed(&mut self, index: usize, failure: &Failure) {
        self.spill.failures += 1;
        self.spill.failed += 1;
        let now_ms = self.now_ms;
        if let Some(place) = self.spill.places.get_mut(index) {
            place.backoff_ms = (place.backoff_ms * 2).clamp(*BACKOFF_MS.start(), *BACKOFF_MS.end());
            place.retry_ms = now_ms + place.backoff_ms;
            let kind = std::mem::discriminant(failure);
            let news = place.trouble.replace(kind) != Some(kind);
            if news && self.spill.places.iter().any(|place| place.trouble.is_none()) {
                let message = format!("one of several places for spilled objects does not serve: {failure}");
                self.event(EventKind::SpillState, Severity::Warning, None, message);
            }
        }
        if self.spill.places.iter().all(|place| place.trouble.is_some()) {
            self.spill_trouble(failure.to_string());
        }
    }

    pub(super) fn place_serves(&mut self, index: usize) {
        self.spill.failed = 0;
        if let Some(place) = self.spill.places.get_mut(index) {
            *place = SpillPlace { room: place.room, ..SpillPlace::default() };
        }
        self.spilling_goes_on();
    }

    fn spilling_goes_on(&mut self) {
        if self.spill.trouble.take().is_some() {
            self.event(EventKind::SpillState, Severity::Info, None, "spilling goes on".to_owned());
        }
    }

    /// Nothing can be spilled: said once, until something changes.
    fn spill_trouble(&mut self, cause: String) {
        if self.spill.trouble.is_none() {
            self.event(EventKind::SpillState, Severity::Error, None, format!("nothing can be spilled: {cause}"));
        }
        self.spill.trouble = Some(cause);
    }

    /// Whether a job under way reads or writes a freed object's bytes, which then stay until its report. One that only waited for its
    /// reading waits no more.
    pub(super) fn is_in_a_job(&mut self, key: ObjectKey, residency: Residency) -> bool {
        match residency {
            Residency::Spilling => true,
            Residency::Restoring => {
                let (reads, waiting) = (self.spill.to_read.len(), self.unbacked.len());
                self.spill.to_read.retain(|waiting| *waiting != key);
                self.unbacked.retain(|create| create.want != Want::Restore(key));
                reads == self.spill.to_read.len() && waiting == self.unbacked.len()
            }
            Residency::Primary | Residency::Secondary | Residency::Spilled => false,
        }
    }

    /// When room should be looked at again, if it waits for time to pass.
    pub(super) fn next_spill_ms(&self) -> Option<u64> {
        if !self.spill.config.is_on() {
            return None;
        }
        let retry = (self.spill.has_writer() && self.spill_cause().is_some()).then(|| self.spill.next_retry_ms());
        let look = self.spill.look_ms.filter(|_| !self.creates.is_empty());
        let rest = self.spill.compact_ms;
        let compact = (self.spill.sparse && rest > self.now_ms && self.spill.compactions.is_empty()).then_some(rest);
        let undeleted = self.spill.undeleted.values().min().copied();
        let (restores, compactions) = (self.spill.restores_untold.due_ms(), self.spill.compactions_untold.due_ms());
        [retry, look, compact, undeleted, restores, compactions, self.spill.thrash.next_ms()].into_iter().flatten().min()
    }

    /// Time has passed.
    pub(super) fn tick_spilling(&mut self, out: &mut impl Outbox) {
        for (file, again_ms) in &mut self.spill.undeleted {
            if *again_ms <= self.now_ms {
                *again_ms = u64::MAX;
                let place = self.spill.files.get(*file).map_or(0, |file| file.place);
                out.io(IoJob::Delete { file: *file, place });
            }
        }
        if self.spill.look_ms.is_some_and(|at_ms| at_ms <= self.now_ms) {
            self.spill.look_ms = None;
            self.spill.look = true;
        }
        self.spill.thrash.forget(self.now_ms);
        self.tell_storage();
    }
}

impl Spill {
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
