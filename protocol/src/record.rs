//! The rows that people see. Every row is a plain value; times are milliseconds since the Unix epoch, by the agent's clock,
//! so that a row which does not change is not sent again only because it grew older.

mod alike;
mod ledger;
mod node;
mod pressure;
mod site;
mod spill;
mod stacks;
pub(crate) mod words;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{ActorId, JobId, NodeId, ObjectId, ProcessId, SpillFileId, TaskId};
use crate::resources::Resources;
use crate::stream::Target;

pub use ledger::Ledger;
pub use node::{NodeRow, ReferenceTotals, StoreRow};
pub use pressure::{PressureRow, VictimRow};
pub use site::Site;
pub use spill::{MAX_QUEUE, SpillFileRow, SpillRow, WaitRow};
pub use stacks::Stacks;
pub use words::{
    ActorStatus, EventKind, ObjectState, ProcessType, ReferenceType, Severity, SiteKind, SpillCause, SpillCut, SpillFileState, TaskStatus,
};

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
