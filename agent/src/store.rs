//! The object store: who has which bytes of the pool, and which objects lie in them. Pure: it moves no byte itself.
//!
//! - [`allocator`]: which ranges of the pool nobody leases.
//! - [`lease`]: ranges that processes write objects into.
//! - [`object`]: the objects, dense by slot; [`encoded`]: small values; [`few`]: who waits for one.
//! - [`slots`]: which process may name new objects by which slots.
//! - [`ledger`]: every byte of capacity in exactly one line.

pub mod allocator;
pub mod encoded;
pub mod few;
pub mod lease;
pub mod ledger;
pub mod object;
pub mod slots;

use std::collections::{BTreeMap, BTreeSet};

use plasmon_protocol::id::ProcessId;
use plasmon_protocol::local::{ALIGNMENT, CHUNK, Memory, PAGE, SMALL};
use plasmon_protocol::record::Ledger;

use crate::changes::Changes;

use allocator::Allocator;
use lease::{Lease, LeaseIndex};
use ledger::{Books, Class};
use object::{Place, Residency};

/// The pool's books: free ranges, leases and the ledger over both.
#[derive(Debug)]
pub struct Store {
    capacity: u64,
    allocator: Allocator,
    leases: Vec<Option<Lease>>,
    vacant: Vec<LeaseIndex>,
    books: Books,
    /// Large ranges are taken from the pool's end.
    large_high: bool,
    /// Objects ever entered.
    entered: u64,
    /// The chunk that the agent itself writes small objects into.
    own_chunk: Option<LeaseIndex>,
}

/// Ranges of at least this part of the capacity are large.
const LARGE: u64 = 64;

/// The agent's name as a leaseholder. Its leases go back with their last object.
const AGENT: (ProcessId, u32) = (ProcessId(0), 0);

/// Why a process's claim to have written an object is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadMemory {
    /// The range does not lie in the lease, or is not aligned.
    OutsideOfLease,
    /// The range overlaps an object that lives.
    Overlap,
}

impl Store {
    /// An empty store over `capacity` bytes, a multiple of [`PAGE`].
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        let capacity = capacity / PAGE * PAGE;
        Self {
            capacity,
            allocator: Allocator::new(capacity),
            leases: Vec::new(),
            vacant: Vec::new(),
            books: Books::default(),
            large_high: false,
            entered: 0,
            own_chunk: None,
        }
    }

    /// The pool's size, bytes.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Whether large ranges are taken from the pool's end, from now on: only once all of it has memory behind it.
    pub fn place_large_high(&mut self, high: bool) {
        self.large_high = high;
    }

    /// Bytes that nobody leases.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        self.allocator.free_bytes()
    }

    /// The longest range that nobody leases, bytes.
    #[must_use]
    pub fn longest_free(&self) -> u64 {
        self.allocator.ranges().map(|(_, length)| length).max().unwrap_or(0)
    }

    /// The most that one process may hold without objects in it while somebody's room is away on disk, bytes.
    #[must_use]
    pub fn slack_limit(&self) -> u64 {
        self.capacity / 16
    }

    /// The most that one process may keep warm between an object that is dropped and the next one, while nobody waits for room: what it
    /// makes writable anew takes it a quarter of the time of the copy. What stays idle comes back soon all the same.
    #[must_use]
    pub fn warm_limit(&self) -> u64 {
        self.capacity / 8
    }

    /// The size of a chunk: the largest that keeps a few idle ones within the slack limit, but never below `bytes`.
    #[must_use]
    pub fn chunk_for(&self, bytes: u64) -> u64 {
        let fair = (self.slack_limit() / 4 / PAGE * PAGE).clamp(PAGE, CHUNK);
        fair.max(bytes.next_multiple_of(PAGE))
    }

    /// Takes `bytes` (rounded up to pages, at least one) out of the free ranges. `None` when no free range is long enough.
    pub fn grant(&mut self, bytes: u64, chunk: bool, owner: (ProcessId, u32)) -> Option<LeaseIndex> {
        let length = bytes.max(1).checked_next_multiple_of(PAGE)?;
        let high = self.large_high && length >= (self.capacity / LARGE).max(CHUNK + PAGE);
        let offset = if high { self.allocator.allocate_high(length) } else { self.allocator.allocate(length) }?;
        let lease = Lease::new(offset, length, chunk, owner);
        self.books.begin_lease(&lease);
        let index = match self.vacant.pop() {
            Some(index) => {
                self.leases[index.0 as usize] = Some(lease);
                index
            }
            None => {
                self.leases.push(Some(lease));
                LeaseIndex(self.leases.len() as u32 - 1)
            }
        };
        Some(index)
    }

    /// A lease; `None` when it went back.
    #[must_use]
    pub fn lease(&self, index: LeaseIndex) -> Option<&Lease> {
        self.leases.get(index.0 as usize)?.as_ref()
    }

    /// One past the highest leased byte.
    #[must_use]
    pub fn high_water(&self) -> u64 {
        self.allocator.high_water()
    }

    /// Bytes of all objects in the pool.
    #[must_use]
    pub fn live_bytes(&self) -> u64 {
        self.books.live()
    }

    /// The chunks that their holders may still be writing into: the newest of each.
    #[must_use]
    pub fn current_chunks(&self) -> BTreeSet<LeaseIndex> {
        let mut newest: BTreeMap<ProcessId, (u64, LeaseIndex)> = BTreeMap::new();
        for (index, lease) in self.leases().filter(|(_, lease)| lease.chunk && !lease.is_agents()) {
            if let Some((owner, _)) = lease.owner {
                let entry = newest.entry(owner).or_insert((lease.since, index));
                *entry = (*entry).max((lease.since, index));
            }
        }
        newest.into_values().map(|(_, index)| index).chain(self.own_chunk).collect()
    }

    /// Leased bytes that carry no object, over all processes.
    #[must_use]
    pub fn slack(&self) -> u64 {
        self.books.slack()
    }

    /// Dead bytes in chunks that also carry live ones.
    #[must_use]
    pub fn holes(&self) -> u64 {
        self.books.holes()
    }

    /// Enters an object that the agent itself writes, all of it below `end`. `None` when there is no room for it there.
    pub fn enter_own(&mut self, length: u64, slot: u32, class: Class, end: u64) -> Option<Place> {
        let (lease, offset) = self.own_room(length)?;
        let memory = Memory { lease: 0, offset, length };
        if offset + length <= end && self.enter_object(lease, memory, slot, class).is_ok() {
            return Some(Place { lease, offset });
        }
        if self.lease(lease).is_some_and(|lease| lease.live == 0) {
            self.give_back(lease);
        }
        None
    }

    /// Room for an object of `bytes` that the agent itself writes: a small one goes into the agent's chunk.
    fn own_room(&mut self, bytes: u64) -> Option<(LeaseIndex, u64)> {
        if bytes > SMALL {
            let index = self.grant(bytes, false, AGENT)?;
            return Some((index, self.lease(index)?.offset));
        }
        let current = self.own_chunk.and_then(|index| Some((index, self.lease(index)?)));
        if let Some((index, lease)) = current.filter(|(_, lease)| lease.end() - lease.bump >= bytes.max(1)) {
            return Some((index, lease.bump));
        }
        let fair = self.chunk_for(bytes);
        let index = self.grant(fair, true, AGENT).or_else(|| self.grant(bytes, true, AGENT))?;
        self.own_chunk = Some(index);
        Some((index, self.lease(index)?.offset))
    }

    /// Whether a range of `bytes` is free.
    #[must_use]
    pub fn fits(&self, bytes: u64) -> bool {
        let wanted = bytes.max(1).next_multiple_of(PAGE);
        self.allocator.ranges().any(|(_, length)| length >= wanted)
    }

    /// Whether a range of `bytes` is free, or would be if every idle lease came back.
    #[must_use]
    pub fn would_fit(&self, bytes: u64) -> bool {
        let wanted = bytes.max(1).next_multiple_of(PAGE);
        let idle = self.leases().filter(|(_, lease)| lease.is_idle()).map(|(_, lease)| (lease.offset, lease.length));
        let mut ranges: Vec<(u64, u64)> = self.allocator.ranges().chain(idle).collect();
        ranges.sort_unstable();
        let mut run = (0, 0);
        ranges.into_iter().any(|(offset, length)| {
            run = if run.1 == offset { (run.0, offset + length) } else { (offset, offset + length) };
            run.1 - run.0 >= wanted
        })
    }

    /// Leased bytes of a process that carry no object.
    #[must_use]
    pub fn slack_of(&self, process: ProcessId) -> u64 {
        self.books.slack_of(process)
    }

    /// Processes whose slack changed.
    pub fn slack_changes(&mut self) -> &mut Changes {
        &mut self.books.slack_changes
    }

    /// Enters an object that a process has written into its lease, in its slot.
    ///
    /// # Errors
    /// [`BadMemory`] when the range is not inside the lease, or not where the next object may be.
    pub fn enter_object(&mut self, index: LeaseIndex, memory: Memory, slot: u32, class: Class) -> Result<(), BadMemory> {
        self.entered += 1;
        let lease = self.leases.get_mut(index.0 as usize).and_then(Option::as_mut).ok_or(BadMemory::OutsideOfLease)?;
        let end = memory.offset.checked_add(memory.length).ok_or(BadMemory::OutsideOfLease)?;
        if memory.offset < lease.offset || end > lease.end() || !memory.offset.is_multiple_of(ALIGNMENT) {
            return Err(BadMemory::OutsideOfLease);
        }
        if memory.offset < lease.bump && lease.live > 0 {
            return Err(BadMemory::Overlap);
        }
        self.books.leave_lease(lease);
        lease.enter(memory.offset, memory.length, slot, self.entered);
        self.books.enter_lease(lease);
        self.books.enter_object(class, memory.length, lease.extent(memory.offset, memory.length));
        Ok(())
    }

    /// Removes an object of `length` bytes at `offset`. An orphaned lease, or one of the agent's own, goes back with its last object. True
    /// when the lease stays and has no object any more.
    pub fn leave_object(&mut self, index: LeaseIndex, offset: u64, length: u64, class: Class) -> bool {
        let Some(lease) = self.leases.get_mut(index.0 as usize).and_then(Option::as_mut) else { return false };
        self.books.leave_lease(lease);
        let extent = lease.extent(offset, length);
        lease.leave(extent);
        self.books.enter_lease(lease);
        self.books.leave_object(class, length, extent);
        let (idle, orphaned) = (lease.live == 0, lease.owner.is_none() || lease.is_agents());
        if idle && orphaned {
            self.give_back(index);
        }
        idle && !orphaned
    }

    /// Counts a copy in a lease under its residency, or no more.
    pub fn tally(&mut self, index: LeaseIndex, residency: Residency, more: bool) {
        let Some(lease) = self.leases.get_mut(index.0 as usize).and_then(Option::as_mut) else { return };
        let count = match residency {
            Residency::Primary => &mut lease.primary,
            Residency::Secondary => &mut lease.secondary,
            Residency::Spilling | Residency::Spilled | Residency::Restoring => return,
        };
        *count = if more { *count + 1 } else { *count - 1 };
    }

    /// Moves an object's bytes from one line of the ledger to another.
    pub fn reclassify(&mut self, length: u64, from: Class, to: Class) {
        self.books.reclassify(length, from, to);
    }

    /// Takes a lease back.
    ///
    /// # Errors
    /// The number of objects that live in it, when there are any.
    pub fn return_lease(&mut self, index: LeaseIndex) -> Result<(), u32> {
        match self.lease(index).map_or(0, |lease| lease.live) {
            0 => {
                self.give_back(index);
                Ok(())
            }
            live => Err(live),
        }
    }

    /// Nobody will write into this lease any more: its unused end goes back at once, the rest with its last object.
    pub fn orphan(&mut self, index: LeaseIndex) {
        let Some(lease) = self.leases.get_mut(index.0 as usize).and_then(Option::as_mut) else { return };
        if lease.live == 0 {
            self.give_back(index);
            return;
        }
        self.books.leave_lease(lease);
        lease.owner = None;
        let keep = (lease.bump - lease.offset).next_multiple_of(PAGE).clamp(PAGE, lease.length);
        let (tail, tail_length) = (lease.offset + keep, lease.length - keep);
        lease.length = keep;
        self.books.enter_lease(lease);
        if tail_length > 0 {
            self.allocator.free(tail, tail_length);
        }
    }

    /// The ledger of this instant, `inlined` and `unbacked` given from outside.
    #[must_use]
    pub fn ledger(&self, backed: u64, inlined_bytes: u64, inlined_objects: u64) -> Ledger {
        let mut ledger = self.books.lines();
        ledger.capacity_bytes = self.capacity;
        ledger.free_bytes = self.allocator.free_bytes();
        ledger.unbacked_bytes = self.allocator.free_above(backed);
        ledger.inlined_bytes = inlined_bytes;
        ledger.inlined_objects = inlined_objects;
        let lines: u64 = ledger.lines().iter().map(|(_, bytes)| bytes).sum();
        ledger.unattributed_bytes = self.capacity.cast_signed() - lines.cast_signed();
        ledger
    }

    /// The leases of which `which` holds, those first whose objects are the oldest.
    #[must_use]
    pub fn oldest_first(&self, which: impl Fn(&Lease) -> bool) -> Vec<LeaseIndex> {
        let mut found: Vec<(u64, LeaseIndex)> =
            self.leases().filter(|(_, lease)| which(lease)).map(|(index, lease)| (lease.since, index)).collect();
        found.sort_unstable();
        found.into_iter().map(|(_, index)| index).collect()
    }

    /// All leases.
    pub fn leases(&self) -> impl Iterator<Item = (LeaseIndex, &Lease)> {
        self.leases.iter().enumerate().filter_map(|(index, lease)| Some((LeaseIndex(index as u32), lease.as_ref()?)))
    }

    fn give_back(&mut self, index: LeaseIndex) {
        if self.own_chunk == Some(index) {
            self.own_chunk = None;
        }
        if let Some(lease) = self.leases.get_mut(index.0 as usize).and_then(Option::take) {
            self.books.leave_lease(&lease);
            self.allocator.free(lease.offset, lease.length);
            self.vacant.push(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: (ProcessId, u32) = (ProcessId(1), 0);

    fn memory(offset: u64, length: u64) -> Memory {
        Memory { lease: 0, offset, length }
    }

    #[test]
    fn an_object_of_the_whole_capacity_fits_and_comes_back() {
        let mut store = Store::new(1 << 20);
        let lease = store.grant(1 << 20, false, OWNER).unwrap();
        assert!(store.grant(1, false, OWNER).is_none());
        store.enter_object(lease, memory(0, 1 << 20), 0, Class::Referenced).unwrap();
        assert_eq!(store.ledger(1 << 20, 0, 0).referenced_bytes, 1 << 20);
        store.leave_object(lease, 0, 1 << 20, Class::Referenced);
        store.return_lease(lease).unwrap();
        let ledger = store.ledger(0, 0, 0);
        assert_eq!((ledger.free_bytes, ledger.unattributed_bytes), (1 << 20, 0));
    }

    #[test]
    fn a_chunk_counts_holes_padding_and_slack() {
        let mut store = Store::new(1 << 20);
        let lease = store.grant(PAGE, true, OWNER).unwrap();
        store.enter_object(lease, memory(0, 10), 0, Class::Referenced).unwrap();
        store.enter_object(lease, memory(64, 100), 0, Class::Captured).unwrap();
        assert_eq!(store.enter_object(lease, memory(64, 1), 0, Class::Referenced), Err(BadMemory::Overlap));
        assert_eq!(store.enter_object(lease, memory(PAGE, 1), 0, Class::Referenced), Err(BadMemory::OutsideOfLease));
        assert_eq!(store.enter_object(lease, memory(193, 1), 0, Class::Referenced), Err(BadMemory::OutsideOfLease));
        assert_eq!(store.enter_object(lease, memory(u64::MAX - 63, 128), 0, Class::Referenced), Err(BadMemory::OutsideOfLease));
        store.leave_object(lease, 0, 10, Class::Referenced);
        let ledger = store.ledger(0, 0, 0);
        assert_eq!(ledger.captured_bytes, 100);
        assert_eq!(ledger.padding_bytes, 28);
        assert_eq!(ledger.hole_bytes, 64);
        assert_eq!(ledger.slack_bytes, PAGE - 192);
        assert_eq!(ledger.unattributed_bytes, 0);
        assert_eq!(store.return_lease(lease), Err(1));
        store.orphan(lease);
        store.leave_object(lease, 64, 100, Class::Captured);
        assert_eq!(store.free_bytes(), 1 << 20);
    }
}
