//! How people call the nodes, how these are, and what an answer comes to.

use plasmon_protocol::explain::{Kind, Node};
use plasmon_protocol::record::{ActorStatus, ObjectState, TaskStatus};
use plasmon_protocol::size::Bytes;
use plasmon_protocol::stream::Target;

use super::graph::Graph;
use super::{Core, Key};
use crate::reactor::memory::{Create, Want};
use crate::reactor::{Activity, Process};
use crate::scheduler::task::{Role, Task};

/// Bytes of one label.
const MAX_LABEL: usize = 80;
/// Bytes of a verdict.
const MAX_VERDICT: usize = 400;

/// A text of a program's, as long as it may be and without what a terminal obeys.
fn shown(text: &str, max: usize) -> String {
    let mut text: String = text.chars().map(|char| if char.is_control() { '?' } else { char }).collect();
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max));
        text.push('…');
    }
    text
}

/// The end of an id in hex, where ids of one node differ.
fn tail(hex: &str) -> &str {
    &hex[hex.len().saturating_sub(10)..]
}

impl Core {
    /// What tells a node apart.
    pub(super) fn name_of(&self, key: Key) -> String {
        let node = self.config.node;
        match key {
            Key::Task(key) => format!("task:{}", key.on(node)),
            Key::Object(key) => format!("object:{}", key.on(node)),
            Key::Actor(key) => format!("actor:{}", key.on(node)),
            Key::Process(process) => format!("process:{process}"),
            Key::Resource(resource) => {
                format!("resource:{}", self.resources.offer().name(resource).map_or("", |name| name))
            }
            Key::Room(process, request) => format!("room:{process}:{request}"),
            Key::Back(key) => format!("back:{}", key.on(node)),
            Key::Spill => "spill".to_owned(),
            Key::Start(job) => format!("start:{job}"),
            Key::Retry(key) => format!("retry:{}", key.on(node)),
        }
    }

    /// What people call a node.
    pub(super) fn label(&self, key: Key) -> String {
        let node = self.config.node;
        let text = match key {
            Key::Task(key) => {
                let (what, name) = self.tasks.get(&key).map_or(("task", String::new()), |task| self.task_words(task));
                format!("{what} {name} …{}", tail(&key.on(node).hex()))
            }
            Key::Object(key) => format!("object …{}", tail(&key.on(node).hex())),
            Key::Actor(key) => match self.actors.get(&key) {
                Some(actor) => format!("actor {}", actor.title()),
                None => format!("actor …{}", tail(&key.on(node).hex())),
            },
            Key::Process(process) => {
                self.process(process).map_or_else(|| "a process that is gone".to_owned(), |row| self.process_words(row))
            }
            Key::Resource(resource) => self.resources.offer().name(resource).map_or_else(String::new, |name| name.to_string()),
            Key::Room(..) => self.create_of(key).map_or_else(|| "room in the store".to_owned(), |(_, create)| self.create_words(create)),
            Key::Back(key) => format!("the return of object …{}", tail(&key.on(node).hex())),
            Key::Spill => "external storage".to_owned(),
            Key::Start(_) => "a worker that is being started".to_owned(),
            Key::Retry(_) => "its next attempt".to_owned(),
        };
        shown(&text, MAX_LABEL)
    }

    fn task_words(&self, task: &Task) -> (&'static str, String) {
        match task.role {
            Role::Function => ("task", task.short_function().to_owned()),
            Role::Constructor(actor) | Role::Method(actor) => {
                let class = self.actors.get(&actor).map_or("", |actor| actor.short_class());
                let what = if matches!(task.role, Role::Method(_)) { "call" } else { "constructor" };
                (what, format!("{class}::{}", task.short_function()))
            }
        }
    }

    fn process_words(&self, process: &Process) -> String {
        let what = match process.activity {
            Activity::Free => process.process_type.word().to_owned(),
            Activity::Actor(actor) => {
                self.actors.get(&actor).map_or_else(|| "worker".to_owned(), |actor| format!("actor {}", actor.title()))
            }
            _ => self.task_of(process).map_or_else(|| "worker".to_owned(), |task| self.task_words(task).1),
        };
        format!("process {} ({what})", process.pid)
    }

    fn create_words(&self, create: &Create) -> String {
        format!("room for {} at {}", Bytes(create.bytes), self.sites.get(create.site).short())
    }

    /// A create in the queue and its place there.
    pub(super) fn create_of(&self, key: Key) -> Option<(usize, &Create)> {
        self.creates.iter().enumerate().find(|(_, create)| create_key(create) == key)
    }

    /// How a node is.
    fn state(&self, key: Key) -> String {
        match key {
            Key::Task(key) => self.tasks.get(&key).map_or_else(
                || "ended".to_owned(),
                |task| {
                    let blocked = if task.blocked && task.is_pending() { ", blocked" } else { "" };
                    format!("{}{blocked}", task.status)
                },
            ),
            Key::Object(key) => self.objects.get(key).map_or_else(|| "gone".to_owned(), |object| object.shown_state().word().to_owned()),
            Key::Actor(key) => self.actors.get(&key).map_or_else(String::new, |actor| actor.status.word().to_owned()),
            Key::Process(id) => self.process(id).map_or_else(
                || "gone".to_owned(),
                |process| {
                    let state = self.process_row(id, process).state.to_string();
                    let held = process.reservation.as_ref().map(|reservation| self.reserved_words(reservation));
                    held.map_or_else(|| state.clone(), |held| format!("{state}, reserves {held}"))
                },
            ),
            Key::Resource(resource) => self.resources.describe(resource),
            Key::Room(..) | Key::Back(_) => match self.create_of(key) {
                Some((0, _)) => "first in the queue".to_owned(),
                Some((place, _)) => format!("behind {place} in the queue"),
                None => String::new(),
            },
            Key::Spill => match &self.spill.trouble {
                Some(cause) => shown(cause, MAX_LABEL),
                None => format!("writes {}, reads {}", Bytes(self.spill.writing.bytes), Bytes(self.spill.reading.bytes)),
            },
            Key::Start(job) => self.jobs.get(&job).map_or_else(String::new, |job| format!("{} on their way", job.starting)),
            Key::Retry(key) => {
                let at = self.tasks.get(&key).and_then(|task| task.rare().retry_at_ms);
                at.map_or_else(String::new, |at| format!("in {} s", at.saturating_sub(self.now_ms).div_ceil(1000)))
            }
        }
    }

    /// Since when a node is as it is.
    pub(super) fn since(&self, key: Key) -> Option<u64> {
        match key {
            Key::Task(key) => self.tasks.get(&key).and_then(|task| match task.status {
                TaskStatus::Finished | TaskStatus::Failed => task.ended_ms,
                TaskStatus::Running => task.started_ms,
                _ => Some(task.waiting_since_ms),
            }),
            Key::Object(key) => self.objects.get(key).map(|object| object.created_ms),
            Key::Actor(key) => self.actors.get(&key).map(|actor| actor.ended_ms.unwrap_or(actor.created_ms)),
            Key::Room(..) | Key::Back(_) => self.create_of(key).map(|(_, create)| create.since_ms),
            _ => None,
        }
    }

    fn bytes(&self, key: Key) -> Option<u64> {
        match key {
            Key::Object(key) => self.objects.get(key).and_then(|object| object.size()),
            Key::Room(..) | Key::Back(_) => self.create_of(key).map(|(_, create)| create.bytes),
            _ => None,
        }
    }

    /// The node as people get it.
    pub(super) fn node_row(&self, key: Key, more: u64, stuck: bool) -> Node {
        let node = self.config.node;
        let (kind, opens) = match key {
            Key::Task(key) => (Kind::Task, Some(Target::Task(key.on(node)))),
            Key::Object(key) => (Kind::Object, Some(Target::Object(key.on(node)))),
            Key::Actor(key) => (Kind::Actor, Some(Target::Actor(key.on(node).into()))),
            Key::Process(process) => (Kind::Process, Some(Target::Process(process))),
            Key::Resource(_) => (Kind::Resource, None),
            Key::Room(process, _) => (Kind::Room, Some(Target::Process(process))),
            Key::Back(key) => (Kind::Room, Some(Target::Object(key.on(node)))),
            Key::Spill => (Kind::Spill, None),
            Key::Start(_) => (Kind::Start, None),
            Key::Retry(_) => (Kind::Time, None),
        };
        Node {
            id: self.name_of(key).into(),
            kind,
            label: self.label(key),
            state: self.state(key),
            since_ms: self.since(key),
            bytes: self.bytes(key),
            opens,
            stuck,
            more,
        }
    }

    /// What a node waits for, in one line.
    pub(super) fn verdict(&self, key: Key, graph: &Graph) -> String {
        let label = self.label(key);
        let first = graph.edges_of(key).next().map(|(to, reason)| format!("{reason} {}", self.label(*to)));
        let text = match key {
            Key::Task(key) => match self.tasks.get(&key) {
                Some(task) => match (self.reason(task), task.status) {
                    (Some(reason), TaskStatus::Infeasible) => format!("{label} {reason}: it never runs here"),
                    (Some(reason), _) if task.rare().retry_at_ms.is_some() => format!("{label} {reason}"),
                    (Some(reason), _) => format!("{label} waits for {reason}"),
                    (None, TaskStatus::Finished) => format!("{label} has finished{}", self.how_it_ran(task)),
                    (None, TaskStatus::Failed) => match &task.rare().error {
                        Some(error) => format!("{label} has failed: {error}"),
                        None => format!("{label} has failed"),
                    },
                    (None, _) => match task.worker.and_then(|worker| self.blocked_on(worker, graph)) {
                        Some(blocked) => format!("{label} runs, and {blocked}"),
                        None => format!("{label} runs: it waits for nothing that is known here"),
                    },
                },
                None => format!("{label} has ended"),
            },
            Key::Actor(key) => match self.actors.get(&key) {
                Some(actor) => match (actor.status, &actor.cause) {
                    (ActorStatus::Dead, Some(cause)) => format!("{label} is dead: {cause}"),
                    (ActorStatus::Alive, _) if actor.running.is_empty() => format!("{label} is idle: it waits for calls"),
                    (ActorStatus::Alive, _) => {
                        format!("{label} runs {} calls, {} wait", actor.running.len(), actor.ahead.len() + actor.calls.len())
                    }
                    _ => format!("{label} takes no calls yet: its constructor has not ended"),
                },
                None => format!("{label} has ended"),
            },
            Key::Object(key) => match self.objects.get(key).map(|object| object.shown_state()) {
                Some(ObjectState::Spilled) if !self.spill.wanted.contains(&key) => {
                    format!("{label} is on disk, and nobody waits for it: a get reads it back")
                }
                Some(ObjectState::Pending | ObjectState::Restoring | ObjectState::Spilled) => match first {
                    Some(first) => format!("{label} has no value in memory yet: {first}"),
                    None => format!("{label} is not in memory, and nobody asks for it"),
                },
                Some(ObjectState::Failed) => format!("{label} has failed: get returns the error"),
                Some(_) => format!("{label} is there: nothing has to wait for it"),
                None => format!("{label} is gone"),
            },
            Key::Process(process) => match self.blocked_on(process, graph) {
                Some(blocked) => format!("{label} {blocked}"),
                None => format!("{label} waits for nothing that is known here"),
            },
            _ => first.map_or_else(|| label.clone(), |first| format!("{label} {first}")),
        };
        shown(&text, MAX_VERDICT)
    }

    /// Where an ended task ran, for how long, and at which attempt that was not the first.
    fn how_it_ran(&self, task: &Task) -> String {
        let mut how = task.worker_pid.map_or_else(String::new, |pid| format!(" in process {pid}"));
        if let Some((began, ended)) = task.started_ms.zip(task.ended_ms) {
            how.push_str(&format!(" after {:.2} s", ended.saturating_sub(began) as f64 / 1000.0));
        }
        if task.attempt > 1 {
            how.push_str(&format!(", at attempt {}", task.attempt));
        }
        how
    }

    /// What a process waits for.
    fn blocked_on(&self, process: plasmon_protocol::id::ProcessId, graph: &Graph) -> Option<String> {
        let mut edges = graph.edges_of(Key::Process(process));
        let (to, reason) = edges.next()?;
        let maker = graph.edges_of(*to).next().filter(|_| matches!(to, Key::Object(_)));
        let maker = maker.map(|(to, reason)| format!(", {reason} {}", self.label(*to))).unwrap_or_default();
        let more = edges.count();
        let more = if more == 0 { String::new() } else { format!(", and {more} more") };
        Some(format!("{reason} {}{maker}{more}", self.label(*to)))
    }
}

/// The node of a create.
pub(super) fn create_key(create: &Create) -> Key {
    match create.want {
        Want::Lease { request, .. } => Key::Room(create.process, request),
        Want::Restore(key) => Key::Back(key),
    }
}
