//! What agents tell of one thing, and who may know of it and is lost.

use std::sync::Arc;

use plasmon_protocol::explain::Explanation;
use plasmon_protocol::stream::{Body, Detail};

use super::agent::{Agent, window_id};
use super::merge::named;
use super::{ManyLink, Want};
use crate::model::{Watched, apart};

impl ManyLink {
    /// What they know of it as one.
    pub(super) fn detail(&self, id: u32) -> Option<Detail> {
        let mut found: Option<Detail> = None;
        for (number, agent) in self.agents.iter().enumerate() {
            let Some(Watched::Here(detail)) = agent.replica.details.get(&window_id(id, 0)) else { continue };
            let mut detail = apart::moved(&**detail, number);
            if let Detail::Explain(explanation) = &mut detail {
                set_apart(explanation, number);
            }
            found = match (found, detail) {
                (None, detail) => Some(named(detail, agent.node.as_ref())),
                (Some(Detail::Node(mut all)), Detail::Node(one)) => {
                    if let Detail::Node(one) = named(Detail::Node(one), agent.node.as_ref()) {
                        all.checks.extend(one.checks);
                        all.capacity_bytes += one.capacity_bytes;
                        all.spill_places.extend(one.spill_places);
                        all.checks.sort_by_key(|check| std::cmp::Reverse(check.severity));
                    }
                    Some(Detail::Node(all))
                }
                (Some(Detail::Explain(all)), Detail::Explain(more)) => Some(Detail::Explain(together(all, more))),
                (found, _) => found,
            };
        }
        found
    }

    /// Lost agents that have told nothing of what is wanted and may know of it.
    pub(super) fn missing(&self, id: u32) -> Vec<usize> {
        let Some(wanted) = self.wants.get(&id) else { return Vec::new() };
        let lacks = |number: usize, agent: &Agent| match &wanted.want {
            Want::View(..) => !agent.replica.windows.contains_key(&window_id(id, 0)),
            Want::Thing(target) => !agent.replica.details.contains_key(&window_id(id, 0)) && apart::target(target, number).is_some(),
        };
        let lost = self.agents.iter().enumerate().filter(|(number, agent)| agent.lost && lacks(*number, agent));
        lost.map(|(number, _)| number).collect()
    }

    /// Nobody has it; those that may are lost.
    pub(super) fn unknown(&self, id: u32, missing: &[usize]) -> Body {
        let nodes = missing.iter().filter_map(|number| Some(self.agents.get(*number)?.node.as_ref()?.node.short()));
        let names = nodes.collect::<Vec<_>>().join(" and ");
        let message = format!("no other agent knows it, and node {names} was lost before it answered");
        Body::Error { id: Some(id), code: "lost".to_owned(), message, hint: "it is asked when the connection is there again".to_owned() }
    }
}

/// Every agent has resources, external storage and processes of its own, which its nodes are called by.
fn set_apart(explanation: &mut Explanation, number: usize) {
    let apart = |id: &mut Arc<str>| *id = format!("{number}/{id}").into();
    explanation.answers.iter_mut().for_each(|answer| apart(&mut answer.node));
    explanation.cycles.iter_mut().flat_map(|cycle| &mut cycle.nodes).for_each(apart);
    explanation.nodes.iter_mut().for_each(|node| apart(&mut node.id));
    for edge in &mut explanation.edges {
        apart(&mut edge.from);
        apart(&mut edge.to);
    }
}

/// What waits at several agents, the longest first.
fn together(mut all: Explanation, more: Explanation) -> Explanation {
    all.answers.extend(more.answers);
    all.answers.sort_by_key(|answer| answer.since_ms.unwrap_or(u64::MAX));
    all.cycles.extend(more.cycles);
    all.nodes.extend(more.nodes);
    all.edges.extend(more.edges);
    all.more += more.more;
    all
}
