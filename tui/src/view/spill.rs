//! External storage: its state, what is on disk, what goes out and comes back, who waits for room, and the files.

use plasmon_protocol::record::{EventRow, SpillFileRow, SpillRow, StoreRow};
use plasmon_protocol::stream::Totals;
use ratatui::layout::Rect;

use super::columns::{QUEUE, SPILL_FILES, STORAGE_EVENTS};
use super::facts::{self, Fact, fact};
use super::format::{grouped, percent, size, span, width};
use super::paint::{MARGIN, Paint};
use super::theme::Role;
use super::window::Words;
use super::{curves, disk, events, table, window};
use crate::app::App;
use crate::app::geometry::spill;
use crate::app::subscribe::Slot;
use crate::model::Window;
use crate::model::alert::{Level, forecast, trouble};

/// Cells of a line's name.
const NAME: u16 = 9;
/// Cells that the bar of what is on disk has at least.
const LEAST_BAR: u16 = 8;

/// Draws all regions.
pub fn draw(app: &App, paint: &mut Paint<'_>, area: Rect) {
    let shape = spill(app.canvas());
    let mut y = area.y;
    let mut take = |lines: u16| {
        let region = Rect { y, height: lines.min(area.bottom().saturating_sub(y)), ..area };
        y += region.height;
        region
    };
    let split = |region: Rect, left: u16| {
        let left = Rect { width: left, ..region };
        (left, Rect { x: left.right(), width: region.width - left.width, ..region })
    };
    let top = take(shape.facts);
    if shape.wide {
        let (left, right) = split(top, area.width * 3 / 5);
        storage(app, paint, left, false);
        history(app, paint, right);
    } else {
        storage(app, paint, top, true);
    }
    if shape.abreast {
        let (left, right) = split(take(shape.queue), area.width / 2);
        queue(app, paint, left);
        happened(app, paint, right);
    } else {
        queue(app, paint, take(shape.queue));
        happened(app, paint, take(shape.events));
    }
    files(app, paint, take(shape.files));
}

fn body(area: Rect) -> Rect {
    Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area }
}

/// One line of the facts at the top.
enum Line {
    /// Its name, its facts, and what they were a moment ago.
    Facts(&'static str, Vec<Fact>, Option<Vec<Fact>>),
    Bar,
    Curves,
}

fn storage(app: &App, paint: &mut Paint<'_>, area: Rect, curved: bool) {
    let Some(store) = app.model().store.as_ref() else {
        paint.rule(Rect { height: 1, ..area }, "External storage", "");
        return paint.sentence(body(area), "waiting for the agent's answer");
    };
    let (spill, was) = (&store.spill, app.store_was());
    paint.rule(Rect { height: 1, ..area }, "External storage", &disk::summary(spill));
    let area = body(area);
    let mut lines = vec![
        Line::Facts("state", state(store), was.map(state)),
        Line::Bar,
        Line::Facts("soon", soon(app, store), None),
        Line::Facts("total", total(spill), was.map(|was| total(&was.spill))),
        Line::Facts("now", now(spill), was.map(|was| now(&was.spill))),
    ];
    // What is least news gives way where there is little room.
    let room = usize::from(area.height).saturating_sub(usize::from(curved));
    lines.truncate(room);
    if curved {
        lines.push(Line::Curves);
    } else if lines.len() < room {
        lines.push(Line::Facts("in", vec![fact("", spill.places.join(", "))], None));
    }
    let end = area.right().saturating_sub(MARGIN);
    for (line, y) in lines.iter().zip(area.y..area.bottom()) {
        let x = area.x + MARGIN;
        match line {
            Line::Facts(name, facts, was) => {
                paint.text(x, y, NAME, name, Role::Dim);
                facts::whole(paint, x + NAME, y, end, facts, was.as_deref());
            }
            Line::Bar => bar(paint, x, y, end, store, was),
            Line::Curves => {
                let wide = (end - x - 3) / 2;
                for (at, one) in (0..).zip(curves::storage(app)) {
                    one.line(app, paint, x + at * (wide + 3), y, wide);
                }
            }
        }
    }
}

/// On or off, or why not; from where on, and how much may be there.
fn state(store: &StoreRow) -> Vec<Fact> {
    let spill = &store.spill;
    let role = match &*spill.state {
        _ if spill.failing => Role::Bad,
        "" | "off" => Role::Warn,
        _ => Role::Ok,
    };
    let word = if spill.state.is_empty() { "off".to_owned() } else { trouble(&spill.state) };
    let threshold = match spill.threshold_bytes {
        0 => String::new(),
        bytes => format!("{}, {}", size(bytes), percent(bytes, store.ledger.capacity_bytes)),
    };
    let known = |bytes: Option<u64>| bytes.map(size).unwrap_or_default();
    let on = role != Role::Warn;
    let limit = spill.limit_bytes.map_or_else(|| "none".to_owned(), size);
    let mut facts = vec![("", word, role)];
    if on {
        facts.extend([
            fact("spills above", threshold),
            fact("limit", limit),
            fact("disk free", known(spill.disk_free_bytes)),
            fact("of", known(spill.disk_total_bytes)),
        ]);
    }
    facts
}

fn bar(paint: &mut Paint<'_>, x: u16, y: u16, end: u16, store: &StoreRow, was: Option<&StoreRow>) {
    let spill = &store.spill;
    paint.text(x, y, NAME, "on disk", Role::Dim);
    let parts = [
        ("█ ", Role::Disk, "live ", size(spill.live_bytes), was.map(|was| size(was.spill.live_bytes))),
        ("▒ ", Role::Warn, "dead ", size(spill.dead_bytes), was.map(|was| size(was.spill.dead_bytes))),
        ("▏ ", Role::Dim, "headers ", size(spill.header_bytes), was.map(|was| size(was.spill.header_bytes))),
    ];
    let all = end.saturating_sub(x + NAME);
    let wide = |parts: &[(&str, Role, &str, String, Option<String>)]| {
        parts.iter().map(|(_, _, name, figure, _)| 4 + width(name) + width(figure)).sum::<u16>()
    };
    // A bar of a few cells says nothing: what is least, the headers, gives way to it.
    let shown = if all.saturating_sub(wide(&parts)) < LEAST_BAR { &parts[..2] } else { &parts[..] };
    let room = all.saturating_sub(wide(shown));
    disk::bar(paint, x + NAME, y, room, spill, disk::scale(store));
    let mut at = x + NAME + room;
    for (glyph, role, name, figure, before) in shown {
        at += 2;
        at = paint.line(at, y, end.saturating_sub(at), &[(glyph, *role), (name, Role::Dim)]);
        at = paint.figure(at, y, width(figure) + 1, (figure, before.as_deref()), Role::Text);
    }
}

/// What is wrong, and when something is full.
fn soon(app: &App, store: &StoreRow) -> Vec<Fact> {
    let mut facts = Vec::new();
    // That spilling fails stands in the line above.
    if let Some((level, text)) = app.storage_alert(store).filter(|_| !store.spill.failing) {
        facts.push(("", text, if level == Level::Bad { Role::Bad } else { Role::Warn }));
    }
    match forecast(&app.model().history, store, app.agent_now_ms()) {
        Some(forecast) => {
            let role = if forecast.after_ms < 600_000 { Role::Bad } else { Role::Warn };
            let when = if forecast.after_ms < 1000 { "within a second".to_owned() } else { format!("in {}", span(forecast.after_ms)) };
            let gap = if facts.is_empty() { "" } else { "· " };
            facts.push(("", format!("{gap}{} {when}", forecast.what), role));
            facts.push(fact("at", format!("+{}", forecast.pace())));
        }
        None if facts.is_empty() => facts.push(("", "nothing gets full as it goes now".to_owned(), Role::Dim)),
        None => {}
    }
    facts
}

/// Bytes, and in how many objects or files.
fn pair(bytes: u64, number: u64) -> String {
    format!("{} ({})", size(bytes), grouped(number))
}

fn total(spill: &SpillRow) -> Vec<Fact> {
    let failed = if spill.failures_total > 0 { grouped(spill.failures_total) } else { String::new() };
    vec![
        fact("spilled", pair(spill.spilled_bytes_total, spill.spilled_objects_total)),
        fact("restored", pair(spill.restored_bytes_total, spill.restored_objects_total)),
        ("failures", failed, Role::Bad),
        fact("files", pair(spill.file_bytes_total, spill.files_total)),
        fact("removed", grouped(spill.deleted_total)),
    ]
}

fn now(spill: &SpillRow) -> Vec<Fact> {
    let some = |bytes: u64, objects: u64| if objects == 0 { String::new() } else { pair(bytes, objects) };
    vec![
        fact("only on disk", pair(spill.spilled_bytes, spill.spilled_objects)),
        ("writing", some(spill.writing_bytes, spill.writing_objects), Role::Warn),
        ("reading", some(spill.reading_bytes, spill.reading_objects), Role::Warn),
        fact("in memory too", grouped(spill.objects.saturating_sub(spill.spilled_objects))),
    ]
}

fn history(app: &App, paint: &mut Paint<'_>, area: Rect) {
    const GAP: u16 = 3;
    paint.rule(Rect { height: 1, ..area }, "Five minutes", "");
    let area = body(area);
    let wide = area.width.saturating_sub(2 * MARGIN + GAP) / 2;
    for (at, one) in (0..).zip(curves::storage(app)) {
        one.tall(app, paint, area.x + MARGIN + at * (wide + GAP), area.y, wide, area.height);
    }
}

fn queue(app: &App, paint: &mut Paint<'_>, area: Rect) {
    let store = app.model().store.as_ref();
    let rows = store.map(|store| &store.spill.queue[..]).unwrap_or_default();
    let waiting = store.map_or(0, |store| u64::from(store.creates_queued).max(rows.len() as u64));
    // The names of the columns have a line where no row needs it.
    let named = u64::from(area.height) > waiting + 1;
    let area_body = if named && waiting > 0 { body(body(area)) } else { body(area) };
    let hidden = waiting.saturating_sub(u64::from(area_body.height).min(rows.len() as u64));
    let note = match (waiting, hidden) {
        (0, _) => String::new(),
        (waiting, 0) => grouped(waiting),
        (waiting, hidden) => format!("{}, {} not shown", grouped(waiting), grouped(hidden)),
    };
    paint.rule(Rect { height: 1, ..area }, "Waits for room", &note);
    if rows.is_empty() {
        let y = area_body.y;
        paint.text(area.x + MARGIN, y, area.width.saturating_sub(2 * MARGIN), "nothing waits", Role::Dim);
        return;
    }
    if named {
        table::head(paint, Rect { y: area.y + 1, height: 1, ..area }, QUEUE, None);
    }
    let fitted = table::fit(QUEUE, area.width);
    for (row, y) in rows.iter().zip(area_body.y..area_body.bottom()) {
        let was = app.store_was().and_then(|was| was.spill.queue.iter().find(|was| (was.pid, was.since_ms) == (row.pid, row.since_ms)));
        table::changed(paint, Rect { y, height: 1, ..area }, QUEUE, &fitted, (row, was), app.agent_now_ms());
    }
}

fn happened(app: &App, paint: &mut Paint<'_>, area: Rect) {
    paint.rule(Rect { height: 1, ..area }, "Events", "");
    let area = body(area);
    let rows = app.window(Slot::Events).and_then(|window| window.of::<EventRow>()).unwrap_or_default();
    if rows.is_empty() {
        paint.text(area.x + MARGIN, area.y, area.width.saturating_sub(2 * MARGIN), "nothing was spilled or read back yet", Role::Dim);
        return;
    }
    for (row, y) in rows.iter().zip(area.y..area.bottom()) {
        events::line(app, paint, Rect { y, height: 1, ..area }, STORAGE_EVENTS, row);
    }
}

fn totals(_: &Window, totals: &Totals) -> String {
    format!("{} · {} live", window::matched(totals, "file", "files"), size(totals.bytes))
}

fn files(app: &App, paint: &mut Paint<'_>, area: Rect) {
    let how = "what does not fit the store is written to files";
    let words = Words { title: "Files", empty: "no spill file: all values are in memory", how, totals };
    window::table::<SpillFileRow>(app, Slot::Main, paint, area, SPILL_FILES, &words);
}
