//! A viewer that records: it watches every table and writes what it sees into a file, as much of a table as agents record of their own:
//! what takes up a table's [`share`](plasmon_protocol::recording::share) of bytes. One connection does for all tables; one that is long has
//! another of its own, for as long as it is, since a viewer may have so many rows and no more.

mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io::{self, Write};
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::select_all;
use plasmon_protocol::column::Table;
use plasmon_protocol::record::NodeRow;
use plasmon_protocol::recording::{Encoder, Picture, STEP_MS, Taken};
use plasmon_protocol::stream::{Body, Detail, Frame, Request, Target, Totals, View, Window as Span};
use plasmon_protocol::window::{TABLES, count, join};
use tokio::time::{Instant, sleep_until};
use writer::Writer;

use crate::error::Error;
use crate::link::LinkError;
use crate::link::websocket::{Connection, Door};
use crate::model::clean::clean;
use crate::model::{Misfit, Window};

/// How often people are told how far it is.
const PROGRESS: Duration = Duration::from_secs(1);
/// Numbers of one table's windows are apart by this.
const NUMBERS: u32 = 32;

/// The number of what the tables don't tell.
const DETAILS: u32 = 0;

/// Windows of a long table on its own connection, at most.
const MORE: u32 = 12;

/// Rows of one window, and how many windows there are at most on the connection for all. Each should fit a frame, and together they are no
/// more than a viewer may have: or those that come first would leave nothing for what grows later.
fn windows(table: Table) -> (u32, u32) {
    match table {
        Table::References => (150, 4),
        Table::Objects => (200, 3),
        Table::Tasks => (200, 2),
        Table::Events => (300, 1),
        Table::Sites | Table::Actors => (200, 1),
        Table::Processes => (150, 1),
        Table::SpillFiles => (59, 1),
        Table::PostMortem => (50, 1),
        Table::Store => (1, 1),
    }
}

/// Whether a table may be so long that it gets a connection of its own.
fn is_long(table: Table) -> bool {
    matches!(table, Table::References | Table::Objects | Table::Tasks | Table::Sites | Table::Actors)
}

/// What has been recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Instants.
    pub pictures: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// From the first instant to the last, milliseconds.
    pub span_ms: u64,
    /// Rows of long tables that an instant had and that are not in the file, at most.
    pub left_out: u64,
}

/// Why recording ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// As was asked for.
    Told,
    /// The agent, or the connection to it, did; in words.
    Agent(String),
}

/// Records what `door` leads to into `file` until `told` is done or the agent ends; `tell` hears about it every second.
///
/// # Errors
/// When there is no connection at first, the agent does not serve it, or the file cannot be written.
pub async fn record(
    door: &Door,
    file: impl Write,
    told: impl Future<Output = ()>,
    mut tell: impl FnMut(Progress),
) -> Result<(Progress, Ending), Error> {
    let (connection, node) = door.connect().await?;
    let mut viewer = Viewer::new(door, connection, node);
    let mut writer = Writer {
        file,
        encoder: Encoder::new().map_err(|error| Error::Record(io::Error::other(error)))?,
        begun_ms: None,
        progress: Progress::default(),
    };
    for table in TABLES {
        viewer.tables.insert(id(table, 0), Part::new(table, 0));
        viewer.subscribe(id(table, 0)).await?;
    }
    viewer.connection.send(&Request::Watch { id: DETAILS, target: Target::Recording }).await?;
    let mut told = pin!(told);
    let mut next = Instant::now();
    let mut tell_at = next + PROGRESS;
    loop {
        let due = viewer.changed && viewer.is_whole();
        tokio::select! {
            biased;
            () = &mut told => {
                // What came since the last picture belongs to it.
                if due {
                    writer.write(&viewer.picture())?;
                }
                return Ok((writer.end()?, Ending::Told));
            }
            () = sleep_until(next), if due => {
                writer.write(&viewer.picture())?;
                viewer.changed = false;
                next = Instant::now() + Duration::from_millis(STEP_MS);
            }
            () = sleep_until(tell_at) => {
                tell(writer.progress);
                tell_at += PROGRESS;
            }
            (lane, text) = viewer.text() => match (lane, text) {
                (None, Ok(text)) => viewer.take(&text).await?,
                (Some(table), Ok(text)) => {
                    if viewer.take_of(table, &text).await.is_err() {
                        viewer.close(table);
                    }
                }
                (Some(table), Err(_)) => viewer.close(table),
                (None, Err(error)) => {
                    if due {
                        writer.write(&viewer.picture())?;
                    }
                    return Ok((writer.end()?, Ending::Agent(error.to_string())));
                }
            },
        }
    }
}

fn id(table: Table, part: u32) -> u32 {
    table as u32 * NUMBERS + part + 1
}

/// One window over a table, and what is known of it.
struct Part {
    table: Table,
    number: u32,
    window: Option<Window>,
}

impl Part {
    fn new(table: Table, number: u32) -> Self {
        Self { table, number, window: None }
    }
}

struct Viewer<'a> {
    door: &'a Door,
    connection: Connection,
    /// Those of long tables.
    lanes: BTreeMap<Table, Connection>,
    /// Tables whose own connection could not be made, or broke: what the other one tells of them is all.
    closed: BTreeSet<Table>,
    node: NodeRow,
    at_ms: u64,
    /// Windows by their numbers: in the order of tables, and of rows.
    tables: BTreeMap<u32, Part>,
    /// What the tables don't tell.
    details: Vec<Detail>,
    changed: bool,
}

impl<'a> Viewer<'a> {
    /// One that watches nothing yet.
    fn new(door: &'a Door, connection: Connection, node: NodeRow) -> Self {
        Self {
            door,
            connection,
            lanes: BTreeMap::new(),
            closed: BTreeSet::new(),
            node,
            at_ms: 0,
            tables: BTreeMap::new(),
            details: Vec::new(),
            changed: false,
        }
    }

    async fn subscribe(&mut self, id: u32) -> Result<(), LinkError> {
        let Some(part) = self.tables.get(&id) else { return Ok(()) };
        let (table, number, (len, _)) = (part.table, part.number, windows(part.table));
        let window = Span { start: u64::from(len) * u64::from(number), len };
        let request = Request::Subscribe { id, view: View { window, ..View::of(table) } };
        self.send(table, number, &request).await
    }

    /// Sends what is about a window on the connection that it is on.
    async fn send(&mut self, table: Table, number: u32, request: &Request) -> Result<(), LinkError> {
        if number < windows(table).1 {
            return self.connection.send(request).await;
        }
        if !self.lanes.contains_key(&table) {
            let (connection, _) = self.door.connect().await?;
            self.lanes.insert(table, connection);
        }
        match self.lanes.get_mut(&table) {
            Some(lane) => lane.send(request).await,
            None => Ok(()),
        }
    }

    /// The next frame, and of which table's own connection. Dropping this loses nothing.
    async fn text(&mut self) -> (Option<Table>, Result<String, LinkError>) {
        let all = self.connection.text().map(|text| (None, text)).boxed_local();
        let lanes = self.lanes.iter_mut().map(|(table, lane)| {
            let table = *table;
            lane.text().map(move |text| (Some(table), text)).boxed_local()
        });
        select_all(std::iter::once(all).chain(lanes)).await.0
    }

    /// Goes on without a table's own connection.
    fn close(&mut self, table: Table) {
        self.lanes.remove(&table);
        self.closed.insert(table);
        self.tables.retain(|_, part| part.table != table || part.number < windows(table).1);
    }

    /// All of a window has come.
    fn show(&mut self, id: u32, window: Window) {
        if let Some(part) = self.tables.get_mut(&id) {
            part.window = Some(window);
            self.changed = true;
        }
    }

    /// A part of a window has come; whether it fits what is known of it.
    fn change(&mut self, id: u32, apply: impl FnOnce(&mut Window) -> Result<(), Misfit>) -> Result<(), Misfit> {
        self.changed = true;
        self.tables.get_mut(&id).and_then(|part| part.window.as_mut()).map_or(Ok(()), apply)
    }

    /// Takes in what a table's own connection tells.
    async fn take_of(&mut self, table: Table, text: &str) -> Result<(), LinkError> {
        let Some(lane) = self.lanes.get_mut(&table) else { return Ok(()) };
        let frame: Frame = serde_json::from_str(text).map_err(|error| lane.unreadable(&error))?;
        lane.send(&Request::Ack { seq: frame.seq }).await?;
        self.at_ms = self.at_ms.max(frame.at_ms);
        match frame.body {
            Body::Snapshot { id, totals, start, rows } => {
                self.show(id, Window::new(totals, start, rows));
            }
            Body::Delta { id, totals, start, order, rows } => {
                if self.change(id, |window| window.apply(totals, start, order, rows, 0)) == Err(Misfit) {
                    self.subscribe(id).await?;
                }
            }
            Body::Error { message, hint, .. } => return Err(LinkError::Refused { message, hint }),
            Body::Hello { .. } | Body::Detail { .. } | Body::Report { .. } => {}
        }
        Ok(())
    }

    /// Whether every table has come.
    fn is_whole(&self) -> bool {
        self.tables.values().all(|part| part.window.is_some())
    }

    async fn take(&mut self, text: &str) -> Result<(), Error> {
        let frame: Frame = serde_json::from_str(text).map_err(|error| self.connection.unreadable(&error))?;
        let seq = frame.seq;
        // Frames of one instant come one after the other; the last one's time is that of the picture.
        self.at_ms = self.at_ms.max(frame.at_ms);
        match frame.body {
            Body::Snapshot { id, totals, start, rows } => {
                self.show(id, Window::new(totals, start, rows));
                self.reach(id, totals).await?;
            }
            Body::Delta { id, totals, start, order, rows } => match self.change(id, |window| window.apply(totals, start, order, rows, 0)) {
                Ok(()) => self.reach(id, totals).await?,
                Err(Misfit) => self.subscribe(id).await?,
            },
            Body::Error { mut message, mut hint, .. } => {
                clean(&mut message);
                clean(&mut hint);
                return Err(LinkError::Refused { message, hint }.into());
            }
            Body::Detail { id: DETAILS, detail } => {
                self.details = match detail.map(|detail| *detail) {
                    Some(Detail::Recording(details)) => details,
                    _ => Vec::new(),
                };
                self.changed = true;
            }
            Body::Hello { .. } | Body::Detail { .. } | Body::Report { .. } => {}
        }
        self.connection.send(&Request::Ack { seq }).await?;
        Ok(())
    }

    /// Watches as many windows of a table as it has rows for, and no more.
    async fn reach(&mut self, of: u32, totals: Totals) -> Result<(), LinkError> {
        let Some(table) = self.tables.get(&of).filter(|part| part.number == 0).map(|part| part.table) else { return Ok(()) };
        let (len, base) = windows(table);
        let most = if is_long(table) && !self.closed.contains(&table) { base + MORE } else { base };
        let wanted = u32::try_from(totals.matched.div_ceil(u64::from(len))).unwrap_or(u32::MAX).clamp(1, most);
        for number in 1..most {
            let id = id(table, number);
            match (self.tables.contains_key(&id), number < wanted) {
                (false, true) => {
                    self.tables.insert(id, Part::new(table, number));
                    match self.subscribe(id).await {
                        Err(_) if number >= base => {
                            self.close(table);
                            break;
                        }
                        sent => sent?,
                    }
                }
                (true, false) => {
                    self.tables.remove(&id);
                    if number < base || self.lanes.contains_key(&table) {
                        match self.send(table, number, &Request::Unsubscribe { id }).await {
                            Err(_) if number >= base => {
                                self.close(table);
                                break;
                            }
                            sent => sent?,
                        }
                    }
                }
                _ => {}
            }
        }
        // A table that is now a row longer, now a row shorter than the connection for all holds keeps the one that it has.
        if totals.matched.saturating_mul(2) <= u64::from(len) * u64::from(base) {
            self.lanes.remove(&table);
        }
        Ok(())
    }

    /// The tables as they are known now.
    fn picture(&self) -> Picture {
        let taken = |table: Table| {
            let parts: Vec<&Window> =
                self.tables.values().filter(|part| part.table == table).filter_map(|part| part.window.as_ref()).collect();
            let totals = parts.first().map(|first| first.totals);
            let rows = join(table, parts.iter().map(|window| &window.rows));
            // Windows of several instants may have a row more than the totals of one.
            let known = count(&rows) as u64;
            Taken {
                table,
                totals: totals.map(|totals| Totals { rows: totals.rows.max(known), ..totals }).filter(|totals| totals.rows > known),
                rows,
            }
        };
        let (tables, details) = (TABLES.into_iter().map(taken).collect(), self.details.clone());
        Picture { at_ms: self.at_ms, node: self.node.clone(), tables, details }
    }
}

#[cfg(test)]
mod tests;
