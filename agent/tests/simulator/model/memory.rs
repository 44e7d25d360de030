//! Leases, and every byte of capacity in one line of the ledger.

use plasmon_agent::reactor::{CREATE_GRACE_MS, WRITE_GRACE_MS};
use plasmon_protocol::id::{ObjectKey, ProcessId};
use plasmon_protocol::local::{ALIGNMENT, Memory, PAGE};
use plasmon_protocol::record::ObjectState;

use super::{CAPTURED, Check, LOCAL, Model, Object, PINNED, Residency, SUBMITTED};

/// How long leases that are called back may be waited for, milliseconds.
const PATIENCE_MS: u64 = 150;
/// How soon it must be seen that more has to be done for whoever waits first, milliseconds.
const SOON_MS: u64 = 20;

/// Memory or a block of slots that was asked for and not answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) process: ProcessId,
    pub(crate) request: u32,
    /// Bytes and whether a chunk is wanted; `None` for slots.
    pub(crate) memory: Option<(u64, bool)>,
    /// It is written behind the backing.
    pub(crate) ahead: bool,
    /// The object that is to come back there; the process is the first that wanted it.
    pub(crate) restore: Option<ObjectKey>,
    pub(crate) since_ms: u64,
    /// When somebody wanted the object again after nobody did.
    pub(crate) again_ms: Option<u64>,
    /// When it arrived, no more blocks of slots were free than the process had.
    pub(crate) hopeless: bool,
}

/// A range of the pool that was granted and did not come back.
#[derive(Debug)]
pub(crate) struct Lease {
    /// Who writes into it, and its number for the lease; `None` once that process is gone.
    pub(crate) owner: Option<(ProcessId, u32)>,
    /// The agent itself writes into it.
    pub(crate) agents: bool,
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
            && memory.offset.is_multiple_of(ALIGNMENT)
            && memory.offset + memory.length <= self.backed;
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
        let mut classes = [0; 7];
        for (key, object) in self.objects.iter().filter(|(_, object)| object.state == ObjectState::InMemory) {
            let counts = self.counts(*key);
            let held = [PINNED, SUBMITTED, LOCAL, CAPTURED].iter().position(|count| counts[*count] > 0).unwrap_or(3);
            let class = match object.residency {
                Residency::Spilled => continue,
                _ if counts[PINNED] > 0 => 0,
                Residency::Primary => held,
                Residency::Spilling => 4,
                Residency::Restoring => 5,
                Residency::Secondary => 6,
            };
            classes[class] += object.length;
        }
        for (written, length) in self.storage.ghosts.values() {
            classes[if *written { 4 } else { 5 }] += length;
        }
        let [pinned, argument, referenced, captured, spilling, restoring, secondary] = classes;
        [pinned, argument, referenced, captured, creating, spilling, restoring, secondary, padding, holes, slack, free]
    }

    /// Whether all that was granted is known here: a range that still waits for memory behind it is not.
    pub(super) fn knows_all_leases(&self) -> bool {
        !self.fetches() && (self.backed >= self.backing || self.asks.iter().all(|ask| ask.memory.is_none()))
    }

    /// When an ask has waited long enough.
    pub(super) fn deadline(&self, since_ms: u64) -> u64 {
        let is_writing = !self.storage.failing && self.writing().any(|file| file.replaces.is_none());
        since_ms.max(self.storage.progress_ms) + if is_writing { WRITE_GRACE_MS } else { CREATE_GRACE_MS }
    }

    pub(crate) fn fetches(&self) -> bool {
        let away = |key: &ObjectKey| self.objects.get(key).is_some_and(Object::is_away);
        self.tasks.iter().any(|(key, task)| self.may_begin(key, task) && task.needs().iter().any(away))
    }

    /// The object is wanted by nobody any more, or is not away.
    fn is_stale(&self, ask: &Ask) -> bool {
        let wanted = |key| self.objects.get(&key).is_some_and(|object| object.is_away() && !object.waiters.is_empty());
        ask.restore.is_some_and(|key| !wanted(key))
    }

    /// Everything that the core wanted done was looked at: nobody waits first for what nobody wants.
    pub(crate) fn end_of_change(&mut self) {
        self.storage.read_from.clear();
        while self.backed >= self.backing
            && let Some(index) = self.asks.iter().position(|ask| ask.memory.is_some()).filter(|index| self.is_stale(&self.asks[*index]))
        {
            self.asks.remove(index);
        }
        let head = self.asks.iter().find(|ask| ask.memory.is_some()).map(|ask| (ask.process, ask.request, ask.restore, ask.since_ms));
        // What waits for memory behind it is not seen here.
        if head != self.head || self.backed < self.backing || self.fetches() || self.unseen_first {
            (self.head, self.neglect) = (head, (self.now_ms, self.now_ms));
        }
        let wanted = self.asks.iter().find_map(|ask| ask.memory).map_or(0, |(bytes, _)| bytes.max(1).next_multiple_of(PAGE));
        // They may have come to do with this very change.
        let idle_does = self.idle_would_do(wanted);
        if !std::mem::replace(&mut self.idle_did, idle_does) || !idle_does {
            self.neglect.1 = self.now_ms;
        }
        if self.neglected().is_none() || self.idle_leases_do(wanted) {
            self.neglect.0 = self.now_ms;
        }
        self.storage.read_then.retain(|key| self.objects.contains_key(key));
    }

    /// The longest range among those that are free, or would be without those leases.
    fn longest(&self, without: impl Fn(&Lease) -> bool) -> u64 {
        let mut taken: Vec<(u64, u64)> =
            self.leases.iter().filter(|lease| !without(lease)).map(|lease| (lease.offset, lease.end())).collect();
        taken.push((self.capacity, self.capacity));
        taken.sort_unstable();
        let (mut free_from, mut longest) = (0, 0);
        for (from, to) in taken {
            longest = longest.max(from.saturating_sub(free_from));
            free_from = free_from.max(to);
        }
        longest
    }

    /// A create waits only while there is no room for it, and while that is so, room is made for whoever waits first.
    pub(super) fn check_waiting(&self) -> Check {
        // What is to be read back for tasks stands in the same queue, and is not seen here.
        if self.backed < self.backing || self.fetches() || self.unseen_first {
            return Ok(());
        }
        let Some((ask, (bytes, _))) = self.asks.iter().find_map(|ask| Some((ask, ask.memory?))) else { return Ok(()) };
        if ask.again_ms.is_some() {
            // It may have lost its turn while nobody wanted it.
            return Ok(());
        }
        let wanted = bytes.max(1).next_multiple_of(PAGE);
        let what = || format!("request {} of process {} waits for {wanted} bytes ({:?})", ask.request, ask.process, ask.restore);
        let free = self.longest(|_| false);
        if ask.restore.is_none() && self.is_kept_for_restores(bytes) {
            return Ok(());
        }
        if free >= wanted {
            return Err(format!("{}, {free} are free", what()));
        }
        if self.storage.config.places.is_empty() {
            return Ok(());
        }
        if !self.viewed.is_empty() && self.now_ms >= self.looked_ms + SOON_MS {
            return Err(format!("{}, and nobody looks whether views are gone since {}", what(), self.looked_ms));
        }
        match self.neglected() {
            Some(why) if !self.idle_leases_do(wanted) && self.now_ms >= self.neglect.0 + SOON_MS => {
                Err(format!("{} while {why} since {:?}: {:?}", what(), self.neglect, self.leases))
            }
            _ => Ok(()),
        }
    }

    /// So much room is kept for objects that come back, as long as the core thinks that something could be written.
    fn is_kept_for_restores(&self, wanted: u64) -> bool {
        let in_pool = |residency| {
            let of = self.objects.values().filter(move |object| object.state == ObjectState::InMemory && object.residency == residency);
            of.map(|object| object.length).sum::<u64>()
        };
        let away = self.objects.values().any(|object| object.state == ObjectState::InMemory && object.residency == Residency::Spilled);
        let ghosts: u64 = self.storage.ghosts.values().filter(|(written, _)| *written).map(|(_, length)| length).sum();
        let unwritten = in_pool(Residency::Primary) + in_pool(Residency::Spilling) + ghosts;
        away && unwritten > 0 && unwritten + wanted > self.capacity - self.capacity / 8
    }

    fn idle_would_do(&self, wanted: u64) -> bool {
        self.longest(|lease| lease.live.is_empty() && !lease.creating) >= wanted
    }

    /// Idle leases were called back lately, and may come.
    fn idle_leases_do(&self, wanted: u64) -> bool {
        self.now_ms < self.neglect.1 + PATIENCE_MS && self.idle_would_do(wanted)
    }

    /// What could be done to make room, and is not.
    fn neglected(&self) -> Option<String> {
        if let Some(key) = self.droppable() {
            return Some(format!("{key:?} could be dropped"));
        }
        let held_up = self.storage.failing || self.storage.config.limit.is_some() || self.writing().next().is_some();
        self.spillable().filter(|_| !held_up).map(|key| format!("{key:?} could be written"))
    }

    /// After time has passed, nobody waits longer than the grace.
    pub(crate) fn check_deadlines(&self) -> Check {
        let is_late = |ask: &&Ask| ask.memory.is_some() && self.deadline(ask.again_ms.unwrap_or(ask.since_ms)) <= self.now_ms;
        match self.asks.iter().find(|ask| is_late(ask) && !self.is_stale(ask)) {
            Some(ask) if self.backed >= self.backing => {
                Err(format!("request {} of process {} waits past its deadline ({:?})", ask.request, ask.process, ask.restore))
            }
            _ => Ok(()),
        }
    }
}
