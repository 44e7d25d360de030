//! A recording that is read: the tables at any of its instants, and what a time line shows of it.
//!
//! The whole file is checked when it is read, so that moving in it afterwards cannot fail. What it says is foreign text like any other:
//! every string goes through the decoder that frames of a connection go through.

mod detail;
mod timeline;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use plasmon_protocol::column::Table;
use plasmon_protocol::error::Error as Refusal;
use plasmon_protocol::record::{NodeRow, SiteRow, Stacks, StoreRow};
use plasmon_protocol::recording::details::{target_of, unknown};
use plasmon_protocol::recording::{DETAILS, MAX_LINE, VERSION, table_of};
use plasmon_protocol::report::Report;
use plasmon_protocol::stream::{Body, Detail, Frame, Rows, Target, Totals, View};
use plasmon_protocol::window::{Query, Window as Shown};

use crate::model::Window;
use crate::model::clean::{MAX_TEXT, decode};
use crate::model::window::{len, none};

pub use timeline::{Mark, Timeline, Weight};

/// A file's name, fit for a screen.
#[must_use]
pub fn harmless(mut name: String) -> String {
    crate::model::clean::clean(&mut name);
    name
}

/// What is wrong with a file that should be a recording.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Damage {
    /// There is nothing in it that could be shown.
    #[error("it has no whole line: no recording, or one that had just begun")]
    Empty,
    /// A line is none of a recording's.
    #[error("line {line}: {cause}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        cause: String,
    },
    /// It is of another version.
    #[error("line {line}: it is of version {theirs} of recordings, this program reads those up to {VERSION}")]
    Version {
        /// The line's number, from 1.
        line: usize,
        /// The version.
        theirs: u32,
    },
}

impl Damage {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Empty | Self::Line { line: 1, .. } => "give a file that `plasmon record` or an agent has written",
            Self::Line { .. } => "it was changed or damaged; the lines before this one, in a file of their own, can be replayed",
            Self::Version { .. } => "replay it with the release that recorded it",
        }
    }
}

/// One line of the file.
#[derive(Clone, Debug)]
struct Line {
    at: Range<usize>,
    at_ms: u64,
    begins: bool,
}

/// A recording.
#[derive(Debug)]
pub struct Recording {
    text: String,
    lines: Vec<Line>,
    timeline: Timeline,
    /// The tables, and the lines that they are made of: all before this number.
    state: State,
    read: usize,
}

/// The tables at one instant.
#[derive(Clone, Debug, Default)]
struct State {
    node: NodeRow,
    tables: BTreeMap<Table, Window>,
    /// What the tables don't tell of the things in them.
    details: HashMap<Target, Detail>,
}

fn bad(line: usize, cause: impl ToString) -> Damage {
    let mut cause = cause.to_string();
    crate::model::clean::clean(&mut cause);
    Damage::Line { line, cause }
}

/// Whether there is nothing in a line to be made harmless, as far as a quick look tells: recordings are long. JSON has all characters that
/// terminals obey as escapes, but for one.
fn is_harmless(text: &str) -> bool {
    text.is_ascii() && !text.contains(['\\', '\x7f']) && text.split('"').all(|part| part.len() <= MAX_TEXT)
}

/// Reads one line. A detail that only later releases know is none.
fn frame(text: &str) -> Result<Frame, serde_json::Error> {
    let frame = if is_harmless(text) { serde_json::from_str(text) } else { decode(text) };
    frame.or_else(|error| {
        let (seq, at_ms) = unknown(text).ok_or(error)?;
        Ok(Frame { seq, at_ms, missed: 0, body: Body::Detail { id: DETAILS, detail: None } })
    })
}

impl State {
    /// Takes a line's frame in.
    fn apply(&mut self, body: Body) -> Result<(), String> {
        let fits = |table: Table, rows: &Rows| {
            let fits = std::mem::discriminant(&none(table)) == std::mem::discriminant(rows);
            if fits { Ok(()) } else { Err(format!("its rows are none of the table {table:?}")) }
        };
        match body {
            Body::Hello { node, .. } => *self = Self { node: *node, ..Self::default() },
            Body::Snapshot { id, totals, start, rows } => {
                let Some(table) = table_of(id) else { return Ok(()) };
                fits(table, &rows)?;
                self.tables.insert(table, Window::new(totals, start, rows));
            }
            Body::Delta { id, totals, start, order, rows } => {
                let Some(table) = table_of(id) else { return Ok(()) };
                fits(table, &rows)?;
                let window = self.tables.get_mut(&table).ok_or("a change of a table that was not there before")?;
                window.apply(totals, start, order, rows, 0).map_err(|_| "a change of rows that were not there before")?;
            }
            Body::Detail { id: DETAILS, detail: Some(detail) } => {
                // One about nothing is of no use to this program.
                if let Some(target) = target_of(&detail) {
                    self.details.insert(target, *detail);
                }
            }
            Body::Detail { id: DETAILS, detail: None } => {}
            Body::Detail { .. } | Body::Report { .. } | Body::Error { .. } => return Err("a frame that no recording has".to_owned()),
        }
        Ok(())
    }
}

impl Recording {
    /// Reads a file's bytes. A last line without its line feed is left out: whoever wrote it was interrupted.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn read(bytes: Vec<u8>) -> Result<Self, Damage> {
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let text = String::from_utf8(bytes).or_else(|error| {
            let valid = error.utf8_error().valid_up_to();
            let mut bytes = error.into_bytes();
            let line = bytes.iter().take(valid).filter(|byte| **byte == b'\n').count() + 1;
            // A torn line may end within a character.
            bytes.truncate(whole);
            String::from_utf8(bytes).map_err(|_| bad(line, "it is no text"))
        })?;
        let mut recording =
            Self { text: String::new(), lines: Vec::new(), timeline: Timeline::default(), state: State::default(), read: 0 };
        let (mut at, mut seq, mut now_ms) = (0, 0, 0);
        for (number, line) in text.get(..whole).unwrap_or_default().split_inclusive('\n').enumerate() {
            let number = number + 1;
            let range = at..at + line.len() - 1;
            at += line.len();
            if line.len() > MAX_LINE {
                return Err(bad(number, format!("it is longer than any frame: {} bytes", line.len())));
            }
            let frame = frame(line).map_err(|error| bad(number, format!("it is no frame: {error}")))?;
            let begins = match &frame.body {
                Body::Hello { version: 1..=VERSION, .. } => true,
                Body::Hello { version, .. } => return Err(Damage::Version { line: number, theirs: *version }),
                _ if number == 1 => return Err(bad(number, "a recording begins with a hello")),
                _ => false,
            };
            seq = if begins { 1 } else { seq + 1 };
            if frame.seq != seq {
                return Err(bad(number, format!("frame {} stands where frame {seq} is due", frame.seq)));
            }
            if frame.at_ms < now_ms {
                return Err(bad(number, "it is of an earlier time than the line before it"));
            }
            now_ms = frame.at_ms;
            recording.timeline.note(now_ms, &frame.body);
            recording.state.apply(frame.body).map_err(|cause| bad(number, cause))?;
            recording.lines.push(Line { at: range, at_ms: now_ms, begins });
        }
        if recording.lines.is_empty() {
            return Err(Damage::Empty);
        }
        recording.timeline.finish();
        recording.read = recording.lines.len();
        recording.text = text;
        Ok(recording)
    }

    /// What a time line shows of it.
    #[must_use]
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// The instants at which something was recorded, milliseconds since the Unix epoch.
    pub fn instants(&self) -> impl Iterator<Item = u64> {
        let mut last = None;
        self.lines.iter().map(|line| line.at_ms).filter(move |at_ms| last.replace(*at_ms) != Some(*at_ms))
    }

    /// Brings the tables to an instant.
    pub fn seek(&mut self, at_ms: u64) {
        let at_ms = at_ms.max(self.timeline.begin_ms);
        let wanted = self.lines.partition_point(|line| line.at_ms <= at_ms);
        let first = self.lines.iter().take(wanted).rposition(|line| line.begins).unwrap_or(0);
        let from = if self.read <= wanted { self.read.max(first) } else { first };
        for line in self.lines.get(from..wanted).unwrap_or_default() {
            let text = self.text.get(line.at.clone()).unwrap_or_default();
            // It was read, and fitted, before.
            if let Ok(frame) = frame(text) {
                let _ = self.state.apply(frame.body);
            }
        }
        self.read = wanted;
    }

    /// The node at this instant.
    #[must_use]
    pub fn node(&self) -> &NodeRow {
        self.store().map_or(&self.state.node, |store| &store.node)
    }

    fn store(&self) -> Option<&StoreRow> {
        self.rows::<StoreRow>(Table::Store).first()
    }

    fn rows<R: crate::model::window::Tabled>(&self, table: Table) -> &[R] {
        self.state.tables.get(&table).and_then(Window::of).unwrap_or_default()
    }

    /// How many rows of a table were not recorded at this instant, because they were too many.
    #[must_use]
    pub fn left_out(&self, table: Table) -> u64 {
        self.state.tables.get(&table).map_or(0, |window| window.totals.cut)
    }

    /// What a view shows of this instant, its ages taken by `now_ms`. Totals over a whole table are those of the agent's; what a filter
    /// lets through, and groups, are of the rows that were recorded.
    ///
    /// # Errors
    /// As the agent's: an unknown column, a malformed filter.
    pub fn show(&self, view: &View, now_ms: u64) -> Result<Shown, Refusal> {
        let query = Query::prepare(view.clone())?;
        let Some(window) = self.state.tables.get(&view.table) else { return Ok(query.window(&none(view.table), now_ms)) };
        let mut shown = query.window(&window.rows, now_ms);
        if window.totals.cut > 0 {
            shown.totals.rows = window.totals.rows;
            shown.totals.cut = window.totals.cut;
            if view.filter.is_empty() && view.group.is_none() {
                shown.totals = Totals { matched: len(&window.rows) as u64, ..window.totals };
            }
        }
        Ok(shown)
    }

    /// One thing in detail at this instant: what the tables tell of it, and what was recorded beside them. How much memory is a process's
    /// alone is not recorded: it is read for an open page only.
    #[must_use]
    pub fn detail(&self, target: &Target) -> Option<Detail> {
        detail::of(self, target)
    }

    /// The stacks of what lives at this instant.
    fn stacks(&self) -> Stacks {
        let mut sites: Vec<_> = self.rows::<SiteRow>(Table::Sites).iter().map(|row| Arc::clone(&row.site)).collect();
        // A caller's number is the smaller one.
        sites.sort_by_key(|site| site.id);
        let mut stacks = Stacks::default();
        stacks.learn(sites);
        stacks
    }

    /// The report of this instant.
    #[must_use]
    pub fn report(&self, at_ms: u64) -> Report {
        let store = self.store().cloned().unwrap_or_else(|| StoreRow { node: self.state.node.clone(), ..StoreRow::default() });
        let dead = self.rows(Table::PostMortem).iter().map(|row| detail::post_mortem(self, row));
        let mut references = self.rows(Table::References).to_vec();
        self.stacks().link(&mut references);
        Report::new(store, references, at_ms).with_post_mortem(dead.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_that_could_do_harm_is_made_harmless() {
        let told = |name: &str| {
            let line = format!(r#"{{"seq":1,"at_ms":2,"missed":0,"type":"error","id":null,"code":"","message":"{name}","hint":""}}"#);
            let Body::Error { message, .. } = frame(&line).unwrap().body else { panic!() };
            message
        };
        assert_eq!(told("a name"), "a name");
        assert_eq!(told("a\u{7f}b"), "a\u{fffd}b");
        assert_eq!(told("a\\u001bb"), "a\u{fffd}b");
        let long = told(&"x".repeat(MAX_TEXT + 1));
        assert!(long.len() <= MAX_TEXT && long.ends_with('…'), "{}", long.len());
    }
}
