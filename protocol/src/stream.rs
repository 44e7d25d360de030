//! What a viewer and an agent say to each other: JSON text frames over one WebSocket, `GET /v1/stream`.
//!
//! A viewer subscribes to *views*: windows over a table, sorted and filtered by the agent. It gets one [`Body::Snapshot`], then
//! a [`Body::Delta`] whenever what it can see has changed, at most ten times a second.

mod reading;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::column::{RowKey, Table};
use crate::doctor::NodeDetail;
use crate::explain::{Explanation, Subject};
use crate::id::{ActorId, ObjectId, ProcessId, SiteId, SpillFileId, TaskId};
use crate::record::{
    ActorRow, EventRow, NodeRow, ObjectRow, PostMortemRow, ProcessRow, ReferenceRow, ReferenceTotals, Site, SiteRow, SpillFileRow,
    StoreRow, TaskRow,
};

/// Version of this vocabulary; raised when an old reader would misread a frame.
pub const VERSION: u32 = 1;
/// No frame is larger, in bytes.
pub const MAX_FRAME: usize = 128 << 10;
/// No request is larger, in bytes.
pub const MAX_REQUEST: usize = 8 << 10;
/// No window is longer, in rows.
pub const MAX_WINDOW: u32 = 500;
/// The path of the stream.
pub const PATH: &str = "/v1/stream";

/// What a viewer asks for. Ids are the viewer's own numbers; an id that is used again replaces what it named before.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// First of all: the version that the viewer speaks.
    Hello {
        /// [`VERSION`]
        version: u32,
    },
    /// Show a window over a table, from now on.
    Subscribe {
        /// The viewer's number for it.
        id: u32,
        /// What to show.
        view: View,
    },
    /// Show it no more; ends a `watch` too.
    Unsubscribe {
        /// The viewer's number for it.
        id: u32,
    },
    /// Show one thing in detail, from now on.
    Watch {
        /// The viewer's number for it.
        id: u32,
        /// What to show.
        target: Target,
    },
    /// All references, or those that match, and the store, once, in parts.
    Report {
        /// The viewer's number for it.
        id: u32,
        /// References that match, in the filter language; all when empty.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        filter: String,
    },
    /// The viewer has drawn everything up to this frame; gives the agent leave to send more.
    Ack {
        /// The last frame's number.
        seq: u64,
    },
}

/// A window over a table.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// Which table.
    pub table: Table,
    /// The fields of a row to send; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// Rows that match, in the filter language; all when empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub filter: String,
    /// The order; the table's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<Sort>,
    /// Fold rows by this column; the window is then over groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Which rows of the order.
    #[serde(default)]
    pub window: Window,
}

impl View {
    /// The first rows of a table in its own order.
    #[must_use]
    pub fn of(table: Table) -> Self {
        Self { table, columns: Vec::new(), filter: String::new(), sort: None, group: None, window: Window::default() }
    }
}

/// An order: one column, ties by the row's key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sort {
    /// The column's name.
    pub column: String,
    /// Smallest first instead of largest first.
    #[serde(default)]
    pub ascending: bool,
}

/// A run of rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The first row, from 0.
    pub start: u64,
    /// How many rows, at most [`MAX_WINDOW`].
    pub len: u32,
}

impl Default for Window {
    fn default() -> Self {
        Self { start: 0, len: 100 }
    }
}

/// One thing to watch in detail.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// An object: who holds it, what contains it, what it contains.
    Object(ObjectId),
    /// A creation site: its objects and the source around it.
    Site(SiteId),
    /// A task: what it waits for, what it makes.
    Task(TaskId),
    /// A process: what it holds, or held when it died.
    Process(ProcessId),
    /// An actor: its calls, who holds it, what it holds.
    Actor(ActorId),
    /// A spill file: the objects in it.
    SpillFile(SpillFileId),
    /// Why something waits: for what, who holds that, and who waits for each other.
    Explain(Subject),
    /// The node: its limits, and what would make it better.
    Node,
    /// What the tables don't tell of the things in them: what lies in what, which task takes what, who waits for whom. For recordings.
    Recording,
}

/// What the agent sends.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Frame {
    /// Counts this connection's frames, from 1.
    pub seq: u64,
    /// The agent's clock, milliseconds since the Unix epoch; ages are relative to it.
    pub at_ms: u64,
    /// Updates that this viewer was too slow for and that newer ones replaced, since the connection began.
    #[serde(skip_serializing_if = "is_zero")]
    pub missed: u64,
    /// What is new.
    #[serde(flatten)]
    pub body: Body,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The kinds of frames.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Body {
    /// Answers the viewer's hello.
    Hello {
        /// [`VERSION`]
        version: u32,
        /// The agent's node.
        node: Box<NodeRow>,
    },
    /// A whole window.
    Snapshot {
        /// The viewer's number for it.
        id: u32,
        /// Exact totals.
        totals: Totals,
        /// The first row's place in the order; moved back when the table is shorter than the window asked for.
        start: u64,
        /// The window's rows in order.
        rows: Rows,
    },
    /// What changed in a window.
    Delta {
        /// The viewer's number for it.
        id: u32,
        /// Exact totals.
        totals: Totals,
        /// The first row's place in the order.
        start: u64,
        /// The keys of the window in order, if the order changed.
        #[serde(skip_serializing_if = "Option::is_none")]
        order: Option<Vec<RowKey>>,
        /// Rows that are new in the window or have changed.
        rows: Rows,
    },
    /// One thing in detail; sent whole whenever it changed.
    Detail {
        /// The viewer's number for it.
        id: u32,
        /// The thing, or `null` when it is gone.
        detail: Option<Box<Detail>>,
    },
    /// A part of a report.
    Report {
        /// The viewer's number for it.
        id: u32,
        /// The store as it was when the request arrived; in the first part only.
        #[serde(skip_serializing_if = "Option::is_none")]
        store: Option<Box<StoreRow>>,
        /// Processes that died as they should not have, in the first parts; what they held is in no row and no total.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        post_mortem: Vec<PostMortem>,
        /// Frames that the call sites of rows were called from and that no earlier part had; callers come first.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        frames: Vec<Arc<Site>>,
        /// Rows of this part.
        references: Vec<ReferenceRow>,
        /// Whether this is the last part.
        last: bool,
    },
    /// A request that could not be served.
    Error {
        /// The viewer's number for it, if it had one.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u32>,
        /// A stable code.
        code: String,
        /// What failed, with which value.
        message: String,
        /// What to do about it.
        hint: String,
    },
}

/// Exact figures over the whole table, not only the window.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Rows of the table.
    pub rows: u64,
    /// Rows that the filter lets through.
    pub matched: u64,
    /// Groups of those, when grouped.
    pub groups: u64,
    /// Bytes over matching rows; an object that is held twice counts twice.
    pub bytes: u64,
    /// Both totals over matching references (tables of references and objects only).
    pub unique: ReferenceTotals,
    /// Rows at the window's end that are left out because no frame holds them all.
    #[serde(skip_serializing_if = "is_zero")]
    pub cut: u64,
}

/// Rows of one table, in the order of the window.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rows {
    /// Of [`Table::References`].
    References(Vec<ReferenceRow>),
    /// Of [`Table::Objects`].
    Objects(Vec<ObjectRow>),
    /// Of [`Table::Sites`].
    Sites(Vec<SiteRow>),
    /// Of [`Table::Processes`].
    Processes(Vec<ProcessRow>),
    /// Of [`Table::Tasks`].
    Tasks(Vec<TaskRow>),
    /// Of [`Table::Actors`].
    Actors(Vec<ActorRow>),
    /// Of [`Table::PostMortem`].
    PostMortem(Vec<PostMortemRow>),
    /// Of [`Table::Events`].
    Events(Vec<EventRow>),
    /// Of [`Table::SpillFiles`].
    SpillFiles(Vec<SpillFileRow>),
    /// Of [`Table::Store`].
    Store(Vec<StoreRow>),
    /// Of any table that is grouped.
    Groups(Vec<GroupRow>),
}

/// Rows with the same value in one column.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupRow {
    /// The value.
    pub key: String,
    /// Rows.
    pub rows: u64,
    /// Bytes over rows.
    pub bytes: u64,
    /// Both totals (references and objects only).
    pub unique: ReferenceTotals,
    /// For references: how many of each type, in the order of `ReferenceType::ALL`.
    pub by_type: [u64; 5],
}

/// One thing in detail.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// See [`Target::Object`].
    Object(ObjectDetail),
    /// See [`Target::Site`].
    Site(SiteDetail),
    /// See [`Target::Task`].
    Task(TaskDetail),
    /// See [`Target::Process`].
    Process(ProcessDetail),
    /// See [`Target::Process`], when it died as it should not have.
    PostMortem(PostMortem),
    /// See [`Target::Actor`].
    Actor(ActorDetail),
    /// See [`Target::SpillFile`].
    SpillFile(SpillFileDetail),
    /// See [`Target::Explain`].
    Explain(Explanation),
    /// See [`Target::Node`].
    Node(NodeDetail),
    /// See [`Target::Recording`]: as many as fit a frame, the most telling first.
    Recording(Vec<Detail>),
}

/// Views and watches that one viewer may have.
pub const MAX_SUBSCRIPTIONS: usize = 32;
/// Rows that one viewer may have, in all its views.
pub const MAX_VIEWED: usize = 2_560;
/// Lists in details are cut at this many entries; the row beside them has the exact count.
pub const MAX_DETAIL: usize = 100;

/// Why an object is alive.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ObjectDetail {
    /// The object.
    pub object: ObjectRow,
    /// Where it was created: that site, and those that it was called from, innermost first.
    pub stack: Vec<Arc<Site>>,
    /// Who holds it.
    pub holders: Vec<ReferenceRow>,
    /// Objects that contain it.
    pub contained_in: Vec<ObjectRow>,
    /// Objects that it contains.
    pub contains: Vec<ObjectRow>,
    /// Pending tasks that need it.
    pub tasks: Vec<TaskRow>,
}

/// What a creation site holds.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SiteDetail {
    /// The site.
    pub site: SiteRow,
    /// The site, and those that it was called from, innermost first.
    pub stack: Vec<Arc<Site>>,
    /// Its largest objects, created there or in what was called from there.
    pub objects: Vec<ObjectRow>,
    /// The source around it, when the agent can read the file.
    pub source: Option<Source>,
}

/// Lines of a source file.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Source {
    /// The file.
    pub file: String,
    /// The number of the first line below, from 1.
    pub first_line: u32,
    /// The lines.
    pub lines: Vec<String>,
    /// The line meant, from 1.
    pub marked_line: u32,
    /// When the file was changed, if that was after the program was built, or, where it is not compiled, after it ran this line:
    /// lines may have moved. Milliseconds since the Unix epoch.
    pub changed_ms: Option<u64>,
}

/// What a task waits for and makes.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskDetail {
    /// The task.
    pub task: TaskRow,
    /// Where it was submitted: that site, and those that it was called from, innermost first.
    pub stack: Vec<Arc<Site>>,
    /// The objects that it needs.
    pub arguments: Vec<ObjectRow>,
    /// The objects that it makes.
    pub results: Vec<ObjectRow>,
}

/// What a process holds.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessDetail {
    /// The process.
    pub process: ProcessRow,
    /// Its largest references.
    pub references: Vec<ReferenceRow>,
    /// Its unique set size in bytes, when it could be read: expensive, so only here.
    pub unique_bytes: Option<u64>,
    /// Its executable's path.
    pub executable: Arc<str>,
    /// What it printed last; a worker's alone, which the agent keeps.
    #[serde(skip_serializing_if = "Output::is_empty")]
    pub output: Output,
}

/// The last lines that a worker printed on each of its streams, oldest first; long ones are cut.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Output {
    /// On its standard output.
    pub stdout: Vec<String>,
    /// On its standard error.
    pub stderr: Vec<String>,
}

impl Output {
    /// Whether it printed nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stdout.is_empty() && self.stderr.is_empty()
    }
}

/// What a process held when it died.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PostMortem {
    /// The process, and how it died.
    pub process: PostMortemRow,
    /// The largest of the references that it held.
    pub references: Vec<ReferenceRow>,
    /// What it printed last, where it was a worker; only where it is watched.
    #[serde(skip_serializing_if = "Output::is_empty")]
    pub output: Output,
}

/// What lies in a spill file.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SpillFileDetail {
    /// The file.
    pub file: SpillFileRow,
    /// Its largest live objects.
    pub objects: Vec<ObjectRow>,
}

/// What an actor does and holds.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ActorDetail {
    /// The actor.
    pub actor: ActorRow,
    /// Its calls that have not ended, those that run first.
    pub calls: Vec<TaskRow>,
    /// Who holds a handle to it.
    pub handles: Vec<ReferenceRow>,
    /// The largest references that its worker holds.
    pub references: Vec<ReferenceRow>,
}
