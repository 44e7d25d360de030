//! Who waits for each other. First everything that can go on by itself is taken away, then what goes on once that has gone on, and so
//! forth, as in the reduction of a graph of resources: a ring of waits is a deadlock only among those that are left.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use plasmon_protocol::explain::{Cycle, MAX_CYCLES};

use super::graph::Graph;
use super::{Core, Key, Rule};
use crate::reactor::Activity;

/// Nodes that go on never, unless somebody outside helps.
pub(super) type Stuck = BTreeSet<Key>;

/// Nodes of one ring that a sentence names.
const MAX_NAMED: usize = 24;

impl Graph {
    /// What cannot go on. What is not in the graph is taken to go on.
    pub(super) fn stuck(&self, core: &Core) -> Stuck {
        // Resources have no rule of their own: they come free as their holders go on.
        let mut stuck: Stuck = self.order.iter().copied().filter(|key| self.rule(*key) != Some(&Rule::Freely)).collect();
        loop {
            let goes: Vec<Key> = stuck.iter().copied().filter(|key| self.goes_on(core, *key, &stuck)).collect();
            if goes.is_empty() {
                break;
            }
            for key in goes {
                stuck.remove(&key);
            }
        }
        stuck
    }

    fn rule(&self, key: Key) -> Option<&Rule> {
        self.links.get(&key).map(|links| &links.rule)
    }

    fn goes_on(&self, core: &Core, key: Key, stuck: &Stuck) -> bool {
        match self.rule(key) {
            None | Some(Rule::Freely) => true,
            Some(Rule::All(keys)) => !keys.iter().any(|key| stuck.contains(key)),
            Some(Rule::Any(keys)) => keys.is_empty() || keys.iter().any(|key| !stuck.contains(key)),
            Some(Rule::Free(needs)) => needs.iter().all(|(resource, missing)| self.comes_free(core, *resource, stuck) >= *missing),
        }
    }

    /// How much of a resource is held by those that go on.
    fn comes_free(&self, core: &Core, resource: usize, stuck: &Stuck) -> u64 {
        let holders = core.holders(resource).into_iter();
        holders.filter(|(process, _)| !stuck.contains(&Key::Process(*process))).fold(0, |sum, (_, amount)| sum.saturating_add(amount))
    }

    /// Where a stuck node leads within what is stuck.
    fn next(&self, key: Key, stuck: &Stuck) -> impl Iterator<Item = Key> {
        self.edges_of(key).map(|(to, _)| *to).filter(|to| stuck.contains(to) || matches!(to, Key::Resource(_)))
    }

    /// The rings among what is stuck, each once: for every node the shortest one through it.
    pub(super) fn cycles(&self, stuck: &Stuck) -> Vec<Vec<Key>> {
        let mut cycles: Vec<Vec<Key>> = Vec::new();
        let mut named: BTreeSet<Key> = BTreeSet::new();
        // Tasks and calls first: a ring is told from where people look.
        let first = |key: &&Key| matches!(key, Key::Task(_));
        let tasks = self.order.iter().filter(first).filter(|key| stuck.contains(*key));
        let others = self.order.iter().filter(|key| !first(key)).filter(|key| stuck.contains(*key));
        for start in tasks.chain(others) {
            if cycles.len() == MAX_CYCLES {
                break;
            }
            if named.contains(start) {
                continue;
            }
            if let Some(cycle) = self.shortest(*start, stuck) {
                named.extend(cycle.iter().copied().filter(|key| !matches!(key, Key::Resource(_))));
                cycles.push(cycle);
            }
        }
        cycles
    }

    fn shortest(&self, start: Key, stuck: &Stuck) -> Option<Vec<Key>> {
        let mut from: BTreeMap<Key, Key> = BTreeMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(key) = queue.pop_front() {
            for next in self.next(key, stuck) {
                if next == start {
                    let mut cycle = vec![key];
                    let mut at = key;
                    while at != start {
                        at = *from.get(&at)?;
                        cycle.push(at);
                    }
                    cycle.reverse();
                    return Some(cycle);
                }
                from.entry(next).or_insert_with(|| {
                    queue.push_back(next);
                    key
                });
            }
        }
        None
    }

    /// A ring in one sentence.
    pub(super) fn describe(&self, core: &Core, cycle: &[Key]) -> Cycle {
        let nodes = cycle.iter().map(|key| core.name_of(*key).into()).collect();
        let mut sentence = "deadlock: ".to_owned();
        for (at, key) in cycle.iter().enumerate() {
            if at == MAX_NAMED {
                sentence.push_str(&format!(", and so on over {} more", cycle.len() - at));
                break;
            }
            let next = cycle.get(at + 1).or(cycle.first()).copied().unwrap_or(*key);
            let reason = self.edges_of(*key).find(|(to, _)| *to == next).map_or("waits for", |(_, reason)| reason);
            let doer = matches!(key, Key::Task(_) | Key::Process(_) | Key::Actor(_) | Key::Room(..) | Key::Back(_));
            if at == 0 {
                sentence.push_str(&core.label(*key));
                sentence.push(' ');
            } else {
                sentence.push_str(if doer { ", which " } else { ", " });
            }
            sentence.push_str(reason);
            sentence.push(' ');
            sentence.push_str(&if next == cycle[0] { format!("that same {}", core.label(next)) } else { core.label(next) });
        }
        let driver =
            |key: &&Key| matches!(key, Key::Process(id) if core.process(*id).is_some_and(|process| process.activity == Activity::Free));
        if let Some(driver) = cycle.iter().find(driver) {
            // It has no word for its being blocked: one of its threads is.
            sentence.push_str(&format!("; unless another thread of {} goes on", core.label(*driver)));
        }
        Cycle { nodes, sentence }
    }
}
