//! A range of the pool that one process writes objects into.

use plasmon_protocol::id::ProcessId;
use plasmon_protocol::local::{ALIGNMENT, PAGE};

/// A lease's place in the store's table; used again after the lease went back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub struct LeaseIndex(pub u32);

/// A leased range. Objects are entered in rising order; when the last one dies the range can be filled anew.
#[derive(Debug)]
pub struct Lease {
    /// First byte, a multiple of [`PAGE`].
    pub offset: u64,
    /// Bytes, a multiple of [`PAGE`].
    pub length: u64,
    /// Whether many small objects go into it.
    pub chunk: bool,
    /// One past the last object's extent; where the next object may begin.
    pub bump: u64,
    /// Objects that live in it.
    pub live: u32,
    /// Their extents, bytes.
    pub live_extent: u64,
    /// Granted for one object that was not published yet.
    pub creating: bool,
    /// The slots and places of the objects that were entered since it was last empty, in the order of their places. Some are gone, and
    /// their slots may be others' by now: only the place tells.
    pub slots: Vec<(u32, u64)>,
    /// Primary copies among them, and secondary ones.
    pub primary: u32,
    /// See above.
    pub secondary: u32,
    /// When the first of them was entered: rises over all leases.
    pub since: u64,
    /// Who writes into it, and its number for the lease; `None` once that process is gone.
    pub owner: Option<(ProcessId, u32)>,
}

impl Lease {
    /// A lease without objects.
    #[must_use]
    pub fn new(offset: u64, length: u64, chunk: bool, owner: (ProcessId, u32)) -> Self {
        Self {
            offset,
            length,
            chunk,
            bump: offset,
            live: 0,
            live_extent: 0,
            creating: !chunk,
            slots: Vec::new(),
            primary: 0,
            secondary: 0,
            since: 0,
            owner: Some(owner),
        }
    }

    /// One past the last byte.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset + self.length
    }

    /// The bytes that an object takes up: itself and the padding behind it. At least one unit, so that no two objects share
    /// an offset.
    #[must_use]
    pub fn extent(&self, offset: u64, length: u64) -> u64 {
        let unit = if self.chunk { ALIGNMENT } else { PAGE };
        ((offset + length.max(1)).next_multiple_of(unit) - offset).min(self.end() - offset)
    }

    /// Whether the agent itself writes into it: what it restores and moves.
    #[must_use]
    pub fn is_agents(&self) -> bool {
        self.owner.is_some_and(|(process, _)| process.0 == 0)
    }

    /// Nothing is in it, and it could go back.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.live == 0 && !self.creating
    }

    /// The object in `slot` was written at `offset`, as the `now`th of all; the caller has checked that it may be there.
    pub fn enter(&mut self, offset: u64, length: u64, slot: u32, now: u64) {
        let extent = self.extent(offset, length);
        if self.live == 0 {
            self.slots.clear();
            self.since = now;
        }
        self.slots.push((slot, offset));
        self.bump = offset + extent;
        self.live += 1;
        self.live_extent += extent;
        self.creating = false;
    }

    /// An object of that extent is gone.
    pub fn leave(&mut self, extent: u64) {
        self.live -= 1;
        self.live_extent -= extent;
    }

    /// Dead bytes between or before live ones.
    #[must_use]
    pub fn holes(&self) -> u64 {
        if self.live == 0 { 0 } else { self.bump - self.offset - self.live_extent }
    }

    /// Bytes without any object, now or being written.
    #[must_use]
    pub fn slack(&self) -> u64 {
        match (self.creating, self.live) {
            (true, _) => 0,
            (false, 0) => self.length,
            (false, _) => self.end() - self.bump,
        }
    }

    /// Bytes granted for an object that was not published yet.
    #[must_use]
    pub fn creating_bytes(&self) -> u64 {
        if self.creating { self.length } else { 0 }
    }
}
