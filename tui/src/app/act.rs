//! What each action does.

use plasmon_protocol::column::Table;
use plasmon_protocol::record::{
    ActorRow, EventKind, EventRow, PostMortemRow, ProcessRow, ReferenceRow, Site, SiteRow, SpillFileRow, TaskRow,
};
use plasmon_protocol::stream::{Detail, GroupRow, Sort, Target};
use tui_input::Input;

use super::page::{self, task_label};
use super::pick::Pick;
use super::prompt::{Overlay, check};
use super::route::{GROUP_SORT, List, Page, Place, Route, default_sort};
use super::subscribe::Slot;
use super::tree::TreeRow;
use super::why;
use super::{App, Effect, Mood};
use crate::keys::Action;

/// Columns that a table's rows are folded by, in the order of the key.
fn groups(table: Table) -> &'static [&'static str] {
    match table {
        Table::References => &["type", "created", "pid", "node"],
        Table::Actors => &["class", "status", "job"],
        Table::Tasks => &["name", "status", "pid"],
        _ => &[],
    }
}

/// What of a table asks for attention; `None` where all of it does.
#[must_use]
pub fn trouble(table: Table) -> Option<&'static str> {
    Some(match table {
        Table::References => "state:failed | state:restoring | status:failed",
        Table::Sites => "growth>0",
        Table::SpillFiles => "dead>0",
        Table::Tasks => "status:failed | status:infeasible | status:pending",
        Table::Actors => "status:dead | status:restarting | queued>0",
        Table::Processes => "state:blocked | state:stopped",
        Table::Events => "severity:warning | severity:error",
        Table::PostMortem | Table::Objects | Table::Store => return None,
    })
}

/// The page of a process that died.
fn dead(row: &PostMortemRow) -> Route {
    Route::Process { id: row.process, label: format!("{} {}, dead", row.process_type, row.pid) }
}

/// The page of what an event is about.
fn opened(row: &EventRow) -> Option<Route> {
    let process = |row: &EventRow| row.pid.map_or_else(|| "process".to_owned(), |pid| format!("process {pid}"));
    Some(match row.opens.clone()? {
        Target::Object(id) => Route::Object(id),
        Target::Site(id) => Route::Site { id, label: "site".to_owned() },
        Target::Task(id) => Route::Task { id, label: "task".to_owned() },
        Target::Actor(id) => Route::Actor { id, label: "actor".to_owned() },
        Target::Process(id) => Route::Process { id, label: process(row) },
        Target::SpillFile(id) => Route::File(id),
        Target::Explain(subject) => Route::Why { subject, label: "what waits".to_owned() },
        Target::Node | Target::Recording => return None,
    })
}

impl List {
    /// The order that the viewer chose: of groups while rows are folded.
    #[must_use]
    pub fn order(&self) -> Option<&Sort> {
        if self.group.is_some() { self.group_sort.as_ref() } else { self.sort.as_ref() }
    }

    fn order_mut(&mut self) -> &mut Option<Sort> {
        if self.group.is_some() { &mut self.group_sort } else { &mut self.sort }
    }

    /// Forgets where one was: the rows are others now.
    pub(super) fn rewind(&mut self) {
        (self.selected, self.touched, self.cursor, self.offset) = (None, false, 0, 0);
    }
}

/// A filter that also asks for `column` to be exactly `value`. `|` binds weaker than a space, so every alternative gets it.
#[must_use]
pub fn narrowed(filter: &str, column: &str, value: &str) -> String {
    let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
    let term = format!("{column}=\"{quoted}\"");
    let mut parts = vec![String::new()];
    let (mut inside, mut escaped) = (false, false);
    for char in filter.chars() {
        match char {
            '"' if !escaped => inside = !inside,
            '|' if !inside => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        escaped = inside && char == '\\' && !escaped;
        if let Some(part) = parts.last_mut() {
            part.push(char);
        }
    }
    let parts: Vec<String> = parts.iter().map(|part| format!("{} {term}", part.trim()).trim().to_owned()).collect();
    parts.join(" | ")
}

/// `file:line` of a site, as editors take it.
#[must_use]
pub fn place_of(site: &Site) -> String {
    format!("{}:{}", site.file, site.line)
}

/// Where a spill file lies.
#[must_use]
pub fn path_of(file: &SpillFileRow) -> String {
    format!("{}/{}", file.place.trim_end_matches('/'), file.name)
}

impl App {
    /// Does it.
    pub(super) fn act(&mut self, action: Action, effects: &mut Vec<Effect>) {
        if self.replay_act(action, effects) {
            return;
        }
        match action {
            Action::View(page) => self.go(page),
            Action::NextView => self.go(Page::ALL[(self.view().number()) % Page::ALL.len()]),
            Action::PreviousView => self.go(Page::ALL[(self.view().number() + Page::ALL.len() - 2) % Page::ALL.len()]),
            Action::Down
            | Action::Up
            | Action::HalfDown
            | Action::HalfUp
            | Action::PageDown
            | Action::PageUp
            | Action::Top
            | Action::Bottom => self.step(action),
            Action::Open => self.open_selected(),
            Action::Back => self.back(),
            Action::Filter => {
                if self.place().table().is_some() {
                    self.filters.rewind();
                    self.overlay = Some(Overlay::Filter(Input::new(self.place().list.filter.clone())));
                }
            }
            Action::Sort => {
                let sorted = self.sorted_by();
                let chosen = self.sortables().iter().position(|column| sorted.as_ref().is_some_and(|sort| sort.column == column.name));
                self.overlay = Some(Overlay::Sort(chosen.unwrap_or(0)));
            }
            Action::Reverse => {
                if let Some(sort) = self.sorted_by() {
                    let list = &mut self.place_mut().list;
                    *list.order_mut() = Some(Sort { ascending: !sort.ascending, ..sort });
                    list.rewind();
                }
            }
            Action::Wide => match crate::view::hit::column_sets(self) {
                0 | 1 => self.flash(Mood::Refused, "all columns are shown"),
                sets => {
                    let list = &mut self.place_mut().list;
                    list.columns = (list.columns + 1) % sets;
                }
            },
            Action::Group => {
                let groups = self.place().table().map(groups).unwrap_or_default();
                let group = self.place().list.group;
                // From a column that was chosen by its letter the next step unfolds.
                let next = match group.map(|group| groups.iter().position(|known| *known == group)) {
                    None => groups.first(),
                    Some(at) => at.and_then(|at| groups.get(at + 1)),
                };
                self.group_by(next.copied());
            }
            Action::GroupBy => {
                let columns = self.groupables();
                let group = self.place().list.group;
                self.overlay = Some(Overlay::Group(columns.iter().position(|column| Some(column.name) == group).unwrap_or(0)));
            }
            Action::OtherTable => self.other_table(),
            Action::Fold => self.fold(),
            Action::FoldAll => self.fold_all(),
            Action::Chain => {
                if !self.chain() {
                    self.flash(Mood::Refused, "no frames are left out here: what called it stands above, or is not known");
                }
            }
            Action::ListReferences => self.list_references(),
            Action::CreationSite => self.creation_site(),
            Action::Why => match self.asking_why() {
                Some(place) => self.open(place),
                None => self.flash(Mood::Refused, "what is selected has no other answer"),
            },
            Action::Freeze => self.freeze(),
            // Only a recording knows them, and they are done.
            Action::Play
            | Action::StepBack
            | Action::StepOn
            | Action::LeapBack
            | Action::LeapOn
            | Action::Faster
            | Action::Slower
            | Action::NextMark
            | Action::PreviousMark
            | Action::Begin
            | Action::End => {}
            Action::Copy => match self.copied() {
                Some(text) => {
                    self.flash(Mood::Done, format!("copied {text}"));
                    effects.push(Effect::Copy(text));
                }
                None => self.flash(Mood::Refused, "nothing is selected"),
            },
            Action::CopyAs => self.overlay = Some(Overlay::Pick(Pick::Copy, 0)),
            Action::Save => self.overlay = Some(Overlay::Pick(Pick::Save, 0)),
            Action::Holder => self.holder(),
            Action::Container => self.container(),
            Action::Mark => self.set_mark(),
            Action::Unmark => self.drop_mark(),
            Action::Trouble => self.trouble(),
            Action::Mouse => self.switch_mouse(effects),
            Action::Help => self.overlay = Some(Overlay::Help(0)),
            Action::Palette => self.overlay = Some(Overlay::Palette(Input::default(), 0)),
            Action::Redraw => effects.push(Effect::Redraw),
            Action::Suspend => effects.push(Effect::Suspend),
            Action::Quit => effects.push(Effect::Quit),
            Action::Accept | Action::Cancel | Action::Next | Action::Previous | Action::Clear => {}
        }
    }

    /// Sorts by a column, the largest first; once more, the smallest.
    pub(super) fn sort_by(&mut self, column: &'static str) {
        let Some(table) = self.place().table() else { return };
        let again = self.sorted_by().is_some_and(|sort| sort.column == column && !sort.ascending);
        let list = &mut self.place_mut().list;
        let default = if list.group.is_some() { GROUP_SORT } else { default_sort(table) };
        let own = column == default && !again;
        *list.order_mut() = (!own).then(|| Sort { column: column.to_owned(), ascending: again });
        list.rewind();
    }

    /// Folds rows by a column, or unfolds them.
    pub(super) fn group_by(&mut self, column: Option<&'static str>) {
        let list = &mut self.place_mut().list;
        (list.group, list.group_sort) = (column, None);
        list.rewind();
    }

    fn back(&mut self) {
        if self.opened.pop().is_none() {
            let of_trouble = self.place().table().and_then(trouble).is_some_and(|filter| self.place().list.filter == filter);
            let list = &mut self.place_mut().list;
            // Unless it was folded anew since.
            if of_trouble && list.group.is_none() {
                list.group = list.before.take().and_then(|(_, group)| group);
            }
            if !list.filter.is_empty() {
                list.filter.clear();
                list.rewind();
            }
        }
    }

    fn cursor(&self) -> usize {
        usize::try_from(self.place().list.cursor).unwrap_or(usize::MAX)
    }

    /// The selected row of the place's window.
    pub(super) fn selected<R: crate::model::window::Tabled>(&self, slot: Slot) -> Option<&R> {
        let window = self.window(slot)?;
        let at = self.place().list.cursor.checked_sub(window.start)?;
        window.of::<R>()?.get(usize::try_from(at).ok()?)
    }

    pub(super) fn selected_site(&self) -> Option<&SiteRow> {
        match &self.place().route {
            Route::View(Page::Overview) => self.selected::<SiteRow>(Slot::Sites),
            Route::View(Page::Sites) => {
                let (rows, sites) = self.tree()?;
                match rows.get(self.cursor())? {
                    TreeRow::Site { index, .. } => sites.get(*index),
                    TreeRow::File { .. } => None,
                }
            }
            _ => None,
        }
    }

    /// The file of the selected row of the tree.
    fn selected_file(&self) -> Option<String> {
        let (rows, sites) = self.tree()?;
        match rows.get(self.cursor())? {
            TreeRow::File { file, .. } => Some(file.clone()),
            TreeRow::Site { index, .. } => sites.get(*index).map(|row| row.site.file.clone()),
        }
    }

    fn open_selected(&mut self) {
        if let (Some(column), Some(table)) = (self.place().list.group, self.place().table())
            && self.selected::<GroupRow>(Slot::Main).is_some_and(|group| check(table, &narrowed("", column, &group.key)).is_err())
        {
            // A column of numbers, and rows that have none.
            return self.flash(Mood::Refused, "no filter finds what has no value here");
        }
        if let Some(filter) = self.unfolding() {
            let list = &mut self.place_mut().list;
            (list.group, list.filter) = (None, filter);
            list.rewind();
        } else if let Some(place) = self.opening() {
            self.open(place);
        } else if self.place().route == Route::View(Page::Sites) {
            self.fold();
        } else if self.place().route == Route::View(Page::Events) {
            let refusal = match self.selected::<EventRow>(Slot::Main).map(|row| row.kind) {
                None => "nothing is selected",
                Some(EventKind::ProcessDied | EventKind::ProcessDropped | EventKind::ActorDied) => {
                    "what it held was listed for a minute after its death"
                }
                _ => "it is about nothing that has a page of its own",
            };
            self.flash(Mood::Refused, refusal);
        }
    }

    /// The filter that shows the rows of the selected group, where they show in the same place.
    fn unfolding(&self) -> Option<String> {
        let place = self.place();
        let column = place.list.group.filter(|_| place.table() != Some(Table::References))?;
        let group = self.selected::<GroupRow>(Slot::Main)?;
        Some(narrowed(&place.list.filter, column, &group.key))
    }

    /// The process of the selected event, when it died lately.
    fn post_mortem(&self) -> Option<&PostMortemRow> {
        let pid = self.selected::<EventRow>(Slot::Main)?.pid?;
        self.window(Slot::Dead)?.of::<PostMortemRow>()?.iter().find(|row| row.pid == pid)
    }

    /// The place that opens from what is selected.
    fn opening(&self) -> Option<Place> {
        let route = match &self.place().route {
            Route::View(Page::Overview | Page::Sites) => {
                let row = self.selected_site()?;
                Route::Site { id: row.site.id, label: row.site.short() }
            }
            Route::View(Page::References) | Route::References { .. } => match self.place().list.group {
                Some(column) => {
                    let group = self.selected::<GroupRow>(Slot::Main).filter(|group| !group.key.is_empty())?;
                    return Some(self.references(&group.key, column, &group.key));
                }
                None => page::held(self.selected::<ReferenceRow>(Slot::Main)?),
            },
            Route::View(Page::Processes) => match self.selected::<ProcessRow>(Slot::Main) {
                Some(row) => Route::Process { id: row.process, label: format!("{} {}", row.process_type, row.pid) },
                None => dead(self.selected::<PostMortemRow>(Slot::Main)?),
            },
            Route::View(Page::Tasks) => match self.selected::<ActorRow>(Slot::Main) {
                Some(row) => Route::Actor { id: row.actor_id, label: task_label(&row.class) },
                None => {
                    let row = self.selected::<TaskRow>(Slot::Main)?;
                    Route::Task { id: row.task_id, label: task_label(&row.name) }
                }
            },
            Route::View(Page::Spill) => Route::File(self.selected::<SpillFileRow>(Slot::Main)?.file),
            Route::View(Page::Events) => {
                let event = self.selected::<EventRow>(Slot::Main)?;
                let died = matches!(event.kind, EventKind::ProcessDied | EventKind::ProcessDropped | EventKind::ActorDied);
                match self.post_mortem().filter(|_| died) {
                    Some(row) => dead(row),
                    None => opened(event)?,
                }
            }
            Route::View(Page::PostMortem) => dead(self.selected::<PostMortemRow>(Slot::Main)?),
            Route::View(Page::Node) => return None,
            Route::Why { .. } => why::route(why::node(self.explanation()?, self.place().list.cursor)?)?,
            Route::Object(_) | Route::Site { .. } | Route::Task { .. } | Route::Process { .. } | Route::Actor { .. } | Route::File(_) => {
                page::item(&self.sections()?, self.place().list.cursor)?.route()?
            }
        };
        Some(Place::new(route))
    }

    /// Shows what asks for attention alone, or again what was shown before.
    fn trouble(&mut self) {
        let Some(table) = self.place().table() else { return self.flash(Mood::Refused, "no table is here to pick from") };
        let Some(filter) = trouble(table) else { return self.flash(Mood::Refused, "all of it asks for attention") };
        let list = &mut self.place_mut().list;
        if list.filter == filter {
            (list.filter, list.group) = list.before.take().unwrap_or_default();
        } else {
            list.before = Some((std::mem::replace(&mut list.filter, filter.to_owned()), list.group.take()));
        }
        list.rewind();
    }

    /// What a copy takes: an id, a place in the source, a message.
    pub(super) fn copied(&self) -> Option<String> {
        match &self.place().route {
            Route::View(Page::Overview) => self.selected_site().map(|row| place_of(&row.site)),
            Route::View(Page::Sites) => self.selected_site().map(|row| place_of(&row.site)).or_else(|| self.selected_file()),
            Route::View(Page::References) | Route::References { .. } => self
                .selected::<ReferenceRow>(Slot::Main)
                .map(|row| row.object_id.hex())
                .or_else(|| self.selected::<GroupRow>(Slot::Main).map(|row| row.key.clone())),
            Route::View(Page::Processes) => self
                .selected::<ProcessRow>(Slot::Main)
                .map(|row| row.pid)
                .or_else(|| self.selected::<PostMortemRow>(Slot::Main).map(|row| row.pid))
                .map(|pid| pid.to_string()),
            Route::View(Page::Tasks) => self
                .selected::<TaskRow>(Slot::Main)
                .map(|row| row.task_id.hex())
                .or_else(|| self.selected::<ActorRow>(Slot::Main).map(|row| row.actor_id.hex()))
                .or_else(|| self.selected::<GroupRow>(Slot::Main).map(|row| row.key.clone())),
            Route::View(Page::Events) => self.selected::<EventRow>(Slot::Main).map(|row| row.message.clone()),
            Route::View(Page::Spill) => self.selected::<SpillFileRow>(Slot::Main).map(path_of),
            Route::View(Page::PostMortem) => self.selected::<PostMortemRow>(Slot::Main).map(|row| row.pid.to_string()),
            Route::View(Page::Node) => {
                let check = self.selected_check()?;
                Some(if check.advice.is_empty() { format!("{}: {}", check.subject, check.fact) } else { check.advice.clone() })
            }
            Route::Site { .. } => match self.detail(Slot::Main)? {
                Detail::Site(detail) => Some(place_of(&detail.site.site)),
                _ => None,
            },
            Route::Why { .. } => {
                let node = why::node(self.explanation()?, self.place().list.cursor)?;
                // Of several agents its number stands before it.
                let id = node.id.rsplit_once('/').map_or(&*node.id, |(_, id)| id);
                Some(id.split_once(':').map_or(id, |(_, id)| id).to_owned())
            }
            Route::Object(id) => Some(id.hex()),
            Route::Task { id, .. } => Some(id.hex()),
            Route::Actor { id, .. } => Some(id.hex()),
            Route::Process { .. } | Route::File(_) => page::item(&self.sections()?, self.place().list.cursor).map(|item| item.copied()),
        }
    }
}
