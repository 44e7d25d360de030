//! The pages about one thing: sections of rows that can be opened, below some facts.

use std::sync::Arc;

use plasmon_protocol::column::RowKey;
use plasmon_protocol::record::{ObjectRow, ReferenceRow, ReferenceType, Site, SiteKind, TaskRow};
use plasmon_protocol::stream::{Detail, Output};

use super::alive::{Keeper, Kept};
use super::route::Route;

/// One row of a section.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Item<'a> {
    /// Who holds an object: the row is about its process.
    Holder(&'a ReferenceRow),
    /// What a process holds: the row is about its object.
    Reference(&'a ReferenceRow),
    /// An object.
    Object(&'a ObjectRow),
    /// A task.
    Task(&'a TaskRow),
    /// What keeps an object alive.
    Kept(Kept<'a>),
    /// A frame that something was called from.
    Frame(&'a Site),
    /// A line that a process printed, and which one of those that are shown.
    Printed(&'a str, usize),
}

impl Item<'_> {
    /// What tells it from all others of its section.
    #[must_use]
    pub fn key(&self) -> RowKey {
        match self {
            Self::Holder(row) | Self::Reference(row) => format!("{}-{}", row.process, row.object_id),
            Self::Object(row) => row.object_id.hex(),
            Self::Task(row) => row.task_id.hex(),
            Self::Kept(line) => line.key(),
            Self::Frame(site) => site.id.to_string(),
            Self::Printed(_, place) => place.to_string(),
        }
    }

    /// The same, where a line of a tree is about a row of a table.
    #[must_use]
    pub fn plain(self) -> Self {
        match self {
            Self::Kept(line) => match line.keeper {
                Keeper::Pin(row) | Keeper::Handle(row) | Keeper::Tasks(row) | Keeper::Captured(row) => Self::Holder(row),
                Keeper::Task(row) => Self::Task(row),
                Keeper::Container(row) => Self::Object(row),
            },
            other => other,
        }
    }

    /// What opens from it, if anything does.
    #[must_use]
    pub fn route(&self) -> Option<Route> {
        Some(match self.plain() {
            Self::Printed(..) => return None,
            Self::Holder(row) => Route::Process { id: row.process, label: format!("{} {}", row.process_type, row.pid) },
            Self::Reference(row) => held(row),
            Self::Object(row) => Route::Object(row.object_id),
            Self::Task(row) => Route::Task { id: row.task_id, label: task_label(&row.name) },
            Self::Kept(line) => Route::Object(line.object),
            Self::Frame(site) => Route::Site { id: site.id, label: site.short() },
        })
    }

    /// What a copy takes.
    #[must_use]
    pub fn copied(&self) -> String {
        match self.plain() {
            Self::Holder(row) => row.pid.to_string(),
            Self::Reference(row) => row.object_id.hex(),
            Self::Object(row) => row.object_id.hex(),
            Self::Task(row) => row.task_id.hex(),
            Self::Kept(line) => line.object.hex(),
            Self::Frame(site) => super::act::place_of(site),
            Self::Printed(line, _) => line.to_owned(),
        }
    }
}

/// The page of what a reference is to.
#[must_use]
pub fn held(row: &ReferenceRow) -> Route {
    match row.reference_type {
        ReferenceType::ActorHandle => Route::Actor { id: row.object_id.into(), label: "actor".to_owned() },
        _ => Route::Object(row.object_id),
    }
}

/// A task's name without its path.
#[must_use]
pub fn task_label(name: &Arc<str>) -> String {
    name.rsplit("::").next().unwrap_or(name).to_owned()
}

/// What stands before the id in a label.
#[must_use]
pub fn first_word(label: &str) -> &str {
    label.split(" …").next().unwrap_or(label)
}

/// Rows of one kind under a title.
#[derive(Clone, PartialEq, Debug)]
pub struct Section<'a> {
    /// What the rows are.
    pub title: &'static str,
    /// How many there are in truth; lists are cut.
    pub total: u64,
    /// The rows that came.
    pub items: Vec<Item<'a>>,
    /// Why there are none.
    pub empty: &'static str,
}

/// A page's lines below its facts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Line {
    /// A section's title.
    Title(usize),
    /// The names of its columns.
    Columns(usize),
    /// A row: section and place in it.
    Item(usize, usize),
    /// The sentence that stands in for rows.
    Empty(usize),
    /// Rows that did not come.
    More(usize),
}

/// What a site was called from; nothing where its line alone is known.
fn callers(stack: &[Arc<Site>]) -> Option<Section<'_>> {
    let frames = stack.get(1..).filter(|frames| !frames.is_empty())?;
    let items: Vec<Item<'_>> = frames.iter().map(|site| Item::Frame(site)).collect();
    Some(Section { title: "Called from, the innermost first", total: items.len() as u64, items, empty: "" })
}

/// What a process printed last, on each stream that it printed on.
fn printed(output: &Output) -> impl Iterator<Item = Section<'_>> {
    let streams = [("Printed last", &output.stdout), ("Printed last on standard error", &output.stderr)];
    streams.into_iter().filter(|(_, lines)| !lines.is_empty()).map(|(title, lines)| {
        let items = lines.iter().enumerate().map(|(place, line)| Item::Printed(line, place)).collect();
        Section { title, total: 0, items, empty: "" }
    })
}

/// The sections of a page.
#[must_use]
pub fn sections(detail: &Detail) -> Vec<Section<'_>> {
    fn section<'a, R>(title: &'static str, total: u64, rows: &'a [R], item: fn(&'a R) -> Item<'a>, empty: &'static str) -> Section<'a> {
        Section { title, total: total.max(rows.len() as u64), items: rows.iter().map(item).collect(), empty }
    }
    match detail {
        // The tree that says why it is alive needs more than the object.
        Detail::Object(detail) => {
            let contains = section("Contains", u64::from(detail.object.contains), &detail.contains, Item::Object, "");
            Some(contains).filter(|section| section.total > 0).into_iter().chain(callers(&detail.stack)).collect()
        }
        Detail::Site(detail) => std::iter::once(section(
            if detail.site.site.kind == SiteKind::Frame { "Objects created in what it called" } else { "Objects created here" },
            detail.site.objects,
            &detail.objects,
            Item::Object,
            "nothing that was created here is alive any more",
        ))
        .chain(callers(&detail.stack))
        .collect(),
        Detail::Task(detail) => [
            section("Needs", 0, &detail.arguments, Item::Object, "it needs no objects"),
            section("Makes", 0, &detail.results, Item::Object, "nobody holds its results"),
        ]
        .into_iter()
        .chain(callers(&detail.stack))
        .collect(),
        // They have pages of their own kind.
        Detail::Explain(_) | Detail::Node(_) | Detail::Recording(_) => Vec::new(),
        Detail::SpillFile(detail) => vec![section(
            "Objects in it, the largest first",
            u64::from(detail.file.objects),
            &detail.objects,
            Item::Object,
            "no object in it lives any more: the file is about to go",
        )],
        Detail::Process(detail) => {
            let holds = section("Holds", detail.process.references, &detail.references, Item::Reference, "it holds no references");
            std::iter::once(holds).chain(printed(&detail.output)).collect()
        }
        Detail::PostMortem(detail) => std::iter::once(section(
            "Held when it died · in no other table, in no total",
            detail.process.references,
            &detail.references,
            Item::Reference,
            "it held no references",
        ))
        .chain(printed(&detail.output))
        .collect(),
        Detail::Actor(detail) => vec![
            section(
                "Calls",
                u64::from(detail.actor.queued) + u64::from(detail.actor.running),
                &detail.calls,
                Item::Task,
                "no call runs and none waits",
            ),
            section("Handles", u64::from(detail.actor.handles), &detail.handles, Item::Holder, "no process holds a handle"),
            section("Holds", detail.actor.references, &detail.references, Item::Reference, "it holds no references"),
        ],
    }
}

/// The lines of the sections, in order.
#[must_use]
pub fn lines(sections: &[Section<'_>]) -> Vec<Line> {
    let mut lines = Vec::new();
    for (at, section) in sections.iter().enumerate() {
        lines.push(Line::Title(at));
        if section.items.is_empty() {
            lines.push(if section.total > 0 { Line::More(at) } else { Line::Empty(at) });
            continue;
        }
        if !matches!(section.items[0], Item::Printed(..)) {
            lines.push(Line::Columns(at));
        }
        lines.extend((0..section.items.len()).map(|row| Line::Item(at, row)));
        if section.total > section.items.len() as u64 {
            lines.push(Line::More(at));
        }
    }
    lines
}

/// The rows that can be selected, over all sections, with their keys.
#[must_use]
pub fn keys(sections: &[Section<'_>]) -> Vec<RowKey> {
    sections.iter().enumerate().flat_map(|(at, section)| section.items.iter().map(move |item| format!("{at}:{}", item.key()))).collect()
}

/// The item at a place over all sections.
#[must_use]
pub fn item<'a>(sections: &[Section<'a>], place: u64) -> Option<Item<'a>> {
    sections.iter().flat_map(|section| &section.items).nth(usize::try_from(place).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use plasmon_protocol::stream::{ActorDetail, TaskDetail};

    use super::*;

    #[test]
    fn every_section_says_why_it_is_empty_and_how_much_is_cut() {
        let mut detail = ActorDetail::default();
        detail.actor.handles = 3;
        detail.handles.push(ReferenceRow::default());
        let detail = Detail::Actor(detail);
        let sections = sections(&detail);
        let handles = [Line::Title(1), Line::Columns(1), Line::Item(1, 0), Line::More(1)];
        let others = [[Line::Title(0), Line::Empty(0)], [Line::Title(2), Line::Empty(2)]];
        assert_eq!(lines(&sections), [&others[0][..], &handles, &others[1]].concat());
        assert_eq!(keys(&sections).len(), 1);
        assert!(item(&sections, 0).is_some() && item(&sections, 1).is_none());
        let task = Detail::Task(TaskDetail::default());
        assert!(super::sections(&task).iter().all(|section| !section.empty.is_empty()));
    }
}
