//! Leases, and every byte of capacity in one line of the ledger.

use plasmon_protocol::id::{ObjectKey, ProcessId};
use plasmon_protocol::local::{ALIGNMENT, Memory, PAGE};
use plasmon_protocol::record::ObjectState;

use super::{CAPTURED, Check, LOCAL, Model, PINNED, SUBMITTED};

/// Memory or a block of slots that was asked for and not answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) process: ProcessId,
    pub(crate) request: u32,
    /// Bytes and whether a chunk is wanted; `None` for slots.
    pub(crate) memory: Option<(u64, bool)>,
    pub(crate) deadline_ms: u64,
    /// When it arrived, no more blocks of slots were free than the process had.
    pub(crate) hopeless: bool,
}

/// A range of the pool that was granted and did not come back.
#[derive(Debug)]
pub(crate) struct Lease {
    /// Who writes into it, and its number for the lease; `None` once that process is gone.
    pub(crate) owner: Option<(ProcessId, u32)>,
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) chunk: bool,
    /// One past the last object that was written.
    pub(crate) bump: u64,
    /// Granted for an object that was not written yet.
    pub(crate) creating: bool,
    /// Objects ever written into it.
    pub(crate) puts: u32,
    /// Objects in it: key, offset, bytes.
    pub(crate) live: Vec<(ObjectKey, u64, u64)>,
}

impl Lease {
    fn end(&self) -> u64 {
        self.offset + self.length
    }

    fn extent(&self, offset: u64, length: u64) -> u64 {
        let unit = if self.chunk { ALIGNMENT } else { PAGE };
        let end = (offset + length.max(1)).next_multiple_of(unit).min(self.end());
        end - offset
    }

    /// An object was written into it; `None`: nobody wants it.
    fn write(&mut self, key: Option<ObjectKey>, memory: Memory) {
        self.bump = memory.offset + self.extent(memory.offset, memory.length);
        self.creating = false;
        self.puts += 1;
        self.live.extend(key.map(|key| (key, memory.offset, memory.length)));
    }
}

impl Model {
    /// The lease that `process` may write `memory` into, by its place; `None` when it may not.
    pub(super) fn writable(&self, process: ProcessId, memory: Memory) -> Option<usize> {
        let index = self.leases.iter().position(|lease| lease.owner == Some((process, memory.lease)))?;
        let lease = &self.leases[index];
        let inside = memory.offset >= lease.offset
            && memory.offset.checked_add(memory.length).is_some_and(|end| end <= lease.end())
            && memory.offset.is_multiple_of(ALIGNMENT);
        let fresh = lease.live.is_empty() || memory.offset >= lease.bump;
        (inside && fresh).then_some(index)
    }

    pub(super) fn write(&mut self, lease: usize, key: Option<ObjectKey>, memory: Memory) {
        self.leases[lease].write(key, memory);
    }

    /// An object's bytes are dead. A lease without owner goes with its last object.
    pub(super) fn leave_leases(&mut self, key: ObjectKey) {
        for lease in &mut self.leases {
            lease.live.retain(|(live, _, _)| *live != key);
        }
        self.leases.retain(|lease| lease.owner.is_some() || !lease.live.is_empty());
    }

    /// A process's leases, once it is gone: their unused ends are free at once.
    pub(super) fn orphan_leases(&mut self, process: ProcessId) {
        for lease in self.leases.iter_mut().filter(|lease| lease.owner.is_some_and(|(owner, _)| owner == process)) {
            lease.owner = None;
            lease.length = (lease.bump - lease.offset).next_multiple_of(PAGE).clamp(PAGE, lease.length);
        }
        self.leases.retain(|lease| lease.owner.is_some() || !lease.live.is_empty());
    }

    /// The ledger's lines in their order.
    pub(super) fn ledger(&self) -> [u64; 12] {
        let [mut creating, mut padding, mut holes, mut slack] = [0; 4];
        let mut free = self.capacity;
        for lease in &self.leases {
            free -= lease.length;
            let extents: u64 = lease.live.iter().map(|(_, offset, length)| lease.extent(*offset, *length)).sum();
            let bytes: u64 = lease.live.iter().map(|(_, _, length)| length).sum();
            if lease.creating {
                creating += lease.length;
            } else if lease.live.is_empty() {
                slack += lease.length;
            } else {
                padding += extents - bytes;
                holes += lease.bump - lease.offset - extents;
                slack += lease.end() - lease.bump;
            }
        }
        let mut classes = [0; 4];
        for (key, object) in self.objects.iter().filter(|(_, object)| object.state == ObjectState::InMemory) {
            let counts = self.counts(*key);
            let class = [PINNED, SUBMITTED, LOCAL, CAPTURED].iter().position(|count| counts[*count] > 0);
            classes[class.unwrap_or(3)] += object.length;
        }
        let [pinned, argument, referenced, captured] = classes;
        [pinned, argument, referenced, captured, creating, 0, 0, 0, padding, holes, slack, free]
    }

    /// Whether all that was granted is known here: a range that still waits for memory behind it is not.
    pub(super) fn knows_all_leases(&self) -> bool {
        self.backed >= self.backing || self.asks.iter().all(|ask| ask.memory.is_none())
    }

    /// A create waits only while there is no room for it.
    pub(super) fn check_waiting(&self) -> Check {
        if self.backed < self.backing {
            return Ok(());
        }
        let Some((ask, (bytes, _))) = self.asks.iter().find_map(|ask| Some((ask, ask.memory?))) else { return Ok(()) };
        let wanted = bytes.max(1).next_multiple_of(PAGE);
        let mut taken: Vec<(u64, u64)> = self.leases.iter().map(|lease| (lease.offset, lease.end())).collect();
        taken.push((self.capacity, self.capacity));
        taken.sort_unstable();
        let mut free_from = 0;
        for (from, to) in taken {
            if from.saturating_sub(free_from) >= wanted {
                return Err(format!(
                    "request {} of process {} waits for {wanted} bytes, {free_from}..{from} is free",
                    ask.request, ask.process
                ));
            }
            free_from = free_from.max(to);
        }
        Ok(())
    }

    /// After time has passed, nobody waits longer than the grace.
    pub(crate) fn check_deadlines(&self) -> Check {
        let late = self.asks.iter().find(|ask| ask.memory.is_some() && ask.deadline_ms <= self.now_ms);
        match late {
            Some(ask) if self.backed >= self.backing => {
                Err(format!("request {} of process {} waits past its deadline", ask.request, ask.process))
            }
            _ => Ok(()),
        }
    }
}
