//! Places: nine views, some of them of two tables, and the pages that open from them. The stack of places is the line of breadcrumbs.

use std::collections::BTreeSet;

use plasmon_protocol::column::{Kind, Record, RowKey, Table};
use plasmon_protocol::explain::Subject;
use plasmon_protocol::id::{ActorId, ObjectId, ProcessId, SiteId, SpillFileId, TaskId};
use plasmon_protocol::record::{ActorRow, EventRow, PostMortemRow, ProcessRow, ReferenceRow, SiteRow, SpillFileRow, TaskRow};
use plasmon_protocol::stream::{Sort, Target};

use crate::keys::Context;

/// The views that a number goes to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Page {
    /// Where the memory goes.
    Overview,
    /// Who holds which object.
    References,
    /// Which lines of code created what is held.
    Sites,
    /// External storage: what is on disk, what goes there and what comes back.
    Spill,
    /// Actors, and what runs and what waits.
    Tasks,
    /// Heaps, what each process holds, and what those held that died lately.
    Processes,
    /// What happened.
    Events,
    /// Processes that died as they should not have, and what they held.
    PostMortem,
    /// The node: its limits, and what would make it better.
    Node,
}

impl Page {
    /// All of them, in the order of their numbers.
    pub const ALL: &[Self] = &[
        Self::Overview,
        Self::References,
        Self::Sites,
        Self::Spill,
        Self::Tasks,
        Self::Processes,
        Self::Events,
        Self::PostMortem,
        Self::Node,
    ];

    /// Its name.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::References => "References",
            Self::Sites => "Sites",
            Self::Spill => "Spill",
            Self::Processes => "Processes",
            Self::Tasks => "Tasks and actors",
            Self::Events => "Events",
            Self::PostMortem => "Post-mortem",
            Self::Node => "Node",
        }
    }

    /// Its name where there is less room.
    #[must_use]
    pub fn medium(self) -> &'static str {
        match self {
            Self::Tasks => "Tasks",
            Self::PostMortem => "Dead",
            other => other.title(),
        }
    }

    /// Its name where there is little room.
    #[must_use]
    pub fn short(self) -> &'static str {
        match self {
            Self::References => "Refs",
            Self::Processes => "Procs",
            other => other.medium(),
        }
    }

    /// Its number on the keyboard, from 1.
    #[must_use]
    pub fn number(self) -> usize {
        Self::ALL.iter().position(|page| *page == self).unwrap_or(0) + 1
    }
}

/// What a place shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Route {
    /// A view.
    View(Page),
    /// The references of one thing; the filter says which.
    References {
        /// What the breadcrumb says.
        label: String,
    },
    /// Why one object is alive.
    Object(ObjectId),
    /// What one site holds.
    Site {
        /// Which.
        id: SiteId,
        /// What the breadcrumb says.
        label: String,
    },
    /// What one task waits for and makes.
    Task {
        /// Which.
        id: TaskId,
        /// What the breadcrumb says.
        label: String,
    },
    /// What one process holds, or held when it died.
    Process {
        /// Which.
        id: ProcessId,
        /// What the breadcrumb says.
        label: String,
    },
    /// What one actor does and holds.
    Actor {
        /// Which.
        id: ActorId,
        /// What the breadcrumb says.
        label: String,
    },
    /// What lies in one spill file.
    File(SpillFileId),
    /// Why something waits.
    Why {
        /// What.
        subject: Subject,
        /// What the breadcrumb says.
        label: String,
    },
}

impl Route {
    /// A view's route.
    #[must_use]
    pub fn root(page: Page) -> Self {
        Self::View(page)
    }

    /// The tables that it is a window over, top to bottom: none, one or two.
    #[must_use]
    pub fn tables(&self) -> &'static [Table] {
        match self {
            Self::View(Page::References) | Self::References { .. } => &[Table::References],
            Self::View(Page::Sites) => &[Table::Sites],
            Self::View(Page::Spill) => &[Table::SpillFiles],
            Self::View(Page::Processes) => &[Table::Processes, Table::PostMortem],
            Self::View(Page::Tasks) => &[Table::Actors, Table::Tasks],
            Self::View(Page::Events) => &[Table::Events],
            Self::View(Page::PostMortem) => &[Table::PostMortem],
            _ => &[],
        }
    }

    /// Which of its tables is shown even when it is empty.
    #[must_use]
    pub fn main_table(&self) -> usize {
        usize::from(*self == Self::View(Page::Tasks))
    }

    /// What it watches in detail, if anything.
    #[must_use]
    pub fn target(&self) -> Option<Target> {
        match self {
            Self::Object(id) => Some(Target::Object(*id)),
            Self::Site { id, .. } => Some(Target::Site(*id)),
            Self::Task { id, .. } => Some(Target::Task(*id)),
            Self::Process { id, .. } => Some(Target::Process(*id)),
            Self::Actor { id, .. } => Some(Target::Actor(*id)),
            Self::File(id) => Some(Target::SpillFile(*id)),
            Self::Why { subject, .. } => Some(Target::Explain(subject.clone())),
            Self::View(Page::Node) => Some(Target::Node),
            Self::View(_) | Self::References { .. } => None,
        }
    }

    /// The contexts that it looks for keys in.
    #[must_use]
    pub fn contexts(&self) -> &'static [Context] {
        match self {
            Self::View(Page::Overview | Page::Node) | Self::Task { .. } | Self::File(_) | Self::Why { .. } => {
                &[Context::Rows, Context::Everywhere]
            }
            Self::View(Page::References) | Self::References { .. } => {
                &[Context::References, Context::Groups, Context::Table, Context::Rows, Context::Everywhere]
            }
            Self::View(Page::Processes) => &[Context::Split, Context::Table, Context::Rows, Context::Everywhere],
            Self::View(Page::Tasks) => &[Context::Split, Context::Groups, Context::Table, Context::Rows, Context::Everywhere],
            Self::View(Page::Sites) => &[Context::Sites, Context::Table, Context::Rows, Context::Everywhere],
            Self::View(_) => &[Context::Table, Context::Rows, Context::Everywhere],
            Self::Object(_) => &[Context::Object, Context::Page, Context::Rows, Context::Everywhere],
            Self::Site { .. } | Self::Process { .. } | Self::Actor { .. } => &[Context::Page, Context::Rows, Context::Everywhere],
        }
    }

    /// What the breadcrumb says.
    #[must_use]
    pub fn crumb(&self) -> String {
        match self {
            Self::View(page) => page.title().to_owned(),
            Self::Object(id) => format!("object {}", short_id(&id.hex())),
            Self::File(id) => format!("file {id}"),
            Self::References { label }
            | Self::Site { label, .. }
            | Self::Task { label, .. }
            | Self::Process { label, .. }
            | Self::Actor { label, .. }
            | Self::Why { label, .. } => label.clone(),
        }
    }
}

/// The end of an id: objects and tasks of one node differ there.
#[must_use]
pub fn short_id(hex: &str) -> String {
    format!("{}…{}", hex.get(..4).unwrap_or(hex), hex.get(hex.len().saturating_sub(10)..).unwrap_or(""))
}

/// How a table is looked at, and where in it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct List {
    /// The order; the table's own when absent.
    pub sort: Option<Sort>,
    /// The filter.
    pub filter: String,
    /// The column that rows are folded by.
    pub group: Option<&'static str>,
    /// The order of the groups; those with most bytes first when absent.
    pub group_sort: Option<Sort>,
    /// Filter and group that come back when trouble is not all that is shown any more.
    pub before: Option<(String, Option<&'static str>)>,
    /// The selected row's key; `None` while it is the first one, or its row has not come yet.
    pub selected: Option<RowKey>,
    /// Which set of columns is shown, where they don't fit together; the first is what matters most.
    pub columns: usize,
    /// Whether the viewer has moved the selection.
    pub touched: bool,
    /// Where the selected row stands.
    pub cursor: u64,
    /// The first visible row.
    pub offset: u64,
    /// Keys of the rows of the tree that are folded (sites only).
    pub folded: BTreeSet<RowKey>,
    /// Keys of the rows whose chain of frames is shown one by one (sites only).
    pub opened: BTreeSet<RowKey>,
}

/// A place: what it shows and how it is looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// What.
    pub route: Route,
    /// How: the table that keys are for.
    pub list: List,
    /// How the other table of a view of two is looked at.
    pub rest: List,
    /// Which of the route's tables keys are for.
    pub focus: usize,
    /// Whether that was decided: until both tables have come, it is a guess.
    pub decided: bool,
    /// How many rows each of the two was last seen with: its room while its rows are on their way.
    pub counts: [Option<u64>; 2],
}

impl Place {
    /// A place as it is first entered.
    #[must_use]
    pub fn new(route: Route) -> Self {
        let focus = route.main_table();
        let mut list = List::default();
        if route == Route::View(Page::Tasks) {
            // The newest task first: what has ended long ago is of least interest.
            list.sort = Some(Sort { column: "age".to_owned(), ascending: true });
        }
        Self { route, list, rest: List::default(), focus, decided: false, counts: [None; 2] }
    }

    /// The table that keys are for, if there is one.
    #[must_use]
    pub fn table(&self) -> Option<Table> {
        self.route.tables().get(self.focus).copied()
    }
}

/// A column that people may sort by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sortable {
    /// Its name.
    pub name: &'static str,
    /// The letter that chooses it.
    pub letter: char,
    /// What it holds.
    pub about: &'static str,
    /// What its cells are.
    pub kind: Kind,
}

/// The columns that a table can be sorted by, each with a letter of its own.
#[must_use]
pub fn sortable(table: Table) -> Vec<Sortable> {
    fn names<R: Record>() -> Vec<(&'static str, &'static str, Kind)> {
        R::columns().iter().map(|column| (column.name, column.about, column.kind)).collect()
    }
    let names = match table {
        Table::References => names::<ReferenceRow>(),
        Table::Sites => names::<SiteRow>(),
        Table::Processes => names::<ProcessRow>(),
        Table::Tasks => names::<TaskRow>(),
        Table::Actors => names::<ActorRow>(),
        Table::PostMortem => names::<PostMortemRow>(),
        Table::Events => names::<EventRow>(),
        Table::SpillFiles => names::<SpillFileRow>(),
        Table::Objects | Table::Store => Vec::new(),
    };
    let mut taken = BTreeSet::new();
    let mut letters = Vec::with_capacity(names.len());
    for (name, about, kind) in names {
        let letter = name.chars().chain('a'..='z').find(|letter| taken.insert(*letter)).unwrap_or(' ');
        letters.push(Sortable { name, letter, about, kind });
    }
    letters
}

/// What groups can be sorted by.
#[must_use]
pub fn group_sortable() -> Vec<Sortable> {
    [
        (GROUP_SORT, 's', "bytes of its rows"),
        ("key", 'k', "what its rows have in common"),
        ("rows", 'r', "how many rows"),
        ("objects", 'o', "how many distinct objects"),
        ("unique_bytes", 'u', "bytes of the distinct objects"),
    ]
    .map(|(name, letter, about)| Sortable { name, letter, about, kind: Kind::Count })
    .to_vec()
}

/// What sorts groups when the viewer chose nothing.
pub const GROUP_SORT: &str = "size";

/// The column that sorts a table when the viewer chose none.
#[must_use]
pub fn default_sort(table: Table) -> &'static str {
    match table {
        Table::References => ReferenceRow::DEFAULT_SORT,
        Table::Sites => SiteRow::DEFAULT_SORT,
        Table::Processes => ProcessRow::DEFAULT_SORT,
        Table::Tasks => TaskRow::DEFAULT_SORT,
        Table::Actors => ActorRow::DEFAULT_SORT,
        Table::PostMortem => PostMortemRow::DEFAULT_SORT,
        Table::Events => EventRow::DEFAULT_SORT,
        Table::SpillFiles => SpillFileRow::DEFAULT_SORT,
        Table::Objects => "size",
        Table::Store => "capacity",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sortable_column_has_a_letter_of_its_own() {
        for table in [
            Table::References,
            Table::Sites,
            Table::Processes,
            Table::Tasks,
            Table::Actors,
            Table::PostMortem,
            Table::Events,
            Table::SpillFiles,
        ] {
            let columns = sortable(table);
            let letters: BTreeSet<char> = columns.iter().map(|column| column.letter).collect();
            assert_eq!(letters.len(), columns.len(), "{table:?}");
            assert!(letters.iter().all(char::is_ascii_lowercase), "{table:?} {letters:?}");
            assert!(columns.iter().any(|column| column.name == default_sort(table)));
        }
    }
}
