//! Memory that carries nothing comes back after churn: small objects move out of sparse chunks, and idle leases are called back.

use plasmon_protocol::id::ObjectKey;
use plasmon_protocol::record::ObjectState;

use super::{Core, Outbox};
use crate::store::lease::LeaseIndex;
use crate::store::object::{Object, Residency};

/// How long churn may go on before something is done about what it leaves, milliseconds.
const SETTLE_MS: u64 = 200;
/// How soon the next chunks are emptied, milliseconds.
const STEP_MS: u64 = 5;
/// How often idle leases are called back at most, milliseconds.
const RECALL_MS: u64 = 1000;
/// Bytes that are moved at once: the agent does nothing else meanwhile.
const STEP: u64 = 2 << 20;
/// Live bytes may have a tenth of them as holes, and as many idle.
const SHARE: u64 = 10;

/// What is being done about memory that carries nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tidying {
    /// When the next step is due, while one is.
    due_ms: Option<u64>,
    /// Holes and idle bytes that nothing could be done about.
    hopeless: (u64, u64),
    recalled_ms: u64,
}

impl Core {
    /// Notes when there is more to tidy than is worth keeping. Ends every change.
    pub(super) fn notice_slack(&mut self) {
        let (holes, slack) = (self.store.holes(), self.store.slack());
        let bound = self.slack_bound();
        if slack <= bound {
            // What is idle from here on is something else.
            self.tidying.hopeless.1 = 0;
        }
        let much = (holes > bound && holes != self.tidying.hopeless.0) || (slack > bound && slack != self.tidying.hopeless.1);
        match self.tidying.due_ms {
            None if much => self.tidying.due_ms = Some(self.now_ms + SETTLE_MS),
            Some(_) if !much => self.tidying.due_ms = None,
            _ => {}
        }
    }

    /// Bytes that may be holes, and that may be idle: a part of what lives, and a chunk for each process.
    fn slack_bound(&self) -> u64 {
        self.store.live_bytes() / SHARE + self.living * self.store.chunk_for(1)
    }

    /// When [`Core::tidy`] is due.
    pub(super) fn next_tidy_ms(&self) -> Option<u64> {
        self.tidying.due_ms
    }

    /// Empties some sparse chunks, and calls idle leases back.
    pub(super) fn tidy(&mut self, out: &mut impl Outbox) {
        if self.tidying.due_ms.is_none_or(|at_ms| at_ms > self.now_ms) {
            return;
        }
        self.tidying.due_ms = None;
        let bound = self.slack_bound();
        let holes = self.store.holes();
        if holes > bound {
            if self.empty_chunks(out) {
                self.tidying.due_ms = Some(self.now_ms + STEP_MS);
            } else {
                self.tidying.hopeless.0 = self.store.holes();
            }
        }
        let slack = self.store.slack();
        if slack > bound {
            if self.tidying.recalled_ms + RECALL_MS <= self.now_ms {
                self.tidying.recalled_ms = self.now_ms;
                self.recall(out);
                self.tidying.hopeless.1 = slack;
            } else {
                self.tidying.due_ms.get_or_insert(self.tidying.recalled_ms + RECALL_MS);
            }
        }
    }

    /// Moves the objects of the sparsest chunks into a chunk of the agent's. False when none could be emptied.
    fn empty_chunks(&mut self, out: &mut impl Outbox) -> bool {
        self.see_views(out);
        let current = self.store.current_chunks();
        let mut chunks: Vec<(u64, LeaseIndex)> = self
            .store
            .leases()
            .filter(|(index, lease)| lease.chunk && lease.live > 0 && lease.holes() > 0 && !current.contains(index))
            // Live thousandths of what was written: those that give back most for the least copying come first.
            .map(|(index, lease)| (lease.live_extent * 1000 / (lease.bump - lease.offset).max(1), index))
            .filter(|(live, _)| *live < 900)
            .collect();
        chunks.sort_unstable();
        let mut keys: Vec<ObjectKey> = Vec::new();
        let mut bytes = 0;
        for (_, lease) in chunks {
            let movable = |object: &Object| {
                matches!(object.residency, Residency::Primary | Residency::Secondary) && object.counts.pinned == 0 && object.place.is_some()
            };
            let objects: Vec<(ObjectKey, u64)> = self.objects_in(lease).map(|(key, _, length)| (key, length)).collect();
            let live = self.store.lease(lease).map_or(0, |lease| lease.live as usize);
            // A chunk that cannot be emptied would only get more holes.
            if objects.len() != live || !objects.iter().all(|(key, _)| self.objects.get(*key).is_some_and(movable)) {
                continue;
            }
            bytes += objects.iter().map(|(_, length)| length).sum::<u64>();
            keys.extend(objects.into_iter().map(|(key, _)| key));
            if bytes >= STEP {
                break;
            }
        }
        out.evict(&mut keys);
        let mut moved = false;
        for key in keys {
            moved |= self.relocate(key, out);
        }
        moved
    }

    /// Moves one object that nobody reads into a chunk of the agent's. False when there is no room: it stays.
    fn relocate(&mut self, key: ObjectKey, out: &mut impl Outbox) -> bool {
        let Some(object) = self.objects.get(key) else { return false };
        let (Some(old), length, class) = (object.place, object.length, object.class()) else { return false };
        let Some(new) = self.store.enter_own(length, key.slot, class, self.backed) else {
            out.publish(key, Some(ObjectState::InMemory), old.offset, length);
            return false;
        };
        out.relocate(old.offset, new.offset, length);
        if let Some(object) = self.objects.get_mut(key) {
            object.place = Some(new);
            self.store.tally(old.lease, object.residency, false);
            self.store.tally(new.lease, object.residency, true);
        }
        out.publish(key, Some(ObjectState::InMemory), new.offset, length);
        // Nobody reads there, whatever is pinned at the new place from now on.
        self.vacate(ObjectKey::default(), old, length, class, out);
        self.changes += 1;
        true
    }
}
