//! One actor, from its creation to its end.

use std::sync::Arc;

use plasmon_protocol::id::{JobId, ObjectKey, ProcessId, SiteId, TaskKey};
use plasmon_protocol::record::ActorStatus;

use super::calls::Calls;
use super::shape::Shape;

/// One actor. Its handles are references to an object without a value, so they are counted as all references are.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The object that its handles refer to.
    pub key: ObjectKey,
    /// Its type's path.
    pub class: Arc<str>,
    /// The name that it can be found by.
    pub name: Option<Arc<str>>,
    /// The agent holds a handle to it, and it has a job of its own.
    pub detached: bool,
    /// Its job.
    pub job: JobId,
    /// Who created it.
    pub creator: ProcessId,
    /// The creator's process id in the operating system, kept after its end.
    pub creator_pid: u32,
    /// Where it was created.
    pub site: SiteId,
    /// The task that runs its constructor.
    pub constructor: TaskKey,
    /// Where it is in its life.
    pub status: ActorStatus,
    /// The worker that it is, from the moment its constructor has ended.
    pub worker: Option<ProcessId>,
    /// The worker's process id in the operating system, kept after its end.
    pub worker_pid: Option<u32>,
    /// What it reserves while it lives.
    pub held: Arc<Shape>,
    /// How often it may be made anew; [`plasmon_protocol::local::ENDLESS`] for as often as it takes.
    pub max_restarts: u32,
    /// How often it was made anew.
    pub restarts: u32,
    /// How often a call is tried again after its worker died.
    pub max_task_retries: u32,
    /// Calls that it runs side by side.
    pub max_concurrency: u32,
    /// Calls that were not sent to it.
    pub calls: Calls,
    /// Calls that were sent to it and have not ended there, oldest first.
    pub running: Vec<TaskKey>,
    /// Its constructor has ended, and keeps its arguments: it may have to run again.
    pub keeps_constructor: bool,
    /// Calls that ended.
    pub calls_done: u64,
    /// When it was created, milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// Why it ended.
    pub cause: Option<String>,
}

impl Actor {
    /// The last part of its type's path.
    #[must_use]
    pub fn short_class(&self) -> &str {
        self.class.rsplit("::").next().unwrap_or(&self.class)
    }

    /// Its type, and its name where it has one, for messages.
    #[must_use]
    pub fn title(&self) -> String {
        match &self.name {
            Some(name) => format!("{} '{name}'", self.short_class()),
            None => self.short_class().to_owned(),
        }
    }

    /// Whether it has not ended.
    #[must_use]
    pub fn lives(&self) -> bool {
        self.status != ActorStatus::Dead
    }
}
