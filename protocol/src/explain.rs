//! Why something waits: the wait-for graph as data, and as lines of text that the command line and the dashboard share.

mod lines;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{ActorId, ObjectId, ProcessId, TaskId};
use crate::stream::Target;

pub use lines::{Line, Lines};

/// Nodes of one graph; what is beyond is counted.
pub const MAX_NODES: usize = 100;
/// Edges of one graph.
pub const MAX_EDGES: usize = 200;
/// Things that one explanation is about.
pub const MAX_ANSWERS: usize = 24;
/// Cycles that one explanation names.
pub const MAX_CYCLES: usize = 8;
/// Bytes of the text that a person may name something by.
pub const MAX_NAME: usize = 256;

/// What is to be explained.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// All that waits: the longest wait of each kind.
    Everything,
    /// One task.
    Task(TaskId),
    /// One object.
    Object(ObjectId),
    /// One actor.
    Actor(ActorId),
    /// What a process waits for.
    Process(ProcessId),
    /// Whatever people call so: an id or its beginning or end in hex, `task:`, `object:` or `actor:` and an id, an actor's name,
    /// `pid:` and a process id.
    Named(String),
}

/// What a node of the graph is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A task or a call.
    #[default]
    Task,
    /// An object.
    Object,
    /// An actor.
    Actor,
    /// A process.
    Process,
    /// CPUs, GPUs, memory, a custom resource.
    Resource,
    /// Somebody's wait for room in the store.
    Room,
    /// External storage at work.
    Spill,
    /// A worker that is being started.
    Start,
    /// Nothing but time.
    Time,
}

/// Something that waits or is waited for.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Tells it apart: its kind and its id, such as `task:7f…`; the same from one look to the next.
    pub id: Arc<str>,
    /// What it is.
    pub kind: Kind,
    /// What people call it.
    pub label: String,
    /// How it is, in a few words.
    pub state: String,
    /// Since when.
    pub since_ms: Option<u64>,
    /// Bytes that it is about.
    pub bytes: Option<u64>,
    /// The page about it.
    pub opens: Option<Target>,
    /// Whether it waits for itself, directly or not: without help from outside it goes on never.
    pub stuck: bool,
    /// Neighbours that are left out.
    pub more: u64,
}

/// One node waits for another.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Edge {
    /// Who waits.
    pub from: Arc<str>,
    /// For what.
    pub to: Arc<str>,
    /// How, as words between the two labels: `waits for`, `held by`.
    pub reason: String,
}

/// One thing that was asked about.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// Its node.
    pub node: Arc<str>,
    /// What it waits for, in one line.
    pub verdict: String,
    /// Since when.
    pub since_ms: Option<u64>,
    /// It has ended: `since_ms` is when it did.
    pub ended: bool,
    /// Others that wait for the same, the later ones.
    pub others: u64,
}

/// Some that wait for each other in a ring.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Cycle {
    /// The nodes in order; the last waits for the first.
    pub nodes: Vec<Arc<str>>,
    /// It in one sentence.
    pub sentence: String,
}

/// Why something waits. Of an instant; lists are bounded, and say what they leave out.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Explanation {
    /// What it is about; told in recordings, where nobody has asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    /// What was asked about, the longest wait first. Without nodes when a name fits more things than can be explained at once.
    pub answers: Vec<Answer>,
    /// Who waits for each other in a ring.
    pub cycles: Vec<Cycle>,
    /// All that the answers lead to.
    pub nodes: Vec<Node>,
    /// Who waits for what.
    pub edges: Vec<Edge>,
    /// Things that wait and are not in `answers`.
    pub more: u64,
}

impl Explanation {
    /// The node of that id.
    #[must_use]
    pub fn node(&self, id: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| *node.id == *id)
    }

    /// It as text, every line ended: cycles first, then a tree for each answer. Ages are relative to `now_ms`.
    #[must_use]
    pub fn text(&self, now_ms: u64) -> String {
        let mut text = String::new();
        for line in self.lines() {
            let line = line.text(self, now_ms);
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests;
