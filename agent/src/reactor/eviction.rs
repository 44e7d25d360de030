//! Copies leave memory: those that external storage has too, oldest first, and never one that somebody reads.

use plasmon_protocol::id::ObjectKey;
use plasmon_protocol::record::ObjectState;

use super::storage::Held;
use super::{Core, Outbox};
use crate::store::ledger::Class;
use crate::store::object::{Object, Place, Residency};

/// How soon it is looked again who still reads what was freed, milliseconds.
const LINGER_MS: u64 = 5;

impl Core {
    /// Keeps some room free, so that most creates need not wait for an eviction.
    pub(super) fn evict_ahead(&mut self, out: &mut impl Outbox) {
        let reserve = self.store.slack_limit();
        let free = self.store.free_bytes() + self.store.slack();
        if self.spill.secondary.0 > 0 && free < reserve && self.spill.evictable_ms <= self.now_ms {
            let evicted = self.evict(reserve - free, out);
            if evicted == 0 {
                // Everything is pinned: not with every message again.
                self.spill.evictable_ms = self.now_ms + 1;
            }
        }
    }

    /// Drops secondary copies of at least `wanted` bytes in all, as far as there are such: how many bytes. An empty one counts for one.
    pub(super) fn evict(&mut self, wanted: u64, out: &mut impl Outbox) -> u64 {
        if self.spill.secondary.0 == 0 {
            return 0;
        }
        let droppable = |object: &Object| object.residency == Residency::Secondary && object.may_leave();
        let mut leases = self.store.oldest_first(|lease| lease.secondary > 0).into_iter();
        let mut evicted = 0;
        while evicted < wanted {
            let mut keys: Vec<ObjectKey> = Vec::new();
            let mut bytes = 0;
            for lease in leases.by_ref() {
                for (key, _, length) in self.objects_in(lease) {
                    if self.objects.get(key).is_some_and(droppable) {
                        keys.push(key);
                        bytes += length.max(1);
                    }
                }
                if evicted + bytes >= wanted {
                    break;
                }
            }
            if keys.is_empty() {
                break;
            }
            out.evict(&mut keys);
            for key in keys {
                evicted += self.drop_copy(key, out);
            }
        }
        evicted
    }

    /// Drops one copy that nobody reads, and that nobody begins to read: its bytes, at least one.
    fn drop_copy(&mut self, key: ObjectKey, out: &mut impl Outbox) -> u64 {
        let Some(object) = self.objects.get(key) else { return 0 };
        let (Some(place), length, class) = (object.place, object.length, object.class()) else { return 0 };
        let record = object.record;
        self.set_residency_away(key);
        out.publish(key, Some(ObjectState::Spilled), 0, length);
        // Nobody reads there, whatever is pinned at another place from now on.
        self.vacate(ObjectKey::default(), place, length, class, out);
        if let Some(record) = record.and_then(|record| self.spill.files.record_mut(record)) {
            record.evicted_ms = Some(self.now_ms);
        }
        length.max(1)
    }

    /// Lets go of freed ranges that no leaseholder is to be told of, as far as no pin table names the objects that were there. Counts say
    /// so already; this holds even if they are wrong.
    pub(super) fn let_go(&mut self, out: &mut impl Outbox) {
        if self.lingering.is_empty() {
            return;
        }
        let mut unread: Vec<ObjectKey> = self.lingering.iter().map(|(held, _)| held.key).collect();
        out.unread(&mut unread);
        unread.sort_unstable();
        for (held, class) in std::mem::take(&mut self.lingering) {
            if unread.binary_search(&held.key).is_ok() {
                self.vacate(ObjectKey::default(), held.place, held.length, class, out);
            } else {
                self.lingering.push((held, class));
            }
        }
        self.linger_ms = (!self.lingering.is_empty()).then_some(self.now_ms + LINGER_MS);
    }

    /// An object's copy in the pool is no more: its ledger line is the caller's to close.
    pub(super) fn set_residency_away(&mut self, key: ObjectKey) {
        let Some(object) = self.objects.get_mut(key) else { return };
        if let Some(place) = object.place.take() {
            self.store.tally(place.lease, object.residency, false);
        }
        self.set_residency(key, Residency::Spilled);
    }

    /// Bytes of the pool that stood in the line `class` carry no object any more; who leases them may write there again. `key` is the
    /// object whose readers are to be waited for, none when nobody reads there.
    pub(super) fn vacate(&mut self, key: ObjectKey, place: Place, length: u64, class: Class, out: &mut impl Outbox) {
        let owner = self.store.lease(place.lease).and_then(|lease| lease.owner).filter(|(owner, _)| owner.0 != 0);
        if owner.is_none() && key != ObjectKey::default() {
            // The agent would lend it to others at once.
            self.lingering.push((Held { key, place, length }, class));
            return;
        }
        let idle = self.store.leave_object(place.lease, place.offset, length, class);
        self.spill.look |= !self.creates.is_empty();
        if let Some((owner, number)) = owner {
            out.freed(owner, number, key);
            if idle {
                self.bound_slack(owner, out);
            }
        }
    }
}
