//! The slot table: where each object lies. The agent writes it, all processes read it.

#[cfg(not(loom))]
use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
    sync::Arc,
};

use plasmon_protocol::id::ObjectKey;
#[cfg(not(loom))]
use plasmon_protocol::local::{PAGE, VERSION};

#[cfg(not(loom))]
use crate::barrier;
use crate::place::Place;
#[cfg(not(loom))]
use crate::segment::{Segment, invalid};
use crate::sync::{AtomicU32, AtomicU64, Ordering, acquire, fence};

/// What stands in a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u32)]
pub enum SlotState {
    /// Nothing.
    #[default]
    Free = 0,
    /// An object that is not there yet. Ask the agent.
    Pending = 1,
    /// An object at the entry's offset.
    InMemory = 2,
    /// An object whose value the agent sends in a message.
    Inlined = 3,
    /// An object that has an error instead of a value.
    Failed = 4,
    /// An object that the agent is about to move out. Ask the agent.
    Evicting = 5,
    /// An object that is in external storage only. Ask the agent.
    Spilled = 6,
    /// An object whose value is in the entry itself: [`SlotEntry::value`].
    InEntry = 7,
}

impl SlotState {
    /// An unknown number means: ask the agent.
    fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Free,
            2 => Self::InMemory,
            3 => Self::Inlined,
            4 => Self::Failed,
            5 => Self::Evicting,
            6 => Self::Spilled,
            7 => Self::InEntry,
            _ => Self::Pending,
        }
    }
}

/// Whether the agent looks at the rings by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u32)]
pub enum AgentState {
    /// It does: no need to ring.
    #[default]
    Awake = 0,
    /// It will soon, at the end of a short nap: ring only when somebody waits for the answer, or the ring fills up.
    Napping = 1,
    /// It doesn't: ring.
    Sleeping = 2,
}

/// The agent's state, and which of its rests this is: a bell that was rung for one rest need not be rung for it again, since the agent
/// looks at all rings after it. Two rests differ, but for one in 2^29.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AgentRest(u32);

/// In the word of the agent's state: before it sleeps the agent has all that are registered for it pass a barrier.
const BARRIER: u32 = 1 << 31;

impl AgentRest {
    /// An unknown number means: ring.
    #[inline]
    #[must_use]
    pub fn state(self) -> AgentState {
        match self.0 & 3 {
            0 => AgentState::Awake,
            1 => AgentState::Napping,
            _ => AgentState::Sleeping,
        }
    }

    fn followed_by(self, state: AgentState) -> Self {
        let rest = u32::from(state != AgentState::Awake);
        Self((((self.0 >> 2).wrapping_add(rest) << 2) & !BARRIER) | state as u32)
    }
}

/// What one entry says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SlotEntry {
    /// The generation of the slot's object; 0 before its first.
    pub generation: u32,
    /// What stands there.
    pub state: SlotState,
    /// Bytes from the pool's begin. Good for access only while the object is pinned or counted.
    pub offset: u64,
    /// The object's size, bytes.
    pub length: u64,
    /// The second half of a value in the entry, whose first half is in the place of `offset`.
    rest: u64,
}

/// The longest value that an entry has room for, bytes.
pub const MAX_IN_ENTRY: usize = 16;

impl SlotEntry {
    /// The object's encoded value, where the entry has it: so many bytes of these.
    #[must_use]
    pub fn value(&self) -> Option<([u8; MAX_IN_ENTRY], usize)> {
        let length = usize::try_from(self.length).ok().filter(|length| self.state == SlotState::InEntry && *length <= MAX_IN_ENTRY)?;
        let mut bytes = [0; MAX_IN_ENTRY];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..].copy_from_slice(&self.rest.to_le_bytes());
        Some((bytes, length))
    }
}

/// One entry in shared memory; half a cache line.
#[repr(C)]
pub(crate) struct Entry {
    /// Generation above, state below.
    word: AtomicU64,
    offset: AtomicU64,
    length: AtomicU64,
    rest: AtomicU64,
}

#[cfg(not(loom))]
const ENTRY: u64 = size_of::<Entry>() as u64;
#[cfg(not(loom))]
const _: () = assert!(ENTRY == 32);

/// "PLSMslot" and the layout's version; the number of slots; the agent's state; how far the pool is backed; entries from [`ENTRIES`] on.
#[cfg(not(loom))]
const MAGIC: u64 = u64::from_le_bytes(*b"PLSMslot") ^ VERSION as u64;
#[cfg(not(loom))]
const COUNT: u64 = 8;
#[cfg(not(loom))]
const AGENT_STATE: u64 = 128;
#[cfg(not(loom))]
const BACKED: u64 = 192;
#[cfg(not(loom))]
const ENTRIES: u64 = 256;

/// The table, from the agent's side (made by [`SlotTable::create`]) or a client's ([`SlotTable::open`]).
pub struct SlotTable {
    entries: Place<[Entry]>,
    agent_state: Place<AtomicU32>,
    /// A multiple of a page, and 1 more when there is no memory for more at this moment.
    backed: Place<AtomicU64>,
    writable: bool,
    /// The agent can have clients pass a barrier; or this is a client that does when it is told to.
    barrier: bool,
    #[cfg(not(loom))]
    segment: Arc<Segment>,
}

impl std::fmt::Debug for SlotTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SlotTable").field("slots", &self.entries.len()).field("writable", &self.writable).finish_non_exhaustive()
    }
}

#[cfg(not(loom))]
impl SlotTable {
    /// Makes a table of `slots` free slots that nobody else can write. Pages are backed as they are used.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(slots: u32) -> io::Result<Self> {
        let segment = Arc::new(Segment::create_exclusive("plasmon-slots", Self::bytes(slots))?);
        Place::<AtomicU64>::at(&segment, COUNT)?.store(u64::from(slots), Ordering::Relaxed);
        Place::<AtomicU64>::at(&segment, 0)?.store(MAGIC, Ordering::Release);
        Self::on(segment, slots)
    }

    /// Maps the agent's table.
    ///
    /// # Errors
    /// Invalid data when it is no table of this version with so many slots; else what the system says.
    pub fn open(fd: OwnedFd, slots: u32) -> io::Result<Self> {
        let segment = Arc::new(Segment::open(fd, Self::bytes(slots), false)?);
        let magic = acquire(&*Place::<AtomicU64>::at(&segment, 0)?);
        let count = acquire(&*Place::<AtomicU64>::at(&segment, COUNT)?);
        if magic != MAGIC || count != u64::from(slots) {
            return Err(invalid(format!("the slot table begins with {magic:#x} and has {count} slots; expected {MAGIC:#x} and {slots}")));
        }
        Self::on(segment, slots)
    }

    fn bytes(slots: u32) -> u64 {
        (ENTRIES + u64::from(slots) * ENTRY).next_multiple_of(PAGE)
    }

    fn on(segment: Arc<Segment>, slots: u32) -> io::Result<Self> {
        Ok(Self {
            entries: Place::many(&segment, ENTRIES, slots as usize)?,
            agent_state: Place::at(&segment, AGENT_STATE)?,
            backed: Place::at(&segment, BACKED)?,
            barrier: if segment.writable() { barrier::is_heavy_for_all() } else { barrier::register_for_all() },
            writable: segment.writable(),
            segment,
        })
    }

    /// The descriptor, for passing on.
    ///
    /// # Errors
    /// Unsupported in a process that did not make it.
    pub fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        self.segment.fd()
    }
}

impl SlotTable {
    /// A table of free slots in ordinary memory.
    #[cfg(loom)]
    pub(crate) fn modelled(slots: u32) -> Self {
        let zero = || AtomicU64::new(0);
        let entries = (0..slots).map(|_| Entry { word: zero(), offset: zero(), length: zero(), rest: zero() });
        Self {
            entries: Place::many(entries),
            agent_state: Place::new(AtomicU32::new(0)),
            backed: Place::new(zero()),
            writable: true,
            barrier: false,
        }
    }

    /// How many slots there are.
    #[expect(clippy::cast_possible_truncation, reason = "made from a u32")]
    pub fn len(&self) -> u32 {
        self.entries.len() as u32
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn writable(&self, slot: u32) -> Option<&Entry> {
        self.entries.get(slot as usize).filter(|_| self.writable)
    }

    /// Agent only: says where an object is. False, and nothing done, when there is no such slot or the table is not this process's to write.
    ///
    /// An entry that readers may have pinned keeps its place: whoever moves an object goes through [`crate::pin::begin_evict`] first.
    pub fn publish(&self, slot: u32, generation: u32, state: SlotState, offset: u64, length: u64) -> bool {
        let Some(entry) = self.writable(slot) else { return false };
        // While the place changes the entry says so: a reader that sees one of the new numbers also sees this word, so it finds the
        // word changed.
        entry.word.store(word(generation, SlotState::Pending), Ordering::Relaxed);
        fence(Ordering::Release);
        entry.offset.store(offset, Ordering::Relaxed);
        entry.length.store(length, Ordering::Relaxed);
        entry.word.store(word(generation, state), Ordering::Release);
        true
    }

    /// Agent only: puts an object's encoded value into its entry. False as for [`SlotTable::publish`], and when there is no room for it.
    pub fn publish_value(&self, slot: u32, generation: u32, value: &[u8]) -> bool {
        let (mut bytes, length) = ([0; MAX_IN_ENTRY], value.len());
        let Some((entry, room)) = self.writable(slot).zip(bytes.get_mut(..length)) else { return false };
        room.copy_from_slice(value);
        let bytes = u128::from_le_bytes(bytes);
        entry.word.store(word(generation, SlotState::Pending), Ordering::Relaxed);
        fence(Ordering::Release);
        #[expect(clippy::cast_possible_truncation, reason = "takes the halves apart")]
        entry.offset.store(bytes as u64, Ordering::Relaxed);
        entry.rest.store((bytes >> 64) as u64, Ordering::Relaxed);
        entry.length.store(length as u64, Ordering::Relaxed);
        entry.word.store(word(generation, SlotState::InEntry), Ordering::Release);
        true
    }

    /// Agent only: changes generation and state, and keeps the place. False as for [`SlotTable::publish`].
    pub fn set_state(&self, slot: u32, generation: u32, state: SlotState) -> bool {
        let Some(entry) = self.writable(slot) else { return false };
        entry.word.store(word(generation, state), Ordering::Release);
        true
    }

    /// What a slot says; `None` when there is no such slot. Generation and state belong together, and so does the rest as long as the
    /// object is pinned or counted.
    #[inline]
    pub fn read(&self, slot: u32) -> Option<SlotEntry> {
        let entry = self.entries.get(slot as usize)?;
        let mut word = acquire(&entry.word);
        // The agent changes an entry rarely; what changed three times within a read is in motion.
        for _ in 0..3 {
            let (offset, length) = (entry.offset.load(Ordering::Relaxed), entry.length.load(Ordering::Relaxed));
            let rest = entry.rest.load(Ordering::Relaxed);
            fence(Ordering::Acquire);
            let again = acquire(&entry.word);
            if again == word {
                return Some(SlotEntry { offset, length, rest, ..unpack(word) });
            }
            word = again;
        }
        Some(SlotEntry { state: SlotState::Pending, ..unpack(word) })
    }

    /// A slot's generation and what stands there, without the rest; `None` when there is no such slot.
    #[inline]
    pub fn state(&self, slot: u32) -> Option<(u32, SlotState)> {
        let entry = unpack(acquire(&self.entries.get(slot as usize)?.word));
        Some((entry.generation, entry.state))
    }

    /// Agent only: says whether it looks at the rings by itself. Before it really sleeps it must look into all rings once more, after this call.
    /// False when the table is not this process's to write.
    pub fn set_agent_state(&self, state: AgentState) -> bool {
        if !self.writable {
            return false;
        }
        let AgentRest(rest) = AgentRest(self.agent_state.load(Ordering::Relaxed)).followed_by(state);
        self.agent_state.store(rest | if self.barrier { BARRIER } else { 0 }, Ordering::Release);
        // Pairs with the fence in `agent_rest_after_push`: either the client sees the new state, or the agent its message.
        fence(Ordering::SeqCst);
        #[cfg(not(loom))]
        if self.barrier && state == AgentState::Sleeping {
            // The same with clients that have no fence there.
            barrier::heavy_for_all();
        }
        true
    }

    /// Whether the agent looks at the rings by itself: a hint, good for statistics.
    pub fn agent_state(&self) -> AgentState {
        AgentRest(self.agent_state.load(Ordering::Relaxed)).state()
    }

    /// Whether the agent will find by itself what this thread pushed before the call. No wake is ever lost by trusting it, nor by ringing
    /// once only for each rest.
    #[inline]
    pub fn agent_rest_after_push(&self) -> AgentRest {
        fence(Ordering::SeqCst);
        AgentRest(self.agent_state.load(Ordering::Relaxed))
    }

    /// The same for what nobody waits for. No sleep is overlooked, but a nap may be, which ends by itself: this costs no fence where the agent
    /// has this process pass a barrier before it sleeps.
    #[cfg(not(loom))]
    #[inline]
    pub fn agent_sleep_after_push(&self) -> AgentRest {
        if self.barrier {
            barrier::light();
            let rest = self.agent_state.load(Ordering::Relaxed);
            if rest & BARRIER != 0 {
                return AgentRest(rest);
            }
        }
        self.agent_rest_after_push()
    }

    /// Agent only: says that the pool's bytes below `end` have memory behind them, and whether there is none for more at this moment. False
    /// when the table is not this process's to write.
    pub fn set_backed(&self, end: u64, stopped: bool) -> bool {
        if self.writable {
            self.backed.store(end & !1 | u64::from(stopped), Ordering::Release);
        }
        self.writable
    }

    /// How far the pool has memory behind it, bytes from its begin, and whether there is none for more at this moment.
    pub fn backed(&self) -> (u64, bool) {
        let backed = acquire(&self.backed);
        (backed & !1, backed & 1 != 0)
    }

    /// Marks an object as about to move, if it is in memory with this generation.
    pub(crate) fn mark_evicting(&self, key: ObjectKey) -> bool {
        let Some(entry) = self.writable(key.slot) else { return false };
        if entry.word.load(Ordering::Relaxed) != word(key.generation, SlotState::InMemory) {
            return false;
        }
        entry.word.store(word(key.generation, SlotState::Evicting), Ordering::Relaxed);
        true
    }
}

#[cfg(not(loom))]
// SAFETY: four atomics of the same size.
#[expect(unsafe_code, reason = "promises that the entry is made of atomics")]
unsafe impl crate::place::Shared for Entry {}

fn word(generation: u32, state: SlotState) -> u64 {
    u64::from(generation) << 32 | u64::from(state as u32)
}

#[expect(clippy::cast_possible_truncation, reason = "takes the halves apart")]
fn unpack(word: u64) -> SlotEntry {
    SlotEntry { generation: (word >> 32) as u32, state: SlotState::from_number(word as u32), ..SlotEntry::default() }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_the_agent_publishes_clients_read_and_cannot_write() {
        let table = SlotTable::create(5000).unwrap();
        let client = SlotTable::open(table.fd().unwrap().try_clone_to_owned().unwrap(), 5000).unwrap();
        assert_eq!(client.read(4999), Some(SlotEntry::default()));
        assert!(table.publish(4999, 7, SlotState::InMemory, 1 << 40, 12));
        let entry = SlotEntry { generation: 7, state: SlotState::InMemory, offset: 1 << 40, length: 12, rest: 0 };
        assert_eq!((client.read(4999), client.state(4999)), (Some(entry), Some((7, SlotState::InMemory))));
        assert!(table.set_state(4999, 7, SlotState::Failed));
        assert_eq!(client.read(4999), Some(SlotEntry { state: SlotState::Failed, ..entry }));
        assert!(!client.publish(0, 1, SlotState::InMemory, 0, 0), "a client published");
        assert!(!client.set_state(0, 1, SlotState::Free), "a client published");
        assert!(!client.set_agent_state(AgentState::Sleeping), "a client published");
        assert!(table.set_agent_state(AgentState::Napping));
        assert_eq!((client.agent_state(), client.agent_rest_after_push().state()), (AgentState::Napping, AgentState::Napping));
        assert!(!client.set_backed(1 << 20, false), "a client published");
        assert_eq!(client.backed(), (0, false));
        assert!(table.set_backed(1 << 20, true));
        assert_eq!(client.backed(), (1 << 20, true));
    }

    #[test]
    fn small_values_are_in_the_entry() {
        let table = SlotTable::create(1).unwrap();
        let all: Vec<u8> = (1..=17).collect();
        for length in 0..=MAX_IN_ENTRY {
            assert!(table.publish_value(0, 3, &all[..length]));
            let entry = table.read(0).unwrap();
            let (bytes, known) = entry.value().unwrap();
            assert_eq!((entry.generation, &bytes[..known]), (3, &all[..length]));
        }
        assert!(!table.publish_value(0, 4, &all), "more than an entry has room for");
        assert!(table.publish(0, 4, SlotState::Inlined, 0, 17));
        assert_eq!(table.read(0).unwrap().value(), None);
    }

    #[test]
    fn bounds_and_headers_are_checked() {
        let table = SlotTable::create(100).unwrap();
        assert!(!table.publish(100, 1, SlotState::InMemory, 0, 0));
        assert_eq!((table.read(100), table.state(100)), (None, None));
        assert_eq!(table.read(u32::MAX), None);
        // 101 slots need as many pages as 100.
        let error = SlotTable::open(table.fd().unwrap().try_clone_to_owned().unwrap(), 101).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
