//! Reading objects back into the pool. What does not prove to be what was written is a failure, never an object.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plasmon_memory::pool::Pool;
use plasmon_protocol::id::{NodeId, ObjectId};
use xxhash_rust::xxh3::Xxh3Default;

use super::buffer::{Buffer, PIECE};
use super::target::{OldFile, SpillTarget};
use super::write::Tick;
use crate::spill::format::{BLOCK, HEADER, Header, checksum, is_aligned};
use crate::spill::job::{Failure, ReadItem, ReadJob};

/// Objects from this size on are read straight into the pool; smaller ones through a buffer, several at once. Bytes.
const DIRECT_FROM: u64 = 1 << 20;
/// Records no farther apart than this are read at once, bytes.
const GAP: u64 = 64 << 10;
/// Reads of one job at the same time.
const DEPTH: usize = 4;

/// Reads what `job` asks for; for each item, in order, how it went.
pub(super) fn read(
    target: &dyn SpillTarget,
    pool: &Arc<Pool>,
    node: NodeId,
    job: &ReadJob,
    buffer: &mut Buffer,
    tick: Tick<'_>,
) -> Vec<Result<(), Failure>> {
    let file = match target.open(job.file) {
        Ok(file) => file,
        Err(failure) => return vec![Err(failure); job.items.len()],
    };
    let tasks = tasks(&job.items);
    let fates = job.items.iter().map(|_| Mutex::default()).collect();
    let reading = Reading { file: &*file, name: target.name(job.file), pool, node, job, fates };
    let next = AtomicUsize::new(0);
    let run = |buffer: &mut Buffer| {
        while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            match tick() {
                Ok(()) => reading.run(task, buffer),
                Err(failure) => reading.fail(task, &failure),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..DEPTH.min(tasks.len()) {
            let helper = || Buffer::new().map(|mut buffer| run(&mut buffer));
            // With fewer threads it only takes longer.
            let _helper = std::thread::Builder::new().name("spill-reads".to_owned()).spawn_scoped(scope, helper);
        }
        run(buffer);
    });
    reading.results()
}

/// One read.
enum Task {
    /// Neighbouring records.
    Group(Range<usize>),
    /// The header of a record that is read in pieces.
    Header(usize),
    /// A piece of an object: of which item, and its number.
    Piece(usize, usize),
}

fn in_pieces(item: &ReadItem) -> bool {
    item.length >= DIRECT_FROM && is_aligned(item.length) && (item.at + HEADER).is_multiple_of(BLOCK)
}

fn tasks(items: &[ReadItem]) -> Vec<Task> {
    let mut tasks = Vec::new();
    let mut index = 0;
    while let Some(item) = items.get(index) {
        if in_pieces(item) {
            tasks.push(Task::Header(index));
            tasks.extend((0..item.length.div_ceil(PIECE as u64) as usize).map(|piece| Task::Piece(index, piece)));
            index += 1;
            continue;
        }
        let (begin, mut end) = span(item);
        let first = index;
        index += 1;
        while let Some(item) = items.get(index) {
            let (from, to) = span(item);
            if in_pieces(item) || from > end + GAP || from < begin || to.max(end) - begin > PIECE as u64 {
                break;
            }
            end = end.max(to);
            index += 1;
        }
        tasks.push(Task::Group(first..index));
    }
    tasks
}

/// The blocks that a record is in.
fn span(item: &ReadItem) -> (u64, u64) {
    (item.at / BLOCK * BLOCK, (item.at + HEADER + item.length).next_multiple_of(BLOCK))
}

/// What became of an item so far.
#[derive(Default)]
struct Fate {
    failure: Option<Failure>,
    /// What its header says.
    checksum: Option<u64>,
    /// The pieces that were read.
    read: Vec<bool>,
    /// The next piece to be summed up.
    next: usize,
    /// The sum of the pieces before; nothing while somebody goes on summing up.
    sum: Option<Box<Xxh3Default>>,
    begun: bool,
}

struct Reading<'r> {
    file: &'r dyn OldFile,
    name: String,
    pool: &'r Arc<Pool>,
    node: NodeId,
    job: &'r ReadJob,
    fates: Vec<Mutex<Fate>>,
}

impl Reading<'_> {
    fn run(&self, task: &Task, buffer: &mut Buffer) {
        let result = match task {
            Task::Group(range) => self.group(range.clone(), buffer),
            Task::Header(index) => self.header(*index, buffer),
            Task::Piece(index, piece) => self.piece(*index, *piece, buffer),
        };
        if let Err(failure) = result {
            self.fail(task, &failure);
        }
    }

    fn fail(&self, task: &Task, failure: &Failure) {
        let range = match task {
            Task::Group(range) => range.clone(),
            Task::Header(index) | Task::Piece(index, _) => *index..index + 1,
        };
        for index in range {
            self.note(index, failure.clone());
        }
    }

    fn note(&self, index: usize, failure: Failure) {
        if let Some(mut fate) = self.fate(index) {
            // What is damaged stays so, whatever else happened.
            if fate.failure.is_none() || matches!(failure, Failure::Corrupt(_)) {
                fate.failure = Some(failure);
            }
        }
    }

    fn fate(&self, index: usize) -> Option<MutexGuard<'_, Fate>> {
        self.fates.get(index).map(|fate| fate.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn fault(&self, item: &ReadItem, cause: &str) -> Failure {
        damaged(&self.name, item.at, item.key.on(self.node), cause)
    }

    fn group(&self, range: Range<usize>, buffer: &mut Buffer) -> Result<(), Failure> {
        let items = self.job.items.get(range.clone()).unwrap_or_default();
        let Some(begin) = items.iter().map(|item| span(item).0).min() else { return Ok(()) };
        let end = items.iter().map(|item| span(item).1).max().unwrap_or(begin);
        let Some(window) = buffer.get_mut(..(end - begin) as usize) else {
            return Err(Failure::Io(format!("read {}: the records between {begin} and {end} are too far apart", self.name)));
        };
        let count = self.file.read(begin, window)?;
        let window = window.get(..count).unwrap_or_default();
        for (index, item) in range.zip(items) {
            let record = window.get((item.at - begin) as usize..).unwrap_or_default();
            if let Err(failure) = self.record(item, record) {
                self.note(index, failure);
            }
        }
        Ok(())
    }

    /// Takes an object out of what stands in the file from its record on.
    fn record(&self, item: &ReadItem, record: &[u8]) -> Result<(), Failure> {
        let expected = self.check(item, record)?;
        let Some(bytes) = record.get(HEADER as usize..).and_then(|body| body.get(..item.length as usize)) else {
            return Err(self.fault(item, &format!("ends after {} bytes", record.len())));
        };
        let found = checksum(bytes);
        if found != expected {
            return Err(self.fault(item, &disagrees(found, expected)));
        }
        self.put(item.into, bytes)
    }

    fn check(&self, item: &ReadItem, record: &[u8]) -> Result<u64, Failure> {
        let checked = Header::check(record, item.key.on(self.node), item.length, self.job.file, item.at);
        checked.map_err(|cause| self.fault(item, &cause))
    }

    fn put(&self, into: u64, bytes: &[u8]) -> Result<(), Failure> {
        if self.pool.write(into, bytes) {
            return Ok(());
        }
        Err(Failure::Io(format!("{} bytes at {into} are outside the pool of {}", bytes.len(), self.pool.capacity())))
    }

    fn header(&self, index: usize, buffer: &mut Buffer) -> Result<(), Failure> {
        let Some(item) = self.job.items.get(index) else { return Ok(()) };
        let block = buffer.get_mut(..BLOCK as usize).unwrap_or_default();
        let count = self.file.read(item.at / BLOCK * BLOCK, block)?;
        let record = block.get((item.at % BLOCK) as usize..count).unwrap_or_default();
        let checksum = self.check(item, record)?;
        if let Some(mut fate) = self.fate(index) {
            fate.checksum = Some(checksum);
        }
        Ok(())
    }

    fn piece(&self, index: usize, piece: usize, buffer: &mut Buffer) -> Result<(), Failure> {
        let Some(item) = self.job.items.get(index) else { return Ok(()) };
        let begin = (piece * PIECE) as u64;
        let length = (item.length - begin).min(PIECE as u64);
        let blocks = length.next_multiple_of(BLOCK);
        let at = item.at + HEADER + begin;
        let into = item.into + begin;
        let count = if into.is_multiple_of(BLOCK) {
            let refused = |error| Failure::Io(format!("restore into {blocks} bytes at {into} of the pool: {error}"));
            let mut range = self.pool.write_range(into, blocks).map_err(refused)?;
            let (_, bytes) = range.take(blocks).ok_or_else(|| refused(std::io::ErrorKind::InvalidInput.into()))?;
            self.file.read(at, bytes)?
        } else {
            let window = buffer.get_mut(..blocks as usize).unwrap_or_default();
            let count = self.file.read(at, window)?;
            self.put(into, window.get(..count.min(length as usize)).unwrap_or_default())?;
            count
        };
        if (count as u64) < length {
            return Err(self.fault(item, &format!("ends after {} bytes", HEADER + begin + count as u64)));
        }
        self.sum_up(index, item, piece);
        Ok(())
    }

    /// Sums up the pieces that are there, in order, unless somebody else is about it, who then takes this one too.
    fn sum_up(&self, index: usize, item: &ReadItem, piece: usize) {
        let Some(mut fate) = self.fate(index) else { return };
        if !fate.begun {
            fate.begun = true;
            fate.read = vec![false; item.length.div_ceil(PIECE as u64) as usize];
            fate.sum = Some(Box::default());
        }
        if let Some(read) = fate.read.get_mut(piece) {
            *read = true;
        }
        let Some(mut sum) = fate.sum.take() else { return };
        while fate.read.get(fate.next).is_some_and(|read| *read) {
            let begin = (fate.next * PIECE) as u64;
            drop(fate);
            sum.update(self.pool.slice(item.into + begin, (item.length - begin).min(PIECE as u64)).unwrap_or_default());
            match self.fate(index) {
                Some(again) => fate = again,
                None => return,
            }
            fate.next += 1;
        }
        fate.sum = Some(sum);
    }

    fn results(self) -> Vec<Result<(), Failure>> {
        let judge = |item: &ReadItem, fate: &Fate| {
            if let Some(failure) = &fate.failure {
                return Err(failure.clone());
            }
            if !in_pieces(item) {
                return Ok(());
            }
            match (fate.checksum, fate.sum.as_ref().filter(|_| fate.next == fate.read.len()).map(|sum| sum.digest())) {
                (Some(expected), Some(found)) if found == expected => Ok(()),
                (Some(expected), Some(found)) => Err(self.fault(item, &disagrees(found, expected))),
                _ => Err(Failure::Io(format!("read {}: not all of it was read", self.name))),
            }
        };
        let fates = self.fates.iter().map(|fate| fate.lock().unwrap_or_else(PoisonError::into_inner));
        self.job.items.iter().zip(fates).map(|(item, fate)| judge(item, &fate)).collect()
    }
}

/// The failure of a record: `cause` follows its name.
pub(super) fn damaged(file: &str, at: u64, object: ObjectId, cause: &str) -> Failure {
    Failure::Corrupt(format!("{file}: the record of object {object} at offset {at} {cause}"))
}

pub(super) fn disagrees(found: u64, expected: u64) -> String {
    format!("has the checksum {found:016x} instead of {expected:016x}")
}
