//! What is copied and saved: of the selected row its id, its place, its line or its JSON; of the view its text, its JSON or its picture.

use plasmon_protocol::record::{ActorRow, ObjectRow, ReferenceRow, Site, TaskRow};
use plasmon_protocol::stream::Detail;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use serde_json::{Value, json};

use super::page::{self, Item};
use super::route::{Page, Route};
use super::subscribe::Slot;
use super::{App, Effect, Mood};
use crate::keys::{Action, Key};
use crate::model::window::{json_of, json_rows};
use crate::svg;
use crate::view::hit::{screen_text, selected_text};
use crate::view::theme::Theme;

/// What is chosen from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pick {
    /// What of the selected row goes to the clipboard.
    Copy,
    /// As what the view goes to a file.
    Save,
}

/// One choice: its letter, its name, what it does.
pub type Choice = (char, &'static str, &'static str);

impl Pick {
    /// The choices, in their order.
    #[must_use]
    pub fn choices(self) -> &'static [Choice] {
        match self {
            Self::Copy => &[
                ('i', "id", "what y copies: the id, the pid, the message"),
                ('s', "site", "the line of code, as file:line"),
                ('t', "text", "the row as it is drawn"),
                ('j', "json", "the row with all its fields"),
            ],
            Self::Save => &[
                ('t', "text", "the screen as it is, in lines of text"),
                ('j', "json", "the rows that are here, with all their fields and the totals"),
                ('s', "svg", "the screen as a picture"),
            ],
        }
    }
}

/// A place in the source as editors take it.
fn place(site: &Site) -> Option<String> {
    (!site.file.is_empty()).then(|| super::act::place_of(site))
}

impl App {
    /// What a key does while one chooses.
    pub(super) fn pick_key(&mut self, pick: Pick, chosen: usize, key: Key, action: Option<Action>, effects: &mut Vec<Effect>) {
        let choices = pick.choices();
        let last = choices.len() - 1;
        let taken = match (key, action) {
            (Key::Char(letter), _) => choices.iter().position(|choice| choice.0 == letter),
            (_, Some(Action::Accept)) => Some(chosen),
            (_, Some(Action::Next)) => return self.overlay = Some(super::prompt::Overlay::Pick(pick, (chosen + 1).min(last))),
            (_, Some(Action::Previous)) => return self.overlay = Some(super::prompt::Overlay::Pick(pick, chosen.saturating_sub(1))),
            _ => None,
        };
        match taken.and_then(|at| choices.get(at)) {
            Some((letter, ..)) if pick == Pick::Copy => self.copy_as(*letter, effects),
            Some((letter, ..)) => self.save_as(*letter, effects),
            None => self.overlay = Some(super::prompt::Overlay::Pick(pick, chosen)),
        }
    }

    fn copy_as(&mut self, letter: char, effects: &mut Vec<Effect>) {
        let text = match letter {
            'i' => self.copied(),
            's' => self.site_of_row(),
            't' => selected_text(self),
            _ => self.row_json().and_then(|row| serde_json::to_string(&row).ok()),
        };
        match text {
            Some(text) => {
                self.flash(Mood::Done, format!("copied {text}"));
                effects.push(Effect::Copy(text));
            }
            None if letter == 's' => self.flash(Mood::Refused, "no line of code is known for it"),
            None => self.flash(Mood::Refused, "nothing is selected"),
        }
    }

    /// The selected item of a page about one thing.
    fn selected_item(&self) -> Option<Item<'_>> {
        page::item(&self.sections()?, self.place().list.cursor)
    }

    fn site_of_row(&self) -> Option<String> {
        if let Some(row) = self.selected_site() {
            return place(&row.site);
        }
        if let Some(row) = self.selected::<ReferenceRow>(Slot::Main) {
            return place(&row.created_site);
        }
        if let Some(row) = self.selected::<TaskRow>(Slot::Main) {
            return place(&row.call_site);
        }
        if let Some(row) = self.selected::<ActorRow>(Slot::Main) {
            return place(&row.call_site);
        }
        if let Some(row) = self.selected::<ObjectRow>(Slot::Main) {
            return place(&row.created_site);
        }
        match self.detail(Slot::Main)? {
            Detail::Site(detail) => place(&detail.site.site),
            Detail::Object(detail) => place(&detail.object.created_site),
            Detail::Task(detail) => place(&detail.task.call_site),
            Detail::Actor(detail) => place(&detail.actor.call_site),
            _ => match self.selected_item()?.plain() {
                Item::Holder(row) | Item::Reference(row) => place(&row.created_site),
                Item::Object(row) => place(&row.created_site),
                Item::Task(row) => place(&row.call_site),
                Item::Frame(site) => place(site),
                Item::Kept(_) | Item::Printed(..) => None,
            },
        }
    }

    fn row_json(&self) -> Option<Value> {
        if let Some(row) = self.selected_site() {
            return serde_json::to_value(row).ok();
        }
        if let Some(window) = self.window(Slot::Main) {
            let at = usize::try_from(self.place().list.cursor.checked_sub(window.start)?).ok()?;
            return json_of(&window.rows, at);
        }
        if let Some(check) = self.selected_check() {
            return serde_json::to_value(check).ok();
        }
        match self.selected_item()?.plain() {
            Item::Holder(row) | Item::Reference(row) => serde_json::to_value(row).ok(),
            Item::Object(row) => serde_json::to_value(row).ok(),
            Item::Task(row) => serde_json::to_value(row).ok(),
            Item::Frame(site) => serde_json::to_value(site).ok(),
            Item::Kept(_) | Item::Printed(..) => None,
        }
    }

    fn save_as(&mut self, letter: char, effects: &mut Vec<Effect>) {
        let (columns, rows) = self.size;
        let drawn = |theme: Theme| {
            let mut buffer = Buffer::empty(Rect::new(0, 0, columns, rows));
            crate::view::draw(self, &theme, &mut buffer);
            buffer
        };
        let (ending, text) = match letter {
            't' => ("txt", screen_text(&drawn(Theme::new(false)))),
            's' => ("svg", svg::render(&drawn(Theme::new(true)), &format!("plasmon: {}", self.place().route.crumb()))),
            _ => ("json", serde_json::to_string_pretty(&self.view_json()).unwrap_or_default() + "\n"),
        };
        let name: String = self.place().route.crumb().chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '-' }).collect();
        let name: Vec<&str> = name.split('-').filter(|part| !part.is_empty()).take(4).collect();
        let clock = crate::view::format::clock(self.now_ms, self.settings.utc_offset_ms).replace(':', "");
        let stem = format!("plasmon-{}-{clock}", name.join("-").to_lowercase());
        effects.push(Effect::Save { stem, ending, text });
    }

    /// What the view shows, with all fields.
    fn view_json(&self) -> Value {
        let model = self.model();
        let window = |slot: Slot| {
            let window = self.window(slot)?;
            let list = self.list(slot);
            Some(json!({
                "table": self.table(slot),
                "filter": list.filter,
                "group": list.group,
                "sort": self.sort_of(slot),
                "totals": window.totals,
                "start": window.start,
                "rows": json_rows(&window.rows),
            }))
        };
        let mut tables: Vec<Value> = [Slot::Main, Slot::Rest].into_iter().filter_map(window).collect();
        if self.place().route == Route::View(Page::Overview) {
            tables = [Slot::Sites, Slot::Events]
                .into_iter()
                .filter_map(|slot| self.window(slot))
                .map(|window| {
                    json!({
                        "totals": window.totals, "start": window.start, "rows": json_rows(&window.rows),
                    })
                })
                .collect();
        }
        json!({
            "version": plasmon_protocol::stream::VERSION,
            "view": self.place().route.crumb(),
            "node": model.node.as_ref().map(|node| node.node),
            "at_ms": self.agent_now_ms(),
            "store": model.store,
            "tables": tables,
            "detail": self.detail(Slot::Main),
        })
    }
}
