//! Files of which little lives are written anew: their live records go to another file, and the old one is removed.

use plasmon_protocol::id::{ObjectKey, SpillFileId};
use plasmon_protocol::record::{EventKind, Severity, SpillCause, SpillCut, SpillFileState};

use super::{Core, Outbox};
use crate::spill::files::RecordNumber;
use crate::spill::job::{CompactItem, CompactJob, Failure, Job as IoJob, WriteItem};
use crate::spill::policy::Batch;
use crate::store::object::Residency;

/// How long compaction rests after a failure, milliseconds: at first, and at most.
const REST_MS: std::ops::RangeInclusive<u64> = 5_000..=600_000;

/// The live part of a file on its way to another one.
#[derive(Debug)]
pub(super) struct Compaction {
    from: SpillFileId,
    items: Vec<(WriteItem, RecordNumber)>,
}

impl Core {
    /// Begins to write one sparse file anew, when nobody waits for the disk.
    pub(super) fn start_compaction(&mut self, out: &mut impl Outbox) {
        let busy = !self.spill.compactions.is_empty() || !self.spill.has_writer();
        if busy || !self.creates.is_empty() || self.spill.compact_ms > self.now_ms || !self.spill.sparse {
            return;
        }
        let Some(from) = self.spill.files.sparse() else {
            self.spill.sparse = false;
            return;
        };
        let Some(old) = self.spill.files.get(from) else { return };
        let from_place = old.place;
        let room = self.spill.room_left();
        let mut batch = Batch::default();
        let mut old_places = Vec::with_capacity(old.records.len());
        for (at, number) in &old.records {
            let Some(record) = self.spill.files.record(*number) else { continue };
            if batch.take(record.key, 0, record.length, room).is_err() {
                // It was one file before: only the limit stands in the way.
                return self.rest_from_compaction();
            }
            old_places.push((*at, *number));
        }
        let bytes = batch.bytes();
        let file = self.spill.files.begin(from_place, bytes, &batch.items, (SpillCause::Compaction, SpillCut::Enough), self.now_ms);
        if let Some(old) = self.spill.files.get_mut(from) {
            old.readers += 1;
            old.state = SpillFileState::Compacting;
        }
        let items: Vec<CompactItem> = batch
            .items
            .iter()
            .zip(&old_places)
            .map(|(item, (from, _))| CompactItem { key: item.key, length: item.length, from: *from, at: item.at })
            .collect();
        let pairs = batch.items.into_iter().zip(old_places).map(|(item, (_, number))| (item, number)).collect();
        self.spill.compactions.insert(file, Compaction { from, items: pairs });
        out.io(IoJob::Compact(CompactJob { from, from_place, file, place: from_place, items, bytes }));
    }

    pub(super) fn on_compacted(
        &mut self,
        file: SpillFileId,
        result: Result<Vec<(ObjectKey, Failure)>, Failure>,
        took_ms: u64,
        out: &mut impl Outbox,
    ) {
        let Some(Compaction { from, items }) = self.spill.compactions.remove(&file) else { return };
        if let Some(old) = self.spill.files.get_mut(from) {
            old.readers -= 1;
            old.state = SpillFileState::Ready;
        }
        let place = self.spill.files.get(file).map_or(0, |file| file.place);
        let damaged = match result {
            Ok(damaged) => damaged,
            Err(failure) => {
                self.spill.files.failed(file);
                if self.spill.compact_rest_ms == 0 {
                    let message = format!("spill file {from} could not be written anew: {failure}");
                    self.event(EventKind::SpillFile, Severity::Warning, None, message);
                }
                self.rest_from_compaction();
                self.spill.failures += 1;
                out.io(IoJob::Delete { file, place });
                return self.retire_file(from, out);
            }
        };
        self.spill.files.written(file, took_ms);
        self.spill.compact_rest_ms = 0;
        self.spill.sparse = true;
        let (mut moved, mut bytes) = (0_u64, 0);
        for (item, number) in items {
            // The number may be another record's by now.
            let there = self.spill.files.record(number).is_some_and(|record| record.file == from && record.key == item.key);
            let failure = damaged.iter().find(|(key, _)| *key == item.key).map(|(_, failure)| failure.clone());
            match failure {
                None if there => {
                    self.spill.files.relocate(number, file, item.at);
                    self.objects.touch(item.key.slot);
                    moved += 1;
                    bytes += item.length;
                }
                None => self.spill.files.bury(file, item.length),
                Some(failure) => {
                    self.spill.files.bury(file, item.length);
                    if there {
                        self.record_damaged(item.key, number, failure, out);
                    }
                }
            }
        }
        self.spill.compactions_untold.note(moved, bytes, self.now_ms);
        self.retire_file(from, out);
        self.retire_file(file, out);
    }

    /// Compaction is not urgent: what stood in its way may take long to go.
    fn rest_from_compaction(&mut self) {
        self.spill.compact_rest_ms = (self.spill.compact_rest_ms * 2).clamp(*REST_MS.start(), *REST_MS.end());
        self.spill.compact_ms = self.now_ms + self.spill.compact_rest_ms;
    }

    /// A record is not as it was written: an object that is in memory too has no other copy from here on, any other one is lost.
    fn record_damaged(&mut self, key: ObjectKey, number: RecordNumber, failure: Failure, out: &mut impl Outbox) {
        match self.objects.get(key).map(|object| object.residency) {
            Some(Residency::Secondary) => {
                if let Some(object) = self.objects.get_mut(key) {
                    object.record = None;
                }
                self.spill.files.leave(number);
                self.set_residency(key, Residency::Primary);
                self.spill.exhausted = false;
            }
            Some(Residency::Spilled) => self.lose_object(key, failure.to_string(), out),
            // It has its place, and only waits to be read.
            Some(Residency::Restoring) if !self.leave_to_job(key, Residency::Restoring) => {
                self.unplace(key, out);
                self.lose_object(key, failure.to_string(), out);
            }
            // Being read: that will tell.
            _ => {}
        }
    }
}
