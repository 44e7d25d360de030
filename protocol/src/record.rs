//! The rows that people see. Every row is a plain value; times are milliseconds since the Unix epoch, by the agent's clock,
//! so that a row which does not change is not sent again only because it grew older.

mod alike;
mod pressure;
mod spill;
mod stacks;
pub(crate) mod words;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{ActorId, JobId, NodeId, ObjectId, ProcessId, SiteId, SpillFileId, TaskId};

use crate::resources::Resources;
use crate::stream::Target;

pub use pressure::{PressureRow, VictimRow};
pub use spill::{MAX_QUEUE, SpillFileRow, SpillRow, WaitRow};
pub use stacks::Stacks;
pub use words::{
    ActorStatus, EventKind, ObjectState, ProcessType, ReferenceType, Severity, SiteKind, SpillCause, SpillCut, SpillFileState, TaskStatus,
};

/// A place in a program, or a frame of a stack: the same place called from elsewhere is another site.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Site {
    /// Its number within the agent.
    pub id: SiteId,
    /// How references come to be there.
    pub kind: SiteKind,
    /// The enclosing function's path, empty where unknown.
    pub function: String,
    /// The source file as the compiler named it.
    pub file: String,
    /// The line, from 1; 0 where unknown.
    pub line: u32,
    /// The site that it was called from, a frame; 0 where none is known, and then left out of frames.
    #[serde(skip_serializing_if = "is_none")]
    pub caller: SiteId,
    /// That site itself, where rows are of the process that has all sites. It does not travel.
    #[serde(skip)]
    pub outer: Option<Arc<Site>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_none(site: &SiteId) -> bool {
    site.0 == 0
}

impl Site {
    /// The site and those that it was called from, innermost first, as far as they are here.
    pub fn frames(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |site| site.outer.as_deref())
    }

    /// All frames as [`Site::long`], innermost first, with ` | ` between them.
    #[must_use]
    pub fn stack(&self) -> String {
        let mut text = self.long();
        for frame in self.frames().skip(1) {
            text.push_str(" | ");
            frame.write_path(&mut text);
        }
        text
    }

    /// `function file:line` with both paths whole.
    fn write_path(&self, text: &mut String) {
        if !self.function.is_empty() {
            text.push_str(&self.function);
            text.push(' ');
        }
        text.push_str(&self.file);
        if self.line != 0 {
            text.push(':');
            text.push_str(&self.line.to_string());
        }
    }

    /// `function file:line` with the last parts of both paths: what fits a row.
    #[must_use]
    pub fn short(&self) -> String {
        if self.file.is_empty() {
            return "-".to_owned();
        }
        let file = self.file.rsplit('/').next().unwrap_or(&self.file);
        match self.short_function() {
            // No place of its own.
            _ if self.line == 0 => file.to_owned(),
            "" => format!("{file}:{}", self.line),
            function => format!("{function} {file}:{}", self.line),
        }
    }

    /// `(kind) function file:line` with both paths whole; empty where the place is unknown.
    #[must_use]
    pub fn long(&self) -> String {
        let mut text = self.kind.word().to_owned();
        if !text.is_empty() {
            text.push(' ');
        }
        self.write_path(&mut text);
        text.truncate(text.trim_end_matches(' ').len());
        text
    }

    /// The last part of the function's path; closures name their function.
    #[must_use]
    pub fn short_function(&self) -> &str {
        let named = self.function.split("::").filter(|part| !part.starts_with('{')).last();
        // Reduced debug information may name a closure without its function.
        named.unwrap_or(if self.function.is_empty() { "" } else { "closure" })
    }
}

impl fmt::Display for Site {
    /// `(kind) function file:line`, as in the call site column.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = self.short();
        match self.kind.word() {
            "" => f.pad(&short),
            kind => f.pad(&format!("{kind} {short}")),
        }
    }
}

/// One (process, object) pair.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ReferenceRow {
    /// The object.
    pub object_id: ObjectId,
    /// The holder.
    pub process: ProcessId,
    /// The holder's process id in the operating system.
    pub pid: u32,
    /// What the holder is.
    pub process_type: ProcessType,
    /// The holder's node.
    pub node: NodeId,
    /// That node's address.
    #[serde(deserialize_with = "alike::text")]
    pub node_ip: Arc<str>,
    /// The first reason that holds.
    pub reference_type: ReferenceType,
    /// The object's size in bytes; `None` while it is pending.
    pub size_bytes: Option<u64>,
    /// Where this holder got it.
    #[serde(deserialize_with = "alike::site")]
    pub call_site: Arc<Site>,
    /// Where the object was created.
    #[serde(deserialize_with = "alike::site")]
    pub created_site: Arc<Site>,
    /// Who created it.
    pub creator_pid: u32,
    /// The status of the task that makes it; `None` for put objects, which are there from the start.
    pub status: Option<TaskStatus>,
    /// That task's attempt, from 1.
    pub attempt: Option<u32>,
    /// Where its value is.
    pub state: ObjectState,
    /// When this holder first got it.
    pub since_ms: u64,
    /// Handles in this process.
    pub local: u32,
    /// Views in this process.
    pub pinned: u32,
    /// Pending tasks that this process submitted with it.
    pub submitted: u32,
    /// Objects that this process put with it inside.
    pub captured: u32,
}

/// One object.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ObjectRow {
    /// The object.
    pub object_id: ObjectId,
    /// Its size in bytes; `None` while it is pending.
    pub size_bytes: Option<u64>,
    /// Where its value is.
    pub state: ObjectState,
    /// Where it was created.
    #[serde(deserialize_with = "alike::site")]
    pub created_site: Arc<Site>,
    /// Who created it.
    pub creator: ProcessId,
    /// The creator's process id in the operating system.
    pub creator_pid: u32,
    /// When.
    pub created_ms: u64,
    /// Rows that hold it.
    pub references: u32,
    /// Views into it, over all processes.
    pub pinned: u32,
    /// Objects that contain it.
    pub captured: u32,
    /// References inside it.
    pub contains: u32,
    /// The task that makes it, if any.
    pub task: Option<TaskId>,
    /// The spill file with a copy of it.
    pub file: Option<SpillFileId>,
    /// Where its record begins in that file, bytes.
    pub file_offset: Option<u64>,
    /// When it was written to external storage.
    pub spilled_ms: Option<u64>,
    /// When it was last dropped from memory.
    pub evicted_ms: Option<u64>,
    /// When it was last read back.
    pub restored_ms: Option<u64>,
    /// How often it was read back.
    pub restores: u32,
}

/// One creation site, or a frame that some were called from, with the objects that were created there and still live. What is *own* was
/// created in just this place, the rest in what was called from there; the own figures of all rows sum to those of all objects.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SiteRow {
    /// The place.
    pub site: Arc<Site>,
    /// Bytes of the objects created there, and in what was called from there.
    pub held_bytes: u64,
    /// How many objects.
    pub objects: u64,
    /// Rows that hold them, in any process.
    pub references: u64,
    /// Of `held_bytes`, those of objects that were created in just this place.
    pub own_bytes: u64,
    /// How many objects those are.
    pub own_objects: u64,
    /// Growth of `held_bytes` over the last minute, or since the site is known; negative when it shrank.
    pub growth_bytes: i64,
    /// Growth of `objects` over the same time.
    pub growth_objects: i64,
    /// Growth of `own_bytes` over the same time.
    pub own_growth_bytes: i64,
    /// When the oldest of the objects was created.
    pub oldest_ms: u64,
}

/// One task.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskRow {
    /// The task.
    pub task_id: TaskId,
    /// The remote function's path.
    pub name: Arc<str>,
    /// Where it is in its life.
    pub status: TaskStatus,
    /// Attempts begun, from 1.
    pub attempt: u32,
    /// Its job.
    pub job: JobId,
    /// The actor that it creates, or that it is a call of.
    pub actor: Option<ActorId>,
    /// Who submitted it.
    pub submitter_pid: u32,
    /// Where it runs or ran.
    pub worker_pid: Option<u32>,
    /// Where it was submitted.
    #[serde(deserialize_with = "alike::site")]
    pub call_site: Arc<Site>,
    /// What it reserves while it runs.
    pub resources: Arc<Resources>,
    /// Objects that it still waits for.
    pub waits_for: u32,
    /// What it waits for, in one line.
    pub reason: Option<String>,
    /// Since when it waits for that.
    pub waiting_since_ms: Option<u64>,
    /// How often it may be tried again after its worker died; [`crate::local::ENDLESS`] for as often as it takes.
    pub max_retries: u32,
    /// How often that may happen yet.
    pub retries_left: u32,
    /// When it is tried again.
    pub retry_at_ms: Option<u64>,
    /// Whether it is blocked in a `get` and gave its CPU back.
    pub blocked: bool,
    /// When it was submitted.
    pub submitted_ms: u64,
    /// When its last attempt began.
    pub started_ms: Option<u64>,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// The largest heap that its worker had while it ran, as far as it was seen, bytes. 0 when it was not seen.
    pub heap_bytes: u64,
    /// The largest heap that any task of this name had, ended ones included, bytes. 0 when none was seen.
    pub peak_bytes: u64,
    /// Tasks of this name that `peak_bytes` is of.
    pub peak_runs: u64,
    /// The `memory` that it should ask for, bytes; `None` when what it asks for is right.
    pub suggested_bytes: Option<u64>,
    /// Its error, in one line.
    pub error: Option<String>,
}

/// One actor. Byte figures are of the last sample.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ActorRow {
    /// The actor.
    pub actor_id: ActorId,
    /// Its type's path.
    pub class: Arc<str>,
    /// The name that it can be found by.
    pub name: Option<Arc<str>>,
    /// Whether it lives on without handles.
    pub detached: bool,
    /// Where it is in its life.
    pub status: ActorStatus,
    /// Its job.
    pub job: JobId,
    /// The worker that is it, or was.
    pub pid: Option<u32>,
    /// Who created it.
    pub creator_pid: u32,
    /// Where it was created.
    #[serde(deserialize_with = "alike::site")]
    pub call_site: Arc<Site>,
    /// What it reserves while it lives.
    pub resources: Arc<Resources>,
    /// How often it was made anew.
    pub restarts: u32,
    /// How often it may be; [`crate::local::ENDLESS`] for as often as it takes.
    pub max_restarts: u32,
    /// Calls that it may run side by side.
    pub max_concurrency: u32,
    /// Processes that hold a handle, pending calls and objects with a handle inside included.
    pub handles: u32,
    /// Calls that have not begun.
    pub queued: u32,
    /// Calls that run.
    pub running: u32,
    /// Calls that ended.
    pub calls_done: u64,
    /// The method that has been running longest.
    pub call: Option<Arc<str>>,
    /// Since when.
    pub call_since_ms: Option<u64>,
    /// Its worker's resident set minus shared, bytes.
    pub heap_bytes: u64,
    /// Rows that its worker holds.
    pub references: u64,
    /// Bytes of the unique objects that its worker holds.
    pub held_bytes: u64,
    /// When it was created.
    pub created_ms: u64,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// Why it ended, in one line.
    pub cause: Option<String>,
}

/// A process that ended as it should not have, for a minute after its end. What it held is in no other row and in no total.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PostMortemRow {
    /// The process.
    pub process: ProcessId,
    /// Its id in the operating system.
    pub pid: u32,
    /// What it was.
    pub process_type: ProcessType,
    /// Its job.
    pub job: JobId,
    /// The executable's file name.
    pub name: Arc<str>,
    /// How it ended, in a few words.
    pub how: Arc<str>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The code that it exited with.
    pub exit_code: Option<i32>,
    /// The task or call that it was running.
    pub task: Option<Arc<str>>,
    /// The actor that it was.
    pub actor: Option<ActorId>,
    /// Resident set minus shared when it was last sampled, bytes.
    pub heap_bytes: u64,
    /// Rows that it held.
    pub references: u64,
    /// Bytes of the unique objects that it held.
    pub held_bytes: u64,
    /// When it connected.
    pub since_ms: u64,
    /// When it ended.
    pub died_ms: u64,
}

/// One process that Plasmon knows. Byte figures are of the last sample.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessRow {
    /// The process.
    pub process: ProcessId,
    /// Its id in the operating system.
    pub pid: u32,
    /// What it is.
    pub process_type: ProcessType,
    /// Its job.
    pub job: JobId,
    /// The executable's file name.
    pub name: Arc<str>,
    /// `running`, `idle`, `starting`, `blocked`, `leaving`, or `stopped` by a signal or a debugger.
    pub state: Arc<str>,
    /// Resident set size, bytes.
    pub rss_bytes: u64,
    /// Resident pages that are shared with other processes, bytes.
    pub shared_bytes: u64,
    /// Resident set minus shared: what Ray calls worker heap, bytes.
    pub heap_bytes: u64,
    /// Share of one CPU over the last sample, percent.
    pub cpu_percent: f32,
    /// The task that it runs.
    pub task: Option<Arc<str>>,
    /// The type of the actor that it is.
    pub actor: Option<Arc<str>>,
    /// Rows that it holds.
    pub references: u64,
    /// Bytes of the unique objects that it holds.
    pub held_bytes: u64,
    /// Bytes leased to it that carry no object.
    pub slack_bytes: u64,
    /// Tasks that it has ended.
    pub tasks_done: u64,
    /// When it connected.
    pub since_ms: u64,
}

/// One thing that happened.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EventRow {
    /// Counts the agent's events, from 1.
    pub number: u64,
    /// When.
    pub at_ms: u64,
    /// What.
    pub kind: EventKind,
    /// How bad.
    pub severity: Severity,
    /// In one line.
    pub message: String,
    /// The process concerned, if any.
    pub pid: Option<u32>,
    /// What it is about, to be looked at in detail.
    pub opens: Option<Target>,
}

/// The ledger: every byte of capacity in exactly one line. The lines sum to `capacity_bytes`. An object that is pinned counts as pinned;
/// else what becomes of its copy (spilling, restoring, secondary) goes before who holds it (argument, referenced, captured).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Ledger {
    /// The pool's size.
    pub capacity_bytes: u64,
    /// Objects that a process holds a view into.
    pub pinned_bytes: u64,
    /// Objects that a pending task needs.
    pub argument_bytes: u64,
    /// Objects that a process holds a handle to.
    pub referenced_bytes: u64,
    /// Objects that only other objects hold.
    pub captured_bytes: u64,
    /// Objects granted but not published yet.
    pub creating_bytes: u64,
    /// Objects that are being written to external storage.
    pub spilling_bytes: u64,
    /// Objects that are being read back.
    pub restoring_bytes: u64,
    /// Secondary copies: objects that external storage has too.
    pub secondary_bytes: u64,
    /// Bytes behind an object up to the next allocation unit.
    pub padding_bytes: u64,
    /// Dead bytes in chunks that also carry live ones.
    pub hole_bytes: u64,
    /// Leased bytes that carry no object.
    pub slack_bytes: u64,
    /// Bytes that nobody leases.
    pub free_bytes: u64,
    /// Of `free_bytes`, those with no memory behind them yet.
    pub unbacked_bytes: u64,
    /// Capacity minus the sum of all lines, computed independently; zero, or the ledger is wrong.
    pub unattributed_bytes: i64,
    /// Inlined values in the agent's heap; outside of the capacity.
    pub inlined_bytes: u64,
    /// How many inlined values.
    pub inlined_objects: u64,
    /// What it takes to run finished tasks again, should their results be lost; in the agent's heap, outside of the capacity.
    pub lineage_bytes: u64,
    /// How many such tasks.
    pub lineage_tasks: u64,
}

impl Ledger {
    /// The lines with their names, in order of precedence; they sum to the capacity.
    #[must_use]
    pub fn lines(&self) -> [(&'static str, u64); 12] {
        [
            ("pinned", self.pinned_bytes),
            ("argument", self.argument_bytes),
            ("referenced", self.referenced_bytes),
            ("captured", self.captured_bytes),
            ("creating", self.creating_bytes),
            ("spilling", self.spilling_bytes),
            ("restoring", self.restoring_bytes),
            ("secondary", self.secondary_bytes),
            ("padding", self.padding_bytes),
            ("holes", self.hole_bytes),
            ("slack", self.slack_bytes),
            ("free", self.free_bytes),
        ]
    }

    /// Bytes of live objects: what is used, without what surrounds it and what is still being made.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        let objects = [self.pinned_bytes, self.argument_bytes, self.referenced_bytes, self.captured_bytes];
        let copies = [self.spilling_bytes, self.restoring_bytes, self.secondary_bytes];
        objects.into_iter().chain(copies).fold(0, u64::saturating_add)
    }
}

/// Both totals over references: rows, and the distinct objects behind them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ReferenceTotals {
    /// Rows.
    pub references: u64,
    /// Distinct objects.
    pub unique_objects: u64,
    /// Bytes of the distinct objects.
    pub unique_bytes: u64,
}

/// The node and its memory, divided as Ray's memory page divides it. The object store is counted once.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeRow {
    /// The node.
    pub node: NodeId,
    /// Its address.
    pub node_ip: Arc<str>,
    /// The address of its stream, empty when it has none.
    pub listen: Arc<str>,
    /// The agent's process id.
    pub pid: u32,
    /// The agent's version.
    pub version: Arc<str>,
    /// When the agent started.
    pub started_ms: u64,
    /// CPUs that the node offers to tasks.
    pub num_cpus: f64,
    /// CPUs that running tasks reserve.
    pub used_cpus: f64,
    /// What the node offers to tasks and actors.
    pub resources: Arc<Resources>,
    /// What of it they reserve at this moment.
    pub reserved: Arc<Resources>,
    /// The machine's memory (or the control group's limit), bytes.
    pub machine_total_bytes: u64,
    /// What the machine says is available, bytes.
    pub machine_available_bytes: u64,
    /// System memory: the agent's heap, the directory of nodes and actors included.
    pub agent_heap_bytes: u64,
    /// Application memory: heaps of drivers.
    pub driver_heap_bytes: u64,
    /// Application memory: heaps of workers.
    pub worker_heap_bytes: u64,
    /// Application memory: bytes of the pool that are backed.
    pub store_backed_bytes: u64,
    /// Application memory: bytes of live objects that processes read through views, each object counted once.
    pub shared_read_bytes: u64,
    /// Live drivers.
    pub drivers: u32,
    /// Live workers.
    pub workers: u32,
    /// Tasks that wait for objects, resources or a worker.
    pub tasks_pending: u64,
    /// Tasks that run.
    pub tasks_running: u64,
    /// Tasks that finished, ever.
    pub tasks_finished: u64,
    /// Tasks that failed, ever.
    pub tasks_failed: u64,
    /// Actors that have not ended.
    pub actors: u32,
}

/// The whole node at one instant: one row, for overviews.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StoreRow {
    /// The node.
    pub node: NodeRow,
    /// Where the store's bytes are.
    pub ledger: Ledger,
    /// Live objects, pending and failed ones included.
    pub objects: u64,
    /// Both totals.
    pub totals: ReferenceTotals,
    /// Messages that the agent has handled, ever.
    pub messages: u64,
    /// Bytes of objects ever put.
    pub put_bytes: u64,
    /// Objects ever put.
    pub put_objects: u64,
    /// Creates, and gets of spilled objects, that wait for room.
    pub creates_queued: u32,
    /// Rings of tasks and processes that wait for each other, none of which goes on by itself.
    pub deadlocks: u32,
    /// External storage.
    pub spill: SpillRow,
    /// How full the memory is.
    pub pressure: PressureRow,
    /// Viewers attached.
    pub viewers: u32,
}
