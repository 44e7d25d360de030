//! Writing the live part of a file anew.

use plasmon_protocol::id::{NodeId, ObjectKey};
use xxhash_rust::xxh3::Xxh3Default;

use super::buffer::{Buffer, PIECE};
use super::image::{Piece, Source, overlay};
use super::read::{damaged, disagrees};
use super::target::{OldFile, SpillTarget};
use super::write::{Tick, fill, head_room};
use crate::spill::format::{BLOCK, HEADER, Header};
use crate::spill::job::{CompactItem, CompactJob, Failure};

/// What is read of the old file at once, bytes.
const WINDOW: u64 = 1 << 20;

/// Writes the new file of `job`, and says which objects are damaged.
pub(super) fn compact(
    from: &dyn SpillTarget,
    to: &dyn SpillTarget,
    node: NodeId,
    job: &CompactJob,
    buffer: &mut Buffer,
    tick: Tick<'_>,
) -> Result<Vec<(ObjectKey, Failure)>, Failure> {
    let old = match from.open(job.from) {
        Err(failure @ Failure::Corrupt(_)) => Err(failure),
        other => Ok(other?),
    };
    head_room(to, job.bytes)?;
    let window = Buffer::new().map_err(|error| Failure::Io(format!("make a buffer: {error}")))?;
    let name = from.name(job.from);
    let old = Old { file: old, name, window, at: 0, length: 0 };
    let mut source = Live { job, node, old, at: 0, next: 0, current: None, damaged: Vec::new() };
    let file = to.create(job.file, job.bytes)?;
    fill(&*file, &mut source, buffer, to.in_order(), tick)?;
    file.finish()?;
    Ok(source.damaged)
}

/// The old file, read from front to back.
struct Old {
    file: Result<Box<dyn OldFile>, Failure>,
    name: String,
    window: Buffer,
    at: u64,
    length: u64,
}

impl Old {
    /// Bytes at `at`, as many as the window has, at most `length`; none when the file ends before.
    fn bytes(&mut self, at: u64, length: u64) -> Result<&[u8], Failure> {
        if at < self.at || at >= self.at + self.length {
            self.at = at / BLOCK * BLOCK;
            self.length = 0;
            let window = self.window.get_mut(..WINDOW as usize).unwrap_or_default();
            self.length = match &self.file {
                Ok(file) => file.read(self.at, window)? as u64,
                Err(failure) => return Err(failure.clone()),
            };
        }
        let from = (at - self.at).min(self.length);
        let to = (from + length).min(self.length);
        Ok(self.window.get(from as usize..to as usize).unwrap_or_default())
    }
}

/// The record being copied: its object's checksum, and the sum of its first so many bytes.
struct Current {
    checksum: u64,
    sum: Box<Xxh3Default>,
    done: u64,
}

struct Live<'j> {
    job: &'j CompactJob,
    node: NodeId,
    old: Old,
    /// Where the next piece begins.
    at: u64,
    /// The next item, or the current one.
    next: usize,
    current: Option<Current>,
    damaged: Vec<(ObjectKey, Failure)>,
}

impl Live<'_> {
    /// Copies what of the item's record is in the window. Whether the record ends there.
    fn copy(&mut self, item: &CompactItem, window: &mut [u8]) -> Result<bool, Failure> {
        let begin = self.at;
        let end = begin + window.len() as u64;
        let object = item.key.on(self.node);
        let fault = |name: &str, cause: &str| damaged(name, item.from, object, cause);
        let current = match &mut self.current {
            Some(current) => current,
            None => {
                let header = self.old.bytes(item.from, HEADER)?;
                let checksum = Header::check(header, object, item.length, self.job.from, item.from);
                let checksum = checksum.map_err(|cause| fault(&self.old.name, &cause))?;
                let header = Header { object, length: item.length, checksum, file: self.job.file, at: item.at };
                overlay(window, begin, item.at, &header.encode());
                self.current.insert(Current { checksum, sum: Box::default(), done: 0 })
            }
        };
        while current.done < item.length {
            let to = item.at + HEADER + current.done;
            if to >= end {
                return Ok(false);
            }
            let bytes = self.old.bytes(item.from + HEADER + current.done, (item.length - current.done).min(end - to))?;
            if bytes.is_empty() {
                return Err(fault(&self.old.name, &format!("ends after {} bytes", HEADER + current.done)));
            }
            current.sum.update(bytes);
            current.done += bytes.len() as u64;
            overlay(window, begin, to, bytes);
        }
        let found = current.sum.digest();
        if found == current.checksum { Ok(true) } else { Err(fault(&self.old.name, &disagrees(found, current.checksum))) }
    }
}

impl<'p> Source<'p> for Live<'_> {
    fn next<'a>(&mut self, buffer: &'a mut [u8]) -> Result<Option<Piece<'a>>, Failure>
    where
        'p: 'a,
    {
        if self.at >= self.job.bytes {
            return Ok(None);
        }
        let at = self.at;
        let window = buffer.get_mut(..(PIECE as u64).min(self.job.bytes - at) as usize).unwrap_or_default();
        let end = at + window.len() as u64;
        window.fill(0);
        while let Some(item) = self.job.items.get(self.next).filter(|item| item.at < end) {
            match self.copy(item, window) {
                Ok(true) => {}
                Ok(false) => break,
                Err(failure @ Failure::Corrupt(_)) => self.damaged.push((item.key, failure)),
                Err(failure) => return Err(failure),
            }
            self.current = None;
            self.next += 1;
        }
        self.at = end;
        Ok(Some((at, window)))
    }

    fn pieces(&self) -> usize {
        self.job.bytes.div_ceil(PIECE as u64) as usize
    }
}
