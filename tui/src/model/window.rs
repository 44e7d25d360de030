//! One subscribed window: some rows of a table in the agent's order, with exact totals over the whole table.

use std::collections::HashMap;

use plasmon_protocol::column::{Record, RowKey, Table};
use plasmon_protocol::record::{
    ActorRow, EventRow, ObjectRow, PostMortemRow, ProcessRow, ReferenceRow, SiteRow, SpillFileRow, StoreRow, TaskRow,
};
use plasmon_protocol::stream::{GroupRow, Rows, Totals};

/// A delta that names rows which neither it nor the window has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Misfit;

/// A run of rows. `keys` and the rows are parallel.
#[derive(Clone, PartialEq, Debug)]
pub struct Window {
    /// Exact totals.
    pub totals: Totals,
    /// The first row's place in the order.
    pub start: u64,
    /// The rows' keys, in order.
    pub keys: Vec<RowKey>,
    /// The rows, in order.
    pub rows: Rows,
}

/// Rows that a window can hold, taken out of the wire's sum of them.
pub trait Tabled: Sized {
    /// The rows, when the window is of this kind.
    fn of(rows: &Rows) -> Option<&[Self]>;

    /// What tells the row from all others of its table.
    fn row_key(&self) -> RowKey;
}

macro_rules! tabled {
    ($($row:ty, $variant:ident, $key:expr;)+) => {
        $(impl Tabled for $row {
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
        })+

        fn keys(rows: &Rows) -> Vec<RowKey> {
            match rows { $(Rows::$variant(rows) => rows.iter().map(Tabled::row_key).collect()),+ }
        }

        /// How many rows.
        #[must_use]
        pub fn len(rows: &Rows) -> usize {
            match rows { $(Rows::$variant(rows) => rows.len()),+ }
        }

        fn merge(old: &mut Rows, keys: &mut Vec<RowKey>, order: Option<Vec<RowKey>>, changed: Rows) -> Result<(), Misfit> {
            match (old, changed) {
                $((Rows::$variant(old), Rows::$variant(changed)) => splice(old, keys, order, changed),)+
                _ => Err(Misfit),
            }
        }
    };
}

tabled! {
    ReferenceRow, References, Record::key;
    ObjectRow, Objects, Record::key;
    SiteRow, Sites, Record::key;
    ProcessRow, Processes, Record::key;
    TaskRow, Tasks, Record::key;
    ActorRow, Actors, Record::key;
    PostMortemRow, PostMortem, Record::key;
    EventRow, Events, Record::key;
    SpillFileRow, SpillFiles, Record::key;
    StoreRow, Store, Record::key;
    GroupRow, Groups, |row| row.key.clone();
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

fn splice<R: Tabled>(old: &mut Vec<R>, keys: &mut Vec<RowKey>, order: Option<Vec<RowKey>>, changed: Vec<R>) -> Result<(), Misfit> {
    let Some(order) = order else {
        let places: HashMap<&RowKey, usize> = keys.iter().enumerate().map(|(place, key)| (key, place)).collect();
        for row in changed {
            let place = *places.get(&row.row_key()).ok_or(Misfit)?;
            old[place] = row;
        }
        return Ok(());
    };
    let mut pool: HashMap<RowKey, R> = std::mem::take(keys).into_iter().zip(old.drain(..)).collect();
    pool.extend(changed.into_iter().map(|row| (row.row_key(), row)));
    for key in order {
        old.push(pool.remove(&key).ok_or(Misfit)?);
        keys.push(key);
    }
    Ok(())
}

impl Window {
    /// A whole window.
    #[must_use]
    pub fn new(totals: Totals, start: u64, rows: Rows) -> Self {
        Self { totals, start, keys: keys(&rows), rows }
    }

    /// Takes a delta in.
    ///
    /// # Errors
    /// When it does not fit; the window is then of no use until the next snapshot, but stays consistent in itself.
    pub fn apply(&mut self, totals: Totals, start: u64, order: Option<Vec<RowKey>>, rows: Rows) -> Result<(), Misfit> {
        self.totals = totals;
        self.start = start;
        merge(&mut self.rows, &mut self.keys, order, rows)
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
                prop_assert_eq!(replica.apply(pair[1].totals, pair[1].start, order, changed), Ok(()));
                prop_assert_eq!(&replica, &pair[1]);
            }
        }

        #[test]
        fn any_delta_leaves_keys_and_rows_parallel(
            first in rows(), order in proptest::option::of(proptest::collection::vec(0_u32..14, 0..12)), changed in rows()
        ) {
            let mut replica = snapshot(first.0, &first.1);
            let order = order.map(|order| order.iter().map(u32::to_string).collect());
            let _ = replica.apply(Totals::default(), 0, order, snapshot(0, &changed.1).rows);
            prop_assert_eq!(keys(&replica.rows), replica.keys);
        }
    }

    #[test]
    fn a_delta_of_another_kind_is_a_misfit() {
        let mut replica = snapshot(0, &[(1, 1)]);
        assert_eq!(replica.apply(Totals::default(), 0, None, none(Table::Tasks)), Err(Misfit));
        assert_eq!(replica.apply(Totals::default(), 0, None, snapshot(0, &[(2, 1)]).rows), Err(Misfit));
        assert_eq!(replica.apply(Totals::default(), 0, Some(vec!["3".into()]), none(Table::Sites)), Err(Misfit));
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
