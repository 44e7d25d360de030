//! What asks for attention, and whose rows are shown where several agents are merged.

use plasmon_protocol::record::{NodeRow, SiteRow};

use super::App;
use super::subscribe::Slot;
use crate::model::alert::{Alert, alerts, leak};
use crate::model::leaks::Suspect;
use crate::model::window::{Owner, Tabled};

impl App {
    /// The agents that are merged, and whether each is lost; none when there is one alone.
    #[must_use]
    pub fn nodes(&self) -> &[(NodeRow, bool)] {
        if self.nodes.len() > 1 { &self.nodes } else { &[] }
    }

    /// The short name of the node that a row is of, where several agents are merged.
    #[must_use]
    pub fn node_of<R: Tabled>(&self, row: &R) -> Option<String> {
        let nodes = self.nodes();
        let name = |(node, _): &(NodeRow, bool)| node.node.short();
        match row.owner() {
            Owner::Agent(number) => nodes.get(number).map(name),
            Owner::Node(id) => nodes.iter().find(|(node, _)| node.node == id).map(name),
            Owner::Nobody => None,
        }
    }

    /// What asks for attention, the worst first.
    #[must_use]
    pub fn alerts(&self) -> Vec<Alert> {
        let model = self.model();
        model.store.as_ref().map(|store| alerts(store, &model.leaks)).unwrap_or_default()
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
