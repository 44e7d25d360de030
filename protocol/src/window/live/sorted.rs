//! Places in an order: found, put in and taken out in the time of a few comparisons, counted from the begin in that of a few hundred
//! additions, at 12 bytes each.

use std::cmp::Ordering;

/// Entries of a run when runs are cut anew; one that reaches twice as many is halved.
const RUN: usize = 512;
/// Room for so many more is made at a time.
const STEP: usize = RUN / 8;

/// A place, with what decides most comparisons.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed(4))]
pub(super) struct Entry {
    pub(super) key: u64,
    pub(super) place: u32,
}

/// Entries in order, in runs none of which is empty. The order itself is the caller's: total, and the same in every call.
#[derive(Default, Debug)]
pub(super) struct Sorted {
    runs: Vec<Vec<Entry>>,
    len: usize,
}

impl Sorted {
    /// Of entries that are in order.
    pub(super) fn of(entries: &[Entry]) -> Self {
        Self { runs: entries.chunks(RUN).map(<[Entry]>::to_vec).collect(), len: entries.len() }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The run that `entry` is in, or belongs into.
    fn run(&self, entry: Entry, order: &impl Fn(Entry, Entry) -> Ordering) -> usize {
        self.runs.partition_point(|run| run.last().is_some_and(|last| order(*last, entry).is_lt()))
    }

    pub(super) fn insert(&mut self, entry: Entry, order: impl Fn(Entry, Entry) -> Ordering) {
        let at = self.run(entry, &order).min(self.runs.len().saturating_sub(1));
        self.len += 1;
        let Some(run) = self.runs.get_mut(at) else {
            self.runs.push(vec![entry]);
            return;
        };
        if run.len() == run.capacity() {
            run.reserve_exact(STEP);
        }
        run.insert(run.partition_point(|other| order(*other, entry).is_lt()), entry);
        if run.len() >= 2 * RUN {
            let second = run.split_off(RUN);
            run.shrink_to(RUN + STEP);
            self.runs.insert(at + 1, second);
        }
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, entry: Entry, order: impl Fn(Entry, Entry) -> Ordering) -> bool {
        let at = self.run(entry, &order);
        let Some(run) = self.runs.get_mut(at) else { return false };
        let within = run.partition_point(|other| order(*other, entry).is_lt());
        if run.get(within).is_none_or(|found| found.place != entry.place) {
            return false;
        }
        run.remove(within);
        self.len -= 1;
        if run.is_empty() {
            self.runs.remove(at);
        } else if at + 1 < self.runs.len() && self.runs[at].len() + self.runs[at + 1].len() <= RUN / 2 {
            let next = self.runs.remove(at + 1);
            self.runs[at].extend(next);
        }
        true
    }

    /// Takes out the places that are `gone`, and puts `added` in, which is in order: for many at once, one walk over all.
    pub(super) fn exchange(&mut self, gone: impl Fn(u32) -> bool, added: &[Entry], order: impl Fn(Entry, Entry) -> Ordering) {
        let runs = std::mem::take(&mut self.runs);
        let stay: Vec<Entry> = runs.into_iter().flatten().filter(|entry| !gone(entry.place)).collect();
        let mut all = Vec::with_capacity(stay.len() + added.len());
        let mut rest = stay.as_slice();
        for entry in added {
            let (before, behind) = rest.split_at(rest.partition_point(|other| order(*other, *entry).is_lt()));
            all.extend_from_slice(before);
            all.push(*entry);
            rest = behind;
        }
        all.extend_from_slice(rest);
        *self = Self::of(&all);
    }

    /// The places from the `start`th on.
    pub(super) fn places(&self, start: usize) -> impl Iterator<Item = u32> {
        let (mut first, mut skip) = (0, start);
        while let Some(run) = self.runs.get(first).filter(|run| run.len() <= skip) {
            skip -= run.len();
            first += 1;
        }
        self.runs.iter().skip(first).flatten().skip(skip).map(|entry| entry.place)
    }

    /// Bytes that it takes of memory.
    pub(super) fn bytes(&self) -> usize {
        let entries: usize = self.runs.iter().map(Vec::capacity).sum();
        entries * size_of::<Entry>() + self.runs.capacity() * size_of::<Vec<Entry>>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn order(a: Entry, b: Entry) -> Ordering {
        ({ a.key }, { a.place }).cmp(&({ b.key }, { b.place }))
    }

    fn entry((key, place): (u64, u32)) -> Entry {
        Entry { key, place }
    }

    proptest! {
        #[test]
        fn it_is_a_sorted_list(
            first in proptest::collection::btree_map(0_u32..100_000, 0_u64..50, 0..3000),
            changes in proptest::collection::vec((any::<bool>(), (0_u64..50, 0_u32..100_000)), 0..2000),
            start in 0_usize..4000,
        ) {
            let mut model: BTreeSet<(u64, u32)> = first.into_iter().map(|(place, key)| (key, place)).collect();
            let mut sorted = Sorted::of(&model.iter().copied().map(entry).collect::<Vec<_>>());
            for (add, one) in changes {
                // A place is in it once, as in an index.
                let known = model.iter().find(|(_, place)| *place == one.1).copied();
                if let Some(known) = known {
                    prop_assert!(sorted.remove(entry(known), order));
                    model.remove(&known);
                } else {
                    prop_assert!(!sorted.remove(entry(one), order));
                }
                if add {
                    sorted.insert(entry(one), order);
                    model.insert(one);
                }
                prop_assert_eq!(sorted.len(), model.len());
            }
            prop_assert!(sorted.places(start).eq(model.iter().skip(start).map(|(_, place)| *place)));
            prop_assert!(sorted.runs.iter().all(|run| !run.is_empty() && run.len() < 2 * RUN));

            let odd = |place: u32| place % 2 == 1;
            let added: Vec<Entry> = (0..700).map(|n| entry((n % 60, 200_000 + n as u32))).collect::<Vec<_>>();
            let mut added_in_order = added.clone();
            added_in_order.sort_unstable_by(|a, b| order(*a, *b));
            sorted.exchange(odd, &added_in_order, order);
            model.retain(|(_, place)| !odd(*place));
            model.extend(added.iter().map(|entry| ({ entry.key }, { entry.place })));
            prop_assert!(sorted.places(0).eq(model.iter().map(|(_, place)| *place)));
            prop_assert_eq!(sorted.len(), model.len());
        }
    }
}
