//! The places for spill files: they fail, serve again, and files in them are removed.

use plasmon_protocol::id::SpillFileId;
use plasmon_protocol::record::{EventKind, Severity};

use super::storage::SpillPlace;
use super::{Core, Outbox};
use crate::spill::job::{Failure, Job as IoJob};

/// How long a place that failed is left alone, milliseconds: at first, and at most.
const BACKOFF_MS: std::ops::RangeInclusive<u64> = 250..=4000;

impl Core {
    /// A file is gone; one that could not be removed stays in the books, and is tried again.
    pub(super) fn on_deleted(&mut self, file: SpillFileId, result: Result<(), Failure>) {
        if let Err(failure) = result {
            self.spill.failures += 1;
            if self.spill.undeleted.is_empty() {
                let message = format!("spill file {file} could not be removed, and is tried again: {failure}");
                self.event(EventKind::SpillFile, Severity::Warning, None, message);
            }
            self.spill.undeleted.insert(file, self.now_ms + *BACKOFF_MS.end());
            return;
        }
        self.spill.undeleted.remove(&file);
        self.spill.files.deleted(file);
        self.spill.exhausted = false;
        // Only a limit stood in the way.
        if self.spill.places.iter().all(|place| place.trouble.is_none()) {
            self.spilling_goes_on();
        }
    }

    /// A file whose objects are all gone is removed.
    pub(super) fn retire_file(&mut self, file: SpillFileId, out: &mut impl Outbox) {
        if let Some(place) = self.spill.files.retire(file) {
            out.io(IoJob::Delete { file, place });
        }
    }

    /// A place did not serve: it is left alone for a while, and the next file is smaller.
    pub(super) fn place_failed(&mut self, index: usize, failure: &Failure) {
        self.spill.failures += 1;
        self.spill.failed += 1;
        let now_ms = self.now_ms;
        if let Some(place) = self.spill.places.get_mut(index) {
            place.backoff_ms = (place.backoff_ms * 2).clamp(*BACKOFF_MS.start(), *BACKOFF_MS.end());
            place.retry_ms = now_ms + place.backoff_ms;
            let kind = std::mem::discriminant(failure);
            let news = place.trouble.replace(kind) != Some(kind);
            if news && self.spill.places.iter().any(|place| place.trouble.is_none()) {
                let message = format!("one of several places for spilled objects does not serve: {failure}");
                self.event(EventKind::SpillState, Severity::Warning, None, message);
            }
        }
        if self.spill.places.iter().all(|place| place.trouble.is_some()) {
            self.spill_trouble(failure.to_string());
        }
    }

    pub(super) fn place_serves(&mut self, index: usize) {
        self.spill.failed = 0;
        if let Some(place) = self.spill.places.get_mut(index) {
            *place = SpillPlace { room: place.room, ..SpillPlace::default() };
        }
        self.spilling_goes_on();
    }

    fn spilling_goes_on(&mut self) {
        if self.spill.trouble.take().is_some() {
            self.event(EventKind::SpillState, Severity::Info, None, "spilling goes on".to_owned());
        }
    }

    /// Nothing can be spilled: said once, until something changes.
    pub(super) fn spill_trouble(&mut self, cause: String) {
        if self.spill.trouble.is_none() {
            self.event(EventKind::SpillState, Severity::Error, None, format!("nothing can be spilled: {cause}"));
        }
        self.spill.trouble = Some(cause);
    }
}
