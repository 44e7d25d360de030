//! The curves of the last minutes, each with its figure of now.

use plasmon_protocol::record::StoreRow;

use super::chart::{curve, samples};
use super::format::{count, size};
use super::paint::Paint;
use super::theme::Role;
use crate::app::App;
use crate::model::history::Sample;

/// The time that a rate of now is taken over, milliseconds.
const NOW_MS: u64 = 5_000;
/// Cells of a name before its curve.
const NAME: u16 = 8;

/// One curve: its name, its figure now, its values.
pub struct Curve {
    name: &'static str,
    now: String,
    /// What the figure was a moment ago; of rates, the curve tells it.
    was: Option<String>,
    values: fn(&App, usize) -> Vec<Option<u64>>,
}

fn rate(app: &App, figure: fn(&Sample) -> u64) -> u64 {
    app.model().history.rate_now(app.agent_now_ms(), NOW_MS, figure).unwrap_or(0)
}

/// What goes out to external storage, and what comes back.
#[must_use]
pub fn storage(app: &App) -> [Curve; 2] {
    [
        Curve {
            name: "spill",
            was: None,
            now: format!("{}/s", size(rate(app, |sample| sample.spilled_bytes))),
            values: |app, slots| app.model().history.rate(app.agent_now_ms(), slots, |sample| sample.spilled_bytes),
        },
        Curve {
            name: "restore",
            was: None,
            now: format!("{}/s", size(rate(app, |sample| sample.restored_bytes))),
            values: |app, slots| app.model().history.rate(app.agent_now_ms(), slots, |sample| sample.restored_bytes),
        },
    ]
}

/// All of them, the most telling first.
#[must_use]
pub fn all(app: &App, store: &StoreRow) -> [Curve; 6] {
    let was = app.store_was();
    let [spill, restore] = storage(app);
    [
        Curve {
            name: "used",
            now: size(store.ledger.used_bytes()),
            was: was.map(|was| size(was.ledger.used_bytes())),
            values: |app, slots| app.model().history.gauge(app.agent_now_ms(), slots, |sample| sample.used_bytes),
        },
        Curve {
            name: "put",
            was: None,
            now: format!("{}/s", size(rate(app, |sample| sample.put_bytes))),
            values: |app, slots| app.model().history.rate(app.agent_now_ms(), slots, |sample| sample.put_bytes),
        },
        spill,
        restore,
        Curve {
            name: "objects",
            now: count(store.objects),
            was: was.map(|was| count(was.objects)),
            values: |app, slots| app.model().history.gauge(app.agent_now_ms(), slots, |sample| sample.objects),
        },
        Curve {
            name: "tasks",
            was: None,
            now: format!("{}/s", count(rate(app, |sample| sample.tasks_done))),
            values: |app, slots| app.model().history.rate(app.agent_now_ms(), slots, |sample| sample.tasks_done),
        },
    ]
}

impl Curve {
    /// On one line, between its name and its figure.
    pub fn line(&self, app: &App, paint: &mut Paint<'_>, x: u16, y: u16, wide: u16) {
        paint.text(x, y, NAME, self.name, Role::Dim);
        let room = wide.saturating_sub(NAME + 9);
        for line in curve(&(self.values)(app, samples(room)), 1) {
            paint.text(x + NAME, y, room, &line, Role::Accent);
        }
        paint.right(x + NAME + room, y, 8, &self.now, Role::Text);
        paint.trend(x + NAME + room + 8, y, &self.now, self.was.as_deref());
    }

    /// Below a line with its name and its figure, `height` lines in all.
    pub fn tall(&self, app: &App, paint: &mut Paint<'_>, x: u16, y: u16, wide: u16, height: u16) {
        let end = paint.text(x, y, wide, self.name, Role::Dim);
        paint.right(end, y, (x + wide).saturating_sub(end), &self.now, Role::Text);
        paint.trend(x + wide, y, &self.now, self.was.as_deref());
        for (row, line) in curve(&(self.values)(app, samples(wide)), height.saturating_sub(1)).iter().enumerate() {
            paint.text(x, y + 1 + row as u16, wide, line, Role::Accent);
        }
    }
}
