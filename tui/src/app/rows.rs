//! Selection and scrolling. What is selected is known by its key, so that it stays selected when rows move.

use plasmon_protocol::column::RowKey;

use super::App;
use super::page::{self, Line};
use super::route::{Page, Route};
use super::subscribe::Slot;
use super::tree::TreeRow;
use super::why;
use crate::keys::Action;
use crate::model::Window;

/// The rows that a place lets one select.
enum Listing<'a> {
    /// Some of them are here, the agent has the others.
    Window(&'a Window),
    /// All of them are here.
    All(Vec<RowKey>),
}

impl Listing<'_> {
    fn len(&self) -> u64 {
        match self {
            Self::Window(window) => window.count(),
            Self::All(keys) => keys.len() as u64,
        }
    }

    fn key_at(&self, place: u64) -> Option<RowKey> {
        match self {
            Self::Window(window) => window.key_at(place).cloned(),
            Self::All(keys) => keys.get(usize::try_from(place).ok()?).cloned(),
        }
    }

    fn place(&self, key: &str) -> Option<u64> {
        match self {
            Self::Window(window) => window.place(key),
            Self::All(keys) => keys.iter().position(|known| known == key).map(|place| place as u64),
        }
    }
}

impl App {
    fn listing(&self) -> Option<Listing<'_>> {
        match &self.place().route {
            Route::View(Page::Overview) => {
                // Only what can be seen can be selected.
                let visible = usize::from(self.height());
                let keys = &self.window(Slot::Sites)?.keys;
                Some(Listing::All(keys.iter().take(visible).cloned().collect()))
            }
            Route::View(Page::Sites) => {
                let (rows, sites) = self.tree()?;
                Some(Listing::All(rows.iter().map(|row| row.key(sites)).collect()))
            }
            Route::View(Page::Node) => self.node().map(|node| Listing::All(super::node::keys(&node.checks))),
            Route::View(_) | Route::References { .. } => self.window(Slot::Main).map(Listing::Window),
            Route::Why { .. } => self.explanation().map(|explanation| Listing::All(why::keys(explanation))),
            Route::Object(_) | Route::Site { .. } | Route::Task { .. } | Route::Process { .. } | Route::Actor { .. } | Route::File(_) => {
                self.sections().map(|sections| Listing::All(page::keys(&sections)))
            }
        }
    }

    /// The row that is selected before the viewer moves: the first; in the tree, the first line that created something.
    fn first(&self) -> u64 {
        if self.place().route != Route::View(Page::Sites) {
            return 0;
        }
        let Some((rows, sites)) = self.tree() else { return 0 };
        let creates =
            |row: &TreeRow| matches!(row, TreeRow::Site { index, .. } if sites.get(*index).is_some_and(|row| row.own_objects > 0));
        let first = rows.iter().position(creates).or_else(|| rows.iter().position(|row| matches!(row, TreeRow::Site { .. })));
        first.unwrap_or(0) as u64
    }

    /// Where the lines of the rows stand on the scrolled surface: line of the selected row, and lines in all.
    fn surface(&self, cursor: u64, len: u64) -> (u64, u64) {
        if let Some(node) = self.node() {
            let rows = super::node::rows(&node.checks, self.size.0);
            let mut facts = rows.iter().enumerate().filter(|(_, row)| matches!(row, super::node::Row::Fact(_)));
            let line = facts.nth(usize::try_from(cursor).unwrap_or(usize::MAX)).map_or(0, |(line, _)| line);
            return (line as u64, rows.len() as u64);
        }
        if let Some(explanation) = self.explanation() {
            let rows = why::rows(explanation, self.size.0, self.agent_now_ms());
            let mut nodes =
                rows.iter().enumerate().filter(|(_, row)| matches!(row, why::Row::Line(plasmon_protocol::explain::Line::Node { .. })));
            let line = nodes.nth(usize::try_from(cursor).unwrap_or(usize::MAX)).map_or(0, |(line, _)| line);
            return (line as u64, rows.len() as u64);
        }
        let sections = self.sections().filter(|_| self.place().route.target().is_some());
        let Some(sections) = sections else { return (cursor, len) };
        let lines = page::lines(&sections);
        let mut items = lines.iter().enumerate().filter(|(_, line)| matches!(line, Line::Item(..)));
        let line = items.nth(usize::try_from(cursor).unwrap_or(usize::MAX)).map_or(0, |(line, _)| line);
        (line as u64, lines.len() as u64)
    }

    /// Brings selection and scrolling in line with the rows that are there now.
    pub(super) fn settle(&mut self) {
        let Some(listing) = self.listing() else { return };
        let len = listing.len();
        let list = &self.place().list;
        let last = len.saturating_sub(1);
        let (cursor, selected) = if !list.touched {
            (self.first(), None)
        } else {
            let here = list.selected.as_ref().and_then(|key| listing.place(key));
            let cursor = here.unwrap_or(list.cursor).min(last);
            // A row that has gone leaves its place to the one that moved up.
            (cursor, listing.key_at(cursor))
        };
        let (line, lines) = self.surface(cursor, len);
        let height = u64::from(self.height().max(1));
        let mut offset = list.offset.min(lines.saturating_sub(height)).clamp(line.saturating_sub(height - 1), line);
        if cursor == 0 && line < height {
            // What stands above the first row is shown with it.
            offset = 0;
        }
        let list = &mut self.place_mut().list;
        (list.cursor, list.selected, list.offset) = (cursor, selected, offset);
    }

    /// Selects a row by its place.
    pub(super) fn select(&mut self, place: u64) {
        let Some(listing) = self.listing() else { return };
        let place = place.min(listing.len().saturating_sub(1));
        let selected = listing.key_at(place);
        let list = &mut self.place_mut().list;
        list.touched = true;
        (list.cursor, list.selected) = (place, selected);
    }

    /// Moves the selection.
    pub(super) fn step(&mut self, action: Action) {
        let Some(len) = self.listing().map(|listing| listing.len()) else { return };
        let action = self.crossed(action, len).unwrap_or(action);
        let Some(listing) = self.listing() else { return };
        let len = listing.len();
        let height = u64::from(self.height().max(2));
        let at = self.place().list.cursor;
        let to = match action {
            Action::Down => at + 1,
            Action::Up => at.saturating_sub(1),
            Action::HalfDown => at + height / 2,
            Action::HalfUp => at.saturating_sub(height / 2),
            Action::PageDown => at + (height - 1),
            Action::PageUp => at.saturating_sub(height - 1),
            Action::Top => 0,
            Action::Bottom => u64::MAX,
            _ => return,
        };
        let to = to.min(len.saturating_sub(1));
        let selected = listing.key_at(to);
        let list = &mut self.place_mut().list;
        // The top is where a fresh view stands: there, the selection follows the largest again.
        list.touched = action != Action::Top;
        (list.cursor, list.selected) = (to, selected);
    }
}
