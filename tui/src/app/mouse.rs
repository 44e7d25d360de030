//! The mouse: what is drawn where one clicks decides what the click does.

use super::prompt::Overlay;
use super::subscribe::Slot;
use super::{App, Effect, Mood};
use crate::keys::{Action, Key};
use crate::view::hit::{Hit, hit};

/// Rows that a notch of the wheel moves by.
const NOTCH: usize = 3;

/// What a mouse does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mouse {
    /// The left button went down, at this column and line.
    Click(u16, u16),
    /// The wheel turned towards the viewer.
    WheelDown,
    /// The wheel turned away.
    WheelUp,
}

impl App {
    /// Whether the mouse is the dashboard's, not the terminal's.
    #[must_use]
    pub fn has_mouse(&self) -> bool {
        self.has_mouse
    }

    pub(super) fn switch_mouse(&mut self, effects: &mut Vec<Effect>) {
        self.has_mouse = !self.has_mouse;
        effects.push(Effect::Mouse(self.has_mouse));
        let said =
            if self.has_mouse { "the mouse clicks here: m gives it back to the terminal" } else { "the mouse is the terminal's again" };
        self.flash(Mood::Done, said);
    }

    pub(super) fn mouse(&mut self, mouse: Mouse, effects: &mut Vec<Effect>) {
        match mouse {
            Mouse::Click(x, y) => {
                self.flash = None;
                if let Some(hit) = hit(self, x, y) {
                    self.clicked(hit, effects);
                }
            }
            Mouse::WheelDown | Mouse::WheelUp => {
                let key = if mouse == Mouse::WheelDown { Key::Down } else { Key::Up };
                (0..NOTCH).for_each(|_| self.key(key, effects));
            }
        }
    }

    fn clicked(&mut self, hit: Hit, effects: &mut Vec<Effect>) {
        match hit {
            Hit::Key(key) => self.key(key, effects),
            Hit::Choice(number) => {
                if let Some(Overlay::Sort(chosen) | Overlay::Group(chosen) | Overlay::Palette(_, chosen) | Overlay::Pick(_, chosen)) =
                    &mut self.overlay
                {
                    *chosen = number;
                    self.key(Key::Enter, effects);
                }
            }
            // What is open is closed by its own keys.
            _ if self.overlay.is_some() => {}
            Hit::View(page) => self.go(page),
            Hit::Crumb(depth) => self.opened.truncate(depth),
            Hit::Column(slot, column) => {
                self.turn_to(slot);
                if self.sortables().iter().any(|sortable| sortable.name == column) {
                    self.sort_by(column);
                }
            }
            Hit::Row(slot, place) => {
                let here = slot != Slot::Rest && self.place().list.cursor == place;
                self.turn_to(slot);
                if here {
                    self.act(Action::Open, effects);
                } else {
                    self.select(place);
                }
            }
        }
    }
}
