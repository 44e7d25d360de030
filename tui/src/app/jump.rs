//! Jumps: from what is selected or shown to its references, its holder, what it lies inside of, the line that made it.

use plasmon_protocol::column::Table;
use plasmon_protocol::record::{ReferenceRow, Site};
use plasmon_protocol::stream::Detail;

use super::act::narrowed;
use super::page::Item;
use super::route::{Page, Place, Route};
use super::subscribe::Slot;
use super::{App, Mood};
use crate::model::window::Tabled;

impl App {
    /// The references with `column` exactly `value`, within the filter of the place that they open from.
    pub(super) fn references(&self, label: &str, column: &str, value: &str) -> Place {
        let mut place = Place::new(Route::References { label: label.to_owned() });
        let within = if self.place().table() == Some(Table::References) {
            place.list.sort = self.place().list.sort.clone();
            self.place().list.filter.as_str()
        } else {
            ""
        };
        place.list.filter = narrowed(within, column, value);
        place
    }

    pub(super) fn list_references(&mut self) {
        let place = match (&self.place().route, self.detail(Slot::Main)) {
            (Route::View(Page::Sites), _) => self.selected_site().map(|row| self.of_site(&row.site)),
            (_, Some(Detail::Site(detail))) => Some(self.of_site(&detail.site.site)),
            (_, Some(Detail::Object(detail))) => {
                let hex = detail.object.object_id.hex();
                Some(self.references("references", "object", &hex))
            }
            (_, Some(Detail::Process(detail))) => Some(self.of_process(detail.process.pid, &detail.process)),
            (_, Some(Detail::Actor(detail))) => detail.actor.pid.map(|pid| self.of_process(pid, &detail.actor)),
            (_, Some(Detail::PostMortem(_))) => {
                return self.flash(Mood::Refused, "it holds nothing any more: what it held is listed here only");
            }
            _ => None,
        };
        match place {
            Some(place) => self.open(place),
            None if self.detail(Slot::Main).is_some() => self.flash(Mood::Refused, "it has no process"),
            None => self.flash(Mood::Refused, "no site is selected"),
        }
    }

    /// Of the lines that say why the shown object is alive, the selected one or else the first of a kind.
    fn kept_by(&self, kind: impl Fn(&Item<'_>) -> bool) -> Option<Item<'_>> {
        let lines = self.sections()?.into_iter().next()?.items;
        let here = usize::try_from(self.place().list.cursor).ok().and_then(|here| lines.get(here).copied());
        here.into_iter().chain(lines.iter().copied()).filter(|item| matches!(item, Item::Kept(_))).map(Item::plain).find(kind)
    }

    /// Opens the process that holds what is selected or shown.
    pub(super) fn holder(&mut self) {
        let holder = match self.detail(Slot::Main) {
            Some(Detail::Object(_)) => self.kept_by(|item| matches!(item, Item::Holder(_))).and_then(|item| item.route()),
            _ => self.selected::<ReferenceRow>(Slot::Main).and_then(|row| Item::Holder(row).route()),
        };
        match holder {
            Some(route) => self.open(Place::new(route)),
            None if self.place().list.group.is_some() => self.flash(Mood::Refused, "this stands for many rows: Enter lists them"),
            None => self.flash(Mood::Refused, "no process holds it"),
        }
    }

    /// Opens the object that the shown one lies inside of.
    pub(super) fn container(&mut self) {
        match self.kept_by(|item| matches!(item, Item::Object(_))).and_then(|item| item.route()) {
            Some(route) => self.open(Place::new(route)),
            None => self.flash(Mood::Refused, "it lies inside of no object"),
        }
    }

    pub(super) fn creation_site(&mut self) {
        let site = match self.detail(Slot::Main) {
            Some(Detail::Object(detail)) => Some(&detail.object.created_site),
            _ => self.selected::<ReferenceRow>(Slot::Main).map(|row| &row.created_site),
        };
        let site = site.filter(|site| site.id.0 != 0);
        match site.map(|site| Route::Site { id: site.id, label: site.short() }) {
            Some(route) => self.open(Place::new(route)),
            None if self.place().list.group.is_some() => self.flash(Mood::Refused, "this stands for many rows: Enter lists them"),
            None => self.flash(Mood::Refused, "nobody knows where it was created"),
        }
    }

    /// What a process holds; of several agents, one on the node of the row, for others may have the same number.
    fn of_process<R: Tabled>(&self, pid: u32, row: &R) -> Place {
        let mut place = self.references("references", "pid", &pid.to_string());
        if let Some(member) = self.member_of(row) {
            place.list.filter = narrowed(&place.list.filter, "node", &member.node.node.hex());
        }
        place
    }

    fn of_site(&self, site: &Site) -> Place {
        self.references(&format!("references from {}", site.short()), "created", &site.to_string())
    }
}
