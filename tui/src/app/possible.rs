//! What can be done where one is: the footer offers nothing else.

use plasmon_protocol::record::SiteRow;

use super::App;
use super::page;
use super::route::{Page, Route};
use super::subscribe::Slot;
use crate::keys::Action;
use crate::model::Window;

impl App {
    /// Whether an action would do anything in this place. What depends on the row that is selected counts as possible as long as there
    /// are rows: a footer that changes with every step is harder to read than one that promises a little too much.
    #[must_use]
    pub fn can(&self, action: Action) -> bool {
        let place = self.place();
        match action {
            Action::Back => !self.opened.is_empty() || !place.list.filter.is_empty(),
            // The lines of the node are all that there is about it.
            Action::Open => place.route != Route::View(Page::Node) && self.has_rows(),
            Action::Copy => match place.route {
                Route::Object(_) | Route::Site { .. } | Route::Task { .. } | Route::Actor { .. } => true,
                _ => self.has_rows(),
            },
            Action::Fold => self.has_rows(),
            // Of what waits one goes on to the rest; where nothing does, there is no rest.
            Action::Why => !matches!(place.route, Route::Why { .. }) || self.has_rows(),
            Action::ListReferences => match place.route {
                Route::View(_) => self.has_rows(),
                _ => self.shows_what_holds(),
            },
            Action::CreationSite => match place.route {
                Route::Object(_) => true,
                _ => self.has_rows() && place.list.group.is_none(),
            },
            // Lines alone have no frames between them.
            Action::Chain => {
                let sites = self.window(Slot::Main).and_then(|window| window.of::<SiteRow>()).unwrap_or_default();
                sites.iter().any(|row| row.site.caller.0 != 0)
            }
            _ => true,
        }
    }

    /// Whether the shown thing still holds something, or is held.
    fn shows_what_holds(&self) -> bool {
        !matches!(self.detail(Slot::Main), Some(plasmon_protocol::stream::Detail::PostMortem(_)))
    }

    /// Whether there is anything to select.
    fn has_rows(&self) -> bool {
        match &self.place().route {
            Route::View(Page::Overview) => self.window(Slot::Sites).is_some_and(|window| !window.keys.is_empty()),
            Route::View(Page::Node) => self.node().is_some(),
            Route::View(_) | Route::References { .. } => self.window(Slot::Main).map_or(0, Window::count) > 0,
            Route::Why { .. } => self.explanation().is_some_and(|explanation| !super::why::keys(explanation).is_empty()),
            _ => self.sections().is_some_and(|sections| page::item(&sections, 0).is_some()),
        }
    }
}
