//! Rings of waits are told of by themselves, once each, when they stand for two looks in a row: what is only in passing is none.

use std::collections::BTreeSet;

use plasmon_protocol::explain::Subject;
use plasmon_protocol::record::{EventKind, Severity};
use plasmon_protocol::stream::Target;

use super::graph::Graph;
use super::{Core, Key};

/// Nodes that are looked at: enough for every ring that a person could follow.
const MAX_LOOKED: usize = 400;
/// Processes that are looked at from.
const MAX_ROOTS: usize = 64;

/// The rings that stand.
#[derive(Debug, Default)]
pub(in crate::reactor) struct Deadlocks {
    /// Seen at the last look, by their nodes, sorted.
    seen: BTreeSet<Vec<Key>>,
    /// Of them, those that were told of.
    told: BTreeSet<Vec<Key>>,
}

impl Deadlocks {
    /// How many stand.
    pub(in crate::reactor) fn standing(&self) -> u32 {
        u32::try_from(self.told.len()).unwrap_or(u32::MAX)
    }
}

impl Core {
    /// Looks for rings of waits, where a process is blocked at all.
    pub(in crate::reactor) fn look_for_deadlocks(&mut self) {
        if !self.living_processes().any(|(_, process)| process.blocked) {
            self.deadlocks = Deadlocks::default();
            return;
        }
        let mut roots: Vec<Key> = self.blocked_processes().into_iter().map(Key::Process).collect();
        roots.truncate(MAX_ROOTS);
        let graph = Graph::of(self, &roots, MAX_LOOKED);
        let stuck = graph.stuck(self);
        let mut rings = BTreeSet::new();
        let mut news = Vec::new();
        for cycle in graph.cycles(&stuck) {
            let mut ring = cycle.clone();
            ring.sort_unstable();
            if self.deadlocks.seen.contains(&ring) && !self.deadlocks.told.contains(&ring) {
                news.push((ring.clone(), graph.describe(self, &cycle).sentence));
            }
            rings.insert(ring);
        }
        self.deadlocks.told.retain(|ring| rings.contains(ring));
        self.deadlocks.seen = rings;
        for (ring, sentence) in news {
            self.deadlocks.told.insert(ring);
            let all = Some(Target::Explain(Subject::Everything));
            self.event_about(EventKind::Deadlock, Severity::Error, None, all, sentence);
        }
    }
}
