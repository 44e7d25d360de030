//! What a client reads at this moment, and how the agent moves objects without taking memory from under a reader.
//!
//! A reader writes the object's key into its own pin table, fences, and then reads the slot. The agent marks the slot as evicting,
//! fences, and then reads all pin tables. Of the two fences one is first, so either the reader sees the mark, or the agent the pin.

use std::collections::HashSet;

use plasmon_protocol::id::ObjectKey;

use crate::place::Place;
use crate::slot::{SlotEntry, SlotState, SlotTable};
use crate::sync::{AtomicU32, AtomicU64, Ordering, acquire, fence, fence_after_exchange};

/// Pins that one client can hold; more go by message.
pub const PINS: usize = 1024;

/// In a pin's word: a view that lives on, and of which no message tells.
const VIEW: u64 = 1 << 31;

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
    /// How many share a pin beside the first, in this process's own memory.
    sharers: Box<[AtomicU32]>,
}

impl std::fmt::Debug for PinTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PinTable").field("pins", &self.pins.len()).finish_non_exhaustive()
    }
}

impl PinTable {
    /// Over `pins`, which nobody else writes and which are all zero.
    pub(crate) fn over(pins: Place<[AtomicU64]>) -> Self {
        let sharers = (0..pins.len()).map(|_| AtomicU32::new(0)).collect();
        Self { pins, sharers }
    }

    /// Writes a pin. The object may be gone already: only [`PinTable::pin_and_read`] finds out.
    /// `None` when the table is full or the key is none that can be pinned here.
    #[inline]
    pub fn pin(&self, key: ObjectKey) -> Option<PinIndex> {
        let word = word(key)?;
        let first = hint::first(self.pins.len());
        if let Some(index) = self.try_take(first, word) {
            return Some(index);
        }
        (first + 1..self.pins.len()).chain(0..first).find_map(|index| self.try_take(index, word))
    }

    /// Takes one place, if it is free.
    #[inline]
    fn try_take(&self, index: usize, word: u64) -> Option<PinIndex> {
        let place = self.pins.get(index)?;
        // Release, as in `unpin`: the agent that finds this pin knows that the reader before it in the same place is done.
        if place.load(Ordering::Relaxed) != 0 || place.compare_exchange(0, word, Ordering::SeqCst, Ordering::Relaxed).is_err() {
            return None;
        }
        hint::set(index);
        Some(PinIndex(index as u32))
    }

    /// What is pinned is a view from here on, which the agent finds here when it looks who has any.
    #[inline]
    pub fn view(&self, pin: &PinIndex) {
        if let Some(place) = self.pins.get(pin.0 as usize) {
            // Nobody else writes a place that is taken.
            place.store(place.load(Ordering::Relaxed) | VIEW, Ordering::Release);
        }
    }

    /// Whether there is a view of this object, among those that [`PinTable::view`] was told of.
    #[must_use]
    pub fn is_viewed(&self, key: ObjectKey) -> bool {
        word(key).is_some_and(|word| self.pins.iter().any(|place| place.load(Ordering::Acquire) == word | VIEW))
    }

    /// The same pin once more: it is given back with the last of them.
    pub fn share(&self, pin: &PinIndex) -> PinIndex {
        if let Some(sharers) = self.sharers.get(pin.0 as usize) {
            sharers.fetch_add(1, Ordering::Relaxed);
        }
        PinIndex(pin.0)
    }

    /// Gives a pin back; what it kept must not be read any more. Sequentially consistent, as taking is: of one who pins or gives back, and
    /// then looks at a word of this process, and one who writes that word and then asks [`PinTable::is_used`], one sees the other.
    #[inline]
    pub fn unpin(&self, pin: PinIndex) {
        let index = pin.0 as usize;
        let (Some(place), Some(sharers)) = (self.pins.get(index), self.sharers.get(index)) else { return };
        // Who is alone stays alone: there is nobody to share it. Else the last of those that go at once finds nobody left.
        if sharers.load(Ordering::Acquire) > 0 {
            if sharers.fetch_sub(1, Ordering::AcqRel) > 0 {
                return;
            }
            sharers.store(0, Ordering::Relaxed);
        }
        place.swap(0, Ordering::SeqCst);
        hint::set(index);
        failpoint!("mid_unpin");
        fence_after_exchange();
    }

    /// Whether a pin is taken at this moment.
    pub fn is_used(&self) -> bool {
        fence(Ordering::SeqCst);
        self.pins.iter().any(|pin| pin.load(Ordering::SeqCst) != 0)
    }

    /// Pins an object and says where it is.
    #[inline]
    pub fn pin_and_read(&self, slots: &SlotTable, key: ObjectKey) -> PinOutcome {
        if key.generation == 0 {
            return PinOutcome::NotInMemory(slots.read(key.slot).unwrap_or_default());
        }
        let Some(pin) = self.pin(key) else { return PinOutcome::TableFull };
        failpoint!("mid_pin");
        fence_after_exchange();
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

/// Where a thread begins to look for a free place: where it found one last, or gave one back.
#[cfg(not(loom))]
mod hint {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Words in a cache line: threads begin in different ones.
    const LINE: usize = 8;
    const UNKNOWN: usize = usize::MAX;

    static THREADS: AtomicUsize = AtomicUsize::new(0);

    thread_local! {
        static FIRST: Cell<usize> = const { Cell::new(UNKNOWN) };
    }

    #[inline]
    pub(super) fn first(places: usize) -> usize {
        let first = FIRST.get();
        if first < places { first } else { begin(places) }
    }

    #[cold]
    fn begin(places: usize) -> usize {
        (THREADS.fetch_add(1, Ordering::Relaxed) * LINE).checked_rem(places).unwrap_or(0)
    }

    #[inline]
    pub(super) fn set(first: usize) {
        FIRST.set(first);
    }
}

#[cfg(loom)]
mod hint {
    pub(super) fn first(_places: usize) -> usize {
        0
    }

    pub(super) fn set(_first: usize) {}
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
        word(key).is_some_and(|word| self.pins.iter().any(|pin| acquire(pin) & !VIEW == word))
    }

    /// Everything that the client pins at this moment. What a faulty client wrote here are keys of nothing.
    pub fn keys(&self) -> impl Iterator<Item = ObjectKey> {
        self.pins.iter().filter_map(|pin| key(acquire(pin)))
    }

    /// Everything that the client has a view of at this moment, as often as it has one, and that no message tells of.
    pub fn views(&self) -> impl Iterator<Item = ObjectKey> {
        self.pins.iter().map(acquire).filter(|pin| pin & VIEW != 0).filter_map(key)
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

/// A key as a pin; 0 is no pin, and no object has generation 0. There are no slots whose number would say [`VIEW`]: they are larger together
/// than the memory of any machine.
#[inline]
fn word(key: ObjectKey) -> Option<u64> {
    let word = u64::from(key.generation) << 32 | u64::from(key.slot);
    (key.generation != 0 && word & VIEW == 0).then_some(word)
}

#[expect(clippy::cast_possible_truncation, reason = "takes the halves apart")]
fn key(word: u64) -> Option<ObjectKey> {
    let key = ObjectKey { slot: (word & !VIEW) as u32, generation: (word >> 32) as u32 };
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
    fn views_are_told_from_what_is_read_for_a_moment() {
        let (pins, scanner) = table(PINS);
        let (other, read) = (ObjectKey { slot: 9, generation: 1 }, pins.pin(KEY).unwrap());
        let views = [pins.pin(KEY).unwrap(), pins.pin(KEY).unwrap(), pins.pin(other).unwrap()];
        assert!(!pins.is_viewed(KEY), "it is only read");
        views.iter().for_each(|view| pins.view(view));
        assert!(pins.is_viewed(KEY) && pins.is_viewed(other));
        let seen = || {
            let mut seen: Vec<ObjectKey> = scanner.views().collect();
            seen.sort_unstable();
            seen
        };
        assert_eq!(seen(), [KEY, KEY, other]);
        assert!(scanner.contains(other) && scanner.keys().filter(|key| *key == KEY).count() == 3);
        let [first, second, third] = views;
        let shared = [pins.share(&first), pins.share(&first)];
        pins.unpin(first);
        pins.unpin(third);
        assert_eq!(seen(), [KEY, KEY], "a view went before all that share it");
        shared.into_iter().for_each(|pin| pins.unpin(pin));
        pins.unpin(second);
        assert_eq!(seen(), []);
        assert!(scanner.contains(KEY) && !pins.is_viewed(KEY));
        pins.unpin(read);
        assert!(!pins.is_used());
        assert_eq!(pins.pin(ObjectKey { slot: 1 << 31, generation: 1 }), None);
    }

    #[test]
    fn threads_that_share_a_pin_give_it_back_once() {
        let (pins, scanner) = table(PINS);
        for _ in 0..200 {
            let pin = pins.pin(KEY).unwrap();
            let shared = [pins.share(&pin), pins.share(&pin)];
            std::thread::scope(|scope| [pin].into_iter().chain(shared).for_each(|pin| drop(scope.spawn(|| pins.unpin(pin)))));
            assert!(!pins.is_used() && !scanner.contains(KEY));
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
