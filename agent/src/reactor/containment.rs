//! References inside objects.

use std::collections::BTreeSet;

use plasmon_protocol::id::{ObjectKey, ProcessId, SiteId};

use super::{Core, Violation};
use crate::references::table::Count;

impl Core {
    /// Whether references to `contains` may lie inside an object: all of them are there. Asked before anything is changed, so
    /// that a refused value leaves its object as it was.
    pub(super) fn can_capture(&self, contains: &[ObjectKey]) -> Result<(), Violation> {
        match contains.iter().find(|inner| self.objects.get(**inner).is_none()) {
            Some(inner) => {
                Err(Violation(format!("reference inside an object to object {} which is not there", inner.on(self.config.node))))
            }
            None => Ok(()),
        }
    }

    /// Whether `outer` would contain itself. Only a task's result can: it has its name before its value.
    pub(super) fn closes_cycle(&self, outer: ObjectKey, contains: &[ObjectKey]) -> bool {
        if contains.contains(&outer) {
            return true;
        }
        if contains.is_empty() || self.objects.get(outer).is_none_or(|object| object.counts.captured == 0) {
            return false;
        }
        let mut seen: BTreeSet<ObjectKey> = contains.iter().copied().collect();
        let mut next = contains.to_vec();
        while let Some(inner) = next.pop() {
            for key in self.objects.get(inner).map_or(&[][..], |object| object.contains()) {
                if *key == outer {
                    return true;
                }
                if seen.insert(*key) {
                    next.push(*key);
                }
            }
        }
        false
    }

    /// The references inside an object, held in `captor`'s name until the object is freed.
    pub(super) fn capture(&mut self, captor: ProcessId, outer: ObjectKey, contains: Vec<ObjectKey>) {
        if contains.is_empty() {
            return;
        }
        let site = self.objects.get(outer).map_or(SiteId(0), |object| object.site);
        for inner in &contains {
            let held = self.hold(captor, *inner, Count::Captured, site);
            debug_assert_eq!(held, Ok(()), "the caller has asked whether it can be captured");
        }
        if let Some(object) = self.objects.get_mut(outer) {
            let cold = object.cold_mut();
            cold.contains = contains.into();
            cold.captor = captor;
        }
    }
}
