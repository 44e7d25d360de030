//! What an honest client library keeps: its end of the ring, its leases and slots, its handles and views.

mod inbox;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use plasmon_protocol::id::{ObjectKey, ProcessId, TaskKey};
use plasmon_protocol::local::{ALIGNMENT, Ending, Memory, SLOT_BLOCK, ToAgent, Work, encode};
use plasmon_protocol::record::ObjectState;

use super::model::Model;
use super::random::Random;
use super::world::SharedMemory;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// A worker that was started and has not connected.
    Starting,
    Alive,
    /// Gone, but its ring is not drained.
    Dead,
}

/// What a client can look at, beside its own: shared memory, and (through the model) what the bytes there say.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) shared: &'a SharedMemory,
    pub(crate) model: &'a Model,
}

/// Why something is in a pin table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reading {
    /// It is read, and something else keeps it.
    Moment,
    /// The agent is told of it.
    Counted,
    /// A view that the agent finds when it looks.
    View,
}

#[derive(Debug)]
pub(crate) struct OwnLease {
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) chunk: bool,
    pub(crate) bump: u64,
    pub(crate) puts: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Request {
    Lease {
        chunk: bool,
    },
    Slots,
    Value(ObjectKey),
    /// A value that is not wanted any more; should it be pinned, the pin goes back.
    Abandoned(ObjectKey),
    /// A name for this new actor.
    Name(ObjectKey),
    Find,
    /// Room for one more result of this generator.
    Room(TaskKey),
}

/// The function that is a generator.
pub(crate) const YIELDS: &str = "app::yields";

/// A task that a worker runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Running {
    pub(crate) key: TaskKey,
    /// Counts what the worker was sent.
    pub(crate) run: u64,
    pub(crate) work: Work,
    pub(crate) returns: u32,
    pub(crate) outputs: u32,
    /// It is a generator; `returns` are those for which there is room as far as is known.
    pub(crate) yields: bool,
    /// Nobody wants more.
    pub(crate) closed: bool,
    pub(crate) started: bool,
    pub(crate) blocked: bool,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: ProcessId,
    pub(crate) pid: u32,
    pub(crate) worker: bool,
    pub(crate) hostile: bool,
    pub(crate) phase: Phase,
    /// Told to end, or about to be killed.
    pub(crate) leaving: bool,
    /// It does nothing and reads nothing until it goes on.
    pub(crate) stopped: bool,
    pub(crate) said_bye: bool,
    /// Written, but not yet visible to the agent: lost with the process.
    pub(crate) unpublished: Vec<Vec<u8>>,
    pub(crate) ring: VecDeque<Vec<u8>>,
    pub(crate) inbox: VecDeque<Vec<u8>>,
    pub(crate) leases: BTreeMap<u32, OwnLease>,
    pub(crate) blocks: Vec<u32>,
    /// The generation that each slot was last used with.
    pub(crate) used: BTreeMap<u32, u32>,
    pub(crate) handles: BTreeMap<ObjectKey, u32>,
    pub(crate) pins: BTreeMap<ObjectKey, u32>,
    /// Views that its handles keep, and those whose handle is gone, by the handle that they were got by.
    pub(crate) views: BTreeMap<ObjectKey, u32>,
    pub(crate) kept: Vec<(ObjectKey, u32)>,
    /// Its pin table: what it reads, where that was when it began, and for how long.
    pub(crate) table: Vec<(ObjectKey, u64, Reading)>,
    /// Bytes that it has written into the pool, until the world takes note of them.
    pub(crate) written: Vec<(ObjectKey, Memory)>,
    /// It keeps most of what it has.
    pub(crate) hoards: bool,
    pub(crate) requests: BTreeMap<u32, Request>,
    pub(crate) last_request: u32,
    pub(crate) last_task: u32,
    /// Generators that it has submitted.
    pub(crate) generators: Vec<u32>,
    pub(crate) sites: u32,
    /// What it runs; the first is what it goes on with.
    pub(crate) tasks: Vec<Running>,
    /// What it was sent to run, and up to which of that the agent has taken back what has not begun.
    pub(crate) runs: u64,
    pub(crate) withdrawn: u64,
    /// Its tasks all ask for the same.
    pub(crate) plain: bool,
    /// How many calls it runs side by side, once it is an actor.
    pub(crate) actor: Option<u32>,
    /// Actors that it created.
    pub(crate) created: BTreeSet<ObjectKey>,
    /// The newest call that it was sent of each caller.
    pub(crate) heard: BTreeMap<ProcessId, u32>,
    pub(crate) recalled: bool,
}

impl Client {
    pub(crate) fn new(id: ProcessId, worker: bool, hostile: bool) -> Self {
        Self {
            id,
            pid: 1000 + id.0,
            worker,
            hostile,
            phase: if worker { Phase::Starting } else { Phase::Alive },
            leaving: false,
            stopped: false,
            said_bye: false,
            unpublished: Vec::new(),
            ring: VecDeque::new(),
            inbox: VecDeque::new(),
            leases: BTreeMap::new(),
            blocks: Vec::new(),
            used: BTreeMap::new(),
            handles: BTreeMap::new(),
            pins: BTreeMap::new(),
            views: BTreeMap::new(),
            kept: Vec::new(),
            table: Vec::new(),
            written: Vec::new(),
            hoards: false,
            requests: BTreeMap::new(),
            last_request: 0,
            last_task: 0,
            generators: Vec::new(),
            sites: 0,
            tasks: Vec::new(),
            runs: 0,
            withdrawn: 0,
            plain: false,
            actor: None,
            created: BTreeSet::new(),
            heard: BTreeMap::new(),
            recalled: false,
        }
    }

    pub(crate) fn write(&mut self, message: &ToAgent<'_>) {
        self.unpublished.push(encode(message).expect("a client's messages encode"));
    }

    /// One release store: all that was written is the agent's to read.
    pub(crate) fn publish(&mut self) {
        self.ring.extend(self.unpublished.drain(..));
    }

    /// From here on nothing is written; what was published stays.
    pub(crate) fn die(&mut self) {
        self.phase = Phase::Dead;
        self.unpublished.clear();
        self.inbox.clear();
    }

    pub(crate) fn request(&mut self, request: Request) -> u32 {
        self.last_request += 1;
        self.requests.insert(self.last_request, request);
        self.last_request
    }

    pub(crate) fn waits_for(&self, request: Request) -> bool {
        self.requests.values().any(|waiting| *waiting == request)
    }

    /// A free slot's next name. Without any, a block is asked for.
    pub(crate) fn name(&mut self, view: View<'_>, random: &mut Random) -> Option<ObjectKey> {
        let mut skip = if random.chance(60) { 0 } else { random.below(6) };
        let slots = self.blocks.iter().flat_map(|first| *first..*first + SLOT_BLOCK);
        for slot in slots {
            let entry = view.shared.slots.get(&slot);
            let last = entry.map_or(0, |entry| entry.generation);
            // The table speaks of this client's last object there only once it shows that object's generation.
            let free = entry.is_none_or(|entry| entry.state.is_none()) && self.used.get(&slot).is_none_or(|used| *used == last);
            if !free {
                continue;
            }
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let generation = last.wrapping_add(1).max(1);
            self.used.insert(slot, generation);
            return Some(ObjectKey { slot, generation });
        }
        self.ask_for_slots();
        None
    }

    pub(crate) fn ask_for_slots(&mut self) {
        if !self.waits_for(Request::Slots) {
            let request = self.request(Request::Slots);
            self.write(&ToAgent::Slots { request });
        }
    }

    /// Room for an object in a lease of this client's. Without any, a lease is asked for.
    pub(crate) fn room(&mut self, bytes: u64, chunk: bool, view: View<'_>) -> Option<Memory> {
        let id = self.id;
        for (number, lease) in self.leases.iter_mut().filter(|(_, lease)| lease.chunk == chunk) {
            let gone = view.shared.freed.get(&(id, *number)).copied().unwrap_or(0);
            if lease.puts == gone {
                lease.bump = lease.offset;
            } else if !chunk {
                continue;
            }
            let end = (lease.bump + bytes.max(1)).next_multiple_of(ALIGNMENT);
            // Behind the backing.
            if end <= lease.offset + lease.length && lease.bump + bytes <= view.model.backed {
                let memory = Memory { lease: *number, offset: lease.bump, length: bytes };
                lease.bump = end;
                lease.puts += 1;
                return Some(memory);
            }
        }
        if !self.waits_for(Request::Lease { chunk }) {
            let request = self.request(Request::Lease { chunk });
            let site = self.sites;
            // Half of the processes write large objects behind the backing.
            self.write(&if chunk || id.0.is_multiple_of(2) {
                ToAgent::Lease { request, bytes, chunk, site }
            } else {
                ToAgent::LeaseAhead { request, bytes, site }
            });
        }
        None
    }

    /// Leases without objects in them, as far as this client can tell.
    pub(crate) fn idle_leases(&self, view: View<'_>) -> Vec<u32> {
        let idle = |(number, lease): (&u32, &OwnLease)| {
            let gone = view.shared.freed.get(&(self.id, *number)).copied().unwrap_or(0);
            (lease.puts == gone).then_some(*number)
        };
        self.leases.iter().filter_map(idle).collect()
    }

    pub(crate) fn give_back(&mut self, lease: u32) {
        self.leases.remove(&lease);
        self.write(&ToAgent::Return { lease });
    }

    pub(crate) fn held(&self) -> Vec<ObjectKey> {
        self.handles.keys().copied().collect()
    }

    pub(crate) fn add_handle(&mut self, key: ObjectKey) {
        *self.handles.entry(key).or_default() += 1;
        let site = self.sites;
        self.write(&ToAgent::AddLocal { key, site });
    }

    /// What it only reads for a moment is read before. Views that were got by it live on.
    pub(crate) fn drop_handle(&mut self, key: ObjectKey, random: &mut Random) {
        self.table.retain(|(read, _, reading)| *read != key || *reading != Reading::Moment);
        lower(&mut self.handles, key);
        let views = self.views.get(&key).copied().unwrap_or(0);
        // Other handles may have some of them.
        let least = if self.handles.contains_key(&key) { 0 } else { views };
        let theirs = random.between(least.into(), views.into()) as u32;
        if theirs == 0 {
            return self.write(&ToAgent::DropLocal { key });
        }
        (0..theirs).for_each(|_| lower(&mut self.views, key));
        self.kept.push((key, theirs));
        self.write(&ToAgent::KeepViews { key });
    }

    /// What was put for a task alone: nobody views it.
    pub(crate) fn drop_block(&mut self, key: ObjectKey) {
        lower(&mut self.handles, key);
        self.write(&ToAgent::DropLocal { key });
    }

    /// A view by a handle: the agent is told nothing.
    pub(crate) fn add_view(&mut self, key: ObjectKey, view: View<'_>) {
        self.begin_read(key, Reading::View, view);
        *self.views.entry(key).or_default() += 1;
    }

    pub(crate) fn drop_view(&mut self, key: ObjectKey, random: &mut Random) {
        if let Some(index) = self.table.iter().position(|(read, _, reading)| *read == key && *reading == Reading::View) {
            self.table.remove(index);
        }
        let kept: Vec<usize> = (0..self.kept.len()).filter(|index| self.kept[*index].0 == key).collect();
        match random.pick(&kept).filter(|_| !self.views.contains_key(&key) || random.chance(50)) {
            None => lower(&mut self.views, key),
            Some(index) if self.kept[index].1 > 1 => self.kept[index].1 -= 1,
            Some(index) => {
                self.kept.remove(index);
                self.write(&ToAgent::DropViews { key });
            }
        }
    }

    /// Everything that it has views of, as often as it has one.
    pub(crate) fn viewed(&self) -> Vec<ObjectKey> {
        let views = self.views.iter().map(|(key, count)| (*key, *count)).chain(self.kept.iter().copied());
        views.flat_map(|(key, count)| std::iter::repeat_n(key, count as usize)).collect()
    }

    /// A view: through the pin table at once, and by message for as long as it lives.
    pub(crate) fn add_pin(&mut self, key: ObjectKey, view: View<'_>) {
        self.begin_read(key, Reading::Counted, view);
        *self.pins.entry(key).or_default() += 1;
        let site = self.sites;
        self.write(&ToAgent::AddPin { key, site });
    }

    /// Its bytes are read through the pin table.
    pub(crate) fn begin_read(&mut self, key: ObjectKey, reading: Reading, view: View<'_>) {
        if let Some(entry) = view.shared.slots.get(&key.slot) {
            self.table.push((key, entry.offset, reading));
        }
    }

    pub(crate) fn end_read(&mut self, random: &mut Random) {
        let reads: Vec<usize> = (0..self.table.len()).filter(|index| self.table[*index].2 == Reading::Moment).collect();
        if let Some(index) = random.pick(&reads) {
            self.table.remove(index);
        }
    }

    pub(crate) fn drop_pin(&mut self, key: ObjectKey) {
        if let Some(index) = self.table.iter().position(|(read, _, reading)| *read == key && *reading == Reading::Counted) {
            self.table.remove(index);
        }
        lower(&mut self.pins, key);
        self.write(&ToAgent::DropPin { key });
    }

    /// What this client may use without a handle: what its task's arguments keep, and what it views.
    pub(crate) fn reach(&self, view: View<'_>) -> Vec<ObjectKey> {
        let mut reach: Vec<ObjectKey> = self.handles.keys().chain(self.pins.keys()).copied().collect();
        reach.extend(self.kept.iter().map(|(key, _)| *key));
        for task in self.tasks.iter().filter_map(|running| view.model.tasks.get(&running.key)) {
            reach.extend(&task.holds);
        }
        reach
    }

    /// Handles among all that it holds.
    pub(crate) fn actors(&self, view: View<'_>) -> Vec<ObjectKey> {
        let is_handle = |key: &ObjectKey| self.created.contains(key) || view.model.objects.get(key).is_some_and(|object| object.actor);
        self.handles.keys().copied().filter(is_handle).collect()
    }

    /// More messages lie in its inbox than it can have asked for.
    pub(crate) fn is_flooded(&self) -> bool {
        let window = self.most_calls();
        // An actor that did not read on does not know how many calls it runs; its end comes on top.
        let runs =
            self.tasks.iter().map(|running| if let Work::Constructor { max_concurrency } = running.work { max_concurrency } else { 1 });
        !self.hostile && self.inbox.len() > self.requests.len() + 2 * window.max(runs.max().unwrap_or(1) as usize) + 1
    }

    /// References inside values that this client can read.
    pub(crate) fn readable(&self, view: View<'_>) -> Vec<ObjectKey> {
        let mut inner = Vec::new();
        for outer in self.reach(view) {
            if let Some(object) = view.model.objects.get(&outer) {
                inner.extend(&object.contains);
            }
        }
        inner
    }

    /// Objects whose bytes this client can map.
    pub(crate) fn mappable(&self, view: View<'_>) -> Vec<ObjectKey> {
        self.reach(view).into_iter().filter(|key| is_in_memory(view, *key)).collect()
    }

    /// Objects in reach that are in external storage only.
    pub(crate) fn away(&self, view: View<'_>) -> Vec<ObjectKey> {
        let away = |key: &ObjectKey| view.shared.slots.get(&key.slot).is_some_and(|entry| entry.state == Some(ObjectState::Spilled));
        self.reach(view).into_iter().filter(away).collect()
    }

    /// It begins the first of its tasks: says so, for all to see, and only then looks whether the agent has taken it back.
    pub(crate) fn begin(&mut self) {
        let Some(running) = self.tasks.first_mut() else { return };
        running.started = true;
        let (task, is_withdrawn) = (running.key, running.work != Work::Method && running.run <= self.withdrawn);
        self.write(&ToAgent::Started { task });
        self.publish();
        if is_withdrawn {
            self.end_task(Ending::Withdrawn);
        }
    }

    /// Its task has ended, as far as it is concerned; a constructor that ended well has made it an actor.
    pub(crate) fn end_task(&mut self, ending: Ending) {
        let Running { key, work, .. } = self.tasks.remove(0);
        self.table.retain(|(_, _, reading)| *reading != Reading::Moment);
        if let (Work::Constructor { max_concurrency }, Ending::Finished) = (work, &ending) {
            self.actor = Some(max_concurrency);
        }
        if key.number.is_multiple_of(2) {
            self.write(&ToAgent::HeapPeak { task: key, bytes: u64::from(key.number) << 20 });
        }
        self.write(&ToAgent::Ended { task: key, ending });
    }
}

fn is_in_memory(view: View<'_>, key: ObjectKey) -> bool {
    let entry = view.shared.slots.get(&key.slot);
    entry.is_some_and(|entry| entry.generation == key.generation && entry.state == Some(ObjectState::InMemory))
}

fn lower(counts: &mut BTreeMap<ObjectKey, u32>, key: ObjectKey) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}
