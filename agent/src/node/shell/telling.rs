//! Who watches is told when there is something new: viewers, and the recorder.

use plasmon_protocol::column::Table;

use super::Shell;
use crate::telemetry::tables::Tables as _;

/// How often it is looked for views, of which no message tells, while viewers wait, milliseconds: they learn of them as soon as of all else.
const GLANCE_MS: u64 = 100;

impl Shell {
    /// Looks at views.
    pub(super) fn look_at_views(&mut self) {
        self.core.look(&mut self.effects);
        self.looked_ms = self.clock.now_ms();
    }

    /// When to look at views for viewers who wait; `None` when there can be none.
    pub(super) fn next_glance_ms(&self) -> Option<u64> {
        let wanted = self.news.is_wanted() && !self.effects.peers.is_empty() && self.core.may_have_views();
        wanted.then_some(self.looked_ms + GLANCE_MS)
    }

    /// Lets viewers who wait know that there is something new.
    pub(super) fn tell_viewers(&mut self) {
        if !self.news.is_wanted() {
            return;
        }
        if self.next_glance_ms().is_some_and(|at_ms| at_ms <= self.clock.now_ms()) {
            self.look_at_views();
        }
        self.news.tell(&self.core);
    }

    /// Lets the recorder know that there is something new to it.
    pub(super) fn tell_recorder(&mut self) {
        let wanted = self.core.take_recording_wanted();
        let Some(recorder) = &mut self.recorder else { return };
        if wanted {
            recorder.keep();
        }
        recorder.notice(self.core.version(Table::Store));
    }
}
