//! What the keys and the numbers mean, for the place one is at.

use ratatui::layout::Rect;

use super::format::width;
use super::paint::{MARGIN, Paint};
use super::theme::Role;
use crate::app::App;
use crate::app::geometry::body;
use crate::app::route::{Page, Route};
use crate::keys::{self, Context};

enum Line {
    Title(&'static str),
    /// A key or word, and a line of what it means; the first is empty where the meaning goes on.
    Entry(String, String, Role),
    Blank,
}

/// Cells of keys and words.
const TAB: u16 = 18;

/// A text in lines of at most `room` cells, cut between words.
fn wrapped(text: &str, room: u16) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { continue };
        if !line.is_empty() && width(line) + 1 + width(word) > room {
            lines.push(word.to_owned());
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines
}

/// What figures look like wherever they stand.
const UNITS: &[(&str, &str)] = &[
    ("K M G T", "of bytes, powers of 1,024: 1.50M is 1.5 MiB; of numbers of things, k M G T are powers of 1,000"),
    ("s m h d", "how long ago, or for how long: seconds, minutes, hours, days"),
];

/// What the numbers of a place mean.
fn words(route: &Route) -> &'static [(&'static str, &'static str)] {
    match route {
        Route::View(Page::Overview) => &[
            ("used", "bytes of the objects in memory; the lines below the bar, all of them on a wide screen, sum to the capacity"),
            ("pinned", "objects that a process has a view into: they cannot move"),
            ("argument", "objects that a pending task needs"),
            ("referenced", "objects that a process has a handle to"),
            ("captured", "objects that only other objects hold"),
            ("creating", "room granted to objects that are not published yet"),
            ("spilling", "objects that are being written to external storage; restoring: objects that are being read back"),
            ("secondary", "copies of objects that external storage has too: dropped first when room is needed"),
            ("on disk", "the spill files, on the scale of the bar above: live objects, dead ones, headers"),
            ("slack", "room leased to processes that carries no object yet"),
            ("holes", "dead bytes beside live ones; padding: bytes behind an object up to the next unit"),
            ("unbacked", "of the free bytes, those with no memory behind them yet"),
            ("curves", "each of the last five minutes, to the height of its own largest value"),
            ("heap", "resident memory of a process less what it shares: the store is counted once, not in every process"),
            ("inlined", "values small enough to travel in messages; they live in the agent's heap"),
            ("lineage", "what it takes to run finished tasks again should their results be lost; in the agent's heap too"),
        ],
        Route::View(Page::References) | Route::References { .. } => &[
            ("row", "one process that holds one object, for the first of these reasons that is true:"),
            ("actor handle", "ACTOR_HANDLE: it holds a handle to an actor"),
            ("pinned", "PINNED_IN_MEMORY: it has a view into the object's memory"),
            ("pending task", "USED_BY_PENDING_TASK: a task that it submitted needs the object"),
            ("local", "LOCAL_REFERENCE: it holds a handle"),
            ("captured", "CAPTURED_IN_OBJECT: the reference lies inside an object that it put"),
            ("rows, objects", "an object held by two processes is two rows and one object; its bytes count once in `unique`"),
            ("got at", "where this process got it; created at: where the object was made"),
        ],
        Route::View(Page::Sites) | Route::Site { .. } => &[
            ("held", "bytes of the living objects that were created there, or in what was called from there"),
            ("own", "of those, what was created in just that place"),
            ("tree", "what called what, where a program tells whole stacks; else files and their lines"),
            ("2 › f", "two frames that hold what `f` holds and nothing else stand in its row: `e` shows them"),
            ("in 1 min", "how much `held` changed in the last minute: what only grows is a leak until proven otherwise"),
            ("!", "what it held rose in each of the last four quarters of a minute: a leak, unless it ends"),
            ("↑ ↓", "in any view: the number has just risen or fallen"),
            ("refs", "references to those objects, in any process"),
            ("oldest", "the age of the oldest of them"),
        ],
        Route::View(Page::Spill) | Route::File(_) => &[
            ("spills above", "spilling starts when objects that are nowhere else take up so much of the store"),
            ("live", "bytes of objects that somebody holds; dead: bytes of objects freed since; headers: with the alignment of records"),
            ("in memory too", "objects whose copy in the store can be dropped at once, with no second write"),
            ("full", "when external storage, or the store where nothing spills, is full if it goes on as in the last minute"),
            ("thrash", "the same objects go out and come back again and again: the program's working set is larger than the store"),
            ("waits for room", "creates, and gets of spilled objects, first come first served; the first one stands at 1"),
            ("cause", "threshold: the store was too full; create, restore: room was needed; compaction: another file was mostly dead"),
            ("ended by", "why no more went into the file: it was enough, too many objects, too large, or nothing more could be spilled"),
        ],
        Route::View(Page::Processes) | Route::Process { .. } => &[
            ("heap", "resident memory less what is shared: the process's own"),
            ("rss", "resident memory, the store's pages that it touched included"),
            ("held", "bytes of the distinct objects that it holds"),
            ("slack", "bytes of the store leased to it that carry no object"),
            ("post-mortem", "processes that died as they should not have, for a minute: what they held is released, and in no total"),
        ],
        Route::View(Page::Tasks) | Route::Task { .. } => &[
            ("args", "waits for objects that it needs"),
            ("queued", "waits for CPUs or a worker"),
            ("sent", "given to a worker that has not begun"),
            ("blocked", "waits in a `get`, its CPU given back meanwhile"),
            ("heap", "of an actor: resident memory of its process less what is shared"),
            ("held", "of an actor: bytes of the distinct objects that it holds"),
            ("calls", "of an actor: waiting ones, running ones, those that ended; and since when the oldest one runs"),
        ],
        Route::Why { .. } => &[
            ("deadlock", "these wait for each other, and none of them goes on unless somebody outside helps: cancel or kill one"),
            ("lacks", "so much more of the resource would have to be free; below it, who holds it, most first"),
            ("needs, gets", "a task or a process waits for an object; made by: the task that will make it"),
            ("comes after", "calls of an actor run in order; creates get room in order"),
            ("pinned by", "a process looks at so many bytes of the store: they cannot be moved or spilled"),
            ("see above", "what this one waits for stands where it was named first"),
        ],
        Route::Actor { .. } => &[
            ("calls", "those that run first, then those that wait, in their order"),
            ("handles", "the actor ends, after its calls, when the last of them goes; a detached one does not"),
            ("holds", "what its process holds, what it keeps between calls included"),
        ],
        Route::Object(_) => &[
            ("pin", "a process reads its memory through a view: it can neither move nor be spilled"),
            ("handle", "a process holds a reference to it, and could get it"),
            ("task", "a pending task needs it"),
            ("container", "it lies inside of another object; what keeps that one stands below it"),
            ("is", "where its value is: in the store, in a spill file, in both, or on the way"),
            ("life", "what became of its value, the first thing first"),
        ],
        Route::View(Page::Events) => &[
            ("order", "newest first; the agent keeps the latest only"),
            ("!", "asks for some attention; ✗ for attention at once"),
            ("open", "the page of what the event is about: an object, a task, an actor, a process, a file"),
        ],
        Route::View(Page::PostMortem) => &[
            ("rows", "processes that died as they should not have, for a minute"),
            ("held", "what the selected one held when it died: it is released by now, and in no other table and no total"),
            ("how", "the signal or the exit code, or what the agent ended it for"),
        ],
        Route::View(Page::Node) => &[
            ("✓", "as it should be; ! could be better; x will not work"),
            ("bars", "how much of a limit is used"),
            ("advice", "what would make it better, below what is so; `y` copies it"),
        ],
    }
}

fn lines(app: &App) -> Vec<Line> {
    let room = app.size.0.saturating_sub(2 * MARGIN + TAB).max(20);
    let entry = |name: String, text: &str, role: Role| {
        let mut name = Some(name);
        wrapped(text, room).into_iter().map(move |line| Line::Entry(name.take().unwrap_or_default(), line, role))
    };
    let route = &app.place().route;
    let mut lines = Vec::new();
    if app.mark().is_some() {
        let means = "what a row gained since the mark (`d` sets it anew, `D` drops it): + what grew or is new, ? what nobody knows";
        lines.extend(entry("grown".to_owned(), means, Role::Text));
        lines.push(Line::Blank);
    }
    lines.push(Line::Title("What it says"));
    lines.extend(words(route).iter().flat_map(|(word, means)| entry((*word).to_owned(), means, Role::Text)));
    for contexts in [&app.place_contexts()[..], &[Context::Prompt]] {
        for context in contexts {
            lines.push(Line::Blank);
            lines.push(Line::Title(context.title()));
            let rows = keys::first_keys(contexts).filter(|row| row.context == *context);
            lines.extend(rows.flat_map(|row| entry(keys::keys_of(contexts, row), row.help, Role::Accent)));
        }
    }
    lines.push(Line::Blank);
    lines.push(Line::Title("Figures"));
    lines.extend(UNITS.iter().flat_map(|(word, means)| entry((*word).to_owned(), means, Role::Text)));
    lines
}

/// The furthest that the help can be scrolled.
#[must_use]
pub fn last_line(app: &App) -> usize {
    lines(app).len().saturating_sub(usize::from(body(app.canvas()).saturating_sub(1)))
}

/// Draws it over the body.
pub fn draw(app: &App, paint: &mut Paint<'_>, area: Rect, first: usize) {
    paint.clear(area);
    let lines = lines(app);
    let height = usize::from(area.height.saturating_sub(1));
    let more = lines.len().saturating_sub(first + height);
    let note = if more > 0 { format!("{more} more lines ↓") } else { String::new() };
    paint.rule(Rect { height: 1, ..area }, "Help", &note);
    let room = area.width.saturating_sub(2 * MARGIN);
    for (row, line) in lines.iter().skip(first).take(height).enumerate() {
        let (x, y) = (area.x + MARGIN, area.y + 1 + row as u16);
        match line {
            Line::Title(title) => {
                paint.text(x, y, room, title, Role::Title);
            }
            Line::Entry(name, text, role) => {
                paint.text(x, y, TAB - 1, name, *role);
                paint.text(x + TAB, y, room.saturating_sub(TAB), text, if *role == Role::Text { Role::Dim } else { Role::Text });
            }
            Line::Blank => {}
        }
    }
}
