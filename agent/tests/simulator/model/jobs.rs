//! Whether the core may have external storage do what it wants, and move what it moves.

use plasmon_agent::reactor::check::Range;
use plasmon_agent::spill::job::{CompactJob, ReadJob, WriteJob};
use plasmon_protocol::id::{ObjectKey, SpillFileId};
use plasmon_protocol::local::{ALIGNMENT, PAGE, SMALL};
use plasmon_protocol::record::{ObjectState, SpillCause, SpillFileState};

use super::storage::{File, Residency};
use super::{Check, Lease, Model, PINNED};

const MAX_OBJECTS: usize = 2000;
const MAX_FILE: u64 = 512 << 20;
const HEADER: u64 = 64;
const BLOCK: u64 = 4096;
/// Objects from this size on begin at blocks.
const ALIGNED: u64 = 64 << 10;
/// How far behind a wanted record others are read too.
const AHEAD: u64 = 4 << 20;

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(otherwise()) }
}

impl Model {
    /// The core has looked which of these somebody reads, to move the others.
    pub(super) fn observe_look(&mut self, asked: &[ObjectKey], left: &[ObjectKey]) -> Check {
        for key in asked {
            let object = self.objects.get(key).ok_or_else(|| format!("{key:?} is to be moved and is none"))?;
            // Primary copies don't leave memory, but their sparse chunk.
            let in_chunk = || self.leases.iter().any(|lease| lease.chunk && lease.live.iter().any(|(live, ..)| live == key));
            let movable = object.residency == Residency::Secondary || (object.residency == Residency::Primary && in_chunk());
            ensure(object.state == ObjectState::InMemory && movable, || format!("{key:?} is to be moved: {object:?}"))?;
            ensure(self.counts(*key)[PINNED] == 0, || format!("{key:?} is to be dropped, which is pinned"))?;
            if left.contains(key) {
                // Room is being made: nobody is neglected.
                self.neglect.0 = self.now_ms;
                self.storage.evicting.insert(*key);
                self.storage.read_then.remove(key);
            } else {
                self.storage.read_then.insert(*key);
            }
        }
        Ok(())
    }

    /// An object goes to another place in the pool: which one.
    pub(crate) fn observe_relocation(&mut self, (from, to, length): (u64, u64, u64), ranges: &[Range]) -> Check<ObjectKey> {
        let what = || format!("{length} bytes go from {from} to {to}");
        let here = |live: &&(ObjectKey, u64, u64)| (live.1, live.2) == (from, length);
        let (key, ..) = *self.leases.iter().flat_map(|lease| &lease.live).find(here).ok_or_else(|| format!("{}, of no object", what()))?;
        ensure(self.storage.evicting.remove(&key), || format!("{}, and nobody looked who reads {key:?}", what()))?;
        self.leave_leases(key);
        // What was moved may have been dropped with the same change, and its chunk with it; else the ledgers will differ.
        if ranges.iter().any(|range| range.agents && (range.offset..range.offset + range.length).contains(&to)) {
            self.take_room(key, to, length, ranges)?;
        }
        if let Some(object) = self.objects.get_mut(&key) {
            object.offset = to;
        }
        Ok(key)
    }

    /// An object's copy is no more in the pool.
    pub(super) fn observe_eviction(&mut self, key: ObjectKey) -> Check {
        ensure(self.storage.evicting.remove(&key), || format!("{key:?} is dropped, and nobody looked who reads it"))?;
        let Some(object) = self.objects.get_mut(&key) else { return Err(format!("{key:?} is dropped and is none")) };
        object.residency = Residency::Spilled;
        self.leave_leases(key);
        Ok(())
    }

    /// Objects that could be dropped at once, as far as the core can know.
    pub(super) fn droppable(&self) -> Option<ObjectKey> {
        let droppable = |key: &ObjectKey| {
            let object = &self.objects[key];
            object.state == ObjectState::InMemory
                && object.residency == Residency::Secondary
                && self.counts(*key)[PINNED] == 0
                && !self.storage.read_then.contains(key)
                && !self.may_be_kept(*key)
        };
        self.objects.keys().copied().find(droppable)
    }

    /// Objects that could be written.
    pub(super) fn spillable(&self) -> Option<ObjectKey> {
        let spillable = |key: &ObjectKey| {
            let object = &self.objects[key];
            object.state == ObjectState::InMemory
                && object.residency == Residency::Primary
                && self.counts(*key)[PINNED] == 0
                && !self.may_be_kept(*key)
        };
        self.objects.keys().copied().find(spillable)
    }

    /// Bytes in the pool whose copies have this residency.
    pub(crate) fn resident(&self, residency: Residency) -> u64 {
        let those = self.objects.values().filter(|object| object.state == ObjectState::InMemory && object.residency == residency);
        those.map(|object| object.length).sum()
    }

    pub(crate) fn writing(&self) -> impl Iterator<Item = &File> {
        self.storage.files.values().filter(|file| file.state == SpillFileState::Writing)
    }

    fn begin_file(&mut self, id: SpillFileId, file: File) -> Check {
        let what = || format!("file {id} with {} objects and {} bytes", file.items.len(), file.bytes);
        let config = &self.storage.config;
        ensure(file.place < config.places.len(), || format!("{} goes to place {}, which is none", what(), file.place))?;
        ensure(id > self.storage.last_file, || format!("{} does not come after {}", what(), self.storage.last_file))?;
        ensure(!file.items.is_empty() && file.items.len() <= MAX_OBJECTS, || format!("{} has too few or too many", what()))?;
        ensure(file.bytes <= MAX_FILE || file.items.len() == 1, || format!("{} is too large", what()))?;
        let used: u64 = self.storage.files.values().map(|file| file.bytes).sum();
        ensure(config.limit.is_none_or(|limit| used + file.bytes <= limit), || {
            format!("{} breaks the limit of {:?} bytes, {used} are in use", what(), config.limit)
        })?;
        ensure(self.writing().count() < config.writers.max(1), || format!("{} is one too many at once", what()))?;
        let mut end = 0_u64;
        for (key, at, length) in &file.items {
            let begin = if *length >= ALIGNED { (end + HEADER).next_multiple_of(BLOCK) - HEADER } else { end.next_multiple_of(ALIGNMENT) };
            ensure(*at == begin, || format!("{} has {key:?} at {at}, not at {begin}", what()))?;
            end = begin + HEADER + length;
        }
        ensure(file.bytes == end.next_multiple_of(BLOCK), || format!("{} ends at {end}", what()))?;
        self.storage.last_file = id;
        self.storage.files.insert(id, file);
        Ok(())
    }

    pub(crate) fn observe_write(&mut self, job: &WriteJob, cause: SpillCause) -> Check {
        let what = || format!("file {} ({cause})", job.file);
        let wanted = self.asks.iter().any(|ask| ask.memory.is_some()) || self.fetches();
        match cause {
            SpillCause::Create | SpillCause::Restore => {
                ensure(wanted, || format!("{} is written for nobody", what()))?;
                let other = self.droppable();
                ensure(other.is_none(), || format!("{} is written while {other:?} could be dropped", what()))?;
            }
            SpillCause::Threshold => {
                let (primary, threshold) = (self.resident(Residency::Primary), self.storage.config.threshold(self.capacity));
                ensure(primary >= threshold, || format!("{} is written with {primary} bytes of {threshold}", what()))?;
            }
            _ => return Err(format!("{} has no cause", what())),
        }
        let others = self.writing().filter(|file| file.replaces.is_none()).count();
        if others == 0 && !self.storage.failing {
            self.storage.progress_ms = self.now_ms;
        }
        let items = job.items.iter().map(|item| (item.key, item.at, item.length)).collect();
        let file = File {
            place: job.place,
            state: SpillFileState::Writing,
            bytes: job.bytes,
            items,
            records: Default::default(),
            readers: 0,
            replaces: None,
        };
        self.begin_file(job.file, file)?;
        for item in &job.items {
            let pinned = self.counts(item.key)[PINNED] > 0;
            let object = self.objects.get_mut(&item.key).ok_or_else(|| format!("{item:?} is written and is none"))?;
            let may = object.state == ObjectState::InMemory && object.residency == Residency::Primary && object.record.is_none() && !pinned;
            ensure(may, || format!("{item:?} is written, pinned: {pinned}: {object:?}"))?;
            ensure((item.from, item.length) == (object.offset, object.length), || format!("{item:?} is written from there: {object:?}"))?;
            object.residency = Residency::Spilling;
        }
        Ok(())
    }

    pub(crate) fn observe_read(&mut self, job: &ReadJob, ranges: &[Range]) -> Check {
        ensure(job.number > self.storage.last_read, || format!("reads go back: {job:?}"))?;
        self.storage.last_read = job.number;
        let file = self.storage.files.get_mut(&job.file).ok_or_else(|| format!("a file that is not there is read: {job:?}"))?;
        let ready = matches!(file.state, SpillFileState::Ready | SpillFileState::Compacting) && file.place == job.place;
        ensure(ready, || format!("{file:?} is read: {job:?}"))?;
        ensure(job.items.is_sorted_by_key(|item| item.at) && !job.items.is_empty(), || format!("an order that is none: {job:?}"))?;
        file.readers += 1;
        let asked = |key: ObjectKey| self.asks.iter().any(|ask| ask.restore == Some(key));
        for item in &job.items {
            if asked(item.key) {
                self.storage.read_from.push((job.file, item.at));
                continue;
            }
            // Together with one that is wanted, which may be in another job of the same change.
            let behind = |(file, at): &(SpillFileId, u64)| {
                // The next files lie behind it.
                let between =
                    (*file <= job.file).then(|| self.storage.files.range(*file..job.file).map(|(_, file)| file.bytes).sum::<u64>());
                let distance = between.and_then(|between| (between + item.at).checked_sub(*at));
                distance.is_some_and(|distance| (1..AHEAD).contains(&distance))
            };
            let ahead = item.length <= SMALL && self.storage.read_from.iter().any(behind);
            let fetched = self.may_be_fetched(item.key);
            if fetched {
                self.storage.read_from.push((job.file, item.at));
            }
            ensure(ahead || fetched, || format!("{item:?} is read for nobody"))?;
        }
        for item in &job.items {
            let object = self.objects.get_mut(&item.key).ok_or_else(|| format!("{item:?} is read and is none"))?;
            let may = object.state == ObjectState::InMemory
                && object.residency == Residency::Spilled
                && (object.record, object.length) == (Some((job.file, item.at)), item.length);
            ensure(may, || format!("{item:?} of file {} is read: {object:?}", job.file))?;
            object.residency = Residency::Restoring;
            self.asks.retain(|ask| ask.restore != Some(item.key));
            self.take_room(item.key, item.into, item.length, ranges)?;
        }
        self.storage.reads.insert(job.number, (job.file, job.items.clone()));
        Ok(())
    }

    /// An object is about to come back, to this place.
    fn take_room(&mut self, key: ObjectKey, offset: u64, length: u64, ranges: &[Range]) -> Check {
        let what = || format!("{key:?} comes back to {offset}+{length}");
        let range = ranges.iter().find(|range| range.agents && (range.offset..range.offset + range.length).contains(&offset));
        let range = range.ok_or_else(|| format!("{}, which is not the agent's", what()))?;
        ensure(offset + length <= range.offset + range.length, || format!("{}, beyond {range:?}", what()))?;
        ensure(offset.is_multiple_of(ALIGNMENT) && offset + length <= self.backed.min(self.capacity), || {
            format!("{}, backed are {} bytes", what(), self.backed)
        })?;
        let index = match self.leases.iter().position(|lease| lease.agents && lease.offset == range.offset) {
            Some(index) => index,
            None => {
                let apart = |lease: &Lease| range.offset + range.length <= lease.offset || lease.offset + lease.length <= range.offset;
                let other = self.leases.iter().find(|lease| !apart(lease));
                ensure(other.is_none(), || format!("{}, which overlaps {other:?}", what()))?;
                let small = length <= SMALL;
                let exact = length.max(1).next_multiple_of(PAGE);
                let fair = (self.capacity / 16 / 4 / PAGE * PAGE).clamp(PAGE, 256 << 10).max(exact);
                // A chunk may have been taken for another object that comes back with this one, or was to.
                ensure(range.length == exact || (small && range.length <= fair.max(SMALL)), || format!("{} in {range:?}", what()))?;
                self.leases.push(Lease {
                    owner: None,
                    agents: true,
                    offset: range.offset,
                    length: range.length,
                    chunk: small,
                    bump: range.offset,
                    creating: false,
                    puts: 0,
                    live: Vec::new(),
                });
                self.leases.len() - 1
            }
        };
        let lease = &mut self.leases[index];
        let overlapped =
            lease.live.iter().find(|(_, from, bytes)| offset < from + (*bytes).max(1) && *from < offset + length.max(1)).copied();
        ensure(overlapped.is_none(), || format!("{}, over {overlapped:?}", what()))?;
        lease.live.push((key, offset, length));
        Ok(())
    }

    /// How far the agent's own chunks are used: what was to come back there, and did not, has left a hole.
    pub(crate) fn see_bumps(&mut self, ranges: &[Range]) {
        for lease in self.leases.iter_mut().filter(|lease| lease.agents) {
            let range = ranges.iter().find(|range| range.agents && range.offset == lease.offset);
            let used = lease.live.iter().map(|(_, offset, length)| offset + length).max().unwrap_or(0);
            lease.bump = range.map_or(lease.bump, |range| range.bump).max(used);
        }
    }

    pub(crate) fn observe_compaction(&mut self, job: &CompactJob) -> Check {
        let compacting = self.storage.files.values().any(|file| file.state == SpillFileState::Compacting);
        ensure(!compacting, || format!("two files at once are written anew: {job:?}"))?;
        let old = self.storage.files.get_mut(&job.from).ok_or_else(|| format!("a file that is not there is written anew: {job:?}"))?;
        let live = old.live();
        let sparse = old.state == SpillFileState::Ready && old.readers == 0 && live < old.object_bytes() - live;
        ensure(sparse && old.place == job.from_place, || format!("{old:?} is written anew: {job:?}"))?;
        let same = old.records.len() == job.items.len()
            && old
                .records
                .iter()
                .zip(&job.items)
                .all(|((at, (key, length)), item)| (item.from, item.key, item.length) == (*at, *key, *length));
        ensure(same, || format!("{old:?} is written anew with other objects: {job:?}"))?;
        let items = job.items.iter().map(|item| (item.key, item.at, item.length)).collect();
        let starts = job.items.iter().map(|item| item.from).collect();
        let file = File {
            place: job.place,
            state: SpillFileState::Writing,
            bytes: job.bytes,
            items,
            records: Default::default(),
            readers: 0,
            replaces: Some((job.from, starts)),
        };
        self.begin_file(job.file, file)?;
        if let Some(old) = self.storage.files.get_mut(&job.from) {
            old.readers += 1;
            old.state = SpillFileState::Compacting;
        }
        Ok(())
    }

    pub(crate) fn observe_delete(&mut self, file: SpillFileId, place: usize) -> Check {
        let again = self.storage.undeleted.remove(&file);
        ensure(self.storage.deletes.remove(&file) || again, || format!("file {file} is removed: {:?}", self.storage.files.get(&file)))?;
        let there = self.storage.files.get(&file).is_some_and(|file| file.place == place);
        ensure(there, || format!("file {file} is removed from place {place}: {:?}", self.storage.files.get(&file)))
    }
}
