//! One subscribed window: some rows of a table in the agent's order, with exact totals over the whole table.

use std::collections::HashMap;

use plasmon_protocol::column::{Record, RowKey, Table};
use plasmon_protocol::id::NodeId;
use plasmon_protocol::record::{
    ActorRow, EventRow, ObjectRow, PostMortemRow, ProcessRow, ReferenceRow, SiteRow, SpillFileRow, StoreRow, TaskRow,
};
use plasmon_protocol::stream::{GroupRow, Rows, Totals};

use super::apart::agent_of;

/// Changed numbers are marked for so long, milliseconds.
pub const NEWS_MS: u64 = 1_000;

/// A delta that names rows which neither it nor the window has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Misfit;

/// Rows as they were before the last change, and when that came.
#[derive(Clone, Debug)]
struct Was {
    at_ms: u64,
    totals: Totals,
    places: HashMap<RowKey, usize>,
    rows: Rows,
}

/// A run of rows. `keys` and the rows are parallel. What rows were before makes no difference between windows.
#[derive(Clone, Debug)]
pub struct Window {
    /// Exact totals.
    pub totals: Totals,
    /// The first row's place in the order.
    pub start: u64,
    /// The rows' keys, in order.
    pub keys: Vec<RowKey>,
    /// The rows, in order.
    pub rows: Rows,
    was: Option<Was>,
    revision: u64,
}

impl PartialEq for Window {
    fn eq(&self, other: &Self) -> bool {
        (self.totals, self.start, &self.keys, &self.rows) == (other.totals, other.start, &other.keys, &other.rows)
    }
}

/// Whose a row is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// The agent's with this number, by an id that was moved apart.
    Agent(usize),
    /// The node's.
    Node(NodeId),
    /// Of all, or nobody knows.
    Nobody,
}

/// Rows that a window can hold, taken out of the wire's sum of them.
pub trait Tabled: Sized {
    /// The rows, when the window is of this kind.
    fn of(rows: &Rows) -> Option<&[Self]>;

    /// Whether it stands for others.
    const GROUPED: bool;

    /// What tells the row from all others of its table.
    fn row_key(&self) -> RowKey;

    /// When it came to be, of rows that do not grow; milliseconds since the Unix epoch.
    fn born_ms(&self) -> Option<u64>;

    /// Whose row it is, where several agents are merged.
    fn owner(&self) -> Owner;

    /// What it weighs in its table: bytes; groups of tasks, which have none, weigh their rows.
    fn weight(&self, table: Table) -> Option<u64>;
}

macro_rules! tabled {
    ($($row:ty, $variant:ident, $grouped:literal, $key:expr, $born:expr, $weight:expr, $owner:expr;)+) => {
        $(impl Tabled for $row {
            const GROUPED: bool = $grouped;

            fn of(rows: &Rows) -> Option<&[Self]> {
                match rows {
                    Rows::$variant(rows) => Some(rows),
                    _ => None,
                }
            }

            fn row_key(&self) -> RowKey {
                let key: fn(&Self) -> RowKey = $key;
                key(self)
            }

            fn born_ms(&self) -> Option<u64> {
                let born: fn(&Self) -> Option<u64> = $born;
                born(self)
            }

            fn owner(&self) -> Owner {
                let owner: fn(&Self) -> Owner = $owner;
                owner(self)
            }

            fn weight(&self, table: Table) -> Option<u64> {
                let weight: fn(&Self, Table) -> Option<u64> = $weight;
                weight(self, table)
            }
        })+

        /// What each row of a table weighs.
        #[must_use]
        pub fn weights(rows: &Rows, table: Table) -> Vec<u64> {
            match rows { $(Rows::$variant(rows) => rows.iter().map(|row| row.weight(table).unwrap_or(0)).collect()),+ }
        }

        /// Some rows, each by the number of its part and its place in it; none of other tables than the first part's.
        #[must_use]
        pub fn gather(parts: &[&Rows], places: &[(usize, usize)]) -> Option<Rows> {
            match parts.first()? {
                $(Rows::$variant(_) => {
                    let row = |&(part, at): &(usize, usize)| <$row as Tabled>::of(parts.get(part)?)?.get(at).cloned();
                    Some(Rows::$variant(places.iter().filter_map(row).collect()))
                })+
            }
        }

        /// One row with all its fields.
        #[must_use]
        pub fn json_of(rows: &Rows, at: usize) -> Option<serde_json::Value> {
            match rows { $(Rows::$variant(rows) => serde_json::to_value(rows.get(at)?).ok()),+ }
        }

        /// All rows with all their fields.
        #[must_use]
        pub fn json_rows(rows: &Rows) -> serde_json::Value {
            match rows { $(Rows::$variant(rows) => serde_json::to_value(rows).unwrap_or_default()),+ }
        }

        fn keys(rows: &Rows) -> Vec<RowKey> {
            match rows { $(Rows::$variant(rows) => rows.iter().map(Tabled::row_key).collect()),+ }
        }

        /// How many rows.
        #[must_use]
        pub fn len(rows: &Rows) -> usize {
            match rows { $(Rows::$variant(rows) => rows.len()),+ }
        }

        fn merge(old: &mut Rows, keys: &mut Vec<RowKey>, order: Option<Vec<RowKey>>, changed: Rows) -> Result<Rows, Misfit> {
            match (old, changed) {
                $((Rows::$variant(old), Rows::$variant(changed)) => splice(old, keys, order, changed).map(Rows::$variant),)+
                _ => Err(Misfit),
            }
        }
    };
}

tabled! {
    ReferenceRow, References, false, Record::key, |row| Some(row.since_ms), |row, _| row.size_bytes, |row| Owner::Node(row.node);
    ObjectRow, Objects, false, Record::key, |row| Some(row.created_ms), |row, _| row.size_bytes, |row| Owner::Node(row.object_id.node());
    SiteRow, Sites, false, Record::key, |_| None, |row, _| Some(row.held_bytes), |row| Owner::Agent(agent_of(row.site.id.0));
    ProcessRow, Processes, false, Record::key, |_| None, |row, _| Some(row.heap_bytes), |row| Owner::Agent(agent_of(row.process.0));
    TaskRow, Tasks, false, Record::key, |row| Some(row.submitted_ms), |_, _| None, |row| Owner::Node(row.task_id.node());
    ActorRow, Actors, false, Record::key, |_| None, |row, _| Some(row.held_bytes), |row| Owner::Node(row.actor_id.node());
    PostMortemRow, PostMortem, false, Record::key, |row| Some(row.died_ms), |row, _| Some(row.held_bytes), |row| Owner::Agent(agent_of(row.process.0));
    EventRow, Events, false, Record::key, |row| Some(row.at_ms), |_, _| None, |row| Owner::Agent(agent_of(u32::try_from(row.number / 1_000_000).unwrap_or(0)));
    SpillFileRow, SpillFiles, false, Record::key, |_| None, |row, _| Some(row.live_bytes), |row| Owner::Agent(agent_of(row.file.0));
    StoreRow, Store, false, Record::key, |_| None, |_, _| None, |_| Owner::Nobody;
    GroupRow, Groups, true, |row| row.key.clone(), |_| None, |row, table| Some(if table == Table::Tasks { row.rows } else { row.bytes }), |_| Owner::Nobody;
}

/// No rows of a table.
#[must_use]
pub fn none(table: Table) -> Rows {
    match table {
        Table::References => Rows::References(Vec::new()),
        Table::Objects => Rows::Objects(Vec::new()),
        Table::Sites => Rows::Sites(Vec::new()),
        Table::Processes => Rows::Processes(Vec::new()),
        Table::Tasks => Rows::Tasks(Vec::new()),
        Table::Actors => Rows::Actors(Vec::new()),
        Table::PostMortem => Rows::PostMortem(Vec::new()),
        Table::Events => Rows::Events(Vec::new()),
        Table::SpillFiles => Rows::SpillFiles(Vec::new()),
        Table::Store => Rows::Store(Vec::new()),
    }
}

/// Takes changed rows in; what they were before.
fn splice<R: Tabled>(old: &mut Vec<R>, keys: &mut Vec<RowKey>, order: Option<Vec<RowKey>>, changed: Vec<R>) -> Result<Vec<R>, Misfit> {
    let mut was = Vec::new();
    let Some(order) = order else {
        let places: HashMap<&RowKey, usize> = keys.iter().enumerate().map(|(place, key)| (key, place)).collect();
        for row in changed {
            let place = *places.get(&row.row_key()).ok_or(Misfit)?;
            was.push(std::mem::replace(&mut old[place], row));
        }
        return Ok(was);
    };
    let mut pool: HashMap<RowKey, R> = std::mem::take(keys).into_iter().zip(old.drain(..)).collect();
    was.extend(changed.into_iter().filter_map(|row| pool.insert(row.row_key(), row)));
    for key in order {
        old.push(pool.remove(&key).ok_or(Misfit)?);
        keys.push(key);
    }
    Ok(was)
}

impl Window {
    /// A whole window.
    #[must_use]
    pub fn new(totals: Totals, start: u64, rows: Rows) -> Self {
        Self { totals, start, keys: keys(&rows), rows, was: None, revision: 0 }
    }

    /// What tells it from all that the same model ever had, itself before a change included: 0 before a model took it.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn revise(&mut self, revision: u64) {
        self.revision = revision;
    }

    /// Takes a delta in, of this instant by the agent's clock; 0 where nobody asks what rows were before.
    ///
    /// # Errors
    /// When it does not fit; the window is then of no use until the next snapshot, but stays consistent in itself.
    pub fn apply(&mut self, totals: Totals, start: u64, order: Option<Vec<RowKey>>, rows: Rows, at_ms: u64) -> Result<(), Misfit> {
        let were = std::mem::replace(&mut self.totals, totals);
        self.start = start;
        let rows = merge(&mut self.rows, &mut self.keys, order, rows)?;
        if at_ms == 0 {
            return Ok(());
        }
        let places = keys(&rows).into_iter().enumerate().map(|(place, key)| (key, place)).collect();
        self.was = Some(Was { at_ms, totals: were, places, rows });
        Ok(())
    }

    /// What a row was before the last change, while that is news: for [`NEWS_MS`] after it.
    #[must_use]
    pub fn was<R: Tabled>(&self, row: &R, now_ms: u64) -> Option<&R> {
        let was = self.was.as_ref().filter(|was| now_ms < was.at_ms + NEWS_MS)?;
        R::of(&was.rows)?.get(*was.places.get(&row.row_key())?)
    }

    /// What the totals were before the last change, while that is news.
    #[must_use]
    pub fn totals_were(&self, now_ms: u64) -> Option<&Totals> {
        self.was.as_ref().filter(|was| now_ms < was.at_ms + NEWS_MS).map(|was| &was.totals)
    }

    /// Whether rows have changed just now.
    #[must_use]
    pub fn has_news(&self, now_ms: u64) -> bool {
        self.was.as_ref().is_some_and(|was| now_ms < was.at_ms + NEWS_MS && len(&was.rows) > 0)
    }

    /// The rows, when they are of this kind.
    #[must_use]
    pub fn of<R: Tabled>(&self) -> Option<&[R]> {
        R::of(&self.rows)
    }

    /// How many rows the order has: groups when the window is grouped, else rows that the filter lets through.
    #[must_use]
    pub fn count(&self) -> u64 {
        match self.rows {
            Rows::Groups(_) => self.totals.groups,
            _ => self.totals.matched,
        }
    }

    /// The place of a key in the order of the table, if the window has it.
    #[must_use]
    pub fn place(&self, key: &str) -> Option<u64> {
        self.keys.iter().position(|known| known == key).map(|place| self.start + place as u64)
    }

    /// The key at a place in the order of the table, if the window has it.
    #[must_use]
    pub fn key_at(&self, place: u64) -> Option<&RowKey> {
        self.keys.get(usize::try_from(place.checked_sub(self.start)?).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plasmon_protocol::id::SiteId;
    use plasmon_protocol::record::Site;
    use proptest::prelude::*;

    use super::*;

    fn site(id: u32, held: u64) -> SiteRow {
        SiteRow { site: Arc::new(Site { id: SiteId(id), ..Site::default() }), held_bytes: held, ..SiteRow::default() }
    }

    fn snapshot(start: u64, rows: &[(u32, u64)]) -> Window {
        let totals = Totals { rows: rows.len() as u64, matched: rows.len() as u64, ..Totals::default() };
        Window::new(totals, start, Rows::Sites(rows.iter().map(|(id, held)| site(*id, *held)).collect()))
    }

    /// What an agent sends between two snapshots: the order if it differs, and the rows that are new or differ.
    fn differ(from: &Window, to: &Window) -> (Option<Vec<RowKey>>, Rows) {
        let order = (from.keys != to.keys).then(|| to.keys.clone());
        let (before, after) = (from.of::<SiteRow>().unwrap(), to.of::<SiteRow>().unwrap());
        let changed = after.iter().filter(|row| !before.contains(row)).cloned().collect();
        (order, Rows::Sites(changed))
    }

    fn rows() -> impl Strategy<Value = (u64, Vec<(u32, u64)>)> {
        (0_u64..5, proptest::collection::btree_map(0_u32..12, 0_u64..4, 0..10)).prop_flat_map(|(start, rows)| {
            let rows: Vec<_> = rows.into_iter().collect();
            (Just(start), Just(rows).prop_shuffle())
        })
    }

    proptest! {
        #[test]
        fn a_snapshot_and_its_deltas_make_the_next_snapshot(steps in proptest::collection::vec(rows(), 1..8)) {
            let snapshots: Vec<Window> = steps.iter().map(|(start, rows)| snapshot(*start, rows)).collect();
            let mut replica = snapshots[0].clone();
            for pair in snapshots.windows(2) {
                let (order, changed) = differ(&pair[0], &pair[1]);
                prop_assert_eq!(replica.apply(pair[1].totals, pair[1].start, order, changed, 0), Ok(()));
                prop_assert_eq!(&replica, &pair[1]);
            }
        }

        #[test]
        fn any_delta_leaves_keys_and_rows_parallel(
            first in rows(), order in proptest::option::of(proptest::collection::vec(0_u32..14, 0..12)), changed in rows()
        ) {
            let mut replica = snapshot(first.0, &first.1);
            let order = order.map(|order| order.iter().map(u32::to_string).collect());
            let _ = replica.apply(Totals::default(), 0, order, snapshot(0, &changed.1).rows, 0);
            prop_assert_eq!(keys(&replica.rows), replica.keys);
        }
    }

    #[test]
    fn a_delta_of_another_kind_is_a_misfit() {
        let mut replica = snapshot(0, &[(1, 1)]);
        assert_eq!(replica.apply(Totals::default(), 0, None, none(Table::Tasks), 0), Err(Misfit));
        assert_eq!(replica.apply(Totals::default(), 0, None, snapshot(0, &[(2, 1)]).rows, 0), Err(Misfit));
        assert_eq!(replica.apply(Totals::default(), 0, Some(vec!["3".into()]), none(Table::Sites), 0), Err(Misfit));
    }

    #[test]
    fn what_rows_were_is_known_while_it_is_news() {
        let mut window = snapshot(0, &[(1, 10), (2, 20)]);
        let changed = snapshot(0, &[(1, 11)]);
        window.apply(window.totals, 0, None, changed.rows, 5_000).unwrap();
        let rows = window.of::<SiteRow>().unwrap();
        assert_eq!(window.was(&rows[0], 5_900).map(|was| was.held_bytes), Some(10));
        assert_eq!(window.was(&rows[1], 5_900), None, "it did not change");
        assert_eq!(window.was(&rows[0], 6_000), None, "it is no news any more");
        assert!(window.has_news(5_999) && !window.has_news(6_000));
    }

    #[test]
    fn places_count_from_the_start_of_the_table() {
        let window = snapshot(10, &[(4, 1), (5, 1)]);
        assert_eq!(window.place("5"), Some(11));
        assert_eq!(window.key_at(10).map(String::as_str), Some("4"));
        assert_eq!(window.key_at(9), None);
        assert_eq!(window.key_at(12), None);
    }
}
