//! The objects, dense by slot: no hashing on the way from a key to its object.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use plasmon_memory::pages::reserve;
use plasmon_protocol::id::{ObjectKey, ProcessId, SiteId, TaskKey};
use plasmon_protocol::record::ObjectState;

use super::encoded::Encoded;
use super::few::Few;
use super::lease::LeaseIndex;
use super::ledger::Class;
use crate::changes::Changes;

/// How often an object is held, over all processes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Handles.
    pub local: u32,
    /// Views.
    pub pinned: u32,
    /// Pending tasks that need it.
    pub submitted: u32,
    /// Objects that contain it.
    pub captured: u32,
}

impl Counts {
    /// Whether nobody holds it.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// The ledger line of such an object.
    #[must_use]
    pub fn class(&self) -> Class {
        if self.pinned > 0 {
            Class::Pinned
        } else if self.submitted > 0 {
            Class::Argument
        } else if self.local > 0 {
            Class::Referenced
        } else {
            Class::Captured
        }
    }
}

/// Someone who asked for a value that is not there yet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Waiter {
    /// The asker.
    pub process: ProcessId,
    /// Its number for the request.
    pub request: u32,
    /// Where it wants the value; `None` when it wants only the news.
    pub wants: Option<SiteId>,
}

/// Where each wants the value who waits for it, by process and request.
type Waiters = BTreeMap<(ProcessId, u32), Option<SiteId>>;

/// What few objects have; absent for most.
#[derive(Clone, Debug, Default)]
pub struct Cold {
    /// The encoded value of an inlined object, or the encoded error of a failed one, which many may share.
    pub value: Encoded,
    /// References inside it.
    pub contains: Box<[ObjectKey]>,
    /// Who holds the captured references in its name.
    pub captor: ProcessId,
    /// Who waits for its value.
    waiters: Option<Box<Waiters>>,
    /// Tasks that wait for its value.
    pub dependents: Few<TaskKey>,
    /// The task that makes it.
    pub task: Option<TaskKey>,
    /// That task's attempt, from 1, once it ended.
    pub attempt: u32,
}

impl Cold {
    /// One more waits for its value.
    pub fn await_value(&mut self, waiter: Waiter) {
        self.waiters.get_or_insert_default().insert((waiter.process, waiter.request), waiter.wants);
    }

    /// Whether somebody waits for its value.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.has_waiters() || !self.dependents.is_empty()
    }

    /// Whether a process waits for its value.
    #[must_use]
    pub fn has_waiters(&self) -> bool {
        self.waiters.is_some()
    }

    /// All who wait; nobody does from here on.
    pub fn take_waiters(&mut self) -> Vec<Waiter> {
        let waiters = self.waiters.take();
        waiters.into_iter().flat_map(|waiters| *waiters).map(|((process, request), wants)| Waiter { process, request, wants }).collect()
    }

    /// How a process waits with that request, if it does: where it wants the value, or `None` when it wants only the news.
    #[must_use]
    pub fn awaited_by(&self, process: ProcessId, request: u32) -> Option<Option<SiteId>> {
        self.waiters.as_ref()?.get(&(process, request)).copied()
    }

    /// The answer to that request is no longer wanted.
    pub fn forget(&mut self, process: ProcessId, request: u32) {
        self.waiters.take_if(|waiters| {
            waiters.remove(&(process, request));
            waiters.is_empty()
        });
    }
}

/// Where an object in the pool is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Its lease.
    pub lease: LeaseIndex,
    /// Bytes from the pool's begin.
    pub offset: u64,
}

/// Where a value that was put into the pool is at this moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Residency {
    /// In the pool, and nowhere else.
    #[default]
    Primary,
    /// In the pool, where it must stay: it is being written to external storage.
    Spilling,
    /// In the pool and in external storage.
    Secondary,
    /// In external storage only.
    Spilled,
    /// In external storage, and being read back to its new place in the pool.
    Restoring,
}

/// One slot. Free while `state` is `None`; the generation outlives its objects.
#[derive(Clone, Debug, Default)]
pub struct Object {
    /// Raised with each new object in this slot.
    pub generation: u32,
    /// Where the value is; `None` when there is no object.
    pub state: Option<ObjectState>,
    /// Not for people's eyes: an argument block.
    pub hidden: bool,
    /// What an actor's handles refer to.
    pub actor: bool,
    /// Size in bytes; 0 while pending.
    pub length: u64,
    /// Set while the value is in the pool, or on its way there.
    pub place: Option<Place>,
    /// Meaningful while the state is [`ObjectState::InMemory`], which stands for all values that were put into the pool.
    pub residency: Residency,
    /// The number of its record in external storage, if it has one.
    pub record: Option<NonZeroU32>,
    /// Who created it, under which site, and when (milliseconds since the Unix epoch).
    pub creator: ProcessId,
    /// The creation site.
    pub site: SiteId,
    /// Milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// Sums over its rows.
    pub counts: Counts,
    /// Attempts of tasks that it is kept in the store for.
    pub kept: u32,
    /// Rows that hold it.
    pub rows: u32,
    /// The first of them in the reference table; meaningful while `rows > 0`.
    pub first_row: u32,
    /// What few objects have.
    pub cold: Option<Box<Cold>>,
}

impl Object {
    /// The rare part, made when it is missing.
    pub fn cold_mut(&mut self) -> &mut Cold {
        self.cold.get_or_insert_default()
    }

    /// References inside it.
    #[must_use]
    pub fn contains(&self) -> &[ObjectKey] {
        self.cold.as_ref().map_or(&[], |cold| &cold.contains)
    }

    /// The task that makes or made it.
    #[must_use]
    pub fn task(&self) -> Option<TaskKey> {
        self.cold.as_ref().and_then(|cold| cold.task)
    }

    /// Whether its bytes may leave the store, as far as is known here: who reads them without a word is seen in the pin tables.
    #[must_use]
    pub fn may_leave(&self) -> bool {
        self.counts.pinned == 0 && self.kept == 0
    }

    /// The ledger line that its bytes in the pool stand in.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class_as(self.residency)
    }

    /// The same, were its copy of that kind.
    #[must_use]
    pub fn class_as(&self, residency: Residency) -> Class {
        match (self.counts.class(), residency) {
            (Class::Pinned, _) => Class::Pinned,
            (_, Residency::Spilling) => Class::Spilling,
            (_, Residency::Restoring) => Class::Restoring,
            (_, Residency::Secondary) => Class::Secondary,
            (by_holders, Residency::Primary | Residency::Spilled) => by_holders,
        }
    }

    /// Where its value is, as people see it.
    #[must_use]
    pub fn shown_state(&self) -> ObjectState {
        match (self.state, self.residency) {
            (Some(ObjectState::InMemory), Residency::Spilling) => ObjectState::Spilling,
            (Some(ObjectState::InMemory), Residency::Secondary) => ObjectState::InMemoryCopy,
            (Some(ObjectState::InMemory), Residency::Spilled) => ObjectState::Spilled,
            (Some(ObjectState::InMemory), Residency::Restoring) => ObjectState::Restoring,
            (state, _) => state.unwrap_or_default(),
        }
    }

    /// Whether its bytes are in the pool, whole.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.place.is_some() && self.residency != Residency::Restoring
    }

    /// Whether its value is in external storage only, or on its way back.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.state == Some(ObjectState::InMemory) && !self.is_readable()
    }

    /// The size as people see it.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        matches!(self.state, Some(ObjectState::InMemory | ObjectState::Inlined)).then_some(self.length)
    }
}

/// All slots that were ever leased.
#[derive(Debug)]
pub struct Objects {
    slots: Vec<Object>,
    /// Slots that there can be.
    limit: u32,
    /// Slots that changed, for whoever follows the objects, and for whoever follows what is said of them in rows of references.
    pub changes: Changes,
    /// See `changes`.
    pub changes_in_rows: Changes,
}

impl Objects {
    /// None yet, of at most `limit`.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self { slots: Vec::new(), limit, changes: Changes::default(), changes_in_rows: Changes::default() }
    }

    /// What people see of the object in this slot changes, here or elsewhere.
    #[inline]
    pub fn touch(&mut self, slot: u32) {
        self.changes.mark(slot);
        self.changes_in_rows.mark(slot);
    }

    /// Slots that there ever was room for lie below this.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.slots.len() as u32
    }

    /// Makes room for slots below `end`.
    pub fn grow(&mut self, end: u32) {
        if self.slots.capacity() == 0 {
            reserve(&mut self.slots, self.limit as usize);
        }
        if self.slots.len() < end as usize {
            self.slots.resize_with(end as usize, Object::default);
        }
    }

    /// The live object with that key.
    #[must_use]
    pub fn get(&self, key: ObjectKey) -> Option<&Object> {
        self.slots.get(key.slot as usize).filter(|object| object.generation == key.generation && object.state.is_some())
    }

    /// The live object with that key.
    pub fn get_mut(&mut self, key: ObjectKey) -> Option<&mut Object> {
        self.touch(key.slot);
        self.slots.get_mut(key.slot as usize).filter(|object| object.generation == key.generation && object.state.is_some())
    }

    /// The free slot that `key` names for its next object.
    pub fn vacant(&mut self, key: ObjectKey) -> Option<&mut Object> {
        self.touch(key.slot);
        self.slots
            .get_mut(key.slot as usize)
            .filter(|object| object.state.is_none() && next_generation(object.generation) == key.generation)
    }

    /// The object in a slot, whatever its generation.
    #[must_use]
    pub fn in_slot(&self, slot: u32) -> Option<(ObjectKey, &Object)> {
        let object = self.slots.get(slot as usize)?;
        object.state?;
        Some((ObjectKey { slot, generation: object.generation }, object))
    }

    /// All live objects.
    pub fn iter(&self) -> impl Iterator<Item = (ObjectKey, &Object)> {
        self.slots.iter().enumerate().filter(|(_, object)| object.state.is_some()).map(|(slot, object)| {
            let key = ObjectKey { slot: slot as u32, generation: object.generation };
            (key, object)
        })
    }
}

/// The generation after `generation`; 0 is never an object's.
#[must_use]
pub fn next_generation(generation: u32) -> u32 {
    generation.wrapping_add(1).max(1)
}
