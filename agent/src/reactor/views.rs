//! Views that no message tells of. A get of what is in memory costs no message: the view keeps the handle that it was got by, and its entry
//! in the process's pin table keeps the object in its place. Whoever is about to show or to plan something has those tables looked at first;
//! while somebody waits for room they are looked at every few milliseconds, for nothing else tells that a view is gone.

use plasmon_protocol::id::{ObjectKey, ProcessId};

use super::{Core, Outbox, Violation};
use crate::references::table::Count;
use crate::store::ledger::Class;

/// How soon it is looked again whether views are gone, while somebody waits for room, milliseconds.
const LOOK_MS: u64 = 5;
/// Pins of one object that are left for views: more than all pin tables have.
const RESERVE: u32 = 1 << 30;

/// What was seen in the pin tables.
#[derive(Debug, Default)]
pub(super) struct Views {
    /// Whose views of what, and how many, when it was last looked; sorted.
    seen: Vec<(ProcessId, ObjectKey, u32)>,
    looked_ms: u64,
}

impl Core {
    /// Looks into the pin tables: what is shown from here on is true of this instant.
    pub fn look(&mut self, out: &mut impl Outbox) {
        if self.see_views(out) {
            self.settle(out);
        }
    }

    /// The same within a change: whether objects may leave their places that could not before.
    pub(super) fn see_views(&mut self, out: &mut impl Outbox) -> bool {
        let mut views: Vec<(ProcessId, ObjectKey)> = Vec::new();
        out.views(&mut views);
        self.views.looked_ms = self.now_ms;
        if views.is_empty() && self.views.seen.is_empty() {
            return false;
        }
        views.sort_unstable();
        let mut seen: Vec<(ProcessId, ObjectKey, u32)> =
            views.chunk_by(|one, other| one == other).map(|same| (same[0].0, same[0].1, same.len() as u32)).collect();
        let mut released = false;
        for (process, key, _) in std::mem::take(&mut self.views.seen) {
            if seen.binary_search_by_key(&(process, key), |(process, key, _)| (*process, *key)).is_err() {
                released |= self.set_views(process, key, 0).unwrap_or(false);
            }
        }
        seen.retain(|(process, key, count)| match self.set_views(*process, *key, *count) {
            Some(now_free) => {
                released |= now_free;
                true
            }
            // Of no such handle as is known by now: the next look may know it.
            None => false,
        });
        self.views.seen = seen;
        released
    }

    /// Whether anybody can have views: only of what somebody refers to.
    #[must_use]
    pub fn may_have_views(&self) -> bool {
        self.counters.rows > 0
    }

    /// Whether the tables were looked at in this very millisecond.
    pub(super) fn have_seen_views(&self) -> bool {
        self.views.looked_ms == self.now_ms
    }

    /// When it is to be looked again though nobody asks: somebody waits for room that views may give free.
    pub(super) fn next_look_ms(&self) -> Option<u64> {
        let waits = self.spill.config.is_on() && !self.creates.is_empty();
        (waits && !self.views.seen.is_empty()).then_some(self.views.looked_ms + LOOK_MS)
    }

    /// Enters how many views a process has; whether nobody pins the object any more. `None` when the process can have none.
    fn set_views(&mut self, process: ProcessId, key: ObjectKey, views: u32) -> Option<bool> {
        let object = self.objects.get(key).filter(|object| object.rows > 0 && object.counts.pinned < RESERVE)?;
        let (before, after) = self.references.see_views(object.first_row, key, process, views)?;
        Some(before != after && self.repin(key, before, after))
    }

    pub(super) fn on_keep_views(&mut self, from: ProcessId, key: ObjectKey) -> Result<(), Violation> {
        let object = self.objects.get(key).filter(|object| object.rows > 0 && object.counts.pinned < RESERVE);
        let Some((before, after)) = object.and_then(|object| self.references.keep_views(object.first_row, key, from)) else {
            return Err(Violation(format!("views of object {} kept that it has no handle to", key.on(self.config.node))));
        };
        // Pinned or not, it is no handle any more.
        let class = self.objects.get(key).map(|object| object.class());
        if let Some(object) = self.objects.get_mut(key) {
            object.counts.local -= 1;
            object.counts.pinned = object.counts.pinned - before + after;
        }
        self.reclassify(key, class);
        Ok(())
    }

    pub(super) fn on_drop_views(&mut self, from: ProcessId, key: ObjectKey) -> Result<(), Violation> {
        let object = self.objects.get(key).filter(|object| object.rows > 0);
        let Some((before, after)) = object.and_then(|object| self.references.end_views(object.first_row, key, from)) else {
            return Err(Violation(format!("views of object {} dropped that it has not kept", key.on(self.config.node))));
        };
        self.repin(key, before, after);
        self.on_drop(from, key, Count::Pinned)
    }

    /// The pins of one row changed; whether nobody pins the object any more.
    fn repin(&mut self, key: ObjectKey, before: u32, after: u32) -> bool {
        let class = self.objects.get(key).map(|object| object.class());
        if let Some(object) = self.objects.get_mut(key) {
            object.counts.pinned = object.counts.pinned - before + after;
        }
        self.reclassify(key, class);
        let released = class == Some(Class::Pinned) && self.objects.get(key).is_some_and(|object| object.counts.pinned == 0);
        if released {
            self.unpinned();
        }
        self.changes += 1;
        released
    }

    /// An object's counts changed: its bytes stand in the line that they say.
    fn reclassify(&mut self, key: ObjectKey, before: Option<Class>) {
        let Some((object, before)) = self.objects.get(key).zip(before) else { return };
        if object.class() != before && object.place.is_some() {
            self.store.reclassify(object.length, before, object.class());
        }
    }

    /// Something that was pinned is not any more: it may be what somebody's room waits for.
    pub(super) fn unpinned(&mut self) {
        self.spill.exhausted = false;
        self.spill.look |= !self.creates.is_empty();
    }
}
