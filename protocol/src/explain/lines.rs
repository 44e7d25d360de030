//! An explanation as lines: cycles, then the tree of each answer. A node that was shown before is named again, but not followed.

use std::collections::{HashMap, HashSet};

use super::{Answer, Cycle, Edge, Explanation, Node};
use crate::size::Bytes;

/// No tree is deeper: what is below is on the page of the node there.
const MAX_DEPTH: usize = 24;

/// One line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Line {
    /// A ring of waits, by its place among the cycles.
    Cycle(usize),
    /// What an answer comes to, by its place among the answers.
    Answer(usize),
    /// A node, by its place among the nodes.
    Node {
        /// Which.
        node: usize,
        /// The branches before it.
        branch: String,
        /// How the one above waits for it; empty at a root.
        reason: String,
        /// It was shown before: what it waits for stands there.
        again: bool,
    },
    /// What is left out.
    More {
        /// How many.
        count: u64,
        /// The branches before it.
        branch: String,
    },
    /// Nothing, between trees.
    Gap,
}

/// The lines of one explanation.
pub type Lines = Vec<Line>;

struct Tree<'a> {
    explanation: &'a Explanation,
    places: HashMap<&'a str, usize>,
    below: HashMap<&'a str, Vec<&'a Edge>>,
    shown: HashSet<usize>,
    lines: Lines,
}

impl Tree<'_> {
    fn grow(&mut self, node: usize, reason: &str, branch: &str, below: &str, depth: usize) {
        let explanation = self.explanation;
        let Some(row) = explanation.nodes.get(node) else { return };
        let again = !self.shown.insert(node);
        let edges = self.below.get(&*row.id).cloned().unwrap_or_default();
        let leaf = edges.is_empty() && row.more == 0;
        self.lines.push(Line::Node { node, branch: branch.to_owned(), reason: reason.to_owned(), again: again && !leaf });
        if again || leaf {
            return;
        }
        if depth == MAX_DEPTH {
            let count = edges.len() as u64 + row.more;
            return self.lines.push(Line::More { count, branch: format!("{below}└ ") });
        }
        let last = edges.len().saturating_sub(1);
        for (at, edge) in edges.into_iter().enumerate() {
            let Some(next) = self.places.get(&*edge.to).copied() else { continue };
            let ends = at == last && row.more == 0;
            let (branch, deeper) = if ends { ("└ ", "  ") } else { ("├ ", "│ ") };
            self.grow(next, &edge.reason, &format!("{below}{branch}"), &format!("{below}{deeper}"), depth + 1);
        }
        if row.more > 0 {
            self.lines.push(Line::More { count: row.more, branch: format!("{below}└ ") });
        }
    }
}

impl Explanation {
    /// It as lines: cycles first, then a tree for each answer.
    #[must_use]
    pub fn lines(&self) -> Lines {
        let mut below: HashMap<&str, Vec<&Edge>> = HashMap::new();
        for edge in &self.edges {
            below.entry(&edge.from).or_default().push(edge);
        }
        let places = self.nodes.iter().enumerate().map(|(at, node)| (&*node.id, at)).collect();
        let lines = (0..self.cycles.len()).map(Line::Cycle).collect();
        let mut tree = Tree { explanation: self, places, below, shown: HashSet::new(), lines };
        for (at, answer) in self.answers.iter().enumerate() {
            if !tree.lines.is_empty() {
                tree.lines.push(Line::Gap);
            }
            tree.lines.push(Line::Answer(at));
            if let Some(root) = tree.places.get(&*answer.node).copied() {
                tree.grow(root, "", "", "", 0);
            }
        }
        if self.more > 0 {
            tree.lines.push(Line::Gap);
            tree.lines.push(Line::More { count: self.more, branch: String::new() });
        }
        tree.lines
    }
}

impl Line {
    /// It as text, without its end.
    #[must_use]
    pub fn text(&self, explanation: &Explanation, now_ms: u64) -> String {
        match self {
            Self::Cycle(at) => explanation.cycles.get(*at).map_or_else(String::new, |Cycle { sentence, .. }| sentence.clone()),
            Self::Answer(at) => explanation.answers.get(*at).map_or_else(String::new, |answer| {
                let stuck = explanation.node(&answer.node).is_some_and(|node| node.stuck);
                answer.text(now_ms) + if stuck { "; it will not go on by itself" } else { "" }
            }),
            Self::Node { node, branch, reason, again } => {
                let Some(node) = explanation.nodes.get(*node) else { return String::new() };
                let reason = if reason.is_empty() { String::new() } else { format!("{reason} ") };
                format!("{branch}{reason}{}{}", node.label, node.about(now_ms, *again))
            }
            Self::More { count, branch } => format!("{branch}and {count} more"),
            Self::Gap => String::new(),
        }
    }
}

impl Answer {
    /// Its verdict, how long that is so or when that was, and for how many others.
    #[must_use]
    pub fn text(&self, now_ms: u64) -> String {
        let mut text = self.verdict.clone();
        if let Some(since) = self.since_ms {
            let span = span(now_ms.saturating_sub(since));
            text.push_str(&if self.ended { format!("; that was {span} ago") } else { format!(", for {span}") });
        }
        match self.others {
            0 => {}
            1 => text.push_str("; 1 other waits as well"),
            more => text.push_str(&format!("; {more} others wait as well")),
        }
        text
    }
}

impl Node {
    /// What stands behind its label: ` · RUNNING · 64 MiB · for 12 s`.
    #[must_use]
    pub fn about(&self, now_ms: u64, again: bool) -> String {
        let mut parts = Vec::new();
        if !self.state.is_empty() {
            parts.push(self.state.clone());
        }
        parts.extend(self.bytes.map(|bytes| Bytes(bytes).to_string()));
        parts.extend(self.since_ms.map(|since| format!("for {}", span(now_ms.saturating_sub(since)))));
        if again {
            parts.push("see above".to_owned());
        }
        parts.iter().map(|part| format!(" · {part}")).collect()
    }
}

/// A span of time for people: `12 s`, `3 min`, `2 h`, `5 d`.
fn span(ms: u64) -> String {
    match ms / 1000 {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7200 => format!("{} min", seconds / 60),
        seconds @ ..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}
