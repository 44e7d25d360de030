//! What a spill file will look like, piece by piece, from objects in the pool.

use plasmon_memory::pool::Pool;
use plasmon_protocol::id::{NodeId, SpillFileId};
use xxhash_rust::xxh3::Xxh3Default;

use super::buffer::PIECE;
use crate::spill::format::{BLOCK, HEADER, Header, checksum, is_aligned};
use crate::spill::job::{Failure, WriteItem, WriteJob};

/// A piece of a file: where it goes, and its bytes, which are in a buffer or (for `'p`) in the pool.
pub(super) type Piece<'a> = (u64, &'a [u8]);

/// What a file is made of.
pub(super) trait Source<'p>: Send {
    /// The next piece, of whole blocks. Together the pieces are the file.
    fn next<'a>(&mut self, buffer: &'a mut [u8]) -> Result<Option<Piece<'a>>, Failure>
    where
        'p: 'a;

    /// How many pieces there are at most.
    fn pieces(&self) -> usize;
}

/// Where the bytes of a piece are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Put together in a buffer.
    Staged,
    /// In the pool: of which item, and bytes from the pool's begin.
    Direct(usize, u64),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Part {
    at: u64,
    length: u64,
    kind: Kind,
}

/// The file of a job. Small objects, and the ends of large ones, are put together in a buffer; large ones go straight from the pool.
///
/// A header has its object's checksum and goes before it. Where the order is free, the piece with the header of a large object follows
/// the object, so that its bytes are summed up just before they are written, while another piece is being written.
pub(super) struct Image<'p> {
    pool: &'p Pool,
    node: NodeId,
    file: SpillFileId,
    items: &'p [WriteItem],
    parts: std::vec::IntoIter<Part>,
    in_order: bool,
    /// The large object that is under way, and the sum of its first so many bytes.
    sum: Option<(usize, Box<Xxh3Default>, u64)>,
}

impl<'p> Image<'p> {
    pub(super) fn new(pool: &'p Pool, node: NodeId, job: &'p WriteJob, in_order: bool) -> Self {
        let parts = parts(&job.items, job.bytes, in_order).into_iter();
        Self { pool, node, file: job.file, items: &job.items, parts, in_order, sum: None }
    }

    fn object(&self, item: &WriteItem) -> Result<&'p [u8], Failure> {
        bytes(self.pool, item.from, item.length)
    }

    /// Puts the bytes of the file from `at` on into all of `window`.
    fn stage(&mut self, at: u64, window: &mut [u8]) -> Result<(), Failure> {
        let end = at + window.len() as u64;
        let first = self.items.partition_point(|item| item.at + HEADER + item.length <= at);
        let mut filled = at;
        for (index, item) in self.items.iter().enumerate().skip(first) {
            if item.at >= end {
                break;
            }
            let object = self.object(item)?;
            if item.at >= at {
                let checksum = self.checksum(index, object);
                let header = Header { object: item.key.on(self.node), length: item.length, checksum, file: self.file, at: item.at };
                clear(window, at, filled, item.at);
                overlay(window, at, item.at, &header.encode());
            }
            overlay(window, at, item.at + HEADER, object);
            filled = item.at + HEADER + item.length;
        }
        clear(window, at, filled, end);
        Ok(())
    }

    fn checksum(&mut self, index: usize, object: &[u8]) -> u64 {
        match self.sum.take() {
            Some((of, mut sum, done)) if of == index => {
                sum.update(object.get(done as usize..).unwrap_or_default());
                sum.digest()
            }
            _ => checksum(object),
        }
    }
}

impl<'p> Source<'p> for Image<'p> {
    fn next<'a>(&mut self, buffer: &'a mut [u8]) -> Result<Option<Piece<'a>>, Failure>
    where
        'p: 'a,
    {
        let Some(part) = self.parts.next() else { return Ok(None) };
        let Kind::Direct(index, from) = part.kind else {
            let window = buffer.get_mut(..part.length as usize).unwrap_or_default();
            self.stage(part.at, window)?;
            return Ok(Some((part.at, window)));
        };
        let piece = bytes(self.pool, from, part.length)?;
        if !self.in_order {
            let (mut sum, done) = match self.sum.take() {
                Some((of, sum, done)) if of == index => (sum, done),
                _ => (Box::default(), 0),
            };
            sum.update(piece);
            self.sum = Some((index, sum, done + part.length));
        }
        Ok(Some((part.at, piece)))
    }

    fn pieces(&self) -> usize {
        self.parts.len()
    }
}

fn bytes(pool: &Pool, from: u64, length: u64) -> Result<&[u8], Failure> {
    pool.slice(from, length).ok_or_else(|| Failure::Io(format!("{length} bytes at {from} are outside the pool of {}", pool.capacity())))
}

fn parts(items: &[WriteItem], bytes: u64, in_order: bool) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut begin = 0;
    for (index, item) in items.iter().enumerate() {
        let body = item.at + HEADER;
        if !is_aligned(item.length) || !item.from.is_multiple_of(BLOCK) || !body.is_multiple_of(BLOCK) || body < begin {
            continue;
        }
        cut(begin, body, |_| Kind::Staged, &mut parts);
        let header = if in_order { None } else { parts.pop() };
        let whole = item.length / BLOCK * BLOCK;
        cut(body, body + whole, |at| Kind::Direct(index, item.from + (at - body)), &mut parts);
        parts.extend(header);
        begin = body + whole;
    }
    cut(begin, bytes, |_| Kind::Staged, &mut parts);
    parts
}

/// The range of the file in pieces.
fn cut(begin: u64, end: u64, kind: impl Fn(u64) -> Kind, parts: &mut Vec<Part>) {
    let mut at = begin;
    while at < end {
        let length = (PIECE as u64).min(end - at);
        parts.push(Part { at, length, kind: kind(at) });
        at += length;
    }
}

/// Copies what of `bytes`, which begin at `at` in the file, is in the window that begins at `begin`.
pub(super) fn overlay(window: &mut [u8], begin: u64, at: u64, bytes: &[u8]) {
    let skip = begin.saturating_sub(at) as usize;
    let to = at.saturating_sub(begin) as usize;
    if let (Some(from), Some(into)) = (bytes.get(skip..), window.get_mut(to..)) {
        let count = from.len().min(into.len());
        into[..count].copy_from_slice(&from[..count]);
    }
}

/// Zeroes what of the file's range is in the window.
fn clear(window: &mut [u8], begin: u64, from: u64, to: u64) {
    let from = from.saturating_sub(begin) as usize;
    let to = (to.saturating_sub(begin) as usize).min(window.len());
    if let Some(gap) = window.get_mut(from..to) {
        gap.fill(0);
    }
}
