//! What external storage did in many small jobs is told in one event a second.

use plasmon_protocol::record::{EventKind, Severity};
use plasmon_protocol::size::Bytes;

use super::Core;

/// How often such jobs are told of, milliseconds.
const TELL_MS: u64 = 1000;

/// Jobs of one kind that were not told of yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Untold {
    jobs: u64,
    objects: u64,
    bytes: u64,
    since_ms: u64,
}

impl Untold {
    /// A job is done.
    pub(super) fn note(&mut self, objects: u64, bytes: u64, now_ms: u64) {
        if self.jobs == 0 {
            self.since_ms = now_ms;
        }
        self.jobs += 1;
        self.objects += objects;
        self.bytes += bytes;
    }

    /// When they are to be told.
    pub(super) fn due_ms(&self) -> Option<u64> {
        (self.jobs > 0).then_some(self.since_ms + TELL_MS)
    }

    /// All of them, when it is time.
    fn take_due(&mut self, now_ms: u64) -> Option<Self> {
        self.due_ms().is_some_and(|at_ms| at_ms <= now_ms).then(|| std::mem::take(self))
    }
}

/// `1 object`, `2 objects`.
pub(super) fn objects(number: u64) -> String {
    format!("{number} {}", if number == 1 { "object" } else { "objects" })
}

impl Core {
    /// Tells what came back, and which files were written anew, within the last second.
    pub(super) fn tell_storage(&mut self) {
        if let Some(read) = self.spill.restores_untold.take_due(self.now_ms) {
            let message = format!("restored {}, {}", objects(read.objects), Bytes(read.bytes));
            self.event(EventKind::Restored, Severity::Info, None, message);
        }
        if let Some(written) = self.spill.compactions_untold.take_due(self.now_ms) {
            let files = if written.jobs == 1 { "file, mostly dead, was" } else { "files, mostly dead, were" };
            let message = format!("{} {files} written anew: {}, {}", written.jobs, objects(written.objects), Bytes(written.bytes));
            self.event(EventKind::SpillFile, Severity::Info, None, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_of_one_second_are_told_together() {
        let mut untold = Untold::default();
        assert_eq!(untold.due_ms(), None);
        untold.note(2, 10, 500);
        untold.note(1, 5, 1400);
        assert_eq!(untold.due_ms(), Some(1500));
        assert!(untold.take_due(1499).is_none());
        let told = untold.take_due(1500).unwrap();
        assert_eq!((told.jobs, told.objects, told.bytes), (2, 3, 15));
        assert_eq!(untold.due_ms(), None);
        // Files of which nothing lived are told of too.
        untold.note(0, 0, 2000);
        assert_eq!(untold.due_ms(), Some(3000));
    }
}
