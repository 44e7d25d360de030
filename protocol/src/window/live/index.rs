//! One order over a replica's rows, for one filter: kept up by what changes.

use std::borrow::Cow;
use std::cmp::{Ordering, Reverse};
use std::collections::BTreeSet;

use super::super::group::{Grouping, text};
use super::super::{Order, Plan, compare};
use super::groups::Groups;
use super::labels::{Collector, Exhausted, Labels};
use super::places::Places;
use super::sorted::{Entry, Sorted};
use super::store::{Replicated, Store};
use super::sums::Sums;
use crate::column::{Cell, Column, Kind};
use crate::stream::{Rows, View, Window as Range};
use crate::window::Window;

/// Below this share of all rows, changes are put in one by one; above, with one walk over the order.
const ONE_IN: usize = 256;
/// Times that may be noted of rows that are gone, before they are looked for.
const FLIPS: usize = 1024;
/// So few are always put in one by one.
const FEW: usize = 64;

/// See the module.
pub(super) struct Index<R: Replicated> {
    view: View,
    plan: Plan<R>,
    /// Where there are rows that match.
    matched: Places,
    sums: Sums,
    arranged: Arranged,
    /// When the filter's outcome changes with time alone, and for the row at which place.
    flips: BTreeSet<(u64, u32)>,
    now_ms: u64,
    change: Change,
}

enum Arranged {
    Rows { labels: Labels, sorted: Sorted },
    Groups(Groups),
}

/// What of a change is still to be put in order.
#[derive(Default)]
struct Change {
    bulk: bool,
    gone: Places,
    added: Vec<Entry>,
    /// The order must be made anew.
    stale: bool,
}

/// The key of a cell; what belongs last has the largest.
fn key(cell: &Cell<'_>, ascending: bool, label: impl FnOnce(&str) -> Result<u64, Exhausted>) -> Result<u64, Exhausted> {
    let rank = match cell {
        Cell::None => return Ok(u64::MAX),
        Cell::Text(text) => label(text)?,
        Cell::Bytes(number) | Cell::Count(number) => *number,
        Cell::Growth(number) => number.cast_unsigned() ^ 1 << 63,
        Cell::Number(number) if number.is_sign_negative() => !number.to_bits(),
        Cell::Number(number) => number.to_bits() | 1 << 63,
        Cell::Since(instant) => !instant,
    };
    Ok(if ascending { rank } else { !rank })
}

/// The order of entries: what their keys leave open is looked up.
fn order<R: Replicated>(store: &Store<R>, column: &'static Column<R>, ascending: bool, wide: bool) -> impl Fn(Entry, Entry) -> Ordering {
    move |a, b| {
        let (one, other) = (a.key, b.key);
        one.cmp(&other).then_with(|| {
            if a.place == b.place {
                return Ordering::Equal;
            }
            let ties = || store.tie(a.place).cmp(&store.tie(b.place));
            // The largest key may be that of a cell or of none.
            if wide || one == u64::MAX {
                let (Some(one), Some(other)) = (store.row(a.place), store.row(b.place)) else { return ties() };
                return compare(&(column.cell)(&one), &(column.cell)(&other), ascending).then_with(ties);
            }
            ties()
        })
    }
}

impl<R: Replicated> Index<R> {
    /// Over all rows of `store`, as a view wants them.
    pub(super) fn build(view: View, plan: Plan<R>, store: &Store<R>, now_ms: u64) -> Self {
        let arranged = match &plan.order {
            Order::Rows { .. } => Arranged::Rows { labels: Labels::default(), sorted: Sorted::default() },
            Order::Groups { grouping, .. } => Arranged::Groups(Groups::new(*grouping)),
        };
        let change = Change::default();
        let mut index =
            Self { view, plan, matched: Places::default(), sums: Sums::default(), arranged, flips: BTreeSet::new(), now_ms, change };
        index.fill(store);
        index
    }

    /// Whether it shows what this view does, but for the window.
    pub(super) fn serves(&self, view: &View) -> bool {
        (&self.view.filter, &self.view.sort, &self.view.group) == (&view.filter, &view.sort, &view.group)
    }

    /// Anew, from all rows.
    fn fill(&mut self, store: &Store<R>) {
        self.matched.clear();
        self.sums = Sums::default();
        self.flips.clear();
        self.change = Change::default();
        if let Order::Groups { grouping, .. } = self.plan.order {
            return self.fill_groups(grouping, store);
        }
        let Order::Rows { column, ascending } = self.plan.order else { return };
        let mut texts = Collector::default();
        for (place, row) in store.rows() {
            if self.matches(place, &row) {
                self.count(place, &row, store);
                if column.kind == Kind::Text
                    && let Cell::Text(text) = (column.cell)(&row)
                {
                    texts.add(&text);
                }
            }
        }
        let labels = texts.finish();
        let matched = store.rows().filter(|(place, _)| self.matched.has(*place));
        // Room for all at once: it is given back as a whole.
        let length = self.sums.rows as usize;
        let sorted = if labels.wide {
            let mut all = Vec::with_capacity(length);
            all.extend(matched.map(|(place, row)| {
                let text = match (column.cell)(&row) {
                    Cell::Text(text) => Some(Box::<str>::from(text)),
                    _ => None,
                };
                let key = if text.is_none() || !ascending { u64::MAX } else { 0 };
                (text, row.tie(), Entry { key, place })
            }));
            all.sort_unstable_by(|one, other| {
                let by_text = match (&one.0, &other.0) {
                    (Some(one), Some(other)) if ascending => one.cmp(other),
                    (Some(one), Some(other)) => other.cmp(one),
                    (one, other) => Reverse(one.is_some()).cmp(&Reverse(other.is_some())),
                };
                by_text.then_with(|| one.1.cmp(&other.1))
            });
            Sorted::of(&all.into_iter().map(|(_, _, entry)| entry).collect::<Vec<_>>())
        } else {
            let mut all = Vec::with_capacity(length);
            all.extend(matched.map(|(place, row)| {
                let cell = (column.cell)(&row);
                let key = key(&cell, ascending, |text| Ok(labels.known(text))).unwrap_or(0);
                (key, cell == Cell::None, row.tie(), place)
            }));
            all.sort_unstable();
            Sorted::of(&all.into_iter().map(|(key, _, _, place)| Entry { key, place }).collect::<Vec<_>>())
        };
        self.arranged = Arranged::Rows { labels, sorted };
    }

    fn fill_groups(&mut self, grouping: Grouping, store: &Store<R>) {
        self.arranged = Arranged::Groups(Groups::new(grouping));
        for (place, row) in store.rows() {
            if self.matches(place, &row) {
                self.enter(place, &row, store);
            }
        }
        self.finish(store);
    }

    /// Whether the row at a place matches now; remembers when that changes with time.
    fn matches(&mut self, place: u32, row: &R) -> bool {
        if self.plan.filter.is_empty() {
            return true;
        }
        self.flips.extend(self.plan.filter.changes_at(row, self.now_ms).map(|at| (at, place)));
        self.plan.filter.matches(row, self.now_ms)
    }

    /// So many changes follow.
    pub(super) fn begin(&mut self, changes: usize) {
        // Groups look for themselves how many of them change.
        let length = if let Arranged::Rows { sorted, .. } = &self.arranged { sorted.len() } else { 0 };
        self.change.bulk = changes > FEW && changes * ONE_IN > length;
    }

    /// A row is new at a place; `store` has it.
    pub(super) fn insert(&mut self, place: u32, row: &R, store: &Store<R>) {
        if self.matches(place, row) {
            self.enter(place, row, store);
        }
    }

    /// Counts a row that matches.
    fn count(&mut self, place: u32, row: &R, store: &Store<R>) {
        let first = R::ONE_ROW_PER_OBJECT || !store.shared(place, |other| self.matched.has(other));
        self.sums.add(row, first);
        self.matched.add(place);
    }

    fn enter(&mut self, place: u32, row: &R, store: &Store<R>) {
        self.count(place, row, store);
        match (&mut self.arranged, &self.plan.order) {
            (Arranged::Groups(groups), Order::Groups { column, .. }) => {
                groups.add(place, row, &text((column.cell)(row)), |counts| store.shared(place, counts));
            }
            (Arranged::Rows { labels, sorted }, Order::Rows { column, ascending }) => {
                let Ok(key) = key(&(column.cell)(row), *ascending, |text| labels.label(text)) else {
                    self.change.stale = true;
                    return;
                };
                let entry = Entry { key, place };
                if self.change.bulk || self.change.stale {
                    self.change.added.push(entry);
                } else {
                    sorted.insert(entry, order(store, column, *ascending, labels.wide));
                }
            }
            _ => {}
        }
    }

    /// A row leaves its place; `store` still has it.
    pub(super) fn remove(&mut self, place: u32, row: &R, store: &Store<R>) {
        if !self.matched.take(place) {
            return;
        }
        let last = R::ONE_ROW_PER_OBJECT || !store.shared(place, |other| self.matched.has(other));
        self.sums.remove(row, last);
        match (&mut self.arranged, &self.plan.order) {
            (Arranged::Groups(groups), _) => groups.remove(place, row, |counts| store.shared(place, counts)),
            (Arranged::Rows { labels, sorted }, Order::Rows { column, ascending }) => {
                if self.change.bulk || self.change.stale {
                    self.change.gone.add(place);
                    return;
                }
                let key = key(&(column.cell)(row), *ascending, |text| Ok(labels.known(text))).unwrap_or(0);
                // One that is not found is in no order that can be trusted.
                self.change.stale |= !sorted.remove(Entry { key, place }, order(store, column, *ascending, labels.wide));
            }
            _ => {}
        }
    }

    /// All changes are told.
    pub(super) fn finish(&mut self, store: &Store<R>) {
        let change = std::mem::take(&mut self.change);
        // Times of rows that are gone go with the order that they were noted for.
        if change.stale || self.flips.len() > 2 * store.len() + FLIPS {
            return self.fill(store);
        }
        match (&mut self.arranged, &self.plan.order) {
            (Arranged::Groups(groups), _) => groups.finish(),
            (Arranged::Rows { labels, sorted }, Order::Rows { column, ascending }) if change.bulk => {
                let Change { gone, mut added, .. } = change;
                let order = order(store, column, *ascending, labels.wide);
                added.sort_unstable_by(|a, b| order(*a, *b));
                sorted.exchange(|place| gone.has(place), &added, order);
            }
            _ => {}
        }
    }

    /// Time goes on.
    pub(super) fn advance(&mut self, now_ms: u64, store: &Store<R>) {
        let back = now_ms < self.now_ms;
        self.now_ms = now_ms;
        if !self.plan.filter.depends_on_age() {
            return;
        }
        if back {
            return self.fill(store);
        }
        let mut due: Vec<u32> = Vec::new();
        while let Some((at, place)) = self.flips.first().copied().filter(|(at, _)| *at <= now_ms) {
            self.flips.remove(&(at, place));
            due.push(place);
        }
        due.sort_unstable();
        due.dedup();
        self.begin(due.len());
        for place in due {
            // There may be another row by now, or none.
            let Some(row) = store.row(place) else { continue };
            match (self.matched.has(place), self.matches(place, &row)) {
                (true, false) => self.remove(place, &row, store),
                (false, true) => self.enter(place, &row, store),
                _ => {}
            }
        }
        self.finish(store);
    }

    /// What a view shows.
    pub(super) fn window(&self, range: Range, store: &Store<R>) -> Window {
        let cut = |items: usize| {
            let len = (range.len as usize).min(items);
            (usize::try_from(range.start).unwrap_or(usize::MAX).min(items - len), len)
        };
        let rows = store.len() as u64;
        match &self.arranged {
            Arranged::Rows { sorted, .. } => {
                let (start, len) = cut(sorted.len());
                let shown = sorted.places(start).take(len).filter_map(|place| store.row(place).map(Cow::into_owned)).collect();
                Window { totals: self.sums.totals(rows, 0), start: start as u64, rows: R::rows(shown) }
            }
            Arranged::Groups(groups) => {
                let (start, len) = cut(groups.len());
                let shown = groups.rows(start).take(len).cloned().collect();
                Window { totals: self.sums.totals(rows, groups.len() as u64), start: start as u64, rows: Rows::Groups(shown) }
            }
        }
    }

    /// Bytes that it takes of memory.
    pub(super) fn bytes(&self) -> usize {
        let arranged = match &self.arranged {
            Arranged::Rows { sorted, .. } => sorted.bytes(),
            Arranged::Groups(groups) => groups.bytes(),
        };
        // What a tree takes for each of its numbers, about.
        arranged + self.matched.bytes() + self.flips.len() * 2 * size_of::<(u64, u32)>()
    }
}
