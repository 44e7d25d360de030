//! Why something waits: the wait-for graph around it, built from the core at one instant and bounded, so that it can be watched.
//!
//! - [`graph`]: nodes are found, breadth first, until there are enough of them.
//! - [`links`]: what each of them waits for; [`labels`]: how people call it.
//! - [`cycles`]: who waits for each other; a ring counts only where nobody in it can go on without the others.
//! - [`names`]: what people may call something by; [`waiting`]: all that waits at this moment.
//! - [`alarm`]: rings are told of by themselves.

mod alarm;
mod cycles;
mod graph;
mod labels;
mod links;
mod names;
mod waiting;

use plasmon_protocol::explain::{Answer, Explanation, MAX_ANSWERS, MAX_NODES, Subject};
use plasmon_protocol::id::{JobId, NodeId, ObjectKey, ProcessId, TaskKey};

use super::Core;
use graph::Graph;

pub(super) use alarm::Deadlocks;

/// A node of the graph.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Key {
    Task(TaskKey),
    Object(ObjectKey),
    Actor(ObjectKey),
    Process(ProcessId),
    /// By the node's number.
    Resource(usize),
    /// A create that waits for room.
    Room(ProcessId, u32),
    /// A spilled object that waits for room.
    Back(ObjectKey),
    /// External storage at work.
    Spill,
    /// Workers of a job that are being started.
    Start(JobId),
    /// A task is tried again later.
    Retry(TaskKey),
}

/// When a node goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Rule {
    /// By itself, or with what is not ours to judge.
    Freely,
    /// When all of these have gone on.
    All(Vec<Key>),
    /// When one of these has.
    Any(Vec<Key>),
    /// When so much of each of these resources comes free.
    Free(Vec<(usize, u64)>),
}

/// What one node waits for.
#[derive(Clone, Debug)]
struct Links {
    /// For what, and how, in words between the two.
    edges: Vec<(Key, String)>,
    /// Edges that are left out.
    more: u64,
    rule: Rule,
}

impl Links {
    fn none() -> Self {
        Self { edges: Vec::new(), more: 0, rule: Rule::Freely }
    }
}

impl Core {
    /// Why something waits; `None` when there is no such thing.
    pub(super) fn explain(&self, subject: &Subject) -> Option<Explanation> {
        let here = |node: NodeId| node == self.config.node;
        let roots: Vec<(Key, u64)> = match subject {
            Subject::Everything => return Some(self.explain_everything()),
            Subject::Task(id) if here(id.node()) => vec![(Key::Task(id.key()), 0)],
            Subject::Object(id) if here(id.node()) => vec![(self.key_of_object(id.key()), 0)],
            Subject::Actor(id) if here(id.node()) => vec![(Key::Actor(id.key()), 0)],
            Subject::Process(id) => vec![(Key::Process(*id), 0)],
            Subject::Task(_) | Subject::Object(_) | Subject::Actor(_) => return None,
            Subject::Named(name) => self.named(name).into_iter().map(|key| (key, 0)).collect(),
        };
        let mut roots: Vec<(Key, u64)> = roots.into_iter().filter(|(key, _)| self.is_there(*key)).collect();
        let more = roots.len().saturating_sub(MAX_ANSWERS);
        roots.truncate(MAX_ANSWERS);
        (!roots.is_empty()).then(|| self.explanation(&roots, more as u64))
    }

    fn explain_everything(&self) -> Explanation {
        let (roots, more) = self.waiting();
        self.explanation(&roots, more)
    }

    fn explanation(&self, roots: &[(Key, u64)], more: u64) -> Explanation {
        let keys: Vec<Key> = roots.iter().map(|(key, _)| *key).collect();
        let graph = Graph::of(self, &keys, MAX_NODES);
        let stuck = graph.stuck(self);
        let answers = roots.iter().map(|(key, others)| Answer {
            node: self.name_of(*key).into(),
            verdict: self.verdict(*key, &graph),
            since_ms: self.since(*key),
            ended: matches!(key, Key::Task(key) if self.tasks.get(key).is_some_and(|task| !task.is_pending())),
            others: *others,
        });
        let answers = answers.collect();
        let cycles = graph.cycles(&stuck).into_iter().map(|cycle| graph.describe(self, &cycle)).collect();
        let (nodes, edges) = graph.rows(self, &stuck);
        Explanation { subject: None, answers, cycles, nodes, edges, more }
    }

    /// The handles of an actor are references to an object: people mean the actor.
    fn key_of_object(&self, key: ObjectKey) -> Key {
        if self.actors.contains_key(&key) { Key::Actor(key) } else { Key::Object(key) }
    }

    fn is_there(&self, key: Key) -> bool {
        match key {
            Key::Task(key) => self.tasks.contains_key(&key),
            Key::Object(key) => self.objects.get(key).is_some_and(|object| !object.hidden),
            Key::Actor(key) => self.actors.contains_key(&key),
            Key::Process(key) => self.process(key).is_some(),
            _ => true,
        }
    }
}
