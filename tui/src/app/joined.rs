//! More sites than a window holds: the tree is made of several windows as if they were one.

use plasmon_protocol::column::Table;
use plasmon_protocol::stream::{MAX_WINDOW, View, Window};
use plasmon_protocol::window::join;

use super::App;
use super::route::{Page, Route};
use super::subscribe::Slot;
use crate::model;

/// Windows beside the first: with what else is asked for, a viewer may have no more rows.
const MORE: u8 = 3;

/// Several windows put together, and what they were when that was done.
#[derive(Clone, Debug)]
pub(super) struct Joined {
    revisions: Vec<u64>,
    pub(super) window: model::Window,
}

impl App {
    /// What the tree needs beside its first window, once that is as long as it can be.
    pub(super) fn more_sites(&self, first: &View) -> Vec<(Slot, View)> {
        // A mark reads every table, and goes first.
        if first.table != Table::Sites || first.window.len < MAX_WINDOW || self.pending_sheets().next().is_some() {
            return Vec::new();
        }
        let Some(sites) = self.window(Slot::Main).map(model::Window::count) else { return Vec::new() };
        let starts = (1..=MORE).map(|number| (number, u64::from(number) * u64::from(MAX_WINDOW))).filter(|(_, start)| *start < sites);
        let view = |start| View { window: Window { start, len: MAX_WINDOW }, ..first.clone() };
        starts.map(|(number, start)| (Slot::More(number), view(start))).collect()
    }

    /// Puts the windows together, as far as they are here; not again while none of them has changed.
    pub(super) fn join_sites(&mut self) {
        let more: Vec<&model::Window> = match self.place().route {
            Route::View(Page::Sites) => (1..=MORE).filter_map(|number| self.window_alone(Slot::More(number))).collect(),
            _ => Vec::new(),
        };
        let Some(first) = self.window_alone(Slot::Main).filter(|_| !more.is_empty()) else {
            self.joined = None;
            return;
        };
        let parts: Vec<&model::Window> = std::iter::once(first).chain(more).collect();
        let revisions: Vec<u64> = parts.iter().map(|window| window.revision()).collect();
        if self.joined.as_ref().is_some_and(|joined| joined.revisions == revisions) {
            return;
        }
        let rows = join(Table::Sites, parts.iter().map(|window| &window.rows));
        let window = model::Window::new(first.totals, first.start, rows);
        self.joined = Some(Joined { revisions, window });
    }
}
