//! The graph around some roots, breadth first.

use std::collections::{BTreeMap, VecDeque};

use plasmon_protocol::explain::{Edge, MAX_EDGES, Node};

use super::cycles::Stuck;
use super::{Core, Key, Links};

/// Nodes in the order in which they were found, with what each waits for.
pub(super) struct Graph {
    pub(super) order: Vec<Key>,
    pub(super) links: BTreeMap<Key, Links>,
}

impl Graph {
    /// What these lead to, at most `limit` nodes.
    pub(super) fn of(core: &Core, roots: &[Key], limit: usize) -> Self {
        let mut graph = Self { order: Vec::new(), links: BTreeMap::new() };
        let mut queue: VecDeque<Key> = roots.iter().copied().collect();
        let mut edges = 0;
        while let Some(key) = queue.pop_front() {
            if graph.links.contains_key(&key) {
                continue;
            }
            if graph.order.len() == limit {
                break;
            }
            let mut links = core.links(key, roots.contains(&key));
            let most = (limit * MAX_EDGES / plasmon_protocol::explain::MAX_NODES).saturating_sub(edges);
            links.more += links.edges.len().saturating_sub(most) as u64;
            links.edges.truncate(most);
            edges += links.edges.len();
            queue.extend(links.edges.iter().map(|(to, _)| *to));
            graph.order.push(key);
            graph.links.insert(key, links);
        }
        // What was found and has no place any more is counted where it was found.
        let known: Vec<Key> = graph.order.clone();
        for key in known {
            let missing: Vec<Key> = graph.edges_of(key).map(|(to, _)| *to).filter(|to| !graph.links.contains_key(to)).collect();
            if let Some(links) = graph.links.get_mut(&key).filter(|_| !missing.is_empty()) {
                links.edges.retain(|(to, _)| !missing.contains(to));
                links.more += missing.len() as u64;
            }
        }
        graph
    }

    pub(super) fn edges_of(&self, key: Key) -> impl Iterator<Item = &(Key, String)> {
        self.links.get(&key).into_iter().flat_map(|links| &links.edges)
    }

    /// As people get it.
    pub(super) fn rows(&self, core: &Core, stuck: &Stuck) -> (Vec<Node>, Vec<Edge>) {
        let (mut nodes, mut edges) = (Vec::with_capacity(self.order.len()), Vec::new());
        for key in &self.order {
            let more = self.links.get(key).map_or(0, |links| links.more);
            let node = core.node_row(*key, more, stuck.contains(key));
            edges.extend(self.edges_of(*key).map(|(to, reason)| Edge {
                from: node.id.clone(),
                to: core.name_of(*to).into(),
                reason: reason.clone(),
            }));
            nodes.push(node);
        }
        (nodes, edges)
    }
}
