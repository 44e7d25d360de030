//! What asks for attention, and whose rows are shown where several agents are merged.

use plasmon_protocol::record::{NodeRow, SiteRow, StoreRow};

use super::App;
use super::subscribe::Slot;
use crate::model::Merged;
use crate::model::alert::{Alert, alarms, alert, alerts, leak};
use crate::model::leaks::Suspect;
use crate::model::window::{Owner, Tabled};

/// One of several agents that are merged.
#[derive(Clone, PartialEq, Debug)]
pub struct Member {
    /// Its node.
    pub node: NodeRow,
    /// Since when it is lost, by the viewer's clock, milliseconds since the Unix epoch.
    pub lost_ms: Option<u64>,
}

impl App {
    /// The agents that are merged; none when there is one alone.
    #[must_use]
    pub fn nodes(&self) -> &[Member] {
        if self.nodes.len() > 1 { &self.nodes } else { &[] }
    }

    /// Notes who they are, and which of them are lost.
    pub(super) fn note_nodes(&mut self, nodes: Vec<(NodeRow, bool)>) {
        let now_ms = self.now_ms;
        let before = std::mem::take(&mut self.nodes);
        let since = |number: usize| before.get(number).and_then(|member| member.lost_ms).unwrap_or(now_ms);
        let members = nodes.into_iter().enumerate();
        self.nodes = members.map(|(number, (node, lost))| Member { node, lost_ms: lost.then(|| since(number)) }).collect();
    }

    /// Notes what the rows of a subscription to several agents don't tell.
    pub(super) fn note_merged(&mut self, id: u32, merged: Merged) {
        if self.subscriptions.has(id) {
            self.merged.insert(id, merged);
        }
    }

    /// What the rows in a slot don't tell, where several agents are merged.
    #[must_use]
    pub fn merged(&self, slot: Slot) -> Option<&Merged> {
        self.merged.get(&self.subscriptions.id(slot)?)
    }

    /// Whether an agent that is lost has told nothing of some of what is shown.
    #[must_use]
    pub fn lacks(&self, agent: usize) -> bool {
        self.merged.values().any(|merged| merged.missing.contains(&agent))
    }

    /// The short name of the node that a row is of, where several agents are merged.
    #[must_use]
    pub fn node_of<R: Tabled>(&self, row: &R) -> Option<String> {
        self.member_of(row).map(|member| member.node.node.short())
    }

    /// The agent that a row is of, where several are merged.
    pub(super) fn member_of<R: Tabled>(&self, row: &R) -> Option<&Member> {
        let nodes = self.nodes();
        match row.owner() {
            Owner::Agent(number) => nodes.get(number),
            Owner::Node(id) => nodes.iter().find(|member| member.node.node == id),
            Owner::Nobody => None,
        }
    }

    /// What asks for attention, the worst first.
    #[must_use]
    pub fn alerts(&self) -> Vec<Alert> {
        let model = self.model();
        let Some(store) = &model.store else { return Vec::new() };
        // Of several stores' sum nobody could tell that one of them is full.
        let alarms = match self.merged(Slot::Store) {
            Some(merged) if !self.nodes().is_empty() => merged.alarms.clone(),
            _ => alarms(store),
        };
        alerts(store, &model.leaks, alarms)
    }

    /// The worst that is wrong with the store and external storage; of several agents, of one of them.
    #[must_use]
    pub fn storage_alert(&self, store: &StoreRow) -> Option<Alert> {
        match self.merged(Slot::Store) {
            Some(merged) if !self.nodes().is_empty() => merged.storage.clone(),
            _ => alert(store),
        }
    }

    /// How a suspected site grows, in words.
    #[must_use]
    pub fn leak_words(&self, suspect: &Suspect) -> String {
        self.model().store.as_ref().map(|store| leak(suspect, store)).unwrap_or_default()
    }

    /// Looks at the sites that grow most.
    pub(super) fn watch_growth(&mut self) {
        let window = self.subscriptions.id(Slot::Growth).and_then(|id| self.live.windows.get(&id));
        let Some(rows) = window.and_then(|window| window.of::<SiteRow>()) else { return };
        let all = window.is_some_and(|window| window.count() <= window.keys.len() as u64);
        self.live.leaks.look(self.live.at_ms, rows, all);
    }
}
