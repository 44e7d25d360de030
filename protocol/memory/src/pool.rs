//! The pool: one memory file that holds all objects. Every process maps it once and read-only; a leased range is made writable in place.
//!
//! # What the safe functions ask of their callers
//! Rust's references promise that nobody writes what a `&[u8]` shows. Inside one process the types here see to it: a byte belongs to at most
//! one [`WriteRange`], which hands each byte out for writing once and then never again until [`WriteRange::reset`]. Across processes,
//! and between a range's reset and slices of what lay there before, it follows from the protocol, which no type can check:
//! - a range is leased to one process, and only that one calls [`Pool::write_range`] for it;
//! - [`Pool::slice`] is taken of published objects only, while a pin or a count keeps them in place;
//! - [`WriteRange::reset`] is called when the agent has declared everything in the range free, so that no pin or count is left;
//! - the agent writes ([`Pool::write`], [`Pool::poison`]) only where no lease and no object is.
//!
//! A process that breaks this can show wrong bytes to readers of its own leases, of which all processes run as the same user; it cannot make
//! an access fault, for the pool never shrinks and every range is checked.

#![expect(unsafe_code, reason = "makes slices of the mapped pool")]

mod ahead;
mod range;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plasmon_protocol::local::PAGE;

use crate::map::HUGE;
use crate::segment::Segment;
use ahead::Ahead;
use range::Grant;

pub use range::{Draft, WriteRange};

/// What [`Pool::poison`] writes.
pub const POISON: u8 = 0xdd;

/// Bytes of a part of the pool that is entered into a process's page table at once.
const PART: u64 = 64 << 10;
/// Of more bytes than this, another thread enters what is behind the first, while those are written.
const ALONE: u64 = 4 << 20;
/// Whether memory files may have huge pages.
const HUGE_PAGES: &str = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

/// The pool as this process maps it.
#[derive(Debug)]
pub struct Pool {
    segment: Segment,
    /// Memory files have small pages, however they come about.
    small_pages: bool,
    /// A bit for each part that was entered into the page table.
    entered: Mutex<Box<[u64]>>,
    /// Ranges with a [`WriteRange`] or [`Draft`] of this process: where and how long.
    granted: Mutex<BTreeMap<u64, u64>>,
}

impl Pool {
    /// Makes a pool of `capacity` bytes, a multiple of [`PAGE`]; for the agent, who has it mapped writable in order to back pages
    /// and to restore objects. Nothing is backed at first.
    ///
    /// # Errors
    /// Invalid input for a capacity that cannot be; else what the system says.
    pub fn create(capacity: u64) -> io::Result<Self> {
        whole_pages(capacity, 0)?;
        Ok(Self::on(Segment::create("plasmon-pool", capacity)?))
    }

    /// Maps the agent's pool read-only. The descriptor allows writing, so that ranges can be made writable.
    ///
    /// # Errors
    /// Invalid data when it is no pool of this capacity; else what the system says.
    pub fn open(fd: OwnedFd, capacity: u64) -> io::Result<Self> {
        Ok(Self::on(Segment::open(fd, capacity, false)?))
    }

    fn on(segment: Segment) -> Self {
        segment.prefer_huge_pages();
        let small_pages = std::fs::read_to_string(HUGE_PAGES).map_or(true, |mode| mode.contains("[never]") || mode.contains("[deny]"));
        let words = segment.len().div_ceil(PART * u64::from(u64::BITS)) as usize;
        let entered = Mutex::new(vec![0; words].into_boxed_slice());
        Self { segment, small_pages, entered, granted: Mutex::default() }
    }

    /// The descriptor, for passing on.
    ///
    /// # Errors
    /// Unsupported in a process that did not make it.
    pub fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        self.segment.fd()
    }

    /// Bytes.
    pub fn capacity(&self) -> u64 {
        self.segment.len()
    }

    /// Lets this process write a range of whole pages. [`Pool::write_range`] does it too and is what gives access.
    ///
    /// # Errors
    /// Invalid input when the range is not of whole pages inside the pool; else what the system says.
    pub fn make_writable(&self, offset: u64, len: u64) -> io::Result<()> {
        self.protect(offset, len, true)
    }

    /// Takes write access to a range of whole pages away from this process. Nothing to do in the agent, whose map stays writable.
    ///
    /// # Errors
    /// As for [`Pool::make_writable`]; resource busy when a [`WriteRange`] of this process lies in the range.
    pub fn make_read_only(&self, offset: u64, len: u64) -> io::Result<()> {
        let granted = self.granted();
        if overlaps(&granted, offset, len) {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, format!("{len} bytes at {offset} of the pool are being written")));
        }
        self.protect(offset, len, false)
    }

    fn protect(&self, offset: u64, len: u64, writable: bool) -> io::Result<()> {
        self.check(offset, len)?;
        // Protecting nothing would be allowed; the agent writes everywhere already.
        if len == 0 || self.segment.writable() { Ok(()) } else { self.segment.protect(offset, len, writable) }
    }

    fn check(&self, offset: u64, len: u64) -> io::Result<()> {
        whole_pages(offset, len)?;
        match self.segment.address(offset, len) {
            Some(_) => Ok(()),
            None => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{len} bytes at {offset} are outside the pool of {}", self.capacity()),
            )),
        }
    }

    /// Agent only: backs a range with memory, so that nobody faults on it later. In small steps: it holds up everybody else's page faults.
    ///
    /// # Errors
    /// Out of memory; unsupported in a process that is not the pool's maker; invalid input when the range is not of whole pages inside it.
    pub fn populate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.check(offset, len)?;
        if !self.segment.writable() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "only the agent backs the pool's pages"));
        }
        if len == 0 { Ok(()) } else { self.segment.populate(offset, len) }
    }

    /// Agent only: backs a range that nobody has ever used, as [`Pool::populate`] does and faster. What is there is lost.
    ///
    /// # Errors
    /// As for [`Pool::populate`].
    pub fn back(&self, offset: u64, len: u64) -> io::Result<()> {
        if !self.small_pages || !self.segment.writable() {
            return self.populate(offset, len);
        }
        self.check(offset, len)?;
        self.segment.zero(offset, len)
    }

    /// Agent only: like [`Pool::back`], in huge pages, which memory files do not get by themselves on most machines. Where there are such
    /// pages at hand it takes a fraction of the time, and so does to enter them into a page table and to protect them; where the kernel
    /// has to make them first it takes several times as long.
    ///
    /// # Errors
    /// Nothing is lost: there are none at this moment. Unsupported: there will never be any. Invalid input when the range is not of
    /// whole huge pages inside the pool.
    pub fn back_huge(&self, offset: u64, len: u64) -> io::Result<()> {
        self.check(offset, len)?;
        if !offset.is_multiple_of(HUGE) || !len.is_multiple_of(HUGE) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{len} bytes at {offset} are not whole huge pages")));
        }
        if !self.small_pages || !self.segment.writable() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.segment.back_huge(offset, len).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => io::ErrorKind::Unsupported.into(),
            _ => error,
        })
    }

    /// Enters a range that has memory behind it into this process's page table, unless that was done before; the end of a long one
    /// by and by.
    fn enter(self: &Arc<Self>, offset: u64, len: u64) -> Option<Ahead> {
        let missing = self.missing(offset, len);
        let all: u64 = missing.iter().map(|(_, length)| length).sum();
        if all <= ALONE || std::thread::available_parallelism().map_or(true, |processors| processors.get() == 1) {
            missing.iter().for_each(|(offset, length)| self.segment.map_ahead(*offset, *length));
            return None;
        }
        Ahead::begin(self, missing)
    }

    /// The parts of a range that were never entered into the page table; they count as entered from here on.
    fn missing(&self, offset: u64, len: u64) -> Vec<(u64, u64)> {
        let mut entered = self.entered.lock().unwrap_or_else(PoisonError::into_inner);
        let (end, mut first, mut missing) = (offset + len, None, Vec::new());
        // What is not a whole part is left to faults: beyond the range nothing may be touched.
        let parts = offset.div_ceil(PART)..end / PART;
        for part in parts.clone() {
            let is_new = entered.get_mut((part / 64) as usize).is_some_and(|word| {
                let before = *word;
                *word |= 1 << (part % 64);
                *word != before
            });
            if is_new {
                first.get_or_insert(part);
            } else if let Some(first) = first.take() {
                missing.push((first * PART, (part - first) * PART));
            }
        }
        missing.extend(first.map(|first| (first * PART, (parts.end - first) * PART)));
        missing
    }

    /// Agent only: overwrites a range that no lease and no object is in, so that whoever still reads there is found out.
    /// False when it is outside the pool, or this process is not the agent.
    pub fn poison(&self, offset: u64, len: u64) -> bool {
        self.writable_address(offset, len).is_some_and(|at| {
            // SAFETY: inside the writable map; the caller knows that nobody uses the range.
            unsafe { at.write_bytes(POISON, len as usize) };
            true
        })
    }

    /// Agent only: copies an object that nobody reads or writes to a place where no lease of a process and no object is. False when one is
    /// outside the pool, they overlap, or this process is not the agent.
    pub fn relocate(&self, from: u64, to: u64, len: u64) -> bool {
        let (Some(source), Some(target)) = (self.segment.address(from, len), self.writable_address(to, len)) else { return false };
        if from.abs_diff(to) < len {
            return false;
        }
        // SAFETY: both inside the map, the target writable, and apart from each other; the caller knows that nobody uses either.
        unsafe { target.copy_from_nonoverlapping(source, len as usize) };
        true
    }

    /// Agent only: writes `bytes` where no lease and no object is. False as for [`Pool::poison`].
    pub fn write(&self, offset: u64, bytes: &[u8]) -> bool {
        self.writable_address(offset, bytes.len() as u64).is_some_and(|at| {
            // SAFETY: inside the writable map; the caller knows that nobody uses the range, so `bytes` is elsewhere.
            unsafe { at.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
            true
        })
    }

    fn writable_address(&self, offset: u64, len: u64) -> Option<NonNull<u8>> {
        if self.segment.writable() { self.segment.address(offset, len) } else { None }
    }

    /// The bytes of a published object, which a pin or a count of the caller's keeps in place for as long as the slice is used (see above).
    /// `None` when they are outside the pool.
    #[inline]
    pub fn slice(&self, offset: u64, len: u64) -> Option<&[u8]> {
        let at = self.segment.address(offset, len)?;
        // SAFETY: inside the map, which lives as long as `self`. Nobody writes there while the object is held: the contract above.
        Some(unsafe { NonNull::slice_from_raw_parts(at, len as usize).as_ref() })
    }

    /// Makes a leased range of whole pages, which has memory behind it, writable. In the agent: a range that it restores an object into.
    ///
    /// # Errors
    /// Already exists when this process writes a part of it already; invalid input when it is not of whole pages inside the pool;
    /// else what the system says.
    pub fn write_range(self: &Arc<Self>, offset: u64, len: u64) -> io::Result<WriteRange> {
        self.grant(offset, len)?;
        let ahead = self.enter(offset, len);
        Ok(WriteRange { grant: Arc::new(Grant { pool: Arc::clone(self), offset, len, _ahead: ahead }), used: 0 })
    }

    /// Like [`Pool::write_range`], for a range whose end may have no memory behind it yet: what has is for the caller to
    /// [`Pool::map_ahead`], and the rest not to be touched before.
    ///
    /// # Errors
    /// As for [`Pool::write_range`].
    pub fn write_range_behind(self: &Arc<Self>, offset: u64, len: u64) -> io::Result<WriteRange> {
        self.grant(offset, len)?;
        Ok(WriteRange { grant: Arc::new(Grant { pool: Arc::clone(self), offset, len, _ahead: None }), used: 0 })
    }

    /// Enters what of a range was never entered into this process's page table. All of it has memory behind it.
    pub fn map_ahead(&self, offset: u64, len: u64) {
        if offset.checked_add(len).is_some_and(|end| end <= self.capacity()) {
            self.missing(offset, len).iter().for_each(|(offset, length)| self.segment.map_ahead(*offset, *length));
        }
    }

    fn grant(&self, offset: u64, len: u64) -> io::Result<()> {
        let mut granted = self.granted();
        if overlaps(&granted, offset, len) {
            let message = format!("{len} bytes at {offset} of the pool are being written already");
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
        self.protect(offset, len, true)?;
        if len > 0 {
            granted.insert(offset, len);
        }
        Ok(())
    }

    fn granted(&self) -> MutexGuard<'_, BTreeMap<u64, u64>> {
        self.granted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn whole_pages(offset: u64, len: u64) -> io::Result<()> {
    if offset.is_multiple_of(PAGE) && len.is_multiple_of(PAGE) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{len} bytes at {offset} are not whole pages of {PAGE} bytes")))
}

fn overlaps(granted: &BTreeMap<u64, u64>, offset: u64, len: u64) -> bool {
    let before_end = granted.range(..offset.saturating_add(len)).next_back();
    len > 0 && before_end.is_some_and(|(start, length)| start + length > offset)
}

#[cfg(test)]
mod tests;
