//! More groups of one agent than a viewer may have at once, read page after page in the order of their keys, again and again. In that order
//! nothing moves while it is read: groups come and go, and pages that overlap show when some went. What a page says replaces all that
//! earlier walks have met between its ends, so that what is known is never older than one walk through all of them. Keys are clean here,
//! and may stand in another place than the agent's: what a walk has met it does not take for gone.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use plasmon_protocol::stream::{GroupRow, MAX_WINDOW, Sort, Totals, View, Window};
use plasmon_protocol::window::compare_keys;
use tokio::time::Instant;

/// Between two walks.
pub(super) const REST: Duration = Duration::from_secs(5);
/// Groups of one agent that a walk reads, from the first on: some 200 bytes each.
pub(super) const MOST: usize = 200_000;
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

/// A group that is known.
#[derive(Debug)]
struct Known {
    /// The last walk that has met it; 0 before one has.
    walk: u32,
    row: GroupRow,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pages {
    /// Where a walk ends at the latest, in groups.
    most: usize,
    known: BTreeMap<Key, Known>,
    /// The number of the walk, from 1.
    walk: u32,
    /// Where the page begins that was asked for.
    start: u64,
    /// How long a page is; 0 before anything is known: frames may hold fewer groups than a window, and a viewer may have room for fewer.
    len: u32,
    /// How many there are in all, as the last page said: what reaches beyond their end begins before the place that was asked for.
    count: u64,
    /// How many were asked for.
    asked: u32,
    /// The last key that this walk has met.
    last: Option<Key>,
    /// The keys that the page to come should have as well: those of what two pages share.
    met: Vec<Key>,
    /// A walk has come to its end.
    walked: bool,
    rests_until: Option<Instant>,
}

impl Pages {
    /// Of which nothing is known yet, and that are read up to so many.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            known: BTreeMap::new(),
            walk: 1,
            start: 0,
            len: 0,
            count: 0,
            asked: 0,
            last: None,
            met: Vec::new(),
            walked: false,
            rests_until: None,
        }
    }

    /// The page to ask for next, with a number that the one before did not have.
    pub(super) fn ask(&mut self, view: &View) -> (u32, View) {
        self.asked = self.asked.wrapping_add(1);
        self.rests_until = None;
        let sort = Some(Sort { column: "key".to_owned(), ascending: true });
        let rest = if self.start == 0 { MAX_WINDOW.into() } else { self.count.saturating_sub(self.start).max(1) };
        let len = rest.min(if self.len == 0 { MAX_WINDOW } else { self.len }.into()) as u32;
        (self.asked, View { sort, window: Window { start: self.start, len }, ..view.clone() })
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
        self.known.values().map(|known| &known.row)
    }

    /// Groups that are followed are newer than what was read of them. Those that a walk has not met are dropped when it ends; before that
    /// there are never more than twice as many as it may read.
    pub(super) fn update(&mut self, rows: &[GroupRow]) {
        for row in rows {
            let key = Key(row.key.clone());
            if let Some(known) = self.known.get_mut(&key) {
                known.row = row.clone();
            } else if self.known.len() < 2 * self.most {
                self.known.insert(key, Known { walk: 0, row: row.clone() });
            }
        }
    }

    /// A connection began: who answers may be another agent.
    pub(super) fn begin(&mut self) {
        *self = Self { asked: self.asked, ..Self::new(self.most) };
    }

    /// Takes in the page that was asked for; whether to ask for the next one now.
    pub(super) fn take(&mut self, start: u64, totals: &Totals, rows: &[GroupRow], now: Instant) -> bool {
        self.count = totals.groups;
        if rows.is_empty() && totals.cut > 0 {
            // The viewer has as many rows as it may: what is known stays, and the walk goes on from here when it has rested.
            self.rests_until = Some(now + REST);
            return false;
        }
        let keys = |row: &GroupRow| Key(row.key.clone());
        let first = rows.first().map(keys);
        if start > 0 && first > self.last && !self.met.is_empty() && !rows.iter().any(|row| self.met.contains(&keys(row))) {
            // Groups before it went, and others have moved to where nobody looked.
            self.start = start.saturating_sub(u64::from(MAX_WINDOW) / 2);
            return true;
        }
        let end = start + rows.len() as u64;
        // There may be room for more again.
        self.len = if totals.cut > 0 { rows.len() as u32 } else { self.len.saturating_mul(2).min(MAX_WINDOW) };
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
            let between = self.known.range((from.clone(), until));
            let stale: Vec<Key> = between.filter(|(_, known)| known.walk != self.walk).map(|(key, _)| key.clone()).collect();
            stale.iter().for_each(|key| drop(self.known.remove(key)));
        }
        self.known.extend(rows.iter().map(|row| (keys(row), Known { walk: self.walk, row: row.clone() })));
        if ends || end >= self.most as u64 {
            if !ends {
                // What lies behind is not read.
                self.known.retain(|_, known| known.walk == self.walk);
            }
            self.walk = self.walk.wrapping_add(1).max(1);
            (self.start, self.len, self.walked) = (0, 0, true);
            self.met.clear();
            self.rests_until = Some(now + REST);
            return false;
        }
        self.last = match from {
            Bound::Excluded(from) if !forward => Some(from),
            _ => last,
        };
        let overlap = OVERLAP.min(rows.len() / 2);
        self.met = rows[rows.len() - overlap..].iter().map(keys).collect();
        self.start = end - overlap as u64;
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

    fn view() -> View {
        View { group: Some("created".into()), ..View::of(plasmon_protocol::column::Table::References) }
    }

    /// Reads on to the end of a walk, with so many groups in a frame.
    fn walk(pages: &mut Pages, groups: &BTreeMap<u32, u64>, most: usize) {
        for _ in 0..20_000 {
            let (_, asked) = pages.ask(&view());
            let (start, totals, rows) = answer(groups, &asked, most);
            if !pages.take(start, &totals, &rows, Instant::now()) {
                return;
            }
        }
        panic!("it does not come to its end");
    }

    fn known(pages: &Pages) -> BTreeMap<u32, u64> {
        pages.groups().map(|group| (group.key.parse().unwrap(), group.bytes)).collect()
    }

    #[test]
    fn pages_of_one_group_lead_to_the_end_as_well() {
        let groups: BTreeMap<u32, u64> = (0..600).map(|key| (key, 1)).collect();
        let mut pages = Pages::new(MOST);
        walk(&mut pages, &groups, 1);
        assert_eq!((pages.read(), known(&pages)), (None, groups));
        assert_eq!(pages.ask(&view()).1.window, Window { start: 0, len: MAX_WINDOW }, "there may be room again");
    }

    #[test]
    fn a_key_that_is_not_where_the_agent_has_it_hides_no_group() {
        // The last of the first page looks as if it came first.
        let shown = |key: u32| GroupRow { key: if key == 499 { "!".into() } else { key.to_string() }, ..group(key, 1) };
        let groups: BTreeMap<u32, u64> = (0..1_200).map(|key| (key, 1)).collect();
        let mut pages = Pages::new(MOST);
        for walk in 0..2 {
            let goes_on = (0..10).all(|_| {
                let (_, asked) = pages.ask(&view());
                let (start, totals, rows) = answer(&groups, &asked, 500);
                let rows: Vec<GroupRow> = rows.iter().map(|row| shown(row.key.parse().unwrap())).collect();
                pages.take(start, &totals, &rows, Instant::now())
            });
            assert_eq!((goes_on, pages.groups().count()), (false, 1_200), "walk {walk}");
        }
    }

    proptest! {
        /// Whatever comes and goes while it is read, and however often there is no room for a page: what stays is read as far as walks go, and
        /// a walk in which nothing changes knows everything up to there and nothing else.
        #[test]
        fn a_walk_misses_nothing_that_stays(
            count in 600_u32..3_000,
            changes in proptest::collection::vec((0_u32..4_000, 1_u32..400, any::<bool>(), any::<bool>()), 0..12),
            most in prop_oneof![1 => 2_usize..40, 4 => 40_usize..=500],
            limit in prop_oneof![1 => Just(MOST), 1 => 100_usize..3_000],
        ) {
            let mut groups: BTreeMap<u32, u64> = (0..count).map(|key| (key, 1)).collect();
            let mut stays = groups.clone();
            let (mut pages, view, now) = (Pages::new(limit), view(), Instant::now());
            let mut changes = changes.into_iter();
            let mut rounds = 0;
            let mut has_room = true;
            loop {
                let (_, asked) = pages.ask(&view);
                let (start, totals, rows) = answer(&groups, &asked, if has_room { most } else { 0 });
                let before = (!has_room).then(|| known(&pages));
                let goes_on = pages.take(start, &totals, &rows, now);
                if let Some(before) = before.filter(|_| totals.cut > 0) {
                    prop_assert!(!goes_on && pages.due() == Some(now + REST) && known(&pages) == before, "it waits and forgets nothing");
                } else if !goes_on {
                    break;
                }
                has_room = true;
                if let Some((from, len, comes, room)) = changes.next() {
                    has_room = room;
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
                prop_assert!(rounds < 20_000, "it comes to its end");
            }
            let read = known(&pages);
            let last = if limit == MOST { u32::MAX } else { *read.keys().next_back().unwrap_or(&u32::MAX) };
            prop_assert!(stays.keys().filter(|key| **key <= last).all(|key| read.contains_key(key)));
            prop_assert_eq!((pages.read(), pages.due()), (None, Some(now + REST)));
            // Those that are followed go as well.
            let gone: Vec<GroupRow> = (10_000..20_000).map(|key| group(key, 3)).collect();
            pages.update(&gone);
            prop_assert!(pages.groups().count() <= read.len().max(2 * limit));
            groups.values_mut().for_each(|bytes| *bytes = 7);
            walk(&mut pages, &groups, most);
            let read = known(&pages);
            prop_assert!(read.len() >= limit.min(groups.len()) && read.len() <= limit + MAX_WINDOW as usize);
            prop_assert_eq!(&read, &groups.into_iter().take(read.len()).collect());
        }
    }
}
