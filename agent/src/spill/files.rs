//! The spill files, which objects live in them, and their ledger: each byte of a file is live, dead, or part of a header.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::ops::Bound;

use plasmon_protocol::id::{ObjectKey, SpillFileId};
use plasmon_protocol::record::{SpillCause, SpillCut, SpillFileState};

use super::job::WriteItem;

/// A record's number in the table; used again after the record is gone.
pub type RecordNumber = NonZeroU32;

/// One object's copy in a file, and what became of the object so far.
#[derive(Clone, Debug)]
pub struct Record {
    /// The object.
    pub key: ObjectKey,
    /// The file.
    pub file: SpillFileId,
    /// Where the record begins in it, bytes.
    pub at: u64,
    /// The object's size, bytes.
    pub length: u64,
    /// When it was written, milliseconds since the Unix epoch.
    pub spilled_ms: u64,
    /// When the object was last dropped from memory.
    pub evicted_ms: Option<u64>,
    /// When it was last read back.
    pub restored_ms: Option<u64>,
    /// How often it was read back.
    pub restores: u32,
}

/// One file.
#[derive(Clone, Debug)]
pub struct File {
    /// Its place.
    pub place: usize,
    /// Where it is in its life.
    pub state: SpillFileState,
    /// All of it, bytes.
    pub bytes: u64,
    /// Bytes of objects that live.
    pub live: u64,
    /// Bytes of objects that were freed.
    pub dead: u64,
    /// Its live records, by where they begin; empty while it is being written.
    pub records: BTreeMap<u64, RecordNumber>,
    /// Objects that were written.
    pub written: u32,
    /// Objects that were read back from it.
    pub restored: u64,
    /// Why its objects were spilled.
    pub cause: SpillCause,
    /// Why it was cut where it was.
    pub cut: SpillCut,
    /// When its writing began.
    pub created_ms: u64,
    /// How long the writing took, milliseconds.
    pub write_ms: u64,
    /// Jobs under way that read from it.
    pub readers: u32,
    /// Where the last read ended, and how far it went beyond what was wanted: whoever reads on from there is given more.
    pub read_to: u64,
    /// Bytes.
    pub read_ahead: u64,
}

impl File {
    /// Headers and alignment, bytes.
    #[must_use]
    pub fn headers(&self) -> u64 {
        self.bytes - self.live - self.dead
    }

    /// Whether it is complete and nobody needs it any more.
    fn is_over(&self) -> bool {
        self.state == SpillFileState::Ready && self.records.is_empty() && self.readers == 0
    }

    /// Whether less than half of what was written to it lives, so that it is worth writing anew.
    fn is_sparse(&self) -> bool {
        self.state == SpillFileState::Ready && !self.records.is_empty() && self.readers == 0 && self.live < self.dead
    }
}

/// Sums over all files that are there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sums {
    /// Files.
    pub files: u32,
    /// Their bytes.
    pub bytes: u64,
    /// Of those, bytes of objects that live.
    pub live: u64,
    /// Of those, bytes of objects that were freed.
    pub dead: u64,
    /// Records that live.
    pub records: u64,
}

/// Sums over the agent's life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Files written.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of those, headers and alignment.
    pub headers: u64,
    /// Bytes of objects that were freed after they had been written.
    pub dead: u64,
    /// Files removed.
    pub deleted: u64,
}

/// All files and records.
#[derive(Debug, Default)]
pub struct Files {
    files: BTreeMap<SpillFileId, File>,
    records: Vec<Option<Record>>,
    vacant: Vec<RecordNumber>,
    last: u32,
    sums: Sums,
    totals: Totals,
}

impl Files {
    /// A new file that is about to be written with these objects.
    pub fn begin(&mut self, place: usize, bytes: u64, items: &[WriteItem], why: (SpillCause, SpillCut), now_ms: u64) -> SpillFileId {
        self.last += 1;
        let live = items.iter().map(|item| item.length).sum();
        let file = File {
            place,
            state: SpillFileState::Writing,
            bytes,
            live,
            dead: 0,
            records: BTreeMap::new(),
            written: items.len() as u32,
            restored: 0,
            cause: why.0,
            cut: why.1,
            created_ms: now_ms,
            write_ms: 0,
            readers: 0,
            read_to: 0,
            read_ahead: 0,
        };
        self.sums.files += 1;
        self.sums.bytes += bytes;
        self.sums.live += live;
        self.files.insert(SpillFileId(self.last), file);
        SpillFileId(self.last)
    }

    /// A file is written; its records are to be entered, or counted as dead, each.
    pub fn written(&mut self, file: SpillFileId, took_ms: u64) {
        let Some(entry) = self.files.get_mut(&file) else { return };
        entry.state = SpillFileState::Ready;
        entry.write_ms = took_ms;
        self.totals.files += 1;
        self.totals.bytes += entry.bytes;
        self.totals.headers += entry.headers();
    }

    /// A file could not be written: nothing in it counts, and what is there of it is to be removed.
    pub fn failed(&mut self, file: SpillFileId) {
        let Some(entry) = self.files.get_mut(&file) else { return };
        self.sums.live -= entry.live;
        self.sums.dead += entry.live;
        entry.dead += std::mem::take(&mut entry.live);
        entry.state = SpillFileState::Deleting;
    }

    /// An object's record, in a file that was just written.
    pub fn enter(&mut self, record: Record) -> RecordNumber {
        let (file, at) = (record.file, record.at);
        let number = match self.vacant.pop() {
            Some(number) => number,
            None => {
                self.records.push(None);
                RecordNumber::new(self.records.len() as u32).unwrap_or(RecordNumber::MAX)
            }
        };
        if let Some(place) = self.records.get_mut(number.get() as usize - 1) {
            *place = Some(record);
        }
        if let Some(file) = self.files.get_mut(&file) {
            file.records.insert(at, number);
            self.sums.records += 1;
        }
        number
    }

    /// An object that was freed while it was being written, or moved to another file: its bytes are dead in this one.
    pub fn bury(&mut self, file: SpillFileId, length: u64) {
        let Some(entry) = self.files.get_mut(&file) else { return };
        entry.live -= length;
        entry.dead += length;
        self.sums.live -= length;
        self.sums.dead += length;
        self.totals.dead += length;
    }

    /// An object with a record is gone, or its record of no use.
    pub fn leave(&mut self, number: RecordNumber) -> Option<Record> {
        let record = self.records.get_mut(number.get() as usize - 1)?.take()?;
        self.vacant.push(number);
        if let Some(file) = self.files.get_mut(&record.file)
            && file.records.remove(&record.at).is_some()
        {
            self.sums.records -= 1;
        }
        self.bury(record.file, record.length);
        Some(record)
    }

    /// A record was written anew.
    pub fn relocate(&mut self, number: RecordNumber, file: SpillFileId, at: u64) {
        let Some(record) = self.records.get_mut(number.get() as usize - 1).and_then(Option::as_mut) else { return };
        let (old, old_at, length) = (record.file, record.at, record.length);
        (record.file, record.at) = (file, at);
        if let Some(old) = self.files.get_mut(&old) {
            old.records.remove(&old_at);
        }
        if let Some(new) = self.files.get_mut(&file) {
            new.records.insert(at, number);
        }
        self.bury(old, length);
        // It lives on.
        self.totals.dead -= length;
    }

    /// A record.
    #[must_use]
    pub fn record(&self, number: RecordNumber) -> Option<&Record> {
        self.records.get(number.get() as usize - 1)?.as_ref()
    }

    /// A record.
    pub fn record_mut(&mut self, number: RecordNumber) -> Option<&mut Record> {
        self.records.get_mut(number.get() as usize - 1)?.as_mut()
    }

    /// A file.
    #[must_use]
    pub fn get(&self, file: SpillFileId) -> Option<&File> {
        self.files.get(&file)
    }

    /// A file.
    pub fn get_mut(&mut self, file: SpillFileId) -> Option<&mut File> {
        self.files.get_mut(&file)
    }

    /// The file that was begun next after this one.
    #[must_use]
    pub fn after(&self, file: SpillFileId) -> Option<SpillFileId> {
        self.files.range((Bound::Excluded(file), Bound::Unbounded)).next().map(|(id, _)| *id)
    }

    /// All files, by their age.
    pub fn iter(&self) -> impl Iterator<Item = (SpillFileId, &File)> {
        self.files.iter().map(|(id, file)| (*id, file))
    }

    /// Marks the file as one to be removed, if nobody needs it any more; its place then.
    pub fn retire(&mut self, file: SpillFileId) -> Option<usize> {
        let entry = self.files.get_mut(&file).filter(|file| file.is_over())?;
        entry.state = SpillFileState::Deleting;
        Some(entry.place)
    }

    /// The oldest file that is worth writing anew.
    #[must_use]
    pub fn sparse(&self) -> Option<SpillFileId> {
        self.files.iter().find(|(_, file)| file.is_sparse()).map(|(id, _)| *id)
    }

    /// A file is gone.
    pub fn deleted(&mut self, file: SpillFileId) {
        if let Some(file) = self.files.remove(&file) {
            self.sums.files -= 1;
            self.sums.bytes -= file.bytes;
            self.sums.live -= file.live;
            self.sums.dead -= file.dead;
            self.totals.deleted += 1;
        }
    }

    /// Sums over all files that are there.
    #[must_use]
    pub fn sums(&self) -> Sums {
        self.sums
    }

    /// Sums over the agent's life.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Walks over everything.
    ///
    /// # Errors
    /// The first sum that is wrong, in words.
    pub fn check(&self) -> Result<(), String> {
        let mut sums = Sums::default();
        for (id, file) in &self.files {
            sums.files += 1;
            sums.bytes += file.bytes;
            sums.live += file.live;
            sums.dead += file.dead;
            sums.records += file.records.len() as u64;
            if file.live + file.dead > file.bytes {
                return Err(format!("spill file {id} has {} bytes, {} live and {} dead", file.bytes, file.live, file.dead));
            }
            let mut live = 0;
            for (at, number) in &file.records {
                let record = self.record(*number).filter(|record| (record.file, record.at) == (*id, *at));
                live += record.ok_or_else(|| format!("spill file {id} has no record at {at}"))?.length;
            }
            if matches!(file.state, SpillFileState::Ready | SpillFileState::Compacting) && live != file.live {
                return Err(format!("spill file {id} counts {} live bytes and has {live}", file.live));
            }
            if file.is_over() {
                return Err(format!("spill file {id} is kept though nothing in it lives"));
            }
        }
        let records = self.records.iter().flatten().count() as u64;
        if sums != self.sums || records != sums.records {
            return Err(format!("spill files sum to {sums:?}, with {records} records, and were counted as {:?}", self.sums));
        }
        Ok(())
    }
}
