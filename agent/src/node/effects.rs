//! What the core wants done, done at once where it is a store to shared memory, at the end of the batch where it is a system call.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Instant;

use plasmon_memory::pin::{begin_evict_all, pinned};
use plasmon_memory::slot::{SlotState, SlotTable};
use plasmon_protocol::id::{JobId, ObjectKey, ProcessId};
use plasmon_protocol::local::ToClient;
use plasmon_protocol::record::ObjectState;

use super::peer::Peer;
use super::program::Program;
use crate::reactor::Outbox;
use crate::spill::job::Job as IoJob;

/// Answers that are kept for a worker that is heard out though it does not read.
const MOST_HEARD: usize = 1024;

/// A worker whose tasks were asked back.
#[derive(Debug)]
pub struct Withdrawal {
    /// Which.
    pub worker: ProcessId,
    /// When that was.
    pub since: Instant,
}

/// The outside of the core.
pub struct Effects {
    /// Connected clients.
    pub peers: BTreeMap<ProcessId, Peer>,
    /// What the workers of each job are started from.
    pub programs: HashMap<JobId, Arc<Program>>,
    slots: SlotTable,
    pool: Arc<plasmon_memory::pool::Pool>,
    backing: Sender<u64>,
    /// Reclaimed objects are overwritten, so that whoever still reads them is found out: for tests.
    poison: bool,
    /// Objects that are gone, and whose leaseholders were not told yet.
    freed: Vec<(ProcessId, u32, ObjectKey)>,
    /// Clients whose idle leases are wanted back, and that were not told yet.
    recalls: Vec<ProcessId>,
    /// Workers whose tasks were asked back since all rings were last drained.
    pub withdrawals: Vec<Withdrawal>,
    /// Workers to start.
    pub starts: Vec<(ProcessId, JobId, Box<[u32]>)>,
    disk: Box<dyn Fn(IoJob) + Send>,
    /// Processes to end.
    pub kills: Vec<ProcessId>,
    /// A result was published. Whoever waits for it sees it in the slot table, and goes on at once.
    resolved: bool,
    /// Some client has a backlog.
    crowded: bool,
    /// A client whose messages are worked off though it does not read what it is answered.
    pub heard_out: Option<ProcessId>,
    buffer: Vec<u8>,
}

/// What a flush left.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Flushed {
    /// A freed range is still pinned, or a withdrawal is not settled: nobody tells when that changes.
    pub soon: bool,
    /// A client's ring is full: nobody tells when it is no more.
    pub full: bool,
    /// Some client has read of its full ring since it was last tried.
    pub moved: bool,
    /// Clients whose rings were full and have room now.
    pub roomy: Vec<ProcessId>,
    /// Somebody was sent something, or can see that what it waits for is there.
    pub spoke: bool,
}

impl Effects {
    /// Effects over this pool and slot table. `backing` takes how far the pool should be backed, `disk` what external storage is to do.
    #[must_use]
    pub fn new(
        slots: SlotTable,
        pool: Arc<plasmon_memory::pool::Pool>,
        backing: Sender<u64>,
        disk: Box<dyn Fn(IoJob) + Send>,
        poison: bool,
    ) -> Self {
        Self {
            peers: BTreeMap::new(),
            programs: HashMap::new(),
            slots,
            pool,
            backing,
            poison,
            freed: Vec::new(),
            recalls: Vec::new(),
            withdrawals: Vec::new(),
            heard_out: None,
            starts: Vec::new(),
            disk,
            kills: Vec::new(),
            resolved: false,
            crowded: false,
            buffer: Vec::new(),
        }
    }

    /// The slot table.
    #[must_use]
    pub fn slots(&self) -> &SlotTable {
        &self.slots
    }

    /// The pool.
    #[must_use]
    pub fn pool(&self) -> &plasmon_memory::pool::Pool {
        &self.pool
    }

    /// Ends a batch: tells leaseholders what is gone, retries what found no room, and wakes who sleeps.
    pub fn flush(&mut self) -> Flushed {
        self.tell_freed();
        self.tell_recalls();
        // A range whose pin outlives its counts is looked at again soon: nothing else would wake this thread for it.
        let soon = !self.freed.is_empty() || !self.withdrawals.is_empty();
        let mut flushed = Flushed { soon, spoke: std::mem::take(&mut self.resolved), ..Flushed::default() };
        self.crowded = false;
        for (process, peer) in self.peers.iter_mut().filter(|(_, peer)| peer.touched || !peer.backlog.is_empty()) {
            let before = peer.backlog.len();
            while let Some(message) = peer.backlog.front() {
                if !peer.link.producer().push(message) {
                    break;
                }
                peer.backlog.pop_front();
            }
            flushed.spoke |= std::mem::take(&mut peer.touched);
            if before > 0 {
                // It rings when it has read. Should that be missed, its ring is looked at again anyway.
                peer.link.words().set_wants_space(!peer.backlog.is_empty());
            }
            flushed.moved |= peer.backlog.len() < before;
            if !peer.backlog.is_empty() {
                flushed.full = true;
                self.crowded = true;
            } else if before > 0 {
                flushed.roomy.push(*process);
            }
            peer.wake();
        }
        flushed
    }

    /// A range is reused only when no pin table names the object that was there. Counts say so already; this holds even if they
    /// are wrong. What is pinned is looked at again with the next batch.
    fn tell_freed(&mut self) {
        if self.freed.is_empty() {
            return;
        }
        let pinned = pinned(self.peers.values().map(|peer| peer.link.pins()));
        let peers = &self.peers;
        self.freed.retain(|(process, lease, key)| {
            if pinned.binary_search(key).is_ok() {
                return true;
            }
            if let Some(peer) = peers.get(process) {
                peer.link.words().add_freed(*lease);
            }
            false
        });
    }

    /// A client looks at its leases once for each recall, so it hears of what came free first. Where that waits for a pin, the recall
    /// is raised again with it.
    fn tell_recalls(&mut self) {
        let (peers, freed) = (&mut self.peers, &self.freed);
        self.recalls.retain(|process| {
            let Some(peer) = peers.get_mut(process) else { return false };
            peer.link.words().raise_recall();
            peer.touched = true;
            freed.iter().any(|(owner, ..)| owner == process)
        });
    }
}

impl Outbox for Effects {
    fn send(&mut self, to: ProcessId, message: &ToClient<'_>) {
        self.send_ahead(to, message);
        self.wake(to);
    }

    fn wake(&mut self, process: ProcessId) {
        if let Some(peer) = self.peers.get_mut(&process) {
            peer.touched = true;
        }
    }

    fn send_ahead(&mut self, to: ProcessId, message: &ToClient<'_>) {
        let Some(peer) = self.peers.get_mut(&to).filter(|peer| !peer.dropped && !peer.gone) else { return };
        self.buffer.clear();
        let Ok(bytes) = plasmon_protocol::local::encode_into(message, std::mem::take(&mut self.buffer)) else { return };
        self.buffer = bytes;
        if !peer.backlog.is_empty() || !peer.link.producer().push(&self.buffer) {
            peer.backlog.push_back(self.buffer.clone());
            self.crowded = true;
        }
    }

    fn has_room(&self, to: ProcessId) -> bool {
        // Asked before each message: nearly always nobody has a backlog.
        let most = if self.heard_out == Some(to) { MOST_HEARD } else { 1 };
        !self.crowded || self.peers.get(&to).is_none_or(|peer| peer.backlog.len() < most)
    }

    fn publish(&mut self, key: ObjectKey, state: Option<ObjectState>, offset: u64, length: u64) {
        let state = match state {
            None => SlotState::Free,
            Some(ObjectState::Pending) => SlotState::Pending,
            Some(ObjectState::InMemory | ObjectState::Spilling | ObjectState::InMemoryCopy) => SlotState::InMemory,
            Some(ObjectState::Spilled | ObjectState::Restoring) => SlotState::Spilled,
            Some(ObjectState::Inlined | ObjectState::Actor) => SlotState::Inlined,
            Some(ObjectState::Failed) => SlotState::Failed,
        };
        if self.poison
            && matches!(state, SlotState::Free | SlotState::Spilled)
            && let Some(entry) = self.slots.read(key.slot).filter(|entry| matches!(entry.state, SlotState::InMemory | SlotState::Evicting))
        {
            self.pool.poison(entry.offset, entry.length);
        }
        self.resolved |= state != SlotState::Pending && self.slots.read(key.slot).is_some_and(|entry| entry.state == SlotState::Pending);
        self.slots.publish(key.slot, key.generation, state, offset, length);
    }

    fn publish_value(&mut self, key: ObjectKey, value: &[u8]) {
        self.resolved = true;
        if !self.slots.publish_value(key.slot, key.generation, value) {
            self.publish(key, Some(ObjectState::Inlined), 0, value.len() as u64);
        }
    }

    fn freed(&mut self, process: ProcessId, lease: u32, key: ObjectKey) {
        self.freed.push((process, lease, key));
    }

    fn reset_lease(&mut self, process: ProcessId, lease: u32) {
        if let Some(peer) = self.peers.get(&process) {
            peer.link.words().set_freed(lease, 0);
        }
    }

    fn recall(&mut self, process: ProcessId) {
        if !self.recalls.contains(&process) {
            self.recalls.push(process);
        }
    }

    fn back(&mut self, end: u64) {
        // The backing thread ends only with the agent.
        let _ = self.backing.send(end);
    }

    fn backed(&mut self, end: u64, stopped: bool) {
        self.slots.set_backed(end, stopped);
    }

    fn start_worker(&mut self, process: ProcessId, job: JobId, devices: &[u32]) {
        self.starts.push((process, job, devices.into()));
    }

    fn share_program(&mut self, of: JobId, to: JobId) {
        if let Some(program) = self.programs.get(&of) {
            self.programs.insert(to, Arc::clone(program));
        }
    }

    fn end_job(&mut self, job: JobId) {
        self.programs.remove(&job);
    }

    fn withdraw(&mut self, worker: ProcessId, run: u64) {
        if let Some(peer) = self.peers.get(&worker) {
            peer.link.words().withdraw(run);
            self.withdrawals.push(Withdrawal { worker, since: Instant::now() });
        }
    }

    fn evict(&mut self, keys: &mut Vec<ObjectKey>) {
        begin_evict_all(&self.slots, keys, self.peers.values().map(|peer| peer.link.pins()));
    }

    fn unread(&self, keys: &mut Vec<ObjectKey>) {
        let pinned = pinned(self.peers.values().map(|peer| peer.link.pins()));
        keys.retain(|key| pinned.binary_search(key).is_err());
    }

    fn views(&mut self, into: &mut Vec<(ProcessId, ObjectKey)>) {
        for (process, peer) in &self.peers {
            into.extend(peer.link.pins().views().map(|key| (*process, key)));
        }
    }

    fn relocate(&mut self, from: u64, to: u64, length: u64) {
        self.pool.relocate(from, to, length);
        if self.poison {
            self.pool.poison(from, length);
        }
    }

    fn io(&mut self, job: IoJob) {
        (self.disk)(job);
    }

    fn kill(&mut self, process: ProcessId) {
        self.kills.push(process);
    }
}
