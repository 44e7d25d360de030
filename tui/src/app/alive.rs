//! Why an object is alive: one tree from the object outwards, through what it lies inside of, down to the roots that hold it all.

use std::collections::HashSet;

use plasmon_protocol::id::ObjectId;
use plasmon_protocol::record::{ObjectRow, ReferenceRow, TaskRow};
use plasmon_protocol::stream::{Detail, ObjectDetail};

use super::App;
use super::page::{Item, Section, sections};
use super::route::Route;
use super::subscribe::Slot;

/// Objects around it that are looked at.
const OUTER: u8 = 8;
/// The tree's title.
const TITLE: &str = "Why is it alive?";

/// What keeps an object.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Keeper<'a> {
    /// A process that holds views into its memory.
    Pin(&'a ReferenceRow),
    /// A process that holds handles to it.
    Handle(&'a ReferenceRow),
    /// A pending task that needs it.
    Task(&'a TaskRow),
    /// A process that submitted such tasks, which are not known one by one.
    Tasks(&'a ReferenceRow),
    /// A process that put it inside of objects, which are not known one by one.
    Captured(&'a ReferenceRow),
    /// An object that it lies inside of.
    Container(&'a ObjectRow),
}

/// One line of the tree.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Kept<'a> {
    /// What keeps it.
    pub keeper: Keeper<'a>,
    /// What it keeps: the shown object, or one around it.
    pub object: ObjectId,
    /// How many objects lie between it and the shown one.
    pub depth: u8,
    /// Whether it is the last of its branch, and from the lowest bit on whether those above it are.
    pub last: (bool, u16),
    /// Whether what keeps it stands further above already.
    pub again: bool,
}

impl Keeper<'_> {
    fn key(&self) -> String {
        match self {
            Self::Pin(row) => format!("pin {}", row.process),
            Self::Handle(row) => format!("handle {}", row.process),
            Self::Tasks(row) => format!("tasks {}", row.process),
            Self::Captured(row) => format!("captured {}", row.process),
            Self::Task(row) => format!("task {}", row.task_id.hex()),
            Self::Container(row) => format!("in {}", row.object_id.hex()),
        }
    }
}

impl Kept<'_> {
    /// What tells it from all others of the tree.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{} of {}", self.keeper.key(), self.object.hex())
    }
}

/// What keeps one object, without what lies further out. `others` are pending tasks of processes that are not among the holders.
fn keepers(detail: &ObjectDetail) -> Vec<Keeper<'_>> {
    let mut keepers = Vec::new();
    let mut told: HashSet<usize> = HashSet::new();
    for row in &detail.holders {
        if row.pinned > 0 {
            keepers.push(Keeper::Pin(row));
        }
        if row.local > 0 {
            keepers.push(Keeper::Handle(row));
        }
        if row.submitted > 0 {
            let of_it = detail.tasks.iter().enumerate().filter(|(_, task)| task.submitter_pid == row.pid);
            let before = told.len();
            for (at, task) in of_it {
                told.insert(at);
                keepers.push(Keeper::Task(task));
            }
            if told.len() == before {
                keepers.push(Keeper::Tasks(row));
            }
        }
        let counted = row.pinned + row.local + row.submitted > 0;
        match (row.captured, counted) {
            // What it lies inside of stands below, one by one.
            (1.., _) if detail.contained_in.is_empty() => keepers.push(Keeper::Captured(row)),
            (0, false) => keepers.push(Keeper::Handle(row)),
            _ => {}
        }
    }
    let untold = detail.tasks.iter().enumerate().filter(|(at, _)| !told.contains(at));
    keepers.extend(untold.map(|(_, task)| Keeper::Task(task)));
    keepers.extend(detail.contained_in.iter().map(Keeper::Container));
    keepers
}

impl App {
    fn outer(&self, number: u8) -> Option<&ObjectDetail> {
        match self.detail(Slot::Outer(number))? {
            Detail::Object(detail) => Some(detail),
            _ => None,
        }
    }

    /// One of the objects around, once it has come.
    fn known_outer(&self, id: ObjectId) -> Option<&ObjectDetail> {
        (0..OUTER).filter_map(|number| self.outer(number)).find(|outer| outer.object.object_id == id)
    }

    /// The objects around the shown one, the nearest first: what contains it, what contains that, as far as it is known yet.
    pub(super) fn around(&self) -> Vec<ObjectId> {
        let (Route::Object(_), Some(Detail::Object(detail))) = (&self.place().route, self.detail(Slot::Main)) else { return Vec::new() };
        let shown = detail.object.object_id;
        let mut found: Vec<ObjectId> = Vec::new();
        let more = |found: &mut Vec<ObjectId>, detail: &ObjectDetail| {
            for row in &detail.contained_in {
                // Objects cannot contain each other, but a frame may say so.
                if row.object_id != shown && !found.contains(&row.object_id) && found.len() < usize::from(OUTER) {
                    found.push(row.object_id);
                }
            }
        };
        more(&mut found, detail);
        let mut at = 0;
        while let Some(id) = found.get(at).copied() {
            if let Some(outer) = self.known_outer(id) {
                more(&mut found, outer);
            }
            at += 1;
        }
        found
    }

    /// The tree of an object, and how many rows of it did not come.
    fn tree_of<'a>(&'a self, detail: &'a ObjectDetail) -> (Vec<Kept<'a>>, u64) {
        let mut lines = Vec::new();
        let mut seen = HashSet::from([detail.object.object_id]);
        let mut hidden = 0;
        self.grow(detail, 0, 0, &mut seen, &mut lines, &mut hidden);
        (lines, hidden)
    }

    fn grow<'a>(
        &'a self,
        detail: &'a ObjectDetail,
        depth: u8,
        above: u16,
        seen: &mut HashSet<ObjectId>,
        lines: &mut Vec<Kept<'a>>,
        hidden: &mut u64,
    ) {
        *hidden += u64::from(detail.object.references).saturating_sub(detail.holders.len() as u64);
        *hidden += u64::from(detail.object.captured).saturating_sub(detail.contained_in.len() as u64);
        let keepers = keepers(detail);
        let count = keepers.len();
        for (at, keeper) in keepers.into_iter().enumerate() {
            let last = at + 1 == count;
            let outer = match keeper {
                Keeper::Container(row) => Some(row.object_id),
                _ => None,
            };
            let again = outer.is_some_and(|id| !seen.insert(id));
            lines.push(Kept { keeper, object: detail.object.object_id, depth, last: (last, above), again });
            if let Some(outer) = outer.filter(|_| !again).and_then(|id| self.known_outer(id)) {
                self.grow(outer, depth + 1, above | u16::from(last) << depth, seen, lines, hidden);
            }
        }
    }

    /// The sections of the page that is shown, once its thing has come.
    #[must_use]
    pub fn sections(&self) -> Option<Vec<Section<'_>>> {
        self.detail(Slot::Main).map(|detail| self.sections_of(detail))
    }

    /// The sections of a page about this.
    #[must_use]
    pub fn sections_of<'a>(&'a self, detail: &'a Detail) -> Vec<Section<'a>> {
        let mut sections = sections(detail);
        if let Detail::Object(detail) = detail {
            let (lines, hidden) = self.tree_of(detail);
            let total = lines.len() as u64 + hidden;
            let items = lines.into_iter().map(Item::Kept).collect();
            sections.insert(0, Section { title: TITLE, total, items, empty: "nothing holds it any more: it is about to go" });
        }
        sections
    }
}

#[cfg(test)]
mod tests {
    use plasmon_protocol::id::{NodeId, ObjectKey, ProcessId};

    use super::*;

    fn row(pid: u32) -> ReferenceRow {
        ReferenceRow { pid, process: ProcessId(pid), ..ReferenceRow::default() }
    }

    #[test]
    fn every_reason_is_a_line_of_its_own_and_tasks_stand_with_who_submitted_them() {
        let task = |pid| TaskRow { submitter_pid: pid, ..TaskRow::default() };
        let detail = ObjectDetail {
            holders: vec![
                ReferenceRow { pinned: 2, local: 1, ..row(1) },
                ReferenceRow { submitted: 2, ..row(2) },
                ReferenceRow { submitted: 1, ..row(3) },
                ReferenceRow { captured: 1, ..row(4) },
                row(5),
            ],
            tasks: vec![task(9), task(2)],
            ..ObjectDetail::default()
        };
        let words: Vec<String> = keepers(&detail)
            .iter()
            .map(|keeper| match keeper {
                Keeper::Task(row) => format!("task of {}", row.submitter_pid),
                keeper => keeper.key(),
            })
            .collect();
        assert_eq!(words, ["pin 1", "handle 1", "task of 2", "tasks 3", "captured 4", "handle 5", "task of 9"]);
        let contained = ObjectDetail { contained_in: vec![ObjectRow::default()], ..detail };
        assert!(!keepers(&contained).iter().any(|keeper| matches!(keeper, Keeper::Captured(_))), "the object stands for it");
    }

    #[test]
    fn no_two_lines_have_the_same_key() {
        let id = |slot| ObjectKey { slot, generation: 1 }.on(NodeId([7; 8]));
        let line = |object| Kept { keeper: Keeper::Handle(&HOLDER), object, depth: 0, last: (true, 0), again: false };
        static HOLDER: std::sync::LazyLock<ReferenceRow> = std::sync::LazyLock::new(ReferenceRow::default);
        assert_ne!(line(id(1)).key(), line(id(2)).key());
    }
}
