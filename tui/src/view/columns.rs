//! The columns of every kind of row, for views and pages alike.

mod tasks;

use plasmon_protocol::record::{
    ActorRow, ActorStatus, EventRow, ObjectRow, ObjectState, PostMortemRow, ProcessRow, ProcessType, ReferenceRow, ReferenceType, Severity,
    Site, SiteRow, SpillCut, SpillFileRow, SpillFileState, WaitRow,
};
use plasmon_protocol::size::cells;
use plasmon_protocol::stream::GroupRow;

use super::format::{age, count, growth};
use super::table::{Column, Text};
use super::theme::Role;
use crate::app::page::task_label;
use crate::app::route::short_id;

pub use tasks::{TASKS, status};

fn plain(text: impl Into<String>) -> Text {
    (text.into(), Role::Text)
}

/// A count of which nothing is not worth reading.
fn some(number: u64) -> Text {
    (count(number), if number == 0 { Role::Dim } else { Role::Text })
}

fn size(bytes: Option<u64>, state: ObjectState) -> Text {
    match (bytes, state) {
        (_, ObjectState::Failed) => ("error".to_owned(), Role::Bad),
        (_, ObjectState::Actor) => ("-".to_owned(), Role::Dim),
        (Some(bytes), _) => plain(cells(bytes)),
        (None, _) => ("-".to_owned(), Role::Dim),
    }
}

/// A place first, for that is what must not be cut; then how references come to be there.
pub(super) fn site(site: &Site) -> Text {
    match (site.file.is_empty(), site.kind.word()) {
        (true, _) => ("-".to_owned(), Role::Dim),
        (false, "") => plain(site.short()),
        (false, kind) => plain(format!("{} {kind}", site.short())),
    }
}

/// How much attention an event asks for, where colours cannot tell.
fn mark(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => " ",
        Severity::Warning => "!",
        Severity::Error => "✗",
    }
}

/// A change of bytes within a minute.
#[must_use]
pub fn growth_cell(bytes: i64) -> Text {
    let role = match bytes {
        0 => Role::Dim,
        1.. => Role::Warn,
        _ => Role::Ok,
    };
    (growth(bytes), role)
}

pub(super) fn holder(kind: ProcessType, pid: u32) -> Text {
    plain(format!("{kind} {pid}"))
}

/// How a process holds an object, in words: `2 handles, 1 view`.
#[must_use]
pub fn counts(row: &ReferenceRow) -> String {
    let parts = [
        (row.local, "handle", "handles"),
        (row.pinned, "view", "views"),
        (row.submitted, "task", "tasks"),
        (row.captured, "inside", "inside"),
    ];
    let words: Vec<String> = parts
        .iter()
        .filter(|(number, ..)| *number > 0)
        .map(|(number, one, many)| format!("{number} {}", if *number == 1 { one } else { many }))
        .collect();
    words.join(", ")
}

/// A state in small letters: what stands in every row should be quiet.
pub(super) fn state_word(state: ObjectState) -> Text {
    match state {
        ObjectState::Pending => ("pending".to_owned(), Role::Dim),
        ObjectState::InMemory => plain("in memory"),
        ObjectState::Spilling => ("spilling".to_owned(), Role::Warn),
        ObjectState::InMemoryCopy => plain("memory + disk"),
        ObjectState::Spilled => ("spilled".to_owned(), Role::Disk),
        ObjectState::Restoring => ("restoring".to_owned(), Role::Warn),
        ObjectState::Inlined => plain("inlined"),
        ObjectState::Actor => plain("actor"),
        ObjectState::Failed => ("failed".to_owned(), Role::Bad),
    }
}

/// A type as the filter takes it, in small letters.
#[must_use]
pub fn type_word(kind: ReferenceType) -> &'static str {
    match kind {
        ReferenceType::ActorHandle => "actor handle",
        ReferenceType::PinnedInMemory => "pinned",
        ReferenceType::UsedByPendingTask => "pending task",
        ReferenceType::LocalReference => "local",
        ReferenceType::CapturedInObject => "captured",
    }
}

/// Where an object was created, where that is not the place that its holder got it at.
fn created(row: &ReferenceRow) -> Text {
    if row.call_site.id == row.created_site.id { ("same".to_owned(), Role::Dim) } else { site(&row.created_site) }
}

/// References, wherever they stand.
pub const REFERENCES: &[Column<ReferenceRow>] = &[
    Column::figure("size", "size", 5, 9, |row, _| size(row.size_bytes, row.state)),
    Column::word("type", "type", 20, 6, |row, _| (row.reference_type.word().to_owned(), Role::Type(row.reference_type))),
    Column::word("holder", "pid", 14, 9, |row, _| holder(row.process_type, row.pid)),
    Column::still("age", "age", 4, 8, |row, now| plain(age(now, row.since_ms))),
    Column::wide("got at", "site", 24, 3, 9, |row, _| site(&row.call_site)),
    Column::wide("created at", "created", 20, 2, 3, |row, _| created(row)),
    Column::figure("handles", "local", 7, 2, |row, _| some(row.local.into())),
    Column::figure("views", "pinned", 5, 2, |row, _| some(row.pinned.into())),
    Column::figure("tasks", "submitted", 5, 2, |row, _| some(row.submitted.into())),
    Column::figure("inside", "captured", 6, 2, |row, _| some(row.captured.into())),
    Column::word("value", "state", 13, 1, |row, _| state_word(row.state)),
    Column::word("object", "object", 15, 1, |row, _| (short_id(&row.object_id.hex()), Role::Dim)),
];

/// The same on a narrow screen, with the types in a word.
pub const REFERENCES_NARROW: &[Column<ReferenceRow>] = &[
    Column::figure("size", "size", 5, 9, |row, _| size(row.size_bytes, row.state)),
    Column::word("type", "type", 12, 9, |row, _| (type_word(row.reference_type).to_owned(), Role::Type(row.reference_type))),
    Column::word("holder", "pid", 14, 8, |row, _| holder(row.process_type, row.pid)),
    Column::still("age", "age", 4, 7, |row, now| plain(age(now, row.since_ms))),
    Column::wide("got at", "site", 16, 1, 9, |row, _| site(&row.call_site)),
    Column::wide("created at", "created", 16, 1, 0, |row, _| created(row)),
    Column::word("object", "object", 15, 0, |row, _| (short_id(&row.object_id.hex()), Role::Dim)),
    Column::word("value", "state", 13, 0, |row, _| state_word(row.state)),
    Column::figure("handles", "local", 7, 0, |row, _| some(row.local.into())),
    Column::figure("views", "pinned", 5, 0, |row, _| some(row.pinned.into())),
    Column::figure("tasks", "submitted", 5, 0, |row, _| some(row.submitted.into())),
    Column::figure("inside", "captured", 6, 0, |row, _| some(row.captured.into())),
];

/// Groups of references.
pub const REFERENCE_GROUPS: &[Column<GroupRow>] = &[
    Column::figure("size", "size", 5, 9, |row, _| plain(cells(row.bytes))),
    Column::figure("rows", "rows", 5, 9, |row, _| plain(count(row.rows))),
    Column::figure("objects", "objects", 7, 9, |row, _| plain(count(row.unique.unique_objects))),
    Column::figure("unique", "unique_bytes", 6, 8, |row, _| plain(cells(row.unique.unique_bytes))),
    Column::wide(
        "group",
        "key",
        20,
        1,
        9,
        |row, _| if row.key.is_empty() { ("none".to_owned(), Role::Dim) } else { plain(row.key.as_str()) },
    ),
    Column::figure("actor", "", 5, 1, |row, _| some(row.by_type[0])),
    Column::figure("pinned", "", 6, 3, |row, _| some(row.by_type[1])),
    Column::figure("task", "", 5, 3, |row, _| some(row.by_type[2])),
    Column::figure("local", "", 5, 3, |row, _| some(row.by_type[3])),
    Column::figure("captured", "", 8, 3, |row, _| some(row.by_type[4])),
];

/// Groups of rows that weigh nothing, or what they hold.
pub const GROUPS: &[Column<GroupRow>] = &[
    Column::figure("held", "size", 5, 8, |row, _| if row.bytes == 0 { ("-".to_owned(), Role::Dim) } else { plain(cells(row.bytes)) }),
    Column::figure("rows", "rows", 5, 9, |row, _| plain(count(row.rows))),
    Column::wide(
        "group",
        "key",
        20,
        1,
        9,
        |row, _| if row.key.is_empty() { ("none".to_owned(), Role::Dim) } else { plain(row.key.as_str()) },
    ),
];

/// Who holds one object, the types in a word where there is little room.
#[must_use]
pub fn holders(width: u16) -> &'static [Column<ReferenceRow>] {
    if width < 90 { HOLDERS_NARROW } else { HOLDERS }
}

const HOLDERS_NARROW: &[Column<ReferenceRow>] = &[
    Column::word("process", "", 12, 9, |row, _| holder(row.process_type, row.pid)),
    Column::word("type", "", 12, 8, |row, _| (type_word(row.reference_type).to_owned(), Role::Type(row.reference_type))),
    Column::wide("by", "", 8, 1, 5, |row, _| plain(counts(row))),
    Column::still("age", "", 4, 6, |row, now| plain(age(now, row.since_ms))),
    Column::wide("got at", "", 14, 2, 9, |row, _| site(&row.call_site)),
];

const HOLDERS: &[Column<ReferenceRow>] = &[
    Column::word("process", "", 12, 9, |row, _| holder(row.process_type, row.pid)),
    Column::word("type", "", 20, 8, |row, _| (row.reference_type.word().to_owned(), Role::Type(row.reference_type))),
    Column::wide("by", "", 8, 1, 5, |row, _| plain(counts(row))),
    Column::still("age", "", 4, 6, |row, now| plain(age(now, row.since_ms))),
    Column::wide("got at", "", 14, 3, 9, |row, _| site(&row.call_site)),
];

/// What one process holds, the types in a word where there is little room.
#[must_use]
pub fn held(width: u16) -> &'static [Column<ReferenceRow>] {
    if width < 116 { HELD_NARROW } else { HELD }
}

const HELD_NARROW: &[Column<ReferenceRow>] =
    &held_with(Column::word("type", "", 12, 6, |row, _| (type_word(row.reference_type).to_owned(), Role::Type(row.reference_type))));

const HELD: &[Column<ReferenceRow>] =
    &held_with(Column::word("type", "", 20, 6, |row, _| (row.reference_type.word().to_owned(), Role::Type(row.reference_type))));

const fn held_with(kind: Column<ReferenceRow>) -> [Column<ReferenceRow>; 7] {
    [
        Column::figure("size", "", 5, 9, |row, _| size(row.size_bytes, row.state)),
        kind,
        Column::word("by", "", 17, 5, |row, _| plain(counts(row))),
        Column::still("age", "", 4, 7, |row, now| plain(age(now, row.since_ms))),
        Column::wide("got at", "", 18, 2, 9, |row, _| site(&row.call_site)),
        Column::wide("created at", "", 20, 2, 3, |row, _| created(row)),
        Column::word("object", "", 15, 2, |row, _| (short_id(&row.object_id.hex()), Role::Dim)),
    ]
}

/// Frames of a stack.
pub const FRAMES: &[Column<Site>] = &[
    Column::wide("function", "", 24, 1, 9, |site, _| plain(site.short_function())),
    Column::wide("line", "", 24, 2, 9, |site, _| plain(crate::app::act::place_of(site))),
];

/// Objects.
pub const OBJECTS: &[Column<ObjectRow>] = &[
    Column::figure("size", "", 5, 9, |row, _| size(row.size_bytes, row.state)),
    Column::word("value", "", 13, 5, |row, _| state_word(row.state)),
    Column::figure("refs", "", 5, 9, |row, _| some(row.references.into())),
    Column::figure("views", "", 5, 6, |row, _| some(row.pinned.into())),
    Column::figure("inside", "", 6, 4, |row, _| some(row.captured.into())),
    Column::figure("contains", "", 8, 3, |row, _| some(row.contains.into())),
    Column::still("age", "", 4, 8, |row, now| plain(age(now, row.created_ms))),
    Column::still("creator", "", 7, 2, |row, _| plain(row.creator_pid.to_string())),
    Column::wide("created at", "", 12, 1, 1, |row, _| site(&row.created_site)),
    Column::word("object", "", 15, 9, |row, _| (short_id(&row.object_id.hex()), Role::Dim)),
];

/// Who waits for room in the store, first come first.
pub const QUEUE: &[Column<WaitRow>] = &[
    Column::still("", "", 2, 9, |row, _| (row.position.to_string(), Role::Dim)),
    Column::still("pid", "", 7, 8, |row, _| plain(row.pid.to_string())),
    Column::figure("size", "", 5, 9, |row, _| plain(cells(row.bytes))),
    Column::word("for", "", 15, 3, |row, _| match row.object {
        Some(object) => plain(short_id(&object.hex())),
        None => plain("create"),
    }),
    Column::still("since", "", 4, 7, |row, now| (age(now, row.since_ms), Role::Warn)),
    Column::wide("called at", "", 22, 1, 9, |row, _| site(&row.site)),
    Column::wide("waits for", "", 24, 1, 6, |row, _| (row.reason.to_string(), Role::Dim)),
];

/// Why no more went into a file.
#[must_use]
pub fn cut_words(cut: SpillCut) -> &'static str {
    match cut {
        SpillCut::Enough => "enough was spilled",
        SpillCut::Objects | SpillCut::Size | SpillCut::Exhausted => cut.word(),
    }
}

/// Spill files.
pub const SPILL_FILES: &[Column<SpillFileRow>] = &[
    Column::still("file", "file", 7, 9, |row, _| plain(row.file.to_string())),
    Column::word("state", "state", 10, 8, |row, _| {
        let role = match row.state {
            SpillFileState::Writing => Role::Warn,
            SpillFileState::Ready => Role::Ok,
            SpillFileState::Compacting | SpillFileState::Deleting => Role::Dim,
        };
        (row.state.word().to_owned(), role)
    }),
    Column::figure("size", "size", 5, 7, |row, _| plain(cells(row.file_bytes))),
    Column::figure("live", "live", 5, 9, |row, _| plain(cells(row.live_bytes))),
    Column::figure("dead", "dead", 5, 9, |row, _| memory(row.dead_bytes)),
    Column::figure("headers", "headers", 7, 3, |row, _| memory(row.header_bytes)),
    Column::figure("objects", "objects", 7, 8, |row, _| plain(count(row.objects.into()))),
    Column::figure("restored", "restored", 8, 4, |row, _| some(row.restored)),
    Column::still("age", "age", 4, 7, |row, now| plain(age(now, row.created_ms))),
    Column::word("cause", "cause", 10, 6, |row, _| plain(row.cause.word())),
    Column::word("ended by", "cut", 21, 5, |row, _| (cut_words(row.cut).to_owned(), Role::Dim)),
    Column::wide("place", "place", 12, 1, 2, |row, _| plain(&*row.place)),
];

/// Sites in one line each; the names of the figures stand in the region's rule.
pub const SITES: &[Column<SiteRow>] = &[
    Column::wide("", "site", 24, 1, 9, |row, _| site(&row.site)),
    Column::figure("held", "held", 5, 9, |row, _| plain(cells(row.held_bytes))),
    Column::figure("objects", "objects", 7, 6, |row, _| plain(count(row.objects))),
    Column::figure("refs", "references", 5, 7, |row, _| plain(count(row.references))),
    Column::still("oldest", "age", 6, 5, |row, now| plain(age(now, row.oldest_ms))),
    Column::still("in 1 min", "growth", 8, 9, |row, _| growth_cell(row.growth_bytes)),
];

/// Processes.
pub const PROCESSES: &[Column<ProcessRow>] = &[
    Column::still("pid", "pid", 7, 9, |row, _| plain(row.pid.to_string())),
    Column::word("type", "type", 6, 9, |row, _| plain(row.process_type.word())),
    Column::word("state", "state", 8, 8, |row, _| {
        let role = match &*row.state {
            "running" => Role::Ok,
            "blocked" => Role::Warn,
            _ => Role::Dim,
        };
        (row.state.to_string(), role)
    }),
    Column::figure("heap", "heap", 5, 9, |row, _| plain(cells(row.heap_bytes))),
    Column::figure("rss", "rss", 5, 4, |row, _| plain(cells(row.rss_bytes))),
    Column::figure("shared", "shared", 6, 3, |row, _| plain(cells(row.shared_bytes))),
    Column::figure("cpu", "cpu", 5, 6, |row, _| {
        let role = if row.cpu_percent < 0.5 { Role::Dim } else { Role::Text };
        (format!("{:.0} %", row.cpu_percent), role)
    }),
    Column::figure("held", "held", 5, 9, |row, _| plain(cells(row.held_bytes))),
    Column::figure("refs", "references", 5, 7, |row, _| some(row.references)),
    Column::figure("slack", "slack", 5, 3, |row, _| plain(cells(row.slack_bytes))),
    Column::figure("done", "done", 5, 2, |row, _| some(row.tasks_done)),
    Column::still("age", "age", 4, 5, |row, now| plain(age(now, row.since_ms))),
    Column::still("job", "job", 3, 1, |row, _| plain(row.job.to_string())),
    Column::wide("runs", "task", 13, 1, 9, |row, _| match (&row.actor, &row.task) {
        (Some(actor), None) => plain(format!("actor {}", task_label(actor))),
        (_, Some(task)) => plain(call_label(task, row.actor.is_some())),
        (None, None) => (row.name.to_string(), Role::Dim),
    }),
];

/// Processes that died as they should not have.
pub const POST_MORTEM: &[Column<PostMortemRow>] = &[
    Column::still("pid", "pid", 7, 9, |row, _| plain(row.pid.to_string())),
    Column::word("type", "type", 6, 8, |row, _| plain(row.process_type.word())),
    Column::figure("held", "held", 5, 9, |row, _| plain(cells(row.held_bytes))),
    Column::figure("refs", "references", 5, 9, |row, _| some(row.references)),
    Column::figure("heap", "heap", 5, 6, |row, _| plain(cells(row.heap_bytes))),
    Column::still("died", "died", 4, 9, |row, now| plain(age(now, row.died_ms))),
    Column::still("job", "job", 3, 1, |row, _| plain(row.job.to_string())),
    Column::wide("how", "how", 16, 1, 9, |row, _| (row.how.to_string(), Role::Bad)),
    Column::wide("was running", "task", 12, 1, 7, |row, _| match &row.task {
        Some(task) => plain(call_label(task, row.actor.is_some())),
        None => ("nothing".to_owned(), Role::Dim),
    }),
    Column::word("program", "name", 10, 1, |row, _| (row.name.to_string(), Role::Dim)),
];

/// Actors.
pub const ACTORS: &[Column<ActorRow>] = &[
    Column::wide("actor", "class", 11, 2, 9, |row, _| plain(task_label(&row.class))),
    Column::wide("name", "name", 8, 1, 4, |row, _| row.name.as_ref().map_or_else(|| (String::new(), Role::Dim), |name| plain(&**name))),
    Column::still("pid", "pid", 7, 6, |row, _| row.pid.map_or(("-".to_owned(), Role::Dim), |pid| plain(pid.to_string()))),
    Column::word("status", "status", 6, 7, |row, _| match row.status {
        ActorStatus::PendingCreation => ("starts".to_owned(), Role::Text),
        ActorStatus::Alive => ("alive".to_owned(), Role::Ok),
        ActorStatus::Restarting => ("again".to_owned(), Role::Warn),
        ActorStatus::Dead => ("dead".to_owned(), Role::Dim),
    }),
    Column::figure("heap", "heap", 5, 8, |row, _| memory(row.heap_bytes)),
    Column::figure("held", "held", 5, 8, |row, _| memory(row.held_bytes)),
    Column::figure("queued", "queued", 6, 9, |row, _| (count(row.queued.into()), if row.queued > 0 { Role::Warn } else { Role::Dim })),
    Column::figure("running", "running", 7, 3, |row, _| some(row.running.into())),
    Column::figure("done", "done", 5, 9, |row, _| some(row.calls_done)),
    Column::still("for", "since", 4, 9, |row, now| row.call_since_ms.map_or((String::new(), Role::Dim), |since| plain(age(now, since)))),
    Column::wide("reserves", "resources", 8, 1, 1, |row, _| (row.resources.to_string(), Role::Dim)),
    Column::wide("current call", "call", 10, 3, 9, |row, _| match (&row.cause, &row.call) {
        (Some(cause), _) => (cause.clone(), Role::Dim),
        (None, Some(call)) => plain(task_label(call)),
        (None, None) => ("-".to_owned(), Role::Dim),
    }),
    Column::figure("handles", "handles", 7, 2, |row, _| some(row.handles.into())),
    Column::still("age", "age", 4, 2, |row, now| plain(age(now, row.created_ms))),
];

fn memory(bytes: u64) -> Text {
    (cells(bytes), if bytes == 0 { Role::Dim } else { Role::Text })
}

/// A function without its path; a method with its type.
fn call_label(name: &std::sync::Arc<str>, method: bool) -> String {
    let mut parts = name.rsplit("::");
    match (parts.next(), parts.next().filter(|_| method)) {
        (Some(last), Some(class)) => format!("{class}::{last}"),
        _ => task_label(name),
    }
}

const SEVERITY: Column<EventRow> =
    Column::word("", "severity", 1, 9, |row, _| (mark(row.severity).to_owned(), Role::severity(row.severity)));
const MESSAGE: Column<EventRow> =
    Column::wide("message", "message", 44, 1, 9, |row, _| (row.message.clone(), Role::severity(row.severity)));
const HAPPENED: Column<EventRow> = Column::still("age", "age", 4, 5, |row, now| (age(now, row.at_ms), Role::Dim));

/// Events; their time is drawn beside them, for it is by the viewer's clock.
pub const EVENTS: &[Column<EventRow>] = &[
    SEVERITY,
    Column::word("what", "kind", 16, 3, |row, _| (row.kind.word().replace('_', " "), Role::Dim)),
    MESSAGE,
    Column::still("pid", "pid", 7, 2, |row, _| row.pid.map_or((String::new(), Role::Dim), |pid| (pid.to_string(), Role::Dim))),
    HAPPENED,
];

/// Events of external storage, whose messages say what happened and where there is little room.
pub const STORAGE_EVENTS: &[Column<EventRow>] = &[SEVERITY, MESSAGE, HAPPENED];
