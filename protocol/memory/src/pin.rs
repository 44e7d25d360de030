//! What a client reads at this moment, and how the agent moves objects without taking memory from under a reader.
//!
//! A reader writes the object's key into its own pin table, fences, and then reads the slot. The agent marks the slot as evicting,
//! fences, and then reads all pin tables. Of the two fences one is first, so either the reader sees the mark, or the agent the pin.

use std::collections::HashSet;

use plasmon_protocol::id::ObjectKey;

use crate::place::Place;
use crate::slot::{SlotEntry, SlotState, SlotTable};
use crate::sync::{AtomicU64, Ordering, acquire, fence};

/// Pins that one client can hold; more go by message.
pub const PINS: usize = 1024;

/// One pin in its client's table, given back by [`PinTable::unpin`]. Not `Copy`, so that no pin is given back twice.
#[derive(PartialEq, Eq, Debug)]
#[must_use = "a pin that is not given back keeps the object in memory"]
pub struct PinIndex(u32);

/// What came of [`PinTable::pin_and_read`].
#[derive(PartialEq, Eq, Debug)]
pub enum PinOutcome {
    /// The bytes stay at `offset` until the pin is given back.
    Pinned {
        /// Give it back.
        pin: PinIndex,
        /// Bytes from the pool's begin.
        offset: u64,
        /// The object's size, bytes.
        length: u64,
    },
    /// The slot says something else (another generation or state, or nothing at all when there is no such slot): ask the agent.
    NotInMemory(SlotEntry),
    /// All pins are taken: pin by message.
    TableFull,
}

/// A client's own pin table. Any of its threads pins.
pub struct PinTable {
    pins: Place<[AtomicU64]>,
    /// One bit for each pin that is taken, in this process's own memory.
    taken: Box<[AtomicU64]>,
}

impl std::fmt::Debug for PinTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PinTable").field("pins", &self.pins.len()).finish_non_exhaustive()
    }
}

impl PinTable {
    /// Over `pins`, which nobody else writes and which are all zero.
    pub(crate) fn over(pins: Place<[AtomicU64]>) -> Self {
        let taken = (0..pins.len().div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Self { pins, taken }
    }

    /// Writes a pin. The object may be gone already: only [`PinTable::pin_and_read`] finds out.
    /// `None` when the table is full or the key is none of an object.
    #[inline]
    pub fn pin(&self, key: ObjectKey) -> Option<PinIndex> {
        let word = word(key)?;
        let index = self.take()?;
        // Release, as in `unpin`: the agent that finds this pin knows that the reader before it in the same place is done.
        self.pins.get(index as usize)?.store(word, Ordering::Release);
        Some(PinIndex(index))
    }

    fn take(&self) -> Option<u32> {
        for (group, bits) in self.taken.iter().enumerate() {
            let mut known = bits.load(Ordering::Relaxed);
            while known != u64::MAX {
                let bit = known.trailing_ones();
                let index = group * 64 + bit as usize;
                if index >= self.pins.len() {
                    break;
                }
                known = bits.fetch_or(1 << bit, Ordering::SeqCst);
                if known & (1 << bit) == 0 {
                    return u32::try_from(index).ok();
                }
            }
        }
        None
    }

    /// Gives a pin back; what it kept must not be read any more.
    #[inline]
    pub fn unpin(&self, pin: PinIndex) {
        let index = pin.0 as usize;
        if let (Some(place), Some(bits)) = (self.pins.get(index), self.taken.get(index / 64)) {
            place.store(0, Ordering::Release);
            failpoint!("mid_unpin");
            bits.fetch_and(!(1 << (index % 64)), Ordering::SeqCst);
        }
    }

    /// Whether a pin is taken at this moment. Sequentially consistent, as taking and giving back are: of one who pins and then looks at a
    /// word of this process, and one who writes that word and then asks here, one sees the other.
    pub fn is_used(&self) -> bool {
        self.taken.iter().any(|bits| bits.load(Ordering::SeqCst) != 0)
    }

    /// Pins an object and says where it is.
    #[inline]
    pub fn pin_and_read(&self, slots: &SlotTable, key: ObjectKey) -> PinOutcome {
        if key.generation == 0 {
            return PinOutcome::NotInMemory(slots.read(key.slot).unwrap_or_default());
        }
        let Some(pin) = self.pin(key) else { return PinOutcome::TableFull };
        failpoint!("mid_pin");
        fence(Ordering::SeqCst);
        match slots.read(key.slot) {
            Some(SlotEntry { generation, state: SlotState::InMemory, offset, length, .. }) if generation == key.generation => {
                PinOutcome::Pinned { pin, offset, length }
            }
            other => {
                self.unpin(pin);
                PinOutcome::NotInMemory(other.unwrap_or_default())
            }
        }
    }
}

/// The agent's look at one client's pin table.
pub struct PinScanner {
    pins: Place<[AtomicU64]>,
}

impl std::fmt::Debug for PinScanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PinScanner").field("pins", &self.pins.len()).finish_non_exhaustive()
    }
}

impl PinScanner {
    pub(crate) fn over(pins: Place<[AtomicU64]>) -> Self {
        Self { pins }
    }

    /// Whether the client pins `key` at this moment.
    pub fn contains(&self, key: ObjectKey) -> bool {
        word(key).is_some_and(|word| self.pins.iter().any(|pin| acquire(pin) == word))
    }

    /// Everything that the client pins at this moment. What a faulty client wrote here are keys of nothing.
    pub fn keys(&self) -> impl Iterator<Item = ObjectKey> {
        self.pins.iter().filter_map(|pin| key(acquire(pin)))
    }

    /// Adds everything that the client pins at this moment.
    pub fn collect_into(&self, keys: &mut HashSet<ObjectKey>) {
        keys.extend(self.keys());
    }
}

/// Agent only: marks one object as evicting. True when no client pins it: then nobody begins to read it before the slot says
/// [`SlotState::InMemory`] again, and its bytes may be moved. False when it is not in memory or somebody pins it: the slot is as before.
///
/// `clients` are all clients; who pins by message is the caller's to know.
pub fn begin_evict<'a>(slots: &SlotTable, key: ObjectKey, clients: impl IntoIterator<Item = &'a PinScanner>) -> bool {
    if !slots.mark_evicting(key) {
        return false;
    }
    fence(Ordering::SeqCst);
    let pinned = clients.into_iter().any(|client| client.contains(key));
    if pinned {
        slots.set_state(key.slot, key.generation, SlotState::InMemory);
    }
    !pinned
}

/// Agent only: [`begin_evict`] for many objects with one look at each pin table. Leaves in `keys` those that may be moved.
pub fn begin_evict_all<'a>(slots: &SlotTable, keys: &mut Vec<ObjectKey>, clients: impl IntoIterator<Item = &'a PinScanner>) {
    keys.retain(|&key| slots.mark_evicting(key));
    if keys.is_empty() {
        return;
    }
    fence(Ordering::SeqCst);
    let mut pinned = HashSet::new();
    for client in clients {
        client.collect_into(&mut pinned);
    }
    keys.retain(|key| {
        let free = !pinned.contains(key);
        if !free {
            slots.set_state(key.slot, key.generation, SlotState::InMemory);
        }
        free
    });
}

/// Agent only: everything that the clients pin, sorted. What this thread published before the call, whoever is not found here sees.
pub fn pinned<'a>(clients: impl IntoIterator<Item = &'a PinScanner>) -> Vec<ObjectKey> {
    fence(Ordering::SeqCst);
    let mut keys: Vec<ObjectKey> = clients.into_iter().flat_map(PinScanner::keys).collect();
    keys.sort_unstable();
    keys
}

/// A key as a pin; 0 is no pin, and no object has generation 0.
fn word(key: ObjectKey) -> Option<u64> {
    (key.generation != 0).then_some(u64::from(key.generation) << 32 | u64::from(key.slot))
}

#[expect(clippy::cast_possible_truncation, reason = "takes the halves apart")]
fn key(word: u64) -> Option<ObjectKey> {
    let key = ObjectKey { slot: word as u32, generation: (word >> 32) as u32 };
    (key.generation != 0).then_some(key)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::segment::Segment;

    fn table(pins: usize) -> (PinTable, PinScanner) {
        let bytes = (pins * 8) as u64;
        let segment = Arc::new(Segment::create("plasmon-test", bytes).unwrap());
        let reader = Arc::new(Segment::open(segment.fd().unwrap().try_clone_to_owned().unwrap(), bytes, false).unwrap());
        (PinTable::over(Place::many(&segment, 0, pins).unwrap()), PinScanner::over(Place::many(&reader, 0, pins).unwrap()))
    }

    const KEY: ObjectKey = ObjectKey { slot: 3, generation: 2 };

    #[test]
    fn a_pinned_object_is_not_evicted() {
        let slots = SlotTable::create(8).unwrap();
        let (pins, scanner) = table(PINS);
        assert_eq!(pins.pin_and_read(&slots, KEY), PinOutcome::NotInMemory(SlotEntry::default()));
        slots.publish(3, 2, SlotState::InMemory, 640, 5);
        let PinOutcome::Pinned { pin, offset: 640, length: 5 } = pins.pin_and_read(&slots, KEY) else { panic!("not pinned") };
        assert!(scanner.contains(KEY));
        assert!(!begin_evict(&slots, KEY, [&scanner]));
        assert_eq!(slots.read(3).unwrap().state, SlotState::InMemory, "a vain attempt left its mark");
        pins.unpin(pin);
        assert!(!scanner.contains(KEY));
        assert!(begin_evict(&slots, KEY, [&scanner]));
        assert!(matches!(pins.pin_and_read(&slots, KEY), PinOutcome::NotInMemory(SlotEntry { state: SlotState::Evicting, .. })));
        assert!(!begin_evict(&slots, KEY, [&scanner]), "evicted twice");
        assert_eq!(scanner.keys().count(), 0, "a vain pin was left");
    }

    #[test]
    fn many_are_evicted_with_one_look() {
        let slots = SlotTable::create(8).unwrap();
        let (pins, scanner) = table(PINS);
        let key = |slot| ObjectKey { slot, generation: 9 };
        for slot in 0..6 {
            slots.publish(slot, 9, SlotState::InMemory, u64::from(slot) * 64, 1);
        }
        slots.set_state(5, 9, SlotState::Failed);
        let _held = [pins.pin(key(1)).unwrap(), pins.pin(key(4)).unwrap()];
        let mut keys = (0..10).map(key).collect();
        begin_evict_all(&slots, &mut keys, [&scanner]);
        assert_eq!(keys, [key(0), key(2), key(3)]);
        let states = (0..6).map(|slot| slots.read(slot).unwrap().state).collect::<Vec<_>>();
        use SlotState::{Evicting, Failed, InMemory};
        assert_eq!(states, [Evicting, InMemory, Evicting, Evicting, InMemory, Failed]);
    }

    #[test]
    fn a_full_table_says_so_and_places_come_back() {
        let slots = SlotTable::create(8).unwrap();
        slots.publish(3, 2, SlotState::InMemory, 0, 1);
        for size in [1, 63, 64, 65, 100] {
            let (pins, scanner) = table(size);
            let mut held = std::iter::from_fn(|| pins.pin(KEY)).collect::<Vec<_>>();
            assert_eq!(held.len(), size);
            assert_eq!(pins.pin_and_read(&slots, KEY), PinOutcome::TableFull);
            let last = held.pop().unwrap();
            pins.unpin(last);
            assert_eq!(pins.is_used(), size > 1);
            held.push(pins.pin(KEY).expect("the place came back"));
            held.into_iter().for_each(|pin| pins.unpin(pin));
            assert!(!scanner.contains(KEY) && !pins.is_used());
        }
    }

    #[test]
    fn threads_never_share_a_pin() {
        let (pins, _scanner) = table(PINS);
        let held = std::thread::scope(|scope| {
            let pin = |_| scope.spawn(|| (0..200).filter_map(|_| pins.pin(KEY)).map(|pin| pin.0).collect::<Vec<_>>());
            (0..4).map(pin).collect::<Vec<_>>().into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(held.len(), 800);
        assert_eq!(held.iter().collect::<HashSet<_>>().len(), 800);
    }
}
