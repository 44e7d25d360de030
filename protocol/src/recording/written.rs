//! What of a table is in a segment already. The rows are kept as they are: those that are still the same are neither written as JSON nor
//! read, so that a picture of a table costs what has changed in it, and a comparison for each other row.

use std::collections::HashMap;

use crate::column::{RowKey, Table};
use crate::error::Error;
use crate::record::{ActorRow, EventRow, ObjectRow, PostMortemRow, ProcessRow, ReferenceRow, SiteRow, SpillFileRow, StoreRow, TaskRow};
use crate::stream::Totals;
use crate::window::{ENVELOPE, Payload, RowText, Shown, Window, name, write_row};

/// What was written of a table, without the type of its rows.
pub(super) trait Written: Send {
    /// What has to be written, in at most `limit` bytes, so that a reader has the first rows of `window` that there is room for; nothing when
    /// he has them. From then on they count as written.
    ///
    /// # Errors
    /// [`Error::Encode`], which no row can bring about by its values.
    fn update(&mut self, id: u32, window: Window, limit: usize) -> Result<Option<Payload>, Error>;

    /// How many rows count as written.
    fn rows(&self) -> usize;

    /// Nothing counts as written any more.
    fn forget(&mut self);
}

/// Nothing of a table yet.
pub(super) fn nothing_of(table: Table) -> Box<dyn Written> {
    match table {
        Table::References => Box::new(Last::<ReferenceRow>::default()),
        Table::Objects => Box::new(Last::<ObjectRow>::default()),
        Table::Sites => Box::new(Last::<SiteRow>::default()),
        Table::Processes => Box::new(Last::<ProcessRow>::default()),
        Table::Tasks => Box::new(Last::<TaskRow>::default()),
        Table::Actors => Box::new(Last::<ActorRow>::default()),
        Table::PostMortem => Box::new(Last::<PostMortemRow>::default()),
        Table::Events => Box::new(Last::<EventRow>::default()),
        Table::SpillFiles => Box::new(Last::<SpillFileRow>::default()),
        Table::Store => Box::new(Last::<StoreRow>::default()),
    }
}

/// A row that was written.
struct Line<R> {
    row: R,
    key: RowKey,
    /// Of its JSON.
    bytes: usize,
}

/// See the module.
struct Last<R> {
    /// Nothing before anything was written.
    totals: Option<(Totals, u64)>,
    lines: Vec<Line<R>>,
}

impl<R> Default for Last<R> {
    fn default() -> Self {
        Self { totals: None, lines: Vec::new() }
    }
}

fn json<R: Shown>(row: &R) -> Result<String, Error> {
    write_row(row, &[]).map_err(|cause| Error::Encode { kind: "row".to_owned(), cause: cause.to_string() })
}

impl<R: Shown> Last<R> {
    /// Where each row stood before that does not stand there still; of rows that stand where they stood nothing is looked up.
    fn moved(&self, rows: &[R]) -> HashMap<R::Tie, usize, foldhash::fast::RandomState> {
        let stays = |(line, row): (&Line<R>, &R)| line.row.tie() == row.tie();
        if self.lines.iter().zip(rows).all(stays) {
            return HashMap::default();
        }
        self.lines.iter().enumerate().map(|(place, line)| (line.row.tie(), place)).collect()
    }

    /// All that counts as written, as JSON; those that `changed` are there.
    fn texts(&self, changed: Vec<RowText>) -> Result<Vec<RowText>, Error> {
        if changed.len() == self.lines.len() {
            return Ok(changed);
        }
        self.lines.iter().map(|line| Ok(RowText { key: line.key.clone(), json: json(&line.row)? })).collect()
    }
}

impl<R: Shown> Written for Last<R> {
    fn update(&mut self, id: u32, window: Window, limit: usize) -> Result<Option<Payload>, Error> {
        let name = name(&window.rows);
        let rows = R::owned(window.rows);
        let (whole, moved) = (rows.len(), self.moved(&rows));
        let mut before: Vec<Option<Line<R>>> = std::mem::take(&mut self.lines).into_iter().map(Some).collect();
        let had = before.len();
        let (mut same_order, mut changed) = (true, Vec::new());
        let mut left = limit.saturating_sub(ENVELOPE);
        for (place, row) in rows.into_iter().enumerate() {
            let was = if moved.is_empty() { Some(place) } else { moved.get(&row.tie()).copied() };
            let line = was.and_then(|was| before.get_mut(was)).and_then(Option::take);
            let (line, new) = match line {
                Some(line) if line.row == row => (line, None),
                line => {
                    let json = json(&row)?;
                    let key = line.map_or_else(|| row.key(), |line| line.key);
                    (Line { row, key: key.clone(), bytes: json.len() }, Some(RowText { key, json }))
                }
            };
            let Some(rest) = left.checked_sub(line.bytes + 1) else { break };
            left = rest;
            same_order &= was == Some(place);
            changed.extend(new);
            self.lines.push(line);
        }
        same_order &= self.lines.len() == had;
        let totals = Totals { cut: window.totals.cut + (whole - self.lines.len()) as u64, ..window.totals };
        let before = self.totals.replace((totals, window.start));
        if before == self.totals && same_order && changed.is_empty() {
            return Ok(None);
        }
        if before.is_some() {
            let order = (!same_order).then(|| self.lines.iter().map(|line| line.key.as_str()).collect());
            let rows: Vec<&RowText> = changed.iter().collect();
            if let Some(delta) = Payload::delta(id, &totals, window.start, order, name, &rows, limit)? {
                return Ok(Some(delta));
            }
        }
        Payload::snapshot(id, &totals, window.start, name, &self.texts(changed)?).map(Some)
    }

    fn rows(&self) -> usize {
        self.lines.len()
    }

    fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::column::Record;
    use crate::id::ProcessId;
    use crate::stream::{Body, Frame, Rows};

    /// What a reader of the lines has.
    #[derive(Default)]
    struct Reader {
        totals: Totals,
        rows: Vec<ProcessRow>,
    }

    impl Reader {
        fn read(&mut self, payload: &Payload, limit: usize) {
            let frame = payload.frame(1, 1, 0);
            assert!(frame.len() <= limit + ENVELOPE, "{}", frame.len());
            match serde_json::from_str::<Frame>(&frame).unwrap().body {
                Body::Snapshot { totals, rows: Rows::Processes(rows), .. } => *self = Self { totals, rows },
                Body::Delta { totals, order, rows: Rows::Processes(changed), .. } => {
                    let order = order.unwrap_or_else(|| self.rows.iter().map(ProcessRow::key).collect());
                    let known = changed.iter().chain(&self.rows);
                    let rows = order.iter().map(|key| known.clone().find(|row| row.key() == *key).unwrap().clone()).collect();
                    *self = Self { totals, rows };
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn table() -> impl Strategy<Value = Vec<(u32, u64)>> {
        proptest::collection::vec((0_u32..30, 0_u64..3), 0..40)
    }

    proptest! {
        /// Lines bring up to date, whatever changed, and there are none when nothing did.
        #[test]
        fn a_reader_has_the_first_rows_that_there_is_room_for(
            tables in proptest::collection::vec((table(), any::<bool>(), 0_usize..9), 1..12),
            limit in 2_000_usize..12_000,
        ) {
            let query = crate::window::Query::whole(Table::Processes).unwrap();
            let (mut written, mut reader) = (nothing_of(Table::Processes), Reader::default());
            let mut last = Vec::new();
            for (step, (mut rows, same, forget)) in tables.into_iter().enumerate() {
                if same && step > 0 {
                    rows.clone_from(&last);
                }
                last.clone_from(&rows);
                let known: std::collections::BTreeMap<u32, u64> = rows.into_iter().collect();
                let rows = known.into_iter().map(|(id, heap_bytes)| ProcessRow {
                    process: ProcessId(id), heap_bytes, name: "x".repeat(20 * id as usize).into(), ..ProcessRow::default()
                });
                let window = query.window(&Rows::Processes(rows.collect()), 1);
                let Rows::Processes(wanted) = window.rows.clone() else { panic!() };
                let totals = window.totals;
                let again = step > 0 && same && forget > 0;
                if forget == 0 {
                    written.forget();
                }
                let payload = written.update(7, window.clone(), limit).unwrap();
                prop_assert!(!(again && payload.is_some()), "nothing has changed");
                if let Some(payload) = payload {
                    reader.read(&payload, limit);
                }
                let mut left = limit - ENVELOPE;
                let fits = wanted.iter().take_while(|row| {
                    left.checked_sub(serde_json::to_string(row).unwrap().len() + 1).inspect(|rest| left = *rest).is_some()
                });
                let fits: Vec<ProcessRow> = fits.cloned().collect();
                prop_assert_eq!(&reader.rows, &fits);
                prop_assert_eq!((reader.totals.rows, reader.totals.cut), (totals.rows, (wanted.len() - fits.len()) as u64));
                prop_assert_eq!(written.rows(), fits.len());
                prop_assert_eq!(written.update(7, window, limit).unwrap(), None);
            }
        }
    }
}
