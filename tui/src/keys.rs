//! The one key table: input, footer, help, palette and the README's table come from it.

mod key;

use crate::app::route::Page;

pub use key::Key;

/// Where a key means something. A place looks through several contexts, the narrowest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Context {
    /// A recording.
    Replay,
    /// The tree of sites.
    Sites,
    /// Tables whose rows fold.
    Groups,
    /// A view of two tables.
    Split,
    /// A page about one object.
    Object,
    /// The table of references.
    References,
    /// A page about one site, process, actor or object.
    Page,
    /// Any table that the agent sorts and filters.
    Table,
    /// Anything with rows.
    Rows,
    /// Every place that has no prompt open.
    Everywhere,
    /// A line to type into, or a list to choose from.
    Prompt,
}

impl Context {
    /// All of them, in the order of the help.
    pub const ALL: &[Self] = &[
        Self::Everywhere,
        Self::Rows,
        Self::Table,
        Self::Groups,
        Self::Split,
        Self::Sites,
        Self::Page,
        Self::Object,
        Self::References,
        Self::Replay,
        Self::Prompt,
    ];

    /// What people call it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Replay => "A recording",
            Self::Sites => "Sites",
            Self::Groups => "References, tasks, actors",
            Self::Split => "Views of two tables",
            Self::Object => "An object's page",
            Self::References => "References",
            Self::Page => "A site's, process's, actor's or object's page",
            Self::Table => "Tables",
            Self::Rows => "Moving",
            Self::Everywhere => "Everywhere",
            Self::Prompt => "Prompts",
        }
    }
}

/// What a key asks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// Go to a view.
    View(Page),
    /// Go to the next view.
    NextView,
    /// Go to the previous view.
    PreviousView,
    /// Select the row below.
    Down,
    /// Select the row above.
    Up,
    /// Go down half a screen.
    HalfDown,
    /// Go up half a screen.
    HalfUp,
    /// Go down a screen.
    PageDown,
    /// Go up a screen.
    PageUp,
    /// Select the first row.
    Top,
    /// Select the last row.
    Bottom,
    /// Open what is selected.
    Open,
    /// Go back where it was opened from.
    Back,
    /// Open the filter prompt.
    Filter,
    /// Choose the column that sorts.
    Sort,
    /// Reverse the order.
    Reverse,
    /// Show the columns that have no room.
    Wide,
    /// Fold rows by the next column.
    Group,
    /// Choose the column that rows are folded by.
    GroupBy,
    /// Go to the other table of the view.
    OtherTable,
    /// Fold or unfold what stands below the selected row.
    Fold,
    /// Fold or unfold everything.
    FoldAll,
    /// Show the frames of a chain one by one.
    Chain,
    /// List the references of what is shown or selected.
    ListReferences,
    /// Open the site that created what is shown.
    CreationSite,
    /// Say why what is selected or shown waits.
    Why,
    /// Hold the picture still, or let it go on.
    Freeze,
    /// Play a recording, or let it stand still.
    Play,
    /// Go back a second in a recording.
    StepBack,
    /// Go on a second in a recording.
    StepOn,
    /// Go back ten seconds in a recording.
    LeapBack,
    /// Go on ten seconds in a recording.
    LeapOn,
    /// Play faster.
    Faster,
    /// Play slower.
    Slower,
    /// Go to the next mark of a recording.
    NextMark,
    /// Go to the previous mark of a recording.
    PreviousMark,
    /// Go to the beginning of a recording.
    Begin,
    /// Go to the end of a recording.
    End,
    /// Copy what is selected.
    Copy,
    /// Choose what of it to copy.
    CopyAs,
    /// Choose as what to save the view.
    Save,
    /// Open the process that holds what is selected or shown.
    Holder,
    /// Open the object around what is shown.
    Container,
    /// Mark now, so that tables show what grew since.
    Mark,
    /// Drop the mark.
    Unmark,
    /// Show trouble alone, or everything again.
    Trouble,
    /// Take the mouse, or give it back to the terminal.
    Mouse,
    /// Show what the keys and the numbers mean.
    Help,
    /// Find an action by its name.
    Palette,
    /// Draw everything anew.
    Redraw,
    /// Hand the terminal back to the shell for a while.
    Suspend,
    /// Leave.
    Quit,
    /// Take what was typed or chosen.
    Accept,
    /// Close the prompt.
    Cancel,
    /// Choose the next entry.
    Next,
    /// Choose the previous entry.
    Previous,
    /// Delete all that was typed.
    Clear,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// Where.
    pub context: Context,
    /// Which key.
    pub key: Key,
    /// What it asks for.
    pub action: Action,
    /// That in a word, for the footer; empty when the footer leaves it out.
    pub label: &'static str,
    /// That in a sentence, for the help.
    pub help: &'static str,
}

macro_rules! bindings {
    ($($context:ident { $($($key:expr),+ => $action:expr, $label:literal, $help:literal;)+ })+) => {
        /// The table. Keys of one action stand together; the first is the one that the footer shows.
        pub const BINDINGS: &[Binding] = {
            use Action::*;
            use Key::*;
            &[$($($(Binding { context: Context::$context, key: $key, action: $action, label: $label, help: $help },)+)+)+]
        };
    };
}

bindings! {
    Replay {
        Char(' ') => Play, "play", "play on from here, or stand still";
        Key::Left => StepBack, "-1 s", "go back a second";
        Key::Right => StepOn, "+1 s", "go on a second";
        ShiftLeft => LeapBack, "", "go back ten seconds";
        ShiftRight => LeapOn, "", "go on ten seconds";
        Char('n') => NextMark, "next mark", "go to the next mark: `×` something died or failed, `!` a warning, `▪` something was spilled";
        Char('N') => PreviousMark, "", "go to the previous mark";
        Char('+'), Char('=') => Faster, "faster", "play faster: 2, 5, 10, 60 times as fast as it was";
        Char('-') => Slower, "", "play slower";
        Home => Begin, "", "go to the beginning of the recording";
        Key::End => Action::End, "", "go to its end";
    }
    Sites {
        Char('z') => Fold, "fold", "fold or unfold what stands below the selected row: the lines of a file, or what was called from a frame";
        Char('Z') => FoldAll, "", "fold or unfold everything";
        Char('e') => Chain, "expand", "show the frames of a chain of calls one by one, or in one row again";
        Char('r') => ListReferences, "references", "list the references to what was created at the selected site";
    }
    Groups {
        Char('b') => Group, "group", "fold rows: by type, site, process, node; actors by class, tasks by name; and unfold them again";
        Char('B') => GroupBy, "", "choose the column that rows are folded by, by its letter: all with the same become one";
    }
    Split {
        Char('o') => OtherTable, "other table", "go to the other table: actors and tasks, processes and post-mortem; `j` and `k` lead there too";
    }
    Object {
        Char('c') => CreationSite, "site", "open the site that created this object";
        Char('p') => Holder, "", "open the process that holds it; of several, the selected one or the first";
        Char('i') => Container, "", "open the object that it lies inside of";
    }
    References {
        Char('c') => CreationSite, "site", "open the site that created the object";
        Char('p') => Holder, "", "open the process that holds it";
    }
    Page {
        Char('r') => ListReferences, "references", "list the references of this site, process, actor or object";
    }
    Table {
        Char('/') => Filter, "filter", "filter rows: `site:remember size>1m !type:pinned age<10m`";
        Char('s') => Sort, "sort", "choose the column that sorts, by its letter";
        Char('S') => Reverse, "", "reverse the order";
        Char('W') => Wide, "", "show the columns that have no room, in place of others; and the usual ones again";
        Char('!') => Trouble, "", "show only what asks for attention: what fails, waits, grows or died; and everything again";
    }
    Rows {
        Enter, Char('l'), Key::Right => Open, "open", "open what is selected";
        Char('j'), Key::Down => Action::Down, "", "select the row below";
        Char('k'), Key::Up => Action::Up, "", "select the row above";
        Ctrl('d') => HalfDown, "", "go down half a screen";
        Ctrl('u') => HalfUp, "", "go up half a screen";
        Key::PageDown, Ctrl('f') => Action::PageDown, "", "go down a screen";
        Key::PageUp, Ctrl('b') => Action::PageUp, "", "go up a screen";
        Char('g'), Home => Top, "", "select the first row";
        Char('G'), Key::End => Bottom, "", "select the last row";
        Char('w') => Why, "why", "say why what is selected or shown waits, and who holds that; elsewhere, all that waits";
        Char('y') => Copy, "copy", "copy the id or the place of what is selected to the clipboard";
        Char('Y') => CopyAs, "", "choose what to copy: its id, its line of code, the row as text or as JSON";
    }
    Everywhere {
        Esc, Char('h'), Key::Left, Backspace => Back, "back", "go back; at a view's root, drop its filter";
        Char('1') => View(Page::Overview), "", "overview: where the memory goes";
        Char('2') => View(Page::References), "", "references: who holds which object, and why";
        Char('3') => View(Page::Sites), "", "sites: which line of code created what is held";
        Char('4') => View(Page::Spill), "", "spill: what is on disk, what goes there and comes back, and who waits for room";
        Char('5') => View(Page::Tasks), "", "tasks and actors: what runs, what waits, and for how long";
        Char('6') => View(Page::Processes), "", "processes: heaps, what each one holds, and what the dead held";
        Char('7') => View(Page::Events), "", "events: what happened";
        Char('8') => View(Page::PostMortem), "", "post-mortem: who died lately, how, and what they held";
        Char('9') => View(Page::Node), "", "node: its limits, and what would make it better, as `plasmon doctor` tells it";
        Tab => NextView, "", "next view";
        BackTab => PreviousView, "", "previous view";
        Char('d') => Mark, "mark", "mark now: every table then shows what grew since";
        Char('D') => Unmark, "", "drop the mark";
        Char(' ') => Freeze, "freeze", "hold the picture still, or let it go on";
        Char('x') => Save, "", "save the view into a file here: as text, JSON or a picture (SVG)";
        Char('m') => Mouse, "", "take the mouse: click on rows, columns, views and keys, scroll; or give it back";
        Char(':') => Palette, "actions", "find an action by its name";
        Char('?') => Help, "help", "show what the keys and the numbers mean";
        Ctrl('l') => Redraw, "", "draw everything anew";
        Ctrl('z') => Suspend, "", "back to the shell for a while";
        Char('q'), Ctrl('c') => Quit, "quit", "leave";
    }
    Prompt {
        Enter => Accept, "take", "take what was typed or chosen";
        Esc, Ctrl('c') => Cancel, "cancel", "close the prompt and change nothing";
        Key::Down, Ctrl('n'), Tab => Next, "", "choose the next entry; in a filter, Tab completes columns and their words, ↓ goes back to newer filters";
        Key::Up, Ctrl('p'), BackTab => Previous, "", "choose the previous entry; in a filter, ↑ brings back those of before";
        Ctrl('u') => Clear, "clear", "delete all that was typed";
    }
}

/// What a key asks for in a place that looks through these contexts.
#[must_use]
pub fn action(contexts: &[Context], key: Key) -> Option<Action> {
    contexts.iter().find_map(|context| BINDINGS.iter().find(|row| row.context == *context && row.key == key)).map(|row| row.action)
}

/// The footer's pairs of key and word, for a place that looks through these contexts, of what can be done there.
pub fn footer(contexts: &[Context], can: impl Fn(Action) -> bool) -> impl Iterator<Item = (Key, &'static str)> {
    first_keys(contexts).filter(move |row| !row.label.is_empty() && can(row.action)).map(|row| (row.key, row.label))
}

/// One row for each action that can be reached in these contexts, in their order: what the palette offers.
pub fn first_keys(contexts: &[Context]) -> impl Iterator<Item = &'static Binding> {
    let mut last: Option<&Binding> = None;
    reached(contexts).filter(move |row| !last.replace(row).is_some_and(|last| same(last, row)))
}

/// The rows whose keys no narrower context takes.
fn reached(contexts: &[Context]) -> impl Iterator<Item = &'static Binding> {
    let rows = contexts.iter().flat_map(|context| BINDINGS.iter().filter(|row| row.context == *context));
    rows.filter(|row| action(contexts, row.key) == Some(row.action))
}

fn same(left: &Binding, right: &Binding) -> bool {
    left.context == right.context && left.action == right.action
}

/// The keys of a row's action that lead to it in these contexts, as the help shows them.
#[must_use]
pub fn keys_of(contexts: &[Context], row: &Binding) -> String {
    let keys: Vec<String> = reached(contexts).filter(|other| same(row, other)).map(|other| other.key.to_string()).collect();
    keys.join(" ")
}

/// The table for the README, in markdown.
#[must_use]
pub fn markdown() -> String {
    let mut text = "| where | key | does |\n|---|---|---|\n".to_owned();
    for context in Context::ALL {
        for row in first_keys(&[*context]) {
            let keys: Vec<String> = BINDINGS.iter().filter(|other| same(row, other)).map(|other| format!("`{}`", other.key)).collect();
            text.push_str(&format!("| {} | {} | {} |\n", context.title(), keys.join(" "), row.help));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::app::route::Route;

    #[test]
    fn no_two_rows_share_context_and_key() {
        let mut seen = BTreeSet::new();
        for row in BINDINGS {
            assert!(seen.insert((row.context, row.key)), "{:?} {}", row.context, row.key);
        }
    }

    #[test]
    fn no_key_is_hidden_behind_a_narrower_context() {
        for page in Page::ALL {
            let contexts = Route::root(*page).contexts();
            for row in BINDINGS.iter().filter(|row| contexts.contains(&row.context)) {
                assert_eq!(action(contexts, row.key), Some(row.action), "{page:?} {}", row.key);
            }
        }
    }

    #[test]
    fn a_recording_takes_keys_of_the_place_and_says_so() {
        let contexts = [&[Context::Replay], Route::root(Page::References).contexts()].concat();
        for row in first_keys(&contexts) {
            assert_eq!(action(&contexts, row.key), Some(row.action), "{}", row.key);
        }
        let back = BINDINGS.iter().find(|row| row.action == Action::Back).unwrap();
        assert_eq!(keys_of(&contexts, back), "Esc h Backspace", "the arrow goes back a second");
        assert_eq!(keys_of(&contexts[1..], back), "Esc h ← Backspace");
        assert!(!first_keys(&contexts).any(|row| row.action == Action::Freeze), "space plays");
    }

    #[test]
    fn the_markdown_table_has_every_key() {
        let text = markdown();
        for row in BINDINGS {
            assert!(text.contains(&format!("`{}`", row.key)), "{}", row.key);
            assert!(!row.help.contains('|'), "{}", row.help);
        }
        assert_eq!(text.lines().filter(|line| line.matches('|').count() == 4).count(), text.lines().count());
    }
}
