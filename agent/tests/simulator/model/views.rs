//! Views that no message tells of: what looks into the pin tables have found.

use std::collections::BTreeMap;

use plasmon_protocol::id::{ObjectKey, ProcessId};

use super::{LOCAL, Model, PINNED};

impl Model {
    /// A row's counts as people see them.
    pub(super) fn shown(&self, row: &(ObjectKey, ProcessId)) -> [u32; 4] {
        let of = |counts: &BTreeMap<_, u32>| counts.get(row).copied().unwrap_or(0);
        let mut counts = self.rows.get(row).copied().unwrap_or_default();
        counts[PINNED] += of(&self.viewed).saturating_sub(of(&self.kept));
        counts
    }

    /// Whether a process has a handle that views may be got by, or had one.
    fn may_view(&self, row: &(ObjectKey, ProcessId)) -> bool {
        let kept = self.kept.get(row).is_some_and(|kept| *kept > 0);
        self.rows.get(row).is_some_and(|counts| counts[LOCAL] > 0 || (kept && counts[PINNED] > 0))
    }

    /// Views end before what they were got by.
    pub(super) fn forget_views(&mut self, key: ObjectKey, process: ProcessId) {
        if !self.may_view(&(key, process)) {
            self.viewed.remove(&(key, process));
        }
    }

    /// The core has looked into the pin tables.
    pub(super) fn see_views(&mut self, views: &[(ProcessId, ObjectKey)]) {
        self.looked_ms = self.now_ms;
        let mut viewed: BTreeMap<(ObjectKey, ProcessId), u32> = BTreeMap::new();
        for (process, key) in views {
            *viewed.entry((*key, *process)).or_default() += 1;
        }
        viewed.retain(|row, _| self.may_view(row));
        self.viewed = viewed;
    }

    /// A handle becomes a pin; false when there is none.
    pub(super) fn keep_views(&mut self, key: ObjectKey, process: ProcessId) -> bool {
        if self.rows.get(&(key, process)).is_none_or(|counts| counts[LOCAL] == 0) {
            return false;
        }
        self.add(key, process, PINNED);
        *self.kept.entry((key, process)).or_default() += 1;
        self.take(key, process, LOCAL)
    }

    /// The pin goes; false when there is none.
    pub(super) fn end_views(&mut self, key: ObjectKey, process: ProcessId) -> bool {
        match self.kept.get_mut(&(key, process)) {
            Some(kept) if *kept > 0 => *kept -= 1,
            _ => return false,
        }
        self.forget_views(key, process);
        self.take(key, process, PINNED)
    }
}
