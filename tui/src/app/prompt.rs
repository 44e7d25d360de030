//! What opens over the screen: the filter's prompt, the choice of a column, the palette and the help.

use plasmon_protocol::column::{Kind, Table};
use plasmon_protocol::filter::{Completion, Filter, FilterError, complete};
use plasmon_protocol::record::{ActorRow, EventRow, PostMortemRow, ProcessRow, ReferenceRow, SiteRow, SpillFileRow, TaskRow};
use tui_input::{Input, InputRequest};

pub use history::History;

mod history;

use super::pick::Pick;
use super::route::{Sortable, group_sortable, sortable};
use super::{App, Effect};
use crate::keys::{self, Action, Binding, Context, Key};
use crate::model::clean::clean;

/// No typed line is longer, in bytes: a filter must fit a request.
const MAX_LINE: usize = 1 << 10;

/// What is open.
#[derive(Clone, Debug)]
pub enum Overlay {
    /// The line that a filter is typed into.
    Filter(Input),
    /// The columns to sort by; which one is chosen.
    Sort(usize),
    /// The columns to fold rows by; which one is chosen.
    Group(usize),
    /// Actions by name; which one of those that match is chosen.
    Palette(Input, usize),
    /// What to copy or to save; which choice is chosen.
    Pick(Pick, usize),
    /// Keys and numbers explained; the first line shown.
    Help(usize),
}

/// What is wrong with a filter for a table, if anything.
///
/// # Errors
/// When the filter cannot be read for that table.
pub fn check(table: Table, text: &str) -> Result<(), FilterError> {
    match table {
        Table::References => Filter::<ReferenceRow>::parse(text).map(drop),
        Table::Sites => Filter::<SiteRow>::parse(text).map(drop),
        Table::Processes => Filter::<ProcessRow>::parse(text).map(drop),
        Table::Tasks => Filter::<TaskRow>::parse(text).map(drop),
        Table::Actors => Filter::<ActorRow>::parse(text).map(drop),
        Table::PostMortem => Filter::<PostMortemRow>::parse(text).map(drop),
        Table::Events => Filter::<EventRow>::parse(text).map(drop),
        Table::SpillFiles => Filter::<SpillFileRow>::parse(text).map(drop),
        Table::Objects | Table::Store => Ok(()),
    }
}

/// The actions of these contexts whose name or help has the letters of `text` in their order, best first.
#[must_use]
pub fn matching(contexts: &[Context], text: &str) -> Vec<&'static Binding> {
    let mut found: Vec<(usize, &Binding)> =
        keys::first_keys(contexts).filter_map(|row| score(row, text).map(|score| (score, row))).collect();
    found.sort_by_key(|(score, _)| *score);
    found.into_iter().map(|(_, row)| row).collect()
}

/// How far apart the letters stand; smaller is better.
fn score(row: &Binding, text: &str) -> Option<usize> {
    let hay = format!("{} {}", row.label, row.help).to_lowercase();
    let needle = text.trim().to_lowercase();
    if let Some(at) = hay.find(&needle) {
        return Some(at);
    }
    let mut rest = hay.chars().enumerate();
    let mut last = 0;
    for letter in needle.chars().filter(|letter| !letter.is_whitespace()) {
        last = rest.find(|(_, char)| *char == letter)?.0;
    }
    Some(1000 + last)
}

fn edit(input: &mut Input, key: Key) {
    let request = match key {
        Key::Char(char) if input.value().len() < MAX_LINE => InputRequest::InsertChar(char),
        Key::Backspace => InputRequest::DeletePrevChar,
        Key::Delete => InputRequest::DeleteNextChar,
        Key::Left => InputRequest::GoToPrevChar,
        Key::Right => InputRequest::GoToNextChar,
        Key::Home | Key::Ctrl('a') => InputRequest::GoToStart,
        Key::End | Key::Ctrl('e') => InputRequest::GoToEnd,
        Key::Ctrl('w') => InputRequest::DeletePrevWord,
        Key::Ctrl('k') => InputRequest::DeleteTillEnd,
        Key::Ctrl('u') => InputRequest::DeleteLine,
        _ => return,
    };
    input.handle(request);
}

impl App {
    /// The columns that the table of this place can be sorted by.
    #[must_use]
    pub fn sortables(&self) -> Vec<Sortable> {
        if self.place().list.group.is_some() { group_sortable() } else { self.columns() }
    }

    /// The columns that the rows of this place can be folded by: all but instants, which every row has for itself.
    #[must_use]
    pub fn groupables(&self) -> Vec<Sortable> {
        let mut columns = self.columns();
        columns.retain(|column| !matches!(column.kind, Kind::Since | Kind::Growth));
        columns
    }

    fn columns(&self) -> Vec<Sortable> {
        self.place().table().map(sortable).unwrap_or_default()
    }

    /// What is wrong with the filter that is being typed, if anything.
    #[must_use]
    pub fn filter_error(&self) -> Option<FilterError> {
        match (&self.overlay, self.place().table()) {
            (Some(Overlay::Filter(input)), Some(table)) => check(table, input.value()).err(),
            _ => None,
        }
    }

    /// What the word at the end of the filter may become: columns, or words of one.
    #[must_use]
    pub fn completions(&self) -> Vec<String> {
        match &self.overlay {
            Some(Overlay::Filter(input)) => self.completing(input).words,
            _ => Vec::new(),
        }
    }

    fn completing(&self, input: &Input) -> Completion {
        let text = input.value();
        if input.cursor() < text.chars().count() {
            return Completion::default();
        }
        match self.place().table() {
            Some(Table::References) => complete::<ReferenceRow>(text),
            Some(Table::Sites) => complete::<SiteRow>(text),
            Some(Table::Processes) => complete::<ProcessRow>(text),
            Some(Table::Tasks) => complete::<TaskRow>(text),
            Some(Table::Actors) => complete::<ActorRow>(text),
            Some(Table::PostMortem) => complete::<PostMortemRow>(text),
            Some(Table::Events) => complete::<EventRow>(text),
            Some(Table::SpillFiles) => complete::<SpillFileRow>(text),
            Some(Table::Objects | Table::Store) | None => Completion::default(),
        }
    }

    /// What a key that chooses does in a filter's prompt: Tab completes, up and down go through the filters of before.
    fn filter_step(&mut self, key: Key, action: Action, input: Input) -> Input {
        let text = match (key, action) {
            (Key::Tab, _) => self.completing(&input).apply(input.value()),
            (_, Action::Next) => self.filters.newer().unwrap_or_else(|| input.value().to_owned()),
            (Key::BackTab, _) => return input,
            _ => self.filters.older(input.value()).unwrap_or(input.value()).to_owned(),
        };
        if text == input.value() { input } else { Input::new(text) }
    }

    pub(super) fn overlay_key(&mut self, key: Key, effects: &mut Vec<Effect>) {
        let action = keys::action(&[Context::Prompt], key);
        let Some(overlay) = self.overlay.take() else { return };
        if action == Some(Action::Cancel) {
            return;
        }
        match overlay {
            Overlay::Filter(mut input) => {
                if action == Some(Action::Accept) && self.set_filter(input.value()) {
                    return;
                }
                match action {
                    Some(action @ (Action::Next | Action::Previous)) => input = self.filter_step(key, action, input),
                    _ => edit(&mut input, key),
                }
                self.overlay = Some(Overlay::Filter(input));
            }
            overlay @ (Overlay::Sort(_) | Overlay::Group(_)) => self.column_key(overlay, key, action),
            Overlay::Pick(pick, chosen) => self.pick_key(pick, chosen, key, action, effects),
            Overlay::Palette(mut input, chosen) => {
                let found = matching(&self.place_contexts(), input.value());
                let last = found.len().saturating_sub(1);
                let chosen = match action {
                    Some(Action::Accept) => {
                        if let Some(row) = found.get(chosen) {
                            self.act(row.action, effects);
                        }
                        return;
                    }
                    Some(Action::Next) => (chosen + 1).min(last),
                    Some(Action::Previous) => chosen.saturating_sub(1),
                    _ => {
                        edit(&mut input, key);
                        0
                    }
                };
                self.overlay = Some(Overlay::Palette(input, chosen));
            }
            Overlay::Help(line) => {
                let page = usize::from(super::geometry::body(self.canvas())).max(2) - 1;
                let line = match key {
                    Key::Down | Key::Char('j') => line + 1,
                    Key::Up | Key::Char('k') => line.saturating_sub(1),
                    Key::PageDown | Key::Char(' ') | Key::Ctrl('d') => line + page,
                    Key::PageUp | Key::Ctrl('u') => line.saturating_sub(page),
                    Key::Home | Key::Char('g') => 0,
                    // Whatever else is pressed, the help makes room.
                    _ => return,
                };
                self.overlay = Some(Overlay::Help(line.min(crate::view::help::last_line(self))));
            }
        }
    }

    /// What a key does while a column is chosen.
    fn column_key(&mut self, overlay: Overlay, key: Key, action: Option<Action>) {
        let (is_group, columns, chosen) = match overlay {
            Overlay::Group(chosen) => (true, self.groupables(), chosen),
            Overlay::Sort(chosen) => (false, self.sortables(), chosen),
            _ => return,
        };
        let open = |chosen| Some(if is_group { Overlay::Group(chosen) } else { Overlay::Sort(chosen) });
        let last = columns.len().saturating_sub(1);
        let taken = match (key, action) {
            (Key::Char(letter), _) => columns.iter().position(|column| column.letter == letter),
            (_, Some(Action::Accept)) => Some(chosen),
            (_, Some(Action::Next)) => return self.overlay = open((chosen + 1).min(last)),
            (_, Some(Action::Previous)) => return self.overlay = open(chosen.saturating_sub(1)),
            _ => None,
        };
        match taken.and_then(|at| columns.get(at)) {
            Some(column) if is_group => self.group_by(Some(column.name)),
            Some(column) => self.sort_by(column.name),
            None => self.overlay = open(chosen),
        }
    }

    /// Takes a filter; whether it could be read.
    fn set_filter(&mut self, text: &str) -> bool {
        let text = text.trim();
        let Some(table) = self.place().table() else { return true };
        if check(table, text).is_err() {
            return false;
        }
        self.filters.take(text);
        let list = &mut self.place_mut().list;
        if list.filter != text {
            list.filter = text.to_owned();
            list.rewind();
        }
        true
    }

    pub(super) fn paste(&mut self, mut text: String) {
        clean(&mut text);
        if let Some(Overlay::Filter(input) | Overlay::Palette(input, _)) = &mut self.overlay {
            for char in text.chars() {
                edit(input, Key::Char(char));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_palette_finds_by_words_and_by_letters() {
        let contexts = &[Context::Sites, Context::Table, Context::Rows, Context::Everywhere];
        let all = matching(contexts, "");
        assert!(all.len() > 20);
        assert_eq!(matching(contexts, "freeze")[0].action, Action::Freeze);
        assert_eq!(matching(contexts, "frz")[0].action, Action::Freeze);
        assert!(matching(contexts, "zzzzzz").is_empty());
    }

    #[test]
    fn a_filter_is_checked_against_its_table() {
        assert!(check(Table::References, "site:remember size>1m").is_ok());
        assert!(check(Table::Tasks, "size>1m").is_err());
        assert!(check(Table::SpillFiles, "state:ready dead>1m cut:size age>1m").is_ok());
        assert!(check(Table::SpillFiles, "pid=1").is_err());
    }
}
