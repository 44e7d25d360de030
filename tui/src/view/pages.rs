//! The pages about one object, site, task, process, actor or spill file: facts, then sections of rows that open in turn.

use std::sync::Arc;

use plasmon_protocol::column::Table;
use plasmon_protocol::record::{ActorRow, ActorStatus, ObjectState, PostMortemRow, ProcessRow, Site, SiteKind, SpillFileRow};
use plasmon_protocol::stream::{Detail, ObjectDetail, SiteDetail, TaskDetail};
use ratatui::layout::Rect;

use super::alive;
use super::columns::{FRAMES, OBJECTS, TASKS, cut_words, growth_cell, held, holders};
use super::facts::{self, Fact, fact};
use super::format::{age, cut_start, grouped, percent, size, span, things, took};
use super::hit::Hit;
use super::life;
use super::paint::{MARGIN, Paint};
use super::source;
use super::table::{self, Column};
use super::theme::Role;
use crate::app::App;
use crate::app::geometry::{Excerpt, shape};
use crate::app::page::{Item, Line, Section, lines};
use crate::app::route::short_id;
use crate::app::subscribe::Slot;
use crate::model::Watched;

/// Cells of the branch that rows of a page hang from.
const BRANCH: u16 = 2;

/// Draws it.
pub fn draw(app: &App, paint: &mut Paint<'_>, area: Rect) {
    let detail = match app.watched(Slot::Main) {
        Some(Watched::Here(detail)) => detail,
        Some(Watched::Gone) => {
            paint.rule(Rect { height: 1, ..area }, &app.place().route.crumb(), "");
            let rest = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
            return paint.sentence(rest, "it is gone: nobody holds it any more, or it has ended · Esc goes back");
        }
        None => {
            paint.rule(Rect { height: 1, ..area }, &app.place().route.crumb(), "");
            return paint.sentence(Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area }, &app.why_not(Slot::Main));
        }
    };
    let shape = shape(&app.place().route, app.canvas());
    let mut left = area;
    if let Excerpt::Beside(columns) = shape.excerpt {
        left.width -= columns;
        excerpt(app, paint, Rect { x: left.right(), width: columns, ..area }, detail);
    }
    describe(app, paint, Rect { height: shape.facts, ..left }, detail);
    let mut y = left.y + shape.facts;
    if let Excerpt::Above(lines) = shape.excerpt {
        excerpt(app, paint, Rect { y, height: lines, ..left }, detail);
        y += lines;
    }
    rows(app, paint, Rect { y, height: left.bottom().saturating_sub(y), ..left }, &app.sections().unwrap_or_default());
}

fn excerpt(app: &App, paint: &mut Paint<'_>, area: Rect, detail: &Detail) {
    match (detail, app.detail(Slot::Aside)) {
        (Detail::Site(detail), _) => source::draw(paint, area, &detail.site.site, detail.source.as_ref()),
        (Detail::Object(_), Some(Detail::Site(site))) => source::draw(paint, area, &site.site.site, site.source.as_ref()),
        (Detail::Object(detail), _) => source::draw(paint, area, &detail.object.created_site, None),
        (
            Detail::Task(_)
            | Detail::Process(_)
            | Detail::PostMortem(_)
            | Detail::Actor(_)
            | Detail::SpillFile(_)
            | Detail::Explain(_)
            | Detail::Node(_)
            | Detail::Recording(_),
            _,
        ) => {}
    }
}

fn describe(app: &App, paint: &mut Paint<'_>, area: Rect, detail: &Detail) {
    let Some((title, lines)) = facts_of(app, detail, area.width) else { return };
    let was = app.detail_was(Slot::Main).and_then(|was| facts_of(app, was, area.width)).map(|(_, lines)| lines);
    paint.rule(Rect { height: 1, ..area }, title, "");
    facts::draw(paint, Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area }, &lines, was.as_deref());
}

/// What stands at the top of a page so wide.
fn facts_of(app: &App, detail: &Detail, width: u16) -> Option<(&'static str, Vec<Vec<Fact>>)> {
    let now = app.agent_now_ms();
    Some(match detail {
        Detail::Object(detail) => ("Object", object(app, detail, now, width.saturating_sub(2 * MARGIN))),
        Detail::Site(detail) => (if detail.site.site.kind == SiteKind::Frame { "Frame" } else { "Creation site" }, site(app, detail, now)),
        Detail::Task(detail) => ("Task", task(detail, now)),
        Detail::Process(detail) => ("Process", process(&detail.process, detail.unique_bytes, &detail.executable, now)),
        Detail::SpillFile(detail) => ("Spill file", file(&detail.file, now, width.saturating_sub(2 * MARGIN))),
        Detail::PostMortem(detail) => ("Post-mortem", post_mortem(&detail.process, now)),
        Detail::Actor(detail) => ("Actor", actor(&detail.actor, now)),
        Detail::Explain(_) | Detail::Node(_) | Detail::Recording(_) => return None,
    })
}

/// What a site was called from, as far as there is room; all of it stands below.
fn callers(stack: &[Arc<Site>]) -> Fact {
    let frames: Vec<String> = stack.iter().skip(1).map(|site| site.short()).collect();
    fact("called from", frames.join(" ‹ "))
}

fn object(app: &App, detail: &ObjectDetail, now: u64, room: u16) -> Vec<Vec<Fact>> {
    let row = &detail.object;
    let file = app.window(Slot::File).and_then(|window| window.of::<SpillFileRow>()?.first());
    let size = row.size_bytes.map_or_else(|| "size not known yet".to_owned(), size);
    let made = match row.task {
        Some(task) => fact("made by task", short_id(&task.hex())),
        None => fact("put by", row.creator_pid.to_string()),
    };
    let role = match row.state {
        ObjectState::Spilled => Role::Disk,
        ObjectState::Spilling | ObjectState::Restoring => Role::Warn,
        ObjectState::Failed => Role::Bad,
        _ => Role::Text,
    };
    vec![
        vec![fact("object", row.object_id.hex())],
        vec![
            ("", size, Role::Title),
            fact("held by", things(row.references.into(), "reference", "references")),
            fact("inside of", if row.captured > 0 { things(row.captured.into(), "object", "objects") } else { String::new() }),
            made,
        ],
        vec![("is", life::location(row, file, room.saturating_sub(3)), role)],
        vec![fact("life", life::line(row, now, room.saturating_sub(5)))],
        vec![fact("created", row.created_site.to_string()), callers(&detail.stack)],
    ]
}

fn file(row: &SpillFileRow, now: u64, room: u16) -> Vec<Vec<Fact>> {
    let wrote = match row.write_ms {
        0 => String::new(),
        ms => format!("{}, {}/s", took(ms), size(row.file_bytes.saturating_mul(1000) / ms)),
    };
    vec![
        vec![("", cut_start(&life::path(row), room).into_owned(), Role::Title)],
        vec![
            fact("", row.state.word()),
            ("", size(row.file_bytes), Role::Title),
            ("live", format!("{}, {}", size(row.live_bytes), percent(row.live_bytes, row.file_bytes)), Role::Disk),
            fact("dead", size(row.dead_bytes)),
            fact("headers", size(row.header_bytes)),
        ],
        vec![
            fact("holds", life::lives(row)),
            fact("read back", grouped(row.restored)),
            fact("age", age(now, row.created_ms)),
            fact("writing took", wrote),
        ],
        vec![fact("cause", row.cause.word()), fact("ended by", cut_words(row.cut))],
    ]
}

fn site(app: &App, detail: &SiteDetail, now: u64) -> Vec<Vec<Fact>> {
    let row = &detail.site;
    let own = if row.own_bytes == row.held_bytes { String::new() } else { size(row.own_bytes) };
    let leak = app.model().leaks.of(row.site.id).map(|suspect| app.leak_words(&suspect)).unwrap_or_default();
    let since = app.since(Slot::Sites, Table::Sites, row).map_or(0, crate::app::mark::Since::growth);
    let since = if since == 0 { String::new() } else { growth_cell(since).0.trim_end().to_owned() };
    let (change, role) = growth_cell(row.growth_bytes);
    let more = match row.growth_objects {
        0 => String::new(),
        more => format!("{more:+} objects"),
    };
    vec![
        vec![("", row.site.function.clone(), Role::Title), ("", row.site.kind.word().to_owned(), Role::Dim), callers(&detail.stack)],
        vec![
            ("holds", size(row.held_bytes), Role::Title),
            fact("own", own),
            fact("in", things(row.objects, "object", "objects")),
            fact("by", things(row.references, "reference", "references")),
            fact("oldest", age(now, row.oldest_ms)),
        ],
        vec![
            ("in a minute", change.trim_end().to_owned(), role),
            ("", if leak.is_empty() { more } else { String::new() }, role),
            ("leak?", leak, Role::Bad),
            ("since the mark", since, Role::Warn),
        ],
    ]
}

fn task(detail: &TaskDetail, now: u64) -> Vec<Vec<Fact>> {
    let row = &detail.task;
    let ran = match (row.started_ms, row.ended_ms) {
        (Some(start), Some(end)) => fact("took", took(end.saturating_sub(start))),
        (Some(start), None) => fact("runs for", age(now, start)),
        (None, _) => fact("waits", row.waiting_since_ms.map(|since| age(now, since)).unwrap_or_default()),
    };
    let last = match (&row.error, &row.reason) {
        (Some(error), _) => Some(("", error.clone(), Role::Bad)),
        (None, Some(reason)) => Some(("waits for", reason.clone(), Role::Warn)),
        (None, None) => None,
    };
    let status = if row.blocked { format!("{} (blocked in a get)", row.status) } else { row.status.to_string() };
    vec![
        vec![("", row.name.to_string(), Role::Title), fact("task", row.task_id.hex())],
        vec![
            ("", status, Role::status(row.status)),
            fact("attempt", row.attempt.to_string()),
            fact("worker", row.worker_pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string())),
            fact("reserves", row.resources.to_string()),
            fact("age", age(now, row.submitted_ms)),
            ran,
        ],
        vec![
            fact("submitted", row.call_site.to_string()),
            fact("by", row.submitter_pid.to_string()),
            fact("call of actor", row.actor.map(|actor| short_id(&actor.hex())).unwrap_or_default()),
            callers(&detail.stack),
        ],
        last.into_iter().collect(),
    ]
}

fn process(row: &ProcessRow, unique: Option<u64>, executable: &str, now: u64) -> Vec<Vec<Fact>> {
    vec![
        vec![("", format!("{} {}", row.process_type, row.pid), Role::Title), fact("", &*row.state), fact("", executable)],
        vec![
            ("heap", size(row.heap_bytes), Role::Title),
            fact("rss", size(row.rss_bytes)),
            fact("shared", size(row.shared_bytes)),
            fact("unique", unique.map(size).unwrap_or_default()),
            fact("cpu", format!("{:.0} %", row.cpu_percent)),
        ],
        vec![
            ("holds", size(row.held_bytes), Role::Title),
            fact("by", things(row.references, "reference", "references")),
            fact("slack", size(row.slack_bytes)),
            fact("age", age(now, row.since_ms)),
        ],
        vec![
            fact("actor", row.actor.as_deref().unwrap_or("")),
            fact("runs", row.task.as_deref().unwrap_or("nothing").to_owned()),
            fact("ended", things(row.tasks_done, "task", "tasks")),
            fact("job", row.job.to_string()),
        ],
    ]
}

/// A signal as people know it, where it is one of those that end processes.
fn signal(number: i32) -> String {
    let name = match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        _ => return number.to_string(),
    };
    format!("{number} {name}")
}

fn post_mortem(row: &PostMortemRow, now: u64) -> Vec<Vec<Fact>> {
    // How it ended may say it already.
    let unsaid = |number: &i32| !row.how.contains(&number.to_string());
    vec![
        vec![
            ("", format!("{} {}", row.process_type, row.pid), Role::Title),
            ("", row.how.to_string(), Role::Bad),
            fact("signal", row.signal.filter(unsaid).map(signal).unwrap_or_default()),
            fact("exit code", row.exit_code.filter(unsaid).map(|code| code.to_string()).unwrap_or_default()),
        ],
        vec![
            fact("died", format!("{} ago", age(now, row.died_ms))),
            fact("lived", span(row.died_ms.saturating_sub(row.since_ms))),
            fact("heap", size(row.heap_bytes)),
            fact("program", &*row.name),
            fact("job", row.job.to_string()),
        ],
        vec![fact("was running", row.task.as_deref().unwrap_or("nothing").to_owned())],
        vec![
            ("held", size(row.held_bytes), Role::Title),
            fact("by", things(row.references, "reference", "references")),
            ("", "all released; listed for a minute".to_owned(), Role::Dim),
        ],
    ]
}

fn actor(row: &ActorRow, now: u64) -> Vec<Vec<Fact>> {
    let name = row.name.as_ref().map(|name| format!("'{name}'")).unwrap_or_default();
    let calls = match (&row.call, row.call_since_ms) {
        (Some(call), Some(since)) => fact("runs", format!("{call} for {}", age(now, since))),
        _ => fact("runs", "nothing"),
    };
    let end = match (&row.cause, row.ended_ms) {
        (Some(cause), Some(ended)) => {
            vec![("", format!("died {} ago: {cause}", age(now, ended)), Role::Bad), fact("done", grouped(row.calls_done))]
        }
        _ => vec![calls, fact("queued", grouped(row.queued.into())), fact("done", grouped(row.calls_done))],
    };
    let alive = |figure: String| if row.status == ActorStatus::Dead { String::new() } else { figure };
    let status = match row.status {
        ActorStatus::Alive => Role::Ok,
        ActorStatus::PendingCreation => Role::Text,
        ActorStatus::Restarting => Role::Warn,
        ActorStatus::Dead => Role::Bad,
    };
    vec![
        vec![("", row.class.to_string(), Role::Title), fact("", name), fact("actor", row.actor_id.hex())],
        vec![
            ("", row.status.to_string(), status),
            fact("worker", row.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string())),
            fact("heap", alive(size(row.heap_bytes))),
            fact("holds", alive(size(row.held_bytes))),
            fact("", if row.detached { "detached" } else { "" }),
            fact("reserves", alive(row.resources.to_string())),
            fact("age", age(now, row.created_ms)),
        ],
        vec![fact("created", row.call_site.to_string()), fact("by", row.creator_pid.to_string())],
        end,
    ]
}

fn rows(app: &App, paint: &mut Paint<'_>, area: Rect, sections: &[Section<'_>]) {
    let list = &app.place().list;
    let now = app.agent_now_ms();
    let first = usize::try_from(list.offset).unwrap_or(0);
    let were = app.detail_was(Slot::Main).map(|was| app.sections_of(was)).unwrap_or_default();
    let depth = |item: &Item<'_>| if let Item::Kept(line) = item { line.depth } else { 0 };
    let deepest = sections.iter().flat_map(|section| &section.items).map(depth).max().unwrap_or(0);
    let before: Vec<usize> = sections
        .iter()
        .scan(0, |sum, section| {
            let before = *sum;
            *sum += section.items.len();
            Some(before)
        })
        .collect();
    for (row, line) in lines(sections).into_iter().skip(first).take(usize::from(area.height)).enumerate() {
        let here = Rect { y: area.y + row as u16, height: 1, ..area };
        match line {
            Line::Title(at) => {
                let total = if sections[at].total > 0 { grouped(sections[at].total) } else { String::new() };
                let gap = if total.is_empty() { "" } else { "  " };
                let title = (sections[at].title, Role::Title);
                match sections[at].items.first() {
                    Some(Item::Kept(_)) => paint.rule_of(here, &[title], &[("it goes when all of this is gone", Role::Dim)]),
                    _ => paint.rule_of(here, &[title, (gap, Role::Text), (&total, Role::Dim)], &[]),
                }
            }
            Line::Columns(at) => {
                let inner = Rect { x: here.x + BRANCH, width: here.width.saturating_sub(BRANCH), ..here };
                match sections[at].items.first() {
                    Some(Item::Holder(_)) => table::head(paint, inner, holders(inner.width), None),
                    Some(Item::Reference(_)) => table::head(paint, inner, held(inner.width), None),
                    Some(Item::Object(_)) => table::head(paint, inner, OBJECTS, None),
                    Some(Item::Task(_)) => table::head(paint, inner, TASKS, None),
                    Some(Item::Kept(_)) => alive::head(paint, here, deepest),
                    Some(Item::Frame(_)) => table::head(paint, inner, FRAMES, None),
                    // Lines have no columns.
                    Some(Item::Printed(..)) | None => {}
                }
            }
            Line::Item(at, item) => {
                let last = item + 1 == sections[at].items.len() && sections[at].total <= sections[at].items.len() as u64;
                paint.text(here.x + MARGIN, here.y, BRANCH, if last { "└" } else { "├" }, Role::Dim);
                let inner = Rect { x: here.x + BRANCH, width: here.width.saturating_sub(BRANCH), ..here };
                let value = sections[at].items[item];
                match (value, before_of(&were, &sections[at], &value)) {
                    (Item::Holder(value), Some(Item::Holder(was))) => one(paint, inner, holders(inner.width), (value, Some(was)), now),
                    (Item::Holder(value), _) => one(paint, inner, holders(inner.width), (value, None), now),
                    (Item::Reference(value), Some(Item::Reference(was))) => one(paint, inner, held(inner.width), (value, Some(was)), now),
                    (Item::Reference(value), _) => one(paint, inner, held(inner.width), (value, None), now),
                    (Item::Object(value), Some(Item::Object(was))) => one(paint, inner, OBJECTS, (value, Some(was)), now),
                    (Item::Object(value), _) => one(paint, inner, OBJECTS, (value, None), now),
                    (Item::Task(value), Some(Item::Task(was))) => one(paint, inner, TASKS, (value, Some(was)), now),
                    (Item::Task(value), _) => one(paint, inner, TASKS, (value, None), now),
                    (Item::Frame(site), _) => one(paint, inner, FRAMES, (site, None), now),
                    (Item::Printed(text, _), _) => {
                        paint.text(inner.x + MARGIN, inner.y, inner.width.saturating_sub(MARGIN), text, Role::Text);
                    }
                    (Item::Kept(value), Some(Item::Kept(was))) => alive::row(paint, here, (&value, Some(&was)), deepest, now),
                    (Item::Kept(value), _) => alive::row(paint, here, (&value, None), deepest, now),
                }
                paint.hit(here, Hit::Row(Slot::Main, (before[at] + item) as u64));
                if (before[at] + item) as u64 == list.cursor {
                    table::select(paint, here);
                }
            }
            Line::Empty(at) => {
                paint.text(here.x + MARGIN, here.y, here.width.saturating_sub(MARGIN), sections[at].empty, Role::Dim);
            }
            Line::More(at) => {
                let left = sections[at].total.saturating_sub(sections[at].items.len() as u64);
                let rest = if sections[at].items.is_empty() { ", none of them listed here" } else { " more" };
                let text = format!("… {}{rest}", grouped(left));
                paint.text(here.x + MARGIN, here.y, here.width.saturating_sub(MARGIN), &text, Role::Dim);
            }
        }
    }
}

fn one<R>(paint: &mut Paint<'_>, line: Rect, columns: &[Column<R>], row: (&R, Option<&R>), now: u64) {
    table::changed(paint, line, columns, &table::fit(columns, line.width), row, now);
}

/// What an item of a section was a moment ago.
fn before_of<'a>(were: &[Section<'a>], section: &Section<'_>, item: &Item<'_>) -> Option<Item<'a>> {
    let key = item.key();
    were.iter().find(|was| was.title == section.title)?.items.iter().copied().find(|was| was.key() == key)
}
