//! Views of two tables, one above the other. Keys are for one of them; going beyond its end leads to the other.

use plasmon_protocol::column::Table;

use super::geometry::{halves, overview, shape, tables};
use super::route::{GROUP_SORT, List, Page, Route, default_sort};
use super::subscribe::Slot;
use super::{App, Mood};
use crate::keys::Action;
use crate::model::Window;

/// One of the tables of a view.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// Which.
    pub table: Table,
    /// Its place among the tables of the view, top to bottom.
    pub at: usize,
    /// The subscription that its rows come by.
    pub slot: Slot,
    /// Lines for its rows, without its title and the names of its columns.
    pub rows: u16,
}

impl App {
    /// The tables that the place shows, top to bottom. One that has no rows gives its room to the other.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        let place = self.place();
        let names = place.route.tables();
        let part = |at: usize| {
            let slot = if at == place.focus { Slot::Main } else { Slot::Rest };
            Part { table: names[at], at, slot, rows: shape(&place.route, self.canvas()).rows }
        };
        let mut parts: Vec<Part> = (0..names.len()).map(part).filter(|part| self.is_shown(*part)).collect();
        if let [upper, lower] = &mut parts[..] {
            let count = |part: &Part| self.count(part).unwrap_or(0);
            (upper.rows, lower.rows) = halves(tables(&place.route, self.canvas()), count(upper), count(lower));
        }
        parts
    }

    fn is_shown(&self, part: Part) -> bool {
        let has_rows = || self.count(&part).is_some_and(|count| count > 0);
        part.at == self.place().route.main_table() || has_rows() || !self.list(part.slot).filter.is_empty()
    }

    /// How many rows a table has, or had when it was last seen here.
    fn count(&self, part: &Part) -> Option<u64> {
        self.window(part.slot).map(Window::count).or_else(|| self.place().counts.get(part.at).copied().flatten())
    }

    /// How the table that comes by a subscription is looked at.
    #[must_use]
    pub fn list(&self, slot: Slot) -> &List {
        match slot {
            Slot::Rest => &self.place().rest,
            _ => &self.place().list,
        }
    }

    /// The table that comes by a subscription of the place.
    #[must_use]
    pub fn table(&self, slot: Slot) -> Option<Table> {
        match slot {
            Slot::Rest => self.place().route.tables().get(1 - self.place().focus.min(1)).copied(),
            _ => self.place().table(),
        }
    }

    /// The column that sorts a table of the place, and whether the smallest come first.
    #[must_use]
    pub fn sort_of(&self, slot: Slot) -> Option<plasmon_protocol::stream::Sort> {
        let table = self.table(slot)?;
        let default = if self.list(slot).group.is_some() { GROUP_SORT } else { default_sort(table) };
        let own = || plasmon_protocol::stream::Sort { column: default.to_owned(), ascending: false };
        Some(self.asked_sort(slot).unwrap_or_else(own))
    }

    /// The order that a table of the place is asked for; its own when absent. With a mark, the newest references stand first.
    pub(super) fn asked_sort(&self, slot: Slot) -> Option<plasmon_protocol::stream::Sort> {
        let list = self.list(slot);
        let newest = self.mark().is_some() && self.table(slot) == Some(Table::References) && list.group.is_none();
        let newest = newest.then(|| plasmon_protocol::stream::Sort { column: "age".to_owned(), ascending: true });
        list.order().cloned().or(newest)
    }

    /// Lines for the rows that the selection moves in.
    #[must_use]
    pub fn height(&self) -> u16 {
        if self.place().route == Route::View(Page::Overview) {
            return overview(self.canvas(), self.alerts().len()).sites.saturating_sub(1);
        }
        let part = self.parts().into_iter().find(|part| part.slot == Slot::Main);
        part.map_or_else(|| shape(&self.place().route, self.canvas()).rows, |part| part.rows)
    }

    fn turn(&mut self) {
        let place = self.place_mut();
        place.focus = 1 - place.focus.min(1);
        std::mem::swap(&mut place.list, &mut place.rest);
        self.subscriptions.swap(Slot::Main, Slot::Rest);
    }

    /// Gives the keys to the table that comes by a subscription.
    pub(super) fn turn_to(&mut self, slot: Slot) {
        if slot == Slot::Rest {
            self.turn();
            self.place_mut().decided = true;
        }
    }

    /// Keeps the keys with a table that is shown. At first they are for the upper one.
    pub(super) fn focus(&mut self) {
        if self.place().route.tables().len() < 2 {
            return;
        }
        for (at, slot) in [(self.place().focus, Slot::Main), (1 - self.place().focus.min(1), Slot::Rest)] {
            if let (Some(count), Some(known)) = (self.window(slot).map(Window::count), self.place_mut().counts.get_mut(at)) {
                *known = Some(count);
            }
        }
        let parts = self.parts();
        if !parts.iter().any(|part| part.slot == Slot::Main) {
            self.turn();
        }
        if !self.place().decided && self.window(Slot::Main).is_some() && self.window(Slot::Rest).is_some() {
            if parts.first().is_some_and(|upper| upper.slot == Slot::Rest) {
                self.turn();
            }
            self.place_mut().decided = true;
        }
    }

    /// Gives the keys to the other table.
    pub(super) fn other_table(&mut self) {
        if self.parts().len() == 2 {
            self.turn();
            self.place_mut().decided = true;
        } else {
            self.flash(Mood::Refused, "there is no other table here now");
        }
    }

    /// Gives the keys to the other table when a step leads beyond the end of its own `len` rows; what is left of the step then.
    pub(super) fn crossed(&mut self, action: Action, len: u64) -> Option<Action> {
        let at = self.place().list.cursor;
        let parts = self.parts();
        let [upper, _] = &parts[..] else { return None };
        let goes_on = match action {
            Action::Down | Action::HalfDown | Action::PageDown if upper.slot == Slot::Main && at + 1 >= len => Action::Top,
            Action::Up | Action::HalfUp | Action::PageUp if upper.slot == Slot::Rest && at == 0 => Action::Bottom,
            _ => return None,
        };
        self.window(Slot::Rest).filter(|window| window.count() > 0)?;
        self.turn();
        self.place_mut().decided = true;
        Some(goes_on)
    }
}
