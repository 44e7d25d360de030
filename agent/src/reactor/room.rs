//! Room for whoever waits: what can be dropped is dropped, what must be written first is written, and what nobody tells of is looked at
//! again after a while.

use super::memory::{Create, Want};
use super::{Core, Outbox};
use crate::spill::job::Job as IoJob;

/// How soon it is looked again whether there is room, when nobody tells, milliseconds.
const LOOK_AGAIN_MS: u64 = 10;
/// How long idle leases that are called back are waited for, milliseconds.
const RECALL_MS: u64 = 100;

impl Core {
    /// Sees to room: what can be dropped is dropped, what must be written first is written. Ends every change.
    pub(super) fn manage_room(&mut self, out: &mut impl Outbox) {
        if !self.spill.config.is_on() {
            return;
        }
        // What is looked at here is not to be chosen in vain, again and again. Where nobody waits once a millisecond is enough: this ends
        // every batch of messages.
        let plans = || self.spill.has_writer() && self.spill_cause().is_some() && !self.have_seen_views();
        if !self.creates.is_empty() || plans() {
            self.see_views(out);
        }
        self.evict_ahead(out);
        if std::mem::take(&mut self.spill.look) {
            self.make_room(out);
        }
        self.start_reads(out);
        let exhausted = self.spill.exhausted;
        self.start_spilling(out);
        if self.spill.exhausted && !exhausted && !self.creates.is_empty() {
            // What was kept for others is not worth waiting for.
            self.make_room(out);
            self.start_reads(out);
        }
        self.start_compaction(out);
    }

    /// Makes room for whoever waits first in the queue, as far as that takes no writing.
    pub(super) fn make_room(&mut self, out: &mut impl Outbox) {
        self.spill.starved = false;
        self.spill.look_ms = None;
        while let Some(Create { bytes, want, .. }) = self.creates.front().copied() {
            while !self.would_fit(bytes) {
                if self.evict(bytes.max(1), out) == 0 {
                    self.spill.starved = true;
                    self.spill.look_ms = (self.spill.secondary.0 > 0).then_some(self.now_ms + LOOK_AGAIN_MS);
                    return self.tell_of_wait();
                }
            }
            if matches!(want, Want::Lease { .. }) && self.is_kept_for_restores(bytes) {
                // What is on disk already goes before anything is written.
                while self.evict(bytes.max(1), out) > 0 {}
                self.spill.starved = true;
                return self.tell_of_wait();
            }
            let waiting = self.creates.len();
            self.serve_creates(out);
            if self.creates.len() == waiting {
                // There is room, in leases that their holders don't need, as far as they don't use them before they hear of it.
                if self.spill.recalled_ms.is_none() {
                    self.spill.recalled_ms = Some(self.now_ms);
                    self.recall(out);
                }
                self.spill.look_ms = Some(self.now_ms + LOOK_AGAIN_MS);
                return;
            }
        }
    }

    /// Whether there is room for whoever waits first. Idle leases that were called back and did not come are none.
    fn would_fit(&self, bytes: u64) -> bool {
        let late = self.spill.recalled_ms.is_some_and(|at_ms| at_ms + RECALL_MS <= self.now_ms);
        if late { self.store.fits(bytes) } else { self.store.would_fit(bytes) }
    }

    /// When room should be looked at again, if it waits for time to pass.
    pub(super) fn next_spill_ms(&self) -> Option<u64> {
        if !self.spill.config.is_on() {
            return None;
        }
        let retry = (self.spill.has_writer() && self.spill_cause().is_some()).then(|| self.spill.next_retry_ms());
        let look = self.spill.look_ms.filter(|_| !self.creates.is_empty());
        let rest = self.spill.compact_ms;
        let compact = (self.spill.sparse && rest > self.now_ms && self.spill.compactions.is_empty()).then_some(rest);
        let undeleted = self.spill.undeleted.values().min().copied();
        let (restores, compactions) = (self.spill.restores_untold.due_ms(), self.spill.compactions_untold.due_ms());
        [retry, look, compact, undeleted, restores, compactions, self.spill.thrash.next_ms()].into_iter().flatten().min()
    }

    /// Time has passed.
    pub(super) fn tick_spilling(&mut self, out: &mut impl Outbox) {
        for (file, again_ms) in &mut self.spill.undeleted {
            if *again_ms <= self.now_ms {
                *again_ms = u64::MAX;
                let place = self.spill.files.get(*file).map_or(0, |file| file.place);
                out.io(IoJob::Delete { file: *file, place });
            }
        }
        if self.spill.look_ms.is_some_and(|at_ms| at_ms <= self.now_ms) {
            self.spill.look_ms = None;
            self.spill.look = true;
        }
        self.spill.thrash.forget(self.now_ms);
        self.tell_storage();
    }
}
