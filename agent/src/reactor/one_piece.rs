//! Room in one piece. What is free may lie in many places, each of them too short, with what is in use between them. Then whatever nobody
//! reads leaves a stretch: what external storage has too is dropped, the rest moves elsewhere in the pool. And since what is being read
//! cannot move, the arguments of a task that is about to read them are brought together first, where they would lie all over the pool.

use std::ops::Range;

use plasmon_protocol::id::{ObjectKey, TaskKey};
use plasmon_protocol::local::PAGE;
use plasmon_protocol::record::ObjectState;

use super::{Core, Outbox};
use crate::store::layout::{End, Stretch, TRIES, longest_run, lowest_window, windows};
use crate::store::lease::Lease;
use crate::store::object::{Object, Residency};
use crate::store::{Piece, gathered_bytes};

/// Bytes that are moved at once: the agent does nothing else meanwhile. A larger object stays.
const STEP: u64 = 16 << 20;
/// How soon the next ones are moved, and how soon it is tried again after it was in vain, milliseconds.
pub(super) const STEP_MS: u64 = 5;
/// Objects that are looked at, those first that are closest to the end where room is wanted: what lies behind stays.
const LOOKS: u32 = 1 << 14;
/// Arguments that together take less than this part of the store are not worth it, and room is long that is this other part of it.
const LITTLE: u64 = 256;
const LONG: u64 = 8;
/// To move an object is as bad as to drop a copy of so many times its size, to drop one that came lately as so many, and to move what is
/// kept for a task as so many.
const MOVED: u64 = 2;
const LATE: u64 = 4;
const KEPT: u64 = 4;

/// What came of making room in one piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// There is room, or will be when idle leases have come back.
    Open,
    /// Some of it was cleared; the rest follows.
    Begun,
    /// There is nothing to be had this way.
    None,
}

impl Core {
    /// Clears a stretch of `bytes`, where that takes no writing. Idle leases are room unless they are late.
    pub(super) fn make_way(&mut self, bytes: u64, idle_is_late: bool, out: &mut impl Outbox) -> Way {
        if self.way_ms > self.now_ms {
            return Way::None;
        }
        let wanted = bytes.max(1).next_multiple_of(PAGE);
        let near = self.store.end_for(bytes);
        if !self.spill.config.is_on() {
            let idle = if idle_is_late { 0 } else { self.store.slack() };
            if self.store.free_bytes() + idle < wanted {
                return Way::None;
            }
            // Else they were looked at by whoever asks.
            self.see_views(out);
        }
        let late = self.store.middle_age();
        let stretches = self.stretches(near, idle_is_late, |_, object, lease| {
            let times = match (is_spare(object), object.kept > 0) {
                (true, _) if lease.since < late => 1,
                (true, _) => LATE,
                (false, false) => MOVED,
                (false, true) => KEPT,
            };
            Some(object.length.max(1) * times)
        });
        let way = match self.choose(&stretches, wanted, near) {
            Some(range) => self.clear(&range, &stretches, out),
            None => Way::None,
        };
        self.way_ms = self.now_ms + if way == Way::None { STEP_MS } else { 1 };
        way
    }

    /// The pool, with what it costs to clear each stretch, where every object in it may leave and `cost` knows what that is worth.
    fn stretches(&self, near: End, idle_stays: bool, cost: impl Fn(ObjectKey, &Object, &Lease) -> Option<u64>) -> Vec<Stretch> {
        let mut stretches = self.store.stretches();
        let mut looks = LOOKS;
        let mut look = |stretch: &mut Stretch| {
            let Some((index, lease)) = stretch.lease.and_then(|index| Some((index, self.store.lease(index)?))) else { return };
            stretch.cost = None;
            if lease.is_idle() {
                stretch.cost = (!idle_stays).then_some(0);
                return;
            }
            if lease.creating || lease.live > looks {
                return;
            }
            looks -= lease.live;
            let (mut costs, mut live) = (0, 0);
            for (key, _, length) in self.objects_in(index) {
                let Some(object) = self.objects.get(key) else { return };
                let leaves = can_move(object) && (length <= STEP || is_spare(object));
                let Some(cost) = cost(key, object, lease).filter(|_| leaves) else { return };
                costs += cost;
                live += 1;
            }
            // What was freed and may still be read stands in no slot.
            stretch.cost = (live == lease.live).then_some(costs);
        };
        match near {
            End::Low => stretches.iter_mut().for_each(&mut look),
            End::High => stretches.iter_mut().rev().for_each(&mut look),
        }
        stretches
    }

    /// The first of the best stretches for which what is to be moved finds room elsewhere.
    fn choose(&self, stretches: &[Stretch], wanted: u64, near: End) -> Option<Range<u64>> {
        windows(stretches, wanted, near).into_iter().take(TRIES).find(|range| self.can_clear(range, stretches))
    }

    /// Whether what is to be moved out of a range finds room elsewhere.
    fn can_clear(&self, range: &Range<u64>, stretches: &[Stretch]) -> bool {
        let inside = stretches.iter().filter(|stretch| range.contains(&stretch.offset)).filter_map(|stretch| stretch.lease);
        let objects = inside.flat_map(|lease| self.objects_in(lease)).filter_map(|(key, ..)| self.objects.get(key));
        let moved = objects.filter(|object| !is_spare(object)).map(|object| object.length.max(1)).collect();
        self.store.has_room_outside(range, moved)
    }

    /// Has what is in a range leave it, as far as one step goes.
    fn clear(&mut self, range: &Range<u64>, stretches: &[Stretch], out: &mut impl Outbox) -> Way {
        let inside = stretches.iter().filter(|stretch| range.contains(&stretch.offset)).filter_map(|stretch| stretch.lease);
        let mut keys: Vec<ObjectKey> = Vec::new();
        let (mut bytes, mut all) = (0, true);
        for (key, _, length) in inside.flat_map(|lease| self.objects_in(lease)) {
            // To drop a copy takes no time.
            bytes += if self.objects.get(key).is_some_and(is_spare) { 0 } else { length };
            all = bytes <= STEP;
            if !all {
                break;
            }
            keys.push(key);
        }
        let wanted = keys.len();
        out.evict(&mut keys);
        let aside = self.store.set_aside(range);
        let mut gone = 0;
        for key in keys {
            let dropped = self.objects.get(key).is_some_and(is_spare);
            gone += usize::from(if dropped { self.drop_copy(key, out) > 0 } else { self.relocate(key, out) });
        }
        self.store.put_back(aside);
        match gone {
            0 => Way::None,
            _ if all && gone == wanted => Way::Open,
            _ => Way::Begun,
        }
    }

    /// Brings together what a task that is about to begin will read, arguments and what is inside them, where it is all over the pool and
    /// would leave no room of some length there: from then on it cannot move.
    pub(super) fn gather_arguments(&mut self, key: TaskKey, out: &mut impl Outbox) {
        if self.spill.away.0 == 0 || self.way_ms > self.now_ms {
            return;
        }
        let Some(task) = self.tasks.get(&key).filter(|task| task.holds.len() > 1) else { return };
        let mut all = 0;
        let mut lies = (u64::MAX, 0);
        let mut here: Vec<(ObjectKey, u64)> = Vec::new();
        for key in task.holds.iter().copied() {
            let Some(object) = self.objects.get(key).filter(|object| object.state == Some(ObjectState::InMemory)) else { continue };
            all += object.length;
            if let Some(place) = object.place.filter(|_| can_move(object)) {
                here.push((key, object.length));
                lies = (lies.0.min(place.offset), lies.1.max(place.offset + object.length));
            }
        }
        let wanted = gathered_bytes(here.iter().map(|(_, length)| *length));
        let capacity = self.store.capacity();
        if here.len() < 2 || wanted < capacity / LITTLE || wanted > STEP || lies.1 - lies.0 <= wanted + wanted / LONG {
            return;
        }
        let mut keys: Vec<ObjectKey> = here.into_iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        let is_own = |key| keys.binary_search(&key).is_ok();
        let in_use = self.stretches(End::Low, false, |key, object, _| (object.may_leave() && !is_own(key)).then_some(0));
        // What it makes may be as large as what it reads, and it is not the only one.
        if longest_run(&in_use) >= (2 * all).max(capacity / LONG).min(capacity / 2) {
            return;
        }
        // What a process leases comes back only when it has heard of that, and nothing moves twice.
        let stretches = self.stretches(End::Low, true, |key, object, lease| {
            let times = if object.kept > 0 { KEPT } else { 1 };
            (lease.returns_itself() && !is_own(key)).then(|| object.length.max(1) * times)
        });
        let Some(range) = lowest_window(&stretches, wanted, |range| self.can_clear(range, &stretches)) else { return };
        self.way_ms = self.now_ms + 1;
        self.clear(&range, &stretches, out);
        self.bring_together(range.start, keys, out);
    }

    /// Moves objects side by side to a place that is free.
    fn bring_together(&mut self, offset: u64, mut keys: Vec<ObjectKey>, out: &mut impl Outbox) {
        keys.retain(|key| self.objects.get(*key).is_some_and(|object| object.place.is_some() && can_move(object)));
        out.evict(&mut keys);
        let piece = |key: &ObjectKey| {
            let object = self.objects.get(*key)?;
            Some(Piece { slot: key.slot, length: object.length, class: object.class() })
        };
        let pieces: Vec<Piece> = keys.iter().filter_map(piece).collect();
        let places = if pieces.len() == keys.len() { self.store.gather(offset, &pieces) } else { None };
        match places {
            Some(places) => keys.into_iter().zip(places).for_each(|(key, place)| self.move_to(key, place, out)),
            None => keys.into_iter().for_each(|key| self.stay(key, out)),
        }
    }

    /// An object that was about to leave its place stays there.
    pub(super) fn stay(&self, key: ObjectKey, out: &mut impl Outbox) {
        if let Some((place, length)) = self.objects.get(key).and_then(|object| Some((object.place?, object.length))) {
            out.publish(key, Some(ObjectState::InMemory), place.offset, length);
        }
    }
}

/// Whether its bytes may be at another place, as far as is known here.
fn can_move(object: &Object) -> bool {
    matches!(object.residency, Residency::Primary | Residency::Secondary) && object.counts.pinned == 0
}

/// Whether external storage has it too, and no task needs it here.
fn is_spare(object: &Object) -> bool {
    object.residency == Residency::Secondary && object.may_leave()
}
