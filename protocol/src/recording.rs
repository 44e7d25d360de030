//! A recording: the stream's own frames in a file, one a line, as a viewer would have got them that watches every table whole.
//!
//! It is made of *segments*. Each begins with a `hello`, counts its frames from 1, and goes on with a snapshot of every table; what follows
//! are deltas, or snapshots where those are shorter. So the front of a file can be dropped up to any `hello`, and nothing in it needs
//! what came before. The numbers of the tables are those of [`id_of`]; things in detail, as far as the tables don't tell, have the number
//! [`DETAILS`] ([`details`]). Readers skip details that they do not know. A line counts when its line feed is there: whatever ends the
//! writer leaves at most one torn line, the last.

pub mod details;
mod written;

use crate::column::Table;
use crate::error::Error;
use crate::record::NodeRow;
use crate::stream::{Body, Detail, Frame, Rows, Totals, View, Window as Span};
use crate::window::{ENVELOPE, Payload, Query, TABLES, count};
use written::{Written, nothing_of};

/// The version of recordings, which a `hello` in one carries in place of the stream's: higher when readers of an earlier one would take what
/// is new in it for damage. The first had no details.
pub const VERSION: u32 = 2;
/// What the file is called in a session's directory.
pub const FILE: &str = "recording.ndjson";
/// No recording that an agent keeps is larger, in bytes.
pub const MAX_FILE: u64 = 32 << 20;
/// How long what has happened stays in one that an agent keeps, milliseconds.
pub const KEPT_MS: u64 = 600_000;
/// Two pictures are this far apart at least, milliseconds, unless something asks for one at once.
pub const STEP_MS: u64 = 1_000;
/// Rows of one table that are looked at for a picture, the first in its order.
pub const MAX_ROWS: usize = 4_000;
/// No row of a table that can be long is shorter than this, bytes.
const LEAST_ROW: usize = 200;
/// No line is longer, in bytes: the largest share of a segment's beginning, and what surrounds it.
pub const MAX_LINE: usize = 2 << 20;

/// A segment is at least this long, milliseconds, unless its writer wants it to end.
const SEGMENT_MS: u64 = 60_000;
/// And at most this long, milliseconds.
const LONGEST_MS: u64 = 180_000;

/// What a table may take of a segment's beginning, in bytes; a tenth of [`MAX_FILE`] for all together.
#[must_use]
pub fn share(table: Table) -> usize {
    match table {
        Table::References => 832 << 10,
        Table::Objects => 640 << 10,
        Table::Tasks => 512 << 10,
        Table::Sites | Table::Actors => 256 << 10,
        Table::Events => 192 << 10,
        Table::Processes => 128 << 10,
        Table::PostMortem => 32 << 10,
        Table::SpillFiles | Table::Store => 64 << 10,
    }
}

/// Rows of a table that may have room in a picture: no more need be looked at.
#[must_use]
pub fn most_rows(table: Table) -> usize {
    (share(table) / LEAST_ROW).min(MAX_ROWS)
}

/// The number that a table's frames carry.
#[must_use]
pub fn id_of(table: Table) -> u32 {
    table as u32 + 1
}

/// The number that details carry; a table's is never 0.
pub const DETAILS: u32 = 0;

/// The table that frames with this number are of.
#[must_use]
pub fn table_of(id: u32) -> Option<Table> {
    TABLES.get(usize::try_from(id.checked_sub(1)?).ok()?).copied()
}

/// The tables at one instant; those that have not changed since the last picture may be left out, unless a segment is due.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The agent's clock, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The node.
    pub node: NodeRow,
    /// Tables, each at most once.
    pub tables: Vec<Taken>,
    /// What the tables don't tell of the things in them, the most telling first.
    pub details: Vec<Detail>,
}

/// A table at one instant.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Which.
    pub table: Table,
    /// Its rows, in no order; when it has more than [`MAX_ROWS`], or than there is room for, the first in its own order.
    pub rows: Rows,
    /// Exact totals over all its rows, when these are not all.
    pub totals: Option<Totals>,
}

/// Lines for the end of a recording.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Lines {
    /// Whole lines with their line feeds; empty when nothing has changed.
    pub text: String,
    /// Whether they begin a segment.
    pub begins: bool,
    /// Rows of the tables in the picture that are not in the recording: there was no room.
    pub left_out: u64,
}

/// Writes pictures as lines.
pub struct Encoder {
    tables: Vec<(Table, Query, Box<dyn Written>)>,
    details: details::Written,
    seq: u64,
    /// When the segment began, and the bytes of its beginning; nothing before the first.
    segment: Option<(u64, usize)>,
    /// Bytes of the segment.
    bytes: usize,
}

impl Encoder {
    /// Nothing written yet.
    ///
    /// # Errors
    /// None that could come about by rows.
    pub fn new() -> Result<Self, Error> {
        let tables = TABLES.into_iter().map(|table| Ok((table, Query::whole(table)?, nothing_of(table))));
        Ok(Self { tables: tables.collect::<Result<_, Error>>()?, details: details::Written::default(), seq: 0, segment: None, bytes: 0 })
    }

    /// Whether the next picture begins a segment, and must have every table. A segment whose beginning is large lasts longer, so that the
    /// beginnings are not most of what is written.
    #[must_use]
    pub fn begins(&self, at_ms: u64) -> bool {
        self.segment.is_none_or(|(began_ms, beginning)| {
            let age = at_ms.saturating_sub(began_ms);
            age >= LONGEST_MS || (age >= SEGMENT_MS && self.bytes >= 2 * beginning)
        })
    }

    /// The next picture begins a segment.
    pub fn cut(&mut self) {
        self.segment = None;
    }

    /// Bytes of the segment that is being written.
    #[must_use]
    pub fn segment_bytes(&self) -> usize {
        self.bytes
    }

    /// What has to be written for a picture.
    ///
    /// # Errors
    /// [`Error::Encode`], which no row can bring about by its values.
    pub fn write(&mut self, picture: &Picture) -> Result<Lines, Error> {
        let begins = self.begins(picture.at_ms);
        let mut text = String::new();
        if begins {
            (self.seq, self.bytes) = (0, 0);
            self.tables.iter_mut().for_each(|(.., written)| written.forget());
            self.details.forget();
            self.seq += 1;
            let body = Body::Hello { version: VERSION, node: Box::new(picture.node.clone()) };
            let hello = Frame { seq: self.seq, at_ms: picture.at_ms, missed: 0, body };
            let hello =
                serde_json::to_string(&hello).map_err(|cause| Error::Encode { kind: "hello".to_owned(), cause: cause.to_string() })?;
            text.push_str(&hello);
            text.push('\n');
        }
        let mut left_out = 0;
        for taken in &picture.tables {
            let Some((table, query, written)) = self.tables.iter_mut().find(|(table, ..)| *table == taken.table) else { continue };
            let mut window = query.window(&taken.rows, picture.at_ms);
            if let Some(totals) = taken.totals {
                let cut = totals.rows.saturating_sub(count(&window.rows) as u64);
                window.totals = Totals { cut, ..totals };
            }
            let rows = window.totals.rows;
            if let Some(payload) = written.update(id_of(*table), window, share(*table) + ENVELOPE)? {
                self.seq += 1;
                text.push_str(&payload.frame(self.seq, picture.at_ms, 0));
                text.push('\n');
            }
            left_out += rows.saturating_sub(written.rows() as u64);
        }
        let unwritable = |cause: serde_json::Error| Error::Encode { kind: "detail".to_owned(), cause: cause.to_string() };
        for detail in self.details.news(picture).map_err(unwritable)? {
            self.seq += 1;
            let payload = Payload::of(format!(r#""type":"detail","id":{DETAILS},"detail":{detail}"#));
            text.push_str(&payload.frame(self.seq, picture.at_ms, 0));
            text.push('\n');
        }
        self.bytes += text.len();
        if begins {
            self.segment = Some((picture.at_ms, text.len()));
        }
        Ok(Lines { text, begins, left_out })
    }
}

/// The view of a whole table in its own order.
#[must_use]
pub fn whole(table: Table) -> View {
    View { window: Span { start: 0, len: u32::MAX }, ..View::of(table) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ProcessId;
    use crate::record::{EventRow, ProcessRow};

    fn picture(at_ms: u64, pids: std::ops::Range<u32>) -> Picture {
        let rows = pids.map(|pid| ProcessRow { process: ProcessId(pid), pid, ..ProcessRow::default() }).collect();
        let tables = vec![Taken { table: Table::Processes, rows: Rows::Processes(rows), totals: None }];
        Picture { at_ms, node: NodeRow::default(), tables, details: Vec::new() }
    }

    fn frames(lines: &Lines) -> Vec<Frame> {
        lines.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_segment_begins_with_a_hello_and_counts_from_one() {
        let mut encoder = Encoder::new().unwrap();
        let first = encoder.write(&picture(1_000, 0..3)).unwrap();
        assert!(first.begins);
        let read = frames(&first);
        assert!(matches!(read[0].body, Body::Hello { version: VERSION, .. }));
        assert!(
            matches!(&read[1].body, Body::Snapshot { id, rows: Rows::Processes(rows), .. } if table_of(*id) == Some(Table::Processes) && rows.len() == 3)
        );
        assert_eq!(read.iter().map(|frame| frame.seq).collect::<Vec<_>>(), [1, 2]);

        assert_eq!(encoder.write(&picture(2_000, 0..3)).unwrap(), Lines::default(), "nothing has changed");
        let next = encoder.write(&picture(3_000, 0..4)).unwrap();
        let read = frames(&next);
        assert!(
            matches!(&read[..], [Frame { seq: 3, at_ms: 3_000, body: Body::Delta { rows: Rows::Processes(rows), .. }, .. }] if rows.len() == 1),
            "{read:?}"
        );

        assert!(!encoder.begins(60_999) && encoder.begins(1_000 + LONGEST_MS));
        encoder.cut();
        let again = encoder.write(&picture(4_000, 0..4)).unwrap();
        assert!(again.begins);
        assert_eq!(frames(&again).len(), 2, "the whole table, whether it has changed or not");
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_told() {
        let mut encoder = Encoder::new().unwrap();
        let events = (1..=3_000).map(|number| EventRow { number, message: "x".repeat(200), ..EventRow::default() }).collect();
        let tables = vec![Taken { table: Table::Events, rows: Rows::Events(events), totals: None }];
        let lines = encoder.write(&Picture { at_ms: 1, node: NodeRow::default(), tables, details: Vec::new() }).unwrap();
        let left_out = lines.left_out;
        assert!(lines.text.lines().all(|line| line.len() <= share(Table::Events) + 2 * ENVELOPE));
        let Some(Frame { body: Body::Snapshot { totals, rows: Rows::Events(rows), .. }, .. }) = frames(&lines).pop() else { panic!() };
        assert_eq!((totals.rows, totals.cut, left_out), (3_000, 3_000 - rows.len() as u64, totals.cut));
        assert!(rows.len() > 300 && rows[0].number == 3_000, "the newest stay: {}", rows.len());
    }

    #[test]
    fn totals_are_those_of_the_whole_table() {
        let mut encoder = Encoder::new().unwrap();
        let mut picture = picture(1, 0..3);
        picture.tables[0].totals = Some(Totals { rows: 10, matched: 10, bytes: 77, ..Totals::default() });
        let Some(Frame { body: Body::Snapshot { totals, .. }, .. }) = frames(&encoder.write(&picture).unwrap()).pop() else { panic!() };
        assert_eq!((totals.rows, totals.bytes, totals.cut), (10, 77, 7));
    }

    #[test]
    fn more_rows_than_are_looked_at_have_no_room() {
        fn least<R: crate::window::Shown>() {
            let bytes = crate::window::write_row(&R::default(), &[]).unwrap().len();
            assert!(bytes >= LEAST_ROW, "{:?} {bytes}", R::TABLE);
        }
        least::<crate::record::ReferenceRow>();
        least::<crate::record::ObjectRow>();
        least::<crate::record::TaskRow>();
        least::<crate::record::ActorRow>();
        least::<crate::record::SiteRow>();
        least::<ProcessRow>();
    }

    #[test]
    fn the_shares_are_a_tenth_of_the_file_and_numbers_lead_back() {
        let shares: usize = TABLES.into_iter().map(share).sum();
        assert!((shares + details::SHARE) as u64 <= MAX_FILE / 10, "{shares}");
        for table in TABLES {
            assert!(share(table) + 2 * ENVELOPE < MAX_LINE);
            assert_eq!(table_of(id_of(table)), Some(table));
        }
        assert_eq!((table_of(0), table_of(11), table_of(u32::MAX)), (None, None, None));
    }
}
