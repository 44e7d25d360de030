//! A viewer's replica of the long tables: told what changes, in portions of any size, it must come to hold what the core shows. And what
//! a recording takes of them.

use plasmon_agent::reactor::Core;
use plasmon_agent::telemetry::tables::{Tables, fetch};
use plasmon_protocol::column::{Record, Table};
use plasmon_protocol::stream::Rows;
use plasmon_protocol::window::live::{Live, live};
use plasmon_protocol::window::{Query, count};

use super::model::Check;

const TABLES: [Table; 6] = [Table::References, Table::Objects, Table::Tasks, Table::Sites, Table::Actors, Table::Processes];

#[derive(Default)]
pub(crate) struct Follower {
    replicas: [Option<Box<dyn Live>>; TABLES.len()],
    looks: usize,
}

fn sorted<R: Record>(mut rows: Vec<R>) -> Vec<R> {
    rows.sort_by_cached_key(Record::key);
    rows
}

fn same(one: Rows, other: Rows) -> bool {
    match (one, other) {
        (Rows::References(one), Rows::References(other)) => sorted(one) == sorted(other),
        (Rows::Objects(one), Rows::Objects(other)) => sorted(one) == sorted(other),
        (Rows::Tasks(one), Rows::Tasks(other)) => sorted(one) == sorted(other),
        (Rows::Sites(one), Rows::Sites(other)) => sorted(one) == sorted(other),
        (Rows::Actors(one), Rows::Actors(other)) => sorted(one) == sorted(other),
        (Rows::Processes(one), Rows::Processes(other)) => sorted(one) == sorted(other),
        _ => false,
    }
}

/// What a table is ordered by unless somebody wants another order; which of equals come first does not matter for a recording.
fn order(rows: &Rows) -> Vec<Option<u64>> {
    let mut order: Vec<Option<u64>> = match rows {
        Rows::References(rows) => rows.iter().map(|row| row.size_bytes).collect(),
        Rows::Objects(rows) => rows.iter().map(|row| row.size_bytes).collect(),
        Rows::Sites(rows) => rows.iter().map(|row| Some(row.held_bytes)).collect(),
        Rows::Processes(rows) => rows.iter().map(|row| Some(row.heap_bytes)).collect(),
        Rows::Actors(rows) => rows.iter().map(|row| Some(row.heap_bytes)).collect(),
        // The oldest first.
        Rows::Tasks(rows) => rows.iter().map(|row| Some(u64::MAX - row.submitted_ms)).collect(),
        _ => Vec::new(),
    };
    order.sort_unstable_by(|one, other| other.cmp(one));
    order
}

/// What a recording takes of a table are its first rows, with the totals of all.
fn first_rows(core: &Core, table: Table, limit: usize) -> Check {
    let (taken, all) = (core.take(table, limit), fetch(core, table));
    let totals = Query::whole(table).map_err(|error| error.to_string())?.window(&all, core.now_ms()).totals;
    let cut = count(&all) > limit;
    let mut wanted = order(&all);
    wanted.truncate(if cut { limit } else { wanted.len() });
    if order(&taken.rows) != wanted || taken.totals != cut.then_some(totals) {
        return Err(format!("{table:?}: the first {limit} of {all:?} are not {taken:?}"));
    }
    Ok(())
}

impl Follower {
    /// Looks, after some changes and before others.
    pub(crate) fn look(&mut self, core: &mut Core) -> Check {
        self.looks += 1;
        for (nth, table) in TABLES.into_iter().enumerate() {
            let looks = self.looks + 3 * nth;
            // For a while nobody looks at all.
            if looks % 97 == 96 && self.replicas[nth].take().is_some() {
                core.unfollow(table);
            }
            if looks % 97 > 80 || !looks.is_multiple_of(3) {
                continue;
            }
            let begin = self.replicas[nth].is_none();
            let replica = self.replicas[nth].get_or_insert_with(|| live(table).unwrap_or_else(|| panic!("{table:?} is not followed")));
            // Few at a time, or all, whatever has been told by then.
            let most = [1, 2, 5, usize::MAX][looks / 3 % 4];
            let changed = core.follow(table, begin, most).ok_or("the core is not followed")?;
            let complete = changed.complete;
            replica.apply(&changed);
            let shown = || {
                let (mut rows, _) = replica.rows(0, usize::MAX);
                core.complete(&mut rows);
                rows
            };
            if complete && !same(shown(), fetch(core, table)) {
                let (replica, core) = (shown(), fetch(core, table));
                return Err(format!("{table:?}: a follower has {replica:?}, the core {core:?}"));
            }
            if complete {
                first_rows(core, table, [0, 1, 3, 8][looks / 3 % 4])?;
            }
        }
        Ok(())
    }
}
