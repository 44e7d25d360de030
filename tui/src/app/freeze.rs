//! A picture held still while the replica behind it goes on.

use super::{App, LinkState};
use crate::model::Model;

/// A picture held still.
#[derive(Clone, Debug)]
pub(super) struct Frozen {
    pub(super) model: Model,
    since_ms: u64,
    changes: u64,
    /// Something in it was opened, and read, after the freeze.
    pub(super) mixed: bool,
}

impl App {
    /// What the screen shows: the replica, or the picture of it that is held still.
    #[must_use]
    pub fn model(&self) -> &Model {
        self.frozen.as_ref().map_or(&self.live, |frozen| &frozen.model)
    }

    /// Since when the picture is held still (milliseconds ago), and how many changes it is behind.
    #[must_use]
    pub fn frozen(&self) -> Option<(u64, u64)> {
        let frozen = self.frozen.as_ref()?;
        Some((self.now_ms.saturating_sub(frozen.since_ms), self.live.changes.saturating_sub(frozen.changes)))
    }

    /// Whether the picture that is held still has parts that were read later than the rest.
    #[must_use]
    pub fn is_mixed(&self) -> bool {
        self.frozen.as_ref().is_some_and(|frozen| frozen.mixed)
    }

    pub(super) fn freeze(&mut self) {
        self.frozen = match self.frozen.take() {
            Some(_) => None,
            None => {
                // Ages stand still too: the picture's clock is the agent's, now.
                let at_ms = self.agent_now_ms();
                let model = Model { at_ms, ..self.live.clone() };
                Some(Box::new(Frozen { model, since_ms: self.now_ms, changes: self.live.changes, mixed: false }))
            }
        };
    }

    /// The agent's clock now, as far as the viewer can tell; stands still while the picture does, or the link is broken.
    #[must_use]
    pub fn agent_now_ms(&self) -> u64 {
        match &self.frozen {
            Some(frozen) => frozen.model.at_ms,
            None if self.replay.is_some() => self.replay.as_ref().map_or(0, |replay| replay.at_ms),
            None if self.link == LinkState::Live => self.live.at_ms + self.now_ms.saturating_sub(self.heard_ms),
            None => self.live.at_ms,
        }
    }
}
