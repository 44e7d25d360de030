//! Objects come back from external storage: somebody gets one, it waits for room in the same queue as creates, and all that is to be
//! read of one file is read at once.

use std::collections::BTreeMap;
use std::ops::Range;

use plasmon_protocol::error::Error;
use plasmon_protocol::id::{ObjectKey, ProcessId, SiteId, SpillFileId};
use plasmon_protocol::local::{CHUNK, Outcome, SMALL, ToClient};
use plasmon_protocol::record::{EventKind, ObjectState, Severity, SpillFileState};
use plasmon_protocol::stream::Target;

use super::memory::{Create, Want};
use super::storage::Held;
use super::{Core, Outbox};
use crate::spill::files::RecordNumber;
use crate::spill::job::{Failure, Job as IoJob, ReadItem, ReadJob};
use crate::store::object::{Object, Residency};

/// How many bytes of small objects are read beside one that is wanted: those that were written after it, in its file and the next ones. More
/// with each get that goes on where the last one ended.
const READ_AHEAD: std::ops::RangeInclusive<u64> = 32 << 10..=4 << 20;
/// Bytes of one job: several of them are read side by side, and whoever waits for the first need not wait for all.
const PART: u64 = 256 << 10;
/// Objects that are being read from one file.
#[derive(Debug)]
pub(super) struct Read {
    file: SpillFileId,
    pub(super) held: Vec<Held>,
}

impl Core {
    /// Somebody waits for an object that is in external storage only.
    pub(super) fn want_restored(&mut self, key: ObjectKey, process: ProcessId, site: SiteId) {
        let Some(object) = self.objects.get(key).filter(|object| object.residency == Residency::Spilled) else { return };
        if !self.spill.wanted.insert(key) {
            return;
        }
        let bytes = object.length;
        self.queue_create(Create::new(process, bytes, site, Want::Restore(key), self.now_ms));
    }

    /// Finds room for an object that is wanted back. False when there is none.
    pub(super) fn try_restore(&mut self, create: Create, key: ObjectKey, out: &mut impl Outbox) -> bool {
        let waited_for =
            |object: &Object| object.residency == Residency::Spilled && object.cold.as_ref().is_some_and(|cold| cold.is_awaited());
        if !self.objects.get(key).is_some_and(waited_for) {
            // Freed, or nobody waits any more.
            self.spill.wanted.remove(&key);
            return true;
        }
        if !self.make_place(key, u64::MAX) {
            return false;
        }
        self.spill.wanted.remove(&key);
        self.finish_restore(create, key, out);
        true
    }

    /// Finds room for an object that comes back, below `end` in the pool; it counts as restoring from here on. False when there is none.
    fn make_place(&mut self, key: ObjectKey, end: u64) -> bool {
        let Some(object) = self.objects.get(key) else { return false };
        let (length, class) = (object.length, object.class_as(Residency::Restoring));
        let Some(place) = self.store.enter_own(length, key.slot, class, end) else { return false };
        self.set_residency(key, Residency::Restoring);
        if let Some(object) = self.objects.get_mut(key) {
            object.place = Some(place);
        }
        true
    }

    /// Reads the object as soon as its place has memory behind it.
    pub(super) fn finish_restore(&mut self, create: Create, key: ObjectKey, out: &mut impl Outbox) {
        let Some(place) = self.objects.get(key).and_then(|object| object.place) else { return };
        self.back_ahead(out);
        if place.offset + create.bytes > self.backed {
            self.unbacked.push(create);
        } else {
            self.spill.to_read.push(key);
        }
    }

    /// Takes the place back of an object that will not be read now.
    pub(super) fn unplace(&mut self, key: ObjectKey, out: &mut impl Outbox) {
        let Some(object) = self.objects.get(key) else { return };
        let (Some(place), length, class) = (object.place, object.length, object.class()) else { return };
        self.set_residency_away(key);
        // It was not there to be read.
        self.vacate(ObjectKey::default(), place, length, class, out);
    }

    /// An object does not come back now: whoever waits for it is told why.
    pub(super) fn refuse_restore(&mut self, key: ObjectKey, error: &Error, out: &mut impl Outbox) {
        self.spill.wanted.remove(&key);
        self.unplace(key, out);
        self.requeue_fetches(key, error);
        let value = plasmon_protocol::local::encode(error).unwrap_or_default();
        let Some(cold) = self.objects.get_mut(key).and_then(|object| object.cold.as_mut()) else { return };
        for waiter in cold.take_waiters() {
            if !out.has_room(waiter.process) {
                // It asks anew when it has read.
                self.tell(waiter, key, out);
            } else if let Some(process) = self.process_mut(waiter.process) {
                process.requests.remove(&waiter.request);
                out.send(waiter.process, &ToClient::Resolved { request: waiter.request, outcome: Outcome::Failed(&value) });
            }
        }
    }

    /// Whether a job under way reads or writes a freed object's bytes, which then stay until its report. What only waited for its reading
    /// waits no more.
    pub(super) fn leave_to_job(&mut self, key: ObjectKey, residency: Residency) -> bool {
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

    /// Reads what has got its place, one file after the other.
    pub(super) fn start_reads(&mut self, out: &mut impl Outbox) {
        if self.spill.to_read.is_empty() {
            return;
        }
        let mut files: BTreeMap<SpillFileId, Vec<ReadItem>> = BTreeMap::new();
        for key in std::mem::take(&mut self.spill.to_read) {
            let Some(item) = self.read_item(key) else { continue };
            files.entry(item.0).or_default().push(item.1);
        }
        for (file, mut items) in files {
            let next = self.read_ahead(file, &mut items, out);
            items.sort_unstable_by_key(|item| item.at);
            for (file, items) in std::iter::once((file, items)).chain(next) {
                self.begin_reads(file, &items, out);
            }
        }
    }

    /// Reads these of one file, in parts.
    fn begin_reads(&mut self, file: SpillFileId, items: &[ReadItem], out: &mut impl Outbox) {
        let mut rest = items;
        while !rest.is_empty() {
            // At least one, however large it is.
            let mut bytes = 0;
            let fits = |item: &&ReadItem| {
                let before = bytes;
                bytes += item.length;
                before < PART
            };
            let (part, behind) = rest.split_at(rest.iter().take_while(fits).count());
            self.begin_read(file, part.to_vec(), out);
            rest = behind;
        }
    }

    fn begin_read(&mut self, file: SpillFileId, items: Vec<ReadItem>, out: &mut impl Outbox) {
        let Some(entry) = self.spill.files.get_mut(file) else { return };
        entry.readers += 1;
        let place = entry.place;
        let held = items.iter().filter_map(|item| {
            let place = self.objects.get(item.key)?.place?;
            Some(Held { key: item.key, place, length: item.length })
        });
        let held: Vec<Held> = held.collect();
        self.spill.last_read += 1;
        let number = self.spill.last_read;
        self.spill.reading.begin(held.iter(), self.now_ms);
        self.spill.reads.insert(number, Read { file, held });
        out.io(IoJob::Read(ReadJob { number, file, place, items }));
    }

    fn read_item(&self, key: ObjectKey) -> Option<(SpillFileId, ReadItem)> {
        let object = self.objects.get(key).filter(|object| object.residency == Residency::Restoring)?;
        let (place, record) = (object.place?, self.spill.files.record(object.record?)?);
        Some((record.file, ReadItem { key, at: record.at, length: object.length, into: place.offset }))
    }

    /// Small objects that were written behind a wanted one come with it, where there is room to spare: they are read for next to nothing.
    /// Those of the next files, by their files.
    fn read_ahead(&mut self, file: SpillFileId, items: &mut Vec<ReadItem>, out: &mut impl Outbox) -> Vec<(SpillFileId, Vec<ReadItem>)> {
        let mut next = Vec::new();
        let small = items.iter().filter(|item| item.length <= SMALL).map(|item| item.at);
        let Some((first, last)) = small.clone().min().zip(small.max()) else { return next };
        let Some(entry) = self.spill.files.get_mut(file).filter(|_| self.creates.is_empty()) else { return next };
        let (least, most) = (*READ_AHEAD.start(), *READ_AHEAD.end());
        let goes_on = entry.read_to <= first && first - entry.read_to <= least;
        entry.read_ahead = if goes_on { (entry.read_ahead * 2).clamp(least, most) } else { least };
        let (ahead, end) = (entry.read_ahead, last + entry.read_ahead);
        entry.read_to = end;
        let mut left = end.checked_sub(entry.bytes);
        let window = ahead.min(self.store.slack_limit());
        if self.store.free_bytes() < window + CHUNK {
            self.evict(window, out);
        }
        let mut there_is_room = self.add_behind(file, last + 1..end, items);
        let mut file = file;
        while let (Some(rest), true) = (left, there_is_room) {
            let Some(after) = self.spill.files.after(file) else { break };
            let Some(entry) = self.spill.files.get_mut(after).filter(|entry| entry.state == SpillFileState::Ready) else { break };
            // Whoever reads on there goes on.
            (entry.read_to, entry.read_ahead) = (rest, ahead);
            left = rest.checked_sub(entry.bytes);
            let mut items = Vec::new();
            there_is_room = self.add_behind(after, 0..rest, &mut items);
            next.push((after, items));
            file = after;
        }
        next
    }

    /// Adds the small objects that are away and whose records begin in this range of a file, as far as there is room: whether there was.
    fn add_behind(&mut self, file: SpillFileId, range: Range<u64>, items: &mut Vec<ReadItem>) -> bool {
        let Some(entry) = self.spill.files.get(file) else { return false };
        let behind: Vec<RecordNumber> = entry.records.range(range).map(|(_, number)| *number).collect();
        for number in behind {
            let Some((key, length)) = self.spill.files.record(number).map(|record| (record.key, record.length)) else { continue };
            let away = self.objects.get(key).is_some_and(|object| object.residency == Residency::Spilled);
            if !away || length > SMALL || self.spill.wanted.contains(&key) {
                continue;
            }
            // Beyond what has memory it is not worth waiting for.
            if !self.make_place(key, self.backed) {
                return false;
            }
            items.extend(self.read_item(key).map(|(_, item)| item));
        }
        true
    }

    pub(super) fn on_read(&mut self, number: u64, results: Vec<Result<(), Failure>>, out: &mut impl Outbox) {
        let Some(Read { file, held }) = self.spill.reads.remove(&number) else { return };
        self.spill.reading.end(held.iter(), self.now_ms);
        self.spill.progress_ms = self.now_ms;
        self.spill.look = true;
        let (mut objects, mut bytes) = (0, 0);
        for (held, result) in held.into_iter().zip(results.into_iter().map(Some).chain(std::iter::repeat(None))) {
            if self.objects.get(held.key).is_none() {
                self.keep_or_free(held, Residency::Restoring, out);
                continue;
            }
            match result.unwrap_or_else(|| Err(Failure::Io("the read was cut short".to_owned()))) {
                Ok(()) => {
                    objects += 1;
                    bytes += held.length;
                    self.come_back(held, out);
                }
                Err(failure) => self.read_failed(held.key, failure, out),
            }
        }
        self.spill.restored.0 += objects;
        self.spill.restored.1 += bytes;
        if let Some(entry) = self.spill.files.get_mut(file) {
            entry.readers -= 1;
            entry.restored += objects;
            // While it was read it was not written anew.
            self.spill.sparse = true;
        }
        if objects > 0 {
            self.spill.restores_untold.note(objects, bytes, self.now_ms);
        }
        self.retire_file(file, out);
    }

    /// An object's bytes are in the pool again.
    fn come_back(&mut self, held: Held, out: &mut impl Outbox) {
        self.set_residency(held.key, Residency::Secondary);
        out.publish(held.key, Some(ObjectState::InMemory), held.place.offset, held.length);
        let Some(object) = self.objects.get(held.key) else { return };
        if let Some(record) = object.record.and_then(|record| self.spill.files.record_mut(record)) {
            record.restored_ms = Some(self.now_ms);
            record.restores += 1;
        }
        self.spill.thrash.note(held.key, self.now_ms);
        if self.spill.thrash.take_news(self.now_ms) {
            let message =
                "the same objects are spilled and read back again and again: the store is too small for what is in use".to_owned();
            let object = Some(Target::Object(held.key.on(self.config.node)));
            self.event_about(EventKind::Thrash, Severity::Warning, None, object, message);
        }
        self.notify(held.key, out);
    }

    /// An object could not be read back: for now, or for ever.
    fn read_failed(&mut self, key: ObjectKey, failure: Failure, out: &mut impl Outbox) {
        self.spill.failures += 1;
        let Failure::Corrupt(cause) = failure else {
            let error = self.lost(key, &format!("it cannot be read back now: {failure}"));
            self.fail_fetches(key, &error);
            return self.refuse_restore(key, &error, out);
        };
        self.unplace(key, out);
        self.lose_object(key, cause, out);
    }

    /// The error of an object that cannot be had, with the place that created it.
    pub(super) fn lost(&self, key: ObjectKey, cause: &str) -> Error {
        let site = self.objects.get(key).map_or_else(String::new, |object| self.sites.get(object.site).short());
        Error::ObjectLost { object: key.on(self.config.node), cause: format!("created at {site}, {cause}") }
    }

    /// An object that is in external storage only is not there as it was written: its value is gone for ever, unless it
    /// can be made again.
    pub(super) fn lose_object(&mut self, key: ObjectKey, cause: String, out: &mut impl Outbox) {
        let Some(object) = self.objects.get_mut(key) else { return };
        let (length, record) = (object.length, object.record.take());
        self.spill.count(Residency::Spilled, length, false);
        if let Some(record) = record.and_then(|record| self.spill.files.leave(record)) {
            self.retire_file(record.file, out);
        }
        let why = match self.rebuild(key, &cause) {
            Ok(()) => return out.publish(key, Some(ObjectState::Pending), 0, 0),
            Err(why) => why,
        };
        let error = self.lost(key, &format!("{cause}; {why}"));
        let object = Some(Target::Object(key.on(self.config.node)));
        self.event_about(EventKind::ObjectLost, Severity::Error, None, object, error.to_string());
        let Some(object) = self.objects.get_mut(key) else { return };
        object.state = Some(ObjectState::Failed);
        object.cold_mut().value = plasmon_protocol::local::encode(&error).unwrap_or_default().as_slice().into();
        out.publish(key, Some(ObjectState::Failed), 0, 0);
        // Calls that waited for room for it need none any more.
        self.dispatch_wanted = true;
        self.notify(key, out);
    }
}
