//! One actor, from its creation to its end.

use std::collections::VecDeque;
use std::sync::Arc;

use plasmon_protocol::id::{JobId, ObjectKey, ProcessId, SiteId, TaskKey};
use plasmon_protocol::record::ActorStatus;

use super::calls::Calls;
use super::shape::Shape;

/// Calls that an actor is sent ahead at most.
pub const AHEAD: usize = 32;
/// The longest that a call may take for the next ones to be sent ahead, milliseconds.
const QUICK_MS: u64 = 1;

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
    /// Calls that could be sent but for their arguments, which are looked for or kept for them.
    pub preparing: Vec<TaskKey>,
    /// Calls that were sent to it and have not ended there, oldest first.
    pub running: Vec<TaskKey>,
    /// Calls that it was sent ahead and that come after those, oldest first: an actor that is done with one finds the next there.
    pub ahead: VecDeque<TaskKey>,
    /// Since when the first of its running calls is that, milliseconds since the Unix epoch.
    pub turn_ms: u64,
    /// The method that its last calls took no time to speak of in.
    pub quick: Option<Arc<str>>,
    /// How many calls of that may be sent ahead: more with each that is quick.
    pub most_ahead: usize,
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

    /// Whether a call may be sent to run now.
    #[must_use]
    pub fn has_place(&self) -> bool {
        self.running.len() < self.max_concurrency as usize
    }

    /// Whether a call may be sent that comes after others.
    #[must_use]
    pub fn may_be_sent_ahead(&self) -> bool {
        self.max_concurrency == 1 && self.ahead.len() < self.most_ahead
    }

    /// A call of a method has ended: the one that comes after it takes its place, if it was sent. What was sent ahead does not come back,
    /// so that is what was quick lately and nothing else, or callers would not take turns.
    pub fn end_call(&mut self, call: TaskKey, method: Option<&Arc<str>>, now_ms: u64) {
        self.running.retain(|running| *running != call);
        self.calls_done += 1;
        let quick = now_ms.saturating_sub(self.turn_ms) <= QUICK_MS;
        let again = quick && method.is_some() && self.quick.as_ref() == method;
        self.most_ahead = if again { (2 * self.most_ahead).clamp(1, AHEAD) } else { 0 };
        self.quick = method.filter(|_| quick).cloned();
        self.turn_ms = now_ms;
        if self.has_place() {
            self.running.extend(self.ahead.pop_front());
        }
    }

    /// Whether it has not ended.
    #[must_use]
    pub fn lives(&self) -> bool {
        self.status != ActorStatus::Dead
    }
}
