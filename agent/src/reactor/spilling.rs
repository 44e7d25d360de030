//! Objects go to external storage: ahead of need when primary copies take up much of the store, and when somebody waits for room. A
//! written object stays in memory as a secondary copy until its place is needed ([`super::eviction`]).

use plasmon_protocol::id::{ObjectKey, SpillFileId};
use plasmon_protocol::record::{EventKind, ObjectState, Severity, SpillCause, SpillCut};
use plasmon_protocol::size::Bytes;
use plasmon_protocol::stream::Target;

use super::storage::Held;
use super::{Core, Outbox, untold};
use crate::spill::files::Record;
use crate::spill::job::{Failure, Job as IoJob, Report, WriteJob};
use crate::spill::policy::{Batch, min_file};
use crate::store::lease::LeaseIndex;
use crate::store::ledger::Class;
use crate::store::object::{Place, Residency};

/// How soon something to spill is looked for again after there was none, milliseconds: a walk over all that lives.
const GATHER_MS: u64 = 5;

impl Core {
    /// Why something is to be written at this moment, if so.
    pub(super) fn spill_cause(&self) -> Option<SpillCause> {
        if self.spill.exhausted {
            return None;
        }
        if self.spill.starved
            && let Some(head) = self.creates.front()
            && self.spill.writing.bytes < head.bytes.max(1)
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

    pub(super) fn start_spilling(&mut self, out: &mut impl Outbox) {
        while self.spill.has_writer() && self.spill.next_retry_ms() <= self.now_ms {
            let Some(cause) = self.spill_cause() else { return };
            let wanted = (min_file(self.store.capacity()) >> self.spill.failed.min(16)).max(1);
            let (batch, cut) = self.gather(wanted, self.spill.room_left(), cause);
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
        let leases = self.store.oldest_first(|lease| lease.primary > 0);
        let mut too_large = false;
        let mut batch = Batch::default();
        for arguments in [false, true] {
            if arguments && (cause == SpillCause::Threshold && !batch.items.is_empty()) {
                break;
            }
            for (key, place, length) in leases.iter().flat_map(|lease| self.objects_in(*lease)) {
                let Some(object) = self.objects.get(key) else { continue };
                let spillable = object.residency == Residency::Primary && object.may_leave();
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
        let bytes = batch.bytes();
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
        self.spill.writing.begin(held.iter().map(|(held, _)| held), self.now_ms);
        self.spill.writes.insert(file, held);
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
            Report::Deleted { file, result } => self.on_deleted(file, result),
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

    fn on_written(&mut self, file: SpillFileId, result: Result<(), Failure>, took_ms: u64, out: &mut impl Outbox) {
        let Some(held) = self.spill.writes.remove(&file) else { return };
        let Some((place, cause, cut)) = self.spill.files.get(file).map(|file| (file.place, file.cause, file.cut)) else { return };
        let (objects, bytes) = (held.len() as u64, held.iter().map(|(held, _)| held.length).sum::<u64>());
        self.spill.writing.end(held.iter().map(|(held, _)| held), self.now_ms);
        self.spill.look = true;
        self.spill.deferred = false;
        self.spill.exhausted = false;
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
        self.event_about(EventKind::Spilled, Severity::Info, None, Some(Target::SpillFile(file)), message);
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
}
