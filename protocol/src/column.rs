//! The columns of every table, once: what they are called, what they hold and how they sort. Windows and filters in the agent,
//! tables in the dashboard and the report all read this.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::record::{ActorRow, EventRow, ObjectRow, PostMortemRow, ProcessRow, ReferenceRow, SiteRow, SpillFileRow, StoreRow, TaskRow};
use crate::record::{
    ActorStatus, EventKind, ObjectState, ProcessType, ReferenceType, Severity, SiteKind, SpillCause, SpillCut, SpillFileState, TaskStatus,
};

/// The tables that can be subscribed to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// [`ReferenceRow`]
    References,
    /// [`ObjectRow`]
    Objects,
    /// [`SiteRow`]
    Sites,
    /// [`ProcessRow`]
    Processes,
    /// [`TaskRow`]
    Tasks,
    /// [`ActorRow`]
    Actors,
    /// [`PostMortemRow`]
    PostMortem,
    /// [`EventRow`]
    Events,
    /// [`SpillFileRow`]
    SpillFiles,
    /// [`StoreRow`], a single row
    Store,
}

/// One value of one row, borrowed from it where it can be.
#[derive(Clone, PartialEq, Debug)]
pub enum Cell<'a> {
    /// Not known, or not applicable; sorts last in either direction.
    None,
    /// A word or a sentence.
    Text(std::borrow::Cow<'a, str>),
    /// A size in bytes.
    Bytes(u64),
    /// A change of a size in bytes.
    Growth(i64),
    /// A number of things.
    Count(u64),
    /// A fraction or percentage.
    Number(f64),
    /// An instant, milliseconds since the Unix epoch; shown as an age.
    Since(u64),
}

impl<'a> Cell<'a> {
    /// A text cell.
    pub fn text(text: impl Into<std::borrow::Cow<'a, str>>) -> Self {
        Self::Text(text.into())
    }

    /// `None` sorts after everything; instants sort by age, so that "largest first" is "oldest first".
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Bytes(a), Self::Bytes(b)) | (Self::Count(a), Self::Count(b)) => a.cmp(b),
            (Self::Growth(a), Self::Growth(b)) => a.cmp(b),
            (Self::Number(a), Self::Number(b)) => a.total_cmp(b),
            (Self::Since(a), Self::Since(b)) => b.cmp(a),
            (Self::None, Self::None) => Ordering::Equal,
            (Self::None, _) => Ordering::Less,
            (_, Self::None) => Ordering::Greater,
            _ => Ordering::Equal,
        }
    }
}

/// Which variant of [`Cell`] a column's cells are; lets a filter be checked before there is a row.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// [`Cell::Text`]
    Text,
    /// [`Cell::Bytes`]
    Bytes,
    /// [`Cell::Growth`]
    Growth,
    /// [`Cell::Count`]
    Count,
    /// [`Cell::Number`]
    Number,
    /// [`Cell::Since`]
    Since,
}

/// One column of a table of `R`.
pub struct Column<R: 'static> {
    /// Its name in frames, filters and `--sort-by`.
    pub name: &'static str,
    /// What its cells are, where they are not [`Cell::None`].
    pub kind: Kind,
    /// What it holds, in a few words.
    pub about: &'static str,
    /// The cell of a row.
    pub cell: for<'a> fn(&'a R) -> Cell<'a>,
    /// The same at length, where the cell is short: the whole path of a place, a node's number beside its address. Filters find both.
    pub also: Option<for<'a> fn(&'a R) -> Cell<'a>>,
    /// The words that its cells are made of; empty where they may be anything.
    pub words: &'static [&'static str],
}

/// A row of a subscribable table.
pub trait Record: Clone + PartialEq + Send + 'static {
    /// Its table.
    const TABLE: Table;
    /// The column that sorts when none is named, largest first.
    const DEFAULT_SORT: &'static str;

    /// Columns whose cells change while nothing about their rows does. Whoever sorts, groups or filters by one has to look at all rows; a
    /// word alone is not looked for in them.
    const VOLATILE: &'static [&'static str] = &[];

    /// All columns.
    fn columns() -> &'static [Column<Self>];

    /// What tells this row from all others of its table, for as long as it lives.
    fn key(&self) -> RowKey;

    /// The column called `name`, whatever its case.
    #[must_use]
    fn column(name: &str) -> Option<&'static Column<Self>> {
        Self::columns().iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }
}

/// A row's identity within its table; a short string, the same in every frame.
pub type RowKey = String;

macro_rules! given {
    () => {
        None
    };
    ($($value:tt)+) => {
        Some($($value)+)
    };
}

macro_rules! list {
    () => {
        &[]
    };
    ($words:expr) => {
        $words
    };
}

macro_rules! columns {
    ($record:ty, $table:ident, $default:literal, $(volatile $volatile:expr,)? |$key:ident| $key_value:expr, [$(
        $name:literal, $kind:ident, $about:literal, |$row:ident| $cell:expr
        $(, also |$also_row:ident| $also:expr)? $(, words $words:expr)?;
    )+]) => {
        impl Record for $record {
            const TABLE: Table = Table::$table;
            const DEFAULT_SORT: &'static str = $default;
            $(const VOLATILE: &'static [&'static str] = $volatile;)?

            fn columns() -> &'static [Column<Self>] {
                const COLUMNS: &[Column<$record>] = &[$(Column {
                    name: $name,
                    kind: Kind::$kind,
                    about: $about,
                    cell: |$row| $cell,
                    also: given!($(|$also_row| $also)?),
                    words: list!($($words)?),
                }),+];
                COLUMNS
            }

            fn key(&self) -> RowKey {
                let $key = self;
                $key_value
            }
        }
    };
}

fn optional<'a, T>(value: Option<T>, cell: impl Fn(T) -> Cell<'a>) -> Cell<'a> {
    value.map_or(Cell::None, cell)
}

columns!(ReferenceRow, References, "size", |row| format!("{}-{}", row.process, row.object_id), [
    "size", Bytes, "bytes of the object", |row| optional(row.size_bytes, Cell::Bytes);
    "type", Text, "why this process keeps it", |row| Cell::text(row.reference_type.word()), words ReferenceType::WORDS;
    "pid", Count, "the holder", |row| Cell::Count(u64::from(row.pid));
    "process", Text, "what the holder is", |row| Cell::text(row.process_type.word()), words ProcessType::WORDS;
    "age", Since, "since the holder got it", |row| Cell::Since(row.since_ms);
    "site", Text, "where the holder got it", |row| Cell::text(row.call_site.to_string()), also |row| Cell::text(row.call_site.stack());
    "created", Text, "where the object was created", |row| Cell::text(row.created_site.to_string()), also |row| Cell::text(row.created_site.stack());
    "stack", Text, "the same, with all that it was called from", |row| Cell::text(row.call_site.stack());
    "creator", Count, "who created it", |row| Cell::Count(u64::from(row.creator_pid));
    "status", Text, "status of the task that makes it", |row| optional(row.status, |status| Cell::text(status.word())), words TaskStatus::WORDS;
    "attempt", Count, "attempt of that task", |row| optional(row.attempt, |attempt| Cell::Count(u64::from(attempt)));
    "state", Text, "where its value is", |row| Cell::text(row.state.word()), words ObjectState::WORDS;
    "node", Text, "the holder's node", |row| Cell::text(&*row.node_ip), also |row| Cell::text(row.node.hex());
    "local", Count, "handles in this process", |row| Cell::Count(u64::from(row.local));
    "pinned", Count, "views in this process", |row| Cell::Count(u64::from(row.pinned));
    "submitted", Count, "pending tasks that need it", |row| Cell::Count(u64::from(row.submitted));
    "captured", Count, "objects that contain it", |row| Cell::Count(u64::from(row.captured));
    "object", Text, "the object's id", |row| Cell::text(row.object_id.hex());
]);

columns!(ObjectRow, Objects, "size", |row| row.object_id.hex(), [
    "size", Bytes, "bytes of the object", |row| optional(row.size_bytes, Cell::Bytes);
    "state", Text, "where its value is", |row| Cell::text(row.state.word()), words ObjectState::WORDS;
    "references", Count, "rows that hold it", |row| Cell::Count(u64::from(row.references));
    "age", Since, "since its creation", |row| Cell::Since(row.created_ms);
    "created", Text, "where it was created", |row| Cell::text(row.created_site.to_string()), also |row| Cell::text(row.created_site.stack());
    "creator", Count, "who created it", |row| Cell::Count(u64::from(row.creator_pid));
    "pinned", Count, "views into it", |row| Cell::Count(u64::from(row.pinned));
    "captured", Count, "objects that contain it", |row| Cell::Count(u64::from(row.captured));
    "contains", Count, "references inside it", |row| Cell::Count(u64::from(row.contains));
    "task", Text, "the task that makes it", |row| optional(row.task, |task| Cell::text(task.hex()));
    "file", Count, "the spill file with a copy", |row| optional(row.file, |file| Cell::Count(u64::from(file.0)));
    "restores", Count, "how often it was read back", |row| Cell::Count(u64::from(row.restores));
    "object", Text, "its id", |row| Cell::text(row.object_id.hex());
]);

columns!(SiteRow, Sites, "held", |row| row.site.id.to_string(), [
    "held", Bytes, "bytes of live objects created there, or in what was called from there", |row| Cell::Bytes(row.held_bytes);
    "own", Bytes, "of those, created in just this place", |row| Cell::Bytes(row.own_bytes);
    "objects", Count, "how many", |row| Cell::Count(row.objects);
    "references", Count, "rows that hold them", |row| Cell::Count(row.references);
    "growth", Growth, "change in a minute", |row| Cell::Growth(row.growth_bytes);
    "own_growth", Growth, "change of own in a minute", |row| Cell::Growth(row.own_growth_bytes);
    "age", Since, "of the oldest", |row| Cell::Since(row.oldest_ms);
    "kind", Text, "how they came to be", |row| Cell::text(row.site.kind.word()), words SiteKind::WORDS;
    "function", Text, "the enclosing function", |row| Cell::text(&*row.site.function);
    "file", Text, "the source file", |row| Cell::text(&*row.site.file);
    "line", Count, "the line in it", |row| Cell::Count(u64::from(row.site.line));
    "site", Text, "the place in short", |row| Cell::text(row.site.to_string()), also |row| Cell::text(row.site.stack());
    "id", Count, "its number", |row| Cell::Count(u64::from(row.site.id.0));
    "caller", Count, "number of the site that it was called from, 0 for none", |row| Cell::Count(u64::from(row.site.caller.0));
]);

columns!(TaskRow, Tasks, "age", volatile &["reason", "peak", "suggested"], |row| row.task_id.hex(), [
    "age", Since, "since it was submitted", |row| Cell::Since(row.submitted_ms);
    "name", Text, "the remote function", |row| Cell::text(&*row.name);
    "status", Text, "where it is in its life", |row| Cell::text(row.status.word()), words TaskStatus::WORDS;
    "attempt", Count, "attempts begun", |row| Cell::Count(u64::from(row.attempt));
    "pid", Count, "the worker", |row| optional(row.worker_pid, |pid| Cell::Count(u64::from(pid)));
    "submitter", Count, "who submitted it", |row| Cell::Count(u64::from(row.submitter_pid));
    "job", Count, "its job", |row| Cell::Count(u64::from(row.job.0));
    "cpus", Number, "CPUs that it reserves", |row| Cell::Number(row.resources.cpus.number());
    "gpus", Number, "GPUs that it reserves", |row| Cell::Number(row.resources.gpus.number());
    "memory", Bytes, "memory that it reserves", |row| Cell::Bytes(row.resources.memory_bytes);
    "resources", Text, "all that it reserves", |row| Cell::text(row.resources.to_string());
    "reason", Text, "what it waits for", |row| optional(row.reason.as_deref(), Cell::text);
    "retries", Count, "how often it may be tried again", |row| Cell::Count(u64::from(row.retries_left));
    "waits", Count, "objects that it waits for", |row| Cell::Count(u64::from(row.waits_for));
    "heap", Bytes, "largest heap that was seen of it", |row| Cell::Bytes(row.heap_bytes);
    "peak", Bytes, "largest heap of any task of its name", |row| Cell::Bytes(row.peak_bytes);
    "suggested", Bytes, "memory that it should ask for", |row| optional(row.suggested_bytes, Cell::Bytes);
    "site", Text, "where it was submitted", |row| Cell::text(row.call_site.to_string()), also |row| Cell::text(row.call_site.stack());
    "error", Text, "its error", |row| optional(row.error.as_deref(), Cell::text);
    "task", Text, "its id", |row| Cell::text(row.task_id.hex());
]);

columns!(ActorRow, Actors, "heap", |row| row.actor_id.hex(), [
    "heap", Bytes, "its worker's resident minus shared", |row| Cell::Bytes(row.heap_bytes);
    "held", Bytes, "bytes of objects that it holds", |row| Cell::Bytes(row.held_bytes);
    "class", Text, "its type", |row| Cell::text(&*row.class);
    "name", Text, "the name that it can be found by", |row| optional(row.name.as_deref(), Cell::text);
    "status", Text, "where it is in its life", |row| Cell::text(row.status.word()), words ActorStatus::WORDS;
    "queued", Count, "calls that have not begun", |row| Cell::Count(u64::from(row.queued));
    "running", Count, "calls that run", |row| Cell::Count(u64::from(row.running));
    "done", Count, "calls that ended", |row| Cell::Count(row.calls_done);
    "call", Text, "the method that runs longest", |row| optional(row.call.as_deref(), Cell::text);
    "since", Since, "since that call began", |row| optional(row.call_since_ms, Cell::Since);
    "references", Count, "rows that it holds", |row| Cell::Count(row.references);
    "handles", Count, "processes that hold a handle", |row| Cell::Count(u64::from(row.handles));
    "pid", Count, "its worker", |row| optional(row.pid, |pid| Cell::Count(u64::from(pid)));
    "creator", Count, "who created it", |row| Cell::Count(u64::from(row.creator_pid));
    "job", Count, "its job", |row| Cell::Count(u64::from(row.job.0));
    "cpus", Number, "CPUs that it reserves", |row| Cell::Number(row.resources.cpus.number());
    "gpus", Number, "GPUs that it reserves", |row| Cell::Number(row.resources.gpus.number());
    "memory", Bytes, "memory that it reserves", |row| Cell::Bytes(row.resources.memory_bytes);
    "resources", Text, "all that it reserves", |row| Cell::text(row.resources.to_string());
    "restarts", Count, "how often it was made anew", |row| Cell::Count(u64::from(row.restarts));
    "concurrency", Count, "calls that may run side by side", |row| Cell::Count(u64::from(row.max_concurrency));
    "detached", Text, "whether it lives on without handles", |row| Cell::text(if row.detached { "detached" } else { "" });
    "age", Since, "since its creation", |row| Cell::Since(row.created_ms);
    "site", Text, "where it was created", |row| Cell::text(row.call_site.to_string()), also |row| Cell::text(row.call_site.stack());
    "cause", Text, "why it ended", |row| optional(row.cause.as_deref(), Cell::text);
    "actor", Text, "its id", |row| Cell::text(row.actor_id.hex());
]);

columns!(PostMortemRow, PostMortem, "held", |row| row.process.to_string(), [
    "held", Bytes, "bytes of objects that it held", |row| Cell::Bytes(row.held_bytes);
    "references", Count, "rows that it held", |row| Cell::Count(row.references);
    "heap", Bytes, "resident minus shared when last seen", |row| Cell::Bytes(row.heap_bytes);
    "pid", Count, "process id", |row| Cell::Count(u64::from(row.pid));
    "type", Text, "what it was", |row| Cell::text(row.process_type.word()), words ProcessType::WORDS;
    "job", Count, "its job", |row| Cell::Count(u64::from(row.job.0));
    "how", Text, "how it ended", |row| Cell::text(&*row.how);
    "task", Text, "what it was running", |row| optional(row.task.as_deref(), Cell::text);
    "died", Since, "since its end", |row| Cell::Since(row.died_ms);
    "age", Since, "since it connected", |row| Cell::Since(row.since_ms);
    "name", Text, "its executable", |row| Cell::text(&*row.name);
]);

columns!(ProcessRow, Processes, "heap", |row| row.process.to_string(), [
    "heap", Bytes, "resident minus shared", |row| Cell::Bytes(row.heap_bytes);
    "rss", Bytes, "resident set", |row| Cell::Bytes(row.rss_bytes);
    "shared", Bytes, "resident and shared", |row| Cell::Bytes(row.shared_bytes);
    "cpu", Number, "percent of one CPU", |row| Cell::Number(f64::from(row.cpu_percent));
    "pid", Count, "process id", |row| Cell::Count(u64::from(row.pid));
    "type", Text, "what it is", |row| Cell::text(row.process_type.word()), words ProcessType::WORDS;
    "job", Count, "its job", |row| Cell::Count(u64::from(row.job.0));
    "state", Text, "what it does", |row| Cell::text(&*row.state);
    "task", Text, "the task that it runs", |row| optional(row.task.as_deref(), Cell::text);
    "actor", Text, "the type of the actor that it is", |row| optional(row.actor.as_deref(), Cell::text);
    "references", Count, "rows that it holds", |row| Cell::Count(row.references);
    "held", Bytes, "bytes of objects that it holds", |row| Cell::Bytes(row.held_bytes);
    "slack", Bytes, "leased bytes without objects", |row| Cell::Bytes(row.slack_bytes);
    "done", Count, "tasks that it has ended", |row| Cell::Count(row.tasks_done);
    "age", Since, "since it connected", |row| Cell::Since(row.since_ms);
    "name", Text, "its executable", |row| Cell::text(&*row.name);
]);

columns!(EventRow, Events, "number", |row| row.number.to_string(), [
    "number", Count, "order of events", |row| Cell::Count(row.number);
    "age", Since, "since it happened", |row| Cell::Since(row.at_ms);
    "severity", Text, "how bad", |row| Cell::text(row.severity.word()), words Severity::WORDS;
    "kind", Text, "what happened", |row| Cell::text(row.kind.word()), words EventKind::WORDS;
    "pid", Count, "the process concerned", |row| optional(row.pid, |pid| Cell::Count(u64::from(pid)));
    "message", Text, "in one line", |row| Cell::text(&*row.message);
]);

columns!(SpillFileRow, SpillFiles, "live", |row| row.file.to_string(), [
    "live", Bytes, "bytes of objects that live", |row| Cell::Bytes(row.live_bytes);
    "dead", Bytes, "bytes of objects that were freed", |row| Cell::Bytes(row.dead_bytes);
    "headers", Bytes, "headers and alignment", |row| Cell::Bytes(row.header_bytes);
    "size", Bytes, "the whole file", |row| Cell::Bytes(row.file_bytes);
    "file", Count, "its number", |row| Cell::Count(u64::from(row.file.0));
    "objects", Count, "objects that live", |row| Cell::Count(u64::from(row.objects));
    "written", Count, "objects that were written", |row| Cell::Count(u64::from(row.written));
    "restored", Count, "objects read back from it", |row| Cell::Count(row.restored);
    "state", Text, "where it is in its life", |row| Cell::text(row.state.word()), words SpillFileState::WORDS;
    "cause", Text, "why its objects were spilled", |row| Cell::text(row.cause.word()), words SpillCause::WORDS;
    "cut", Text, "why it was cut where it was", |row| Cell::text(row.cut.word()), words SpillCut::WORDS;
    "age", Since, "since its writing began", |row| Cell::Since(row.created_ms);
    "write", Count, "milliseconds of writing", |row| Cell::Count(row.write_ms);
    "name", Text, "its name", |row| Cell::text(&*row.name);
    "place", Text, "where it lies", |row| Cell::text(&*row.place);
]);

columns!(StoreRow, Store, "capacity", |_row| "store".to_owned(), [
    "capacity", Bytes, "bytes of the pool", |row| Cell::Bytes(row.ledger.capacity_bytes);
    "used", Bytes, "bytes of live objects", |row| Cell::Bytes(row.ledger.used_bytes());
    "objects", Count, "live objects", |row| Cell::Count(row.objects);
]);
