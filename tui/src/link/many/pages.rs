//! More groups of one agent than a viewer may have at once, read page after page in the order of their keys, again and again. In that order
//! nothing moves while it is read: groups come and go, and pages that overlap show when some went. What a page says replaces all that was
//! known between its ends, so that what is known is never older than one walk through all of them.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use plasmon_protocol::stream::{GroupRow, MAX_WINDOW, Sort, Totals, View, Window};
use plasmon_protocol::window::compare_keys;
use tokio::time::Instant;

/// Between two walks.
pub(super) const REST: Duration = Duration::from_secs(5);
/// Groups of one agent that are kept: some 200 bytes each.
const MOST: usize = 200_000;
/// Groups that two pages share, if they are so long.
const OVERLAP: usize = 8;

/// A group's key, in the order that agents give.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Key(String);

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_keys(&self.0, &other.0)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pages {
    known: BTreeMap<Key, GroupRow>,
    /// Where the page begins that was asked for.
    start: u64,
    /// How long a page is; 0 before anything is known: frames may hold fewer groups than a window, and no window reaches beyond the end.
    len: u32,
    /// How many were asked for.
    asked: u32,
    /// The last key that this walk has met.
    last: Option<Key>,
    /// A walk has come to its end.
    walked: bool,
    rests_until: Option<Instant>,
}

impl Pages {
    /// The page to ask for next, with a number that the one before did not have.
    pub(super) fn ask(&mut self, view: &View) -> (u32, View) {
        self.asked = self.asked.wrapping_add(1);
        self.rests_until = None;
        let sort = Some(Sort { column: "key".to_owned(), ascending: true });
        (
            self.asked,
            View { sort, window: Window { start: self.start, len: if self.len == 0 { MAX_WINDOW } else { self.len } }, ..view.clone() },
        )
    }

    /// The number of the page that was asked for last.
    pub(super) fn number(&self) -> u32 {
        self.asked
    }

    /// When the next walk is due, if none is under way.
    pub(super) fn due(&self) -> Option<Instant> {
        self.rests_until
    }

    /// How many groups are known, while not all have been read once.
    pub(super) fn read(&self) -> Option<u64> {
        (!self.walked).then_some(self.known.len() as u64)
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &GroupRow> {
        self.known.values()
    }

    /// Groups that are followed are newer than what was read of them.
    pub(super) fn update(&mut self, rows: &[GroupRow]) {
        self.known.extend(rows.iter().map(|row| (Key(row.key.clone()), row.clone())));
    }

    /// A connection began: who answers may be another agent.
    pub(super) fn begin(&mut self) {
        *self = Self { asked: self.asked, ..Self::default() };
    }

    /// Takes in the page that was asked for; whether to ask for the next one now.
    pub(super) fn take(&mut self, start: u64, totals: &Totals, rows: &[GroupRow], now: Instant) -> bool {
        let keys = |row: &GroupRow| Key(row.key.clone());
        let first = rows.first().map(keys);
        if start > 0 && first > self.last {
            // Groups before it went, and others have moved to where nobody looked.
            self.start = start.saturating_sub(u64::from(MAX_WINDOW) / 2);
            return true;
        }
        let end = start + rows.len() as u64;
        if totals.cut > 0 && !rows.is_empty() {
            self.len = rows.len() as u32;
        }
        let ends = end >= totals.groups || rows.is_empty();
        let from = self.last.take().filter(|_| start > 0).map_or(Bound::Unbounded, Bound::Excluded);
        let last = rows.last().map(keys);
        let until = last.clone().filter(|_| !ends).map_or(Bound::Unbounded, Bound::Included);
        // A page may lie wholly before what this walk has met, when many groups came.
        let forward = match (&from, &until) {
            (Bound::Excluded(from), Bound::Included(until)) => from < until,
            _ => true,
        };
        if forward {
            let stale: Vec<Key> = self.known.range((from.clone(), until)).map(|(key, _)| key.clone()).collect();
            stale.iter().for_each(|key| drop(self.known.remove(key)));
        }
        self.known.extend(rows.iter().map(|row| (keys(row), row.clone())));
        if ends || self.known.len() >= MOST {
            (self.start, self.last, self.walked) = (0, None, true);
            self.rests_until = Some(now + REST);
            return false;
        }
        self.last = match from {
            Bound::Excluded(from) if !forward => Some(from),
            _ => last,
        };
        self.start = end - OVERLAP.min(rows.len() / 2) as u64;
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn group(key: u32, bytes: u64) -> GroupRow {
        GroupRow { key: key.to_string(), rows: 1, bytes, ..GroupRow::default() }
    }

    /// What an agent with these groups answers, with so many in a frame.
    fn answer(groups: &BTreeMap<u32, u64>, view: &View, most: usize) -> (u64, Totals, Vec<GroupRow>) {
        let latest = (groups.len() as u64).saturating_sub(view.window.len.into());
        let start = view.window.start.min(latest);
        let most = most.min(view.window.len as usize);
        let rows = groups.iter().skip(start as usize).take(most).map(|(key, bytes)| group(*key, *bytes));
        let cut = (groups.len() - start as usize).min(view.window.len as usize).saturating_sub(most) as u64;
        (start, Totals { groups: groups.len() as u64, cut, ..Totals::default() }, rows.collect())
    }

    proptest! {
        /// Whatever comes and goes while it is read: what stays is read, and a walk in which nothing changes knows everything.
        #[test]
        fn a_walk_misses_nothing_that_stays(
            count in 600_u32..3_000,
            changes in proptest::collection::vec((0_u32..4_000, 1_u32..400, any::<bool>()), 0..12),
            most in 40_usize..=500,
        ) {
            let mut groups: BTreeMap<u32, u64> = (0..count).map(|key| (key, 1)).collect();
            let mut stays = groups.clone();
            let (mut pages, view, now) = (Pages::default(), View { group: Some("created".into()), ..View::of(plasmon_protocol::column::Table::References) }, Instant::now());
            let mut changes = changes.into_iter();
            let mut rounds = 0;
            loop {
                let (_, asked) = pages.ask(&view);
                let (start, totals, rows) = answer(&groups, &asked, most);
                if !pages.take(start, &totals, &rows, now) {
                    break;
                }
                if let Some((from, len, comes)) = changes.next() {
                    for key in from..from + len {
                        if comes {
                            groups.entry(key).or_insert(2);
                        } else {
                            groups.remove(&key);
                            stays.remove(&key);
                        }
                    }
                }
                rounds += 1;
                prop_assert!(rounds < 1_000, "it comes to its end");
            }
            let known = |pages: &Pages| pages.groups().map(|group| (group.key.parse().unwrap(), group.bytes)).collect::<BTreeMap<u32, u64>>();
            let read = known(&pages);
            prop_assert!(stays.keys().all(|key| read.contains_key(key)));
            prop_assert_eq!((pages.read(), pages.due()), (None, Some(now + REST)));
            groups.values_mut().for_each(|bytes| *bytes = 7);
            while {
                let (_, asked) = pages.ask(&view);
                let (start, totals, rows) = answer(&groups, &asked, most);
                pages.take(start, &totals, &rows, now)
            } {}
            prop_assert_eq!(known(&pages), groups);
        }
    }
}
