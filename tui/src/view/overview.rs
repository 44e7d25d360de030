//! Where the memory goes, at one glance: the store, the node, the last minutes, the largest sites, the latest events.

use plasmon_protocol::column::Table;
use plasmon_protocol::record::{EventRow, NodeRow, PressureRow, SiteRow, StoreRow};
use plasmon_protocol::size::cells;
use ratatui::layout::Rect;

use super::columns::{EVENTS, SITES, growth_cell};
use super::format::{clock, percent, size, things, width};
use super::hit::Hit;
use super::paint::{MARGIN, Paint};
use super::since;
use super::sites::{NO_OBJECTS, NO_SITES};
use super::table;
use super::theme::Role;
use super::{curves, disk, ledger, pressure};
use crate::app::App;
use crate::app::geometry::{WIDE, overview};
use crate::app::subscribe::Slot;
use crate::model::alert::{Alert, Level};

/// Draws all regions.
pub fn draw(app: &App, paint: &mut Paint<'_>, area: Rect) {
    let alerts = app.alerts();
    let shape = overview(app.canvas(), alerts.len());
    let mut y = area.y;
    let mut take = |lines: u16| {
        let region = Rect { y, height: lines.min(area.bottom().saturating_sub(y)), ..area };
        y += region.height;
        region
    };
    let (store, was) = (app.model().store.as_ref(), app.store_was());
    if shape.wide {
        let top = take(shape.store);
        let left = Rect { width: top.width * 3 / 5, ..top };
        wide_store(paint, left, store, was);
        node_list(paint, Rect { x: left.right(), width: top.width - left.width, ..top }, store, was);
    } else {
        narrow_store(paint, take(shape.store), store, was);
        if shape.node > 0 {
            node_lines(paint, take(shape.node), store, was);
        }
    }
    attention(paint, take(shape.alerts), &alerts);
    history(app, paint, take(shape.history));
    sites(app, paint, take(shape.sites));
    events(app, paint, take(shape.events));
}

/// A region's rule; its body, or nothing when the store's row has not come yet.
fn begin<'a>(paint: &mut Paint<'_>, area: Rect, title: &str, note: &str, store: Option<&'a StoreRow>) -> Option<(Rect, &'a StoreRow)> {
    paint.rule(Rect { height: 1, ..area }, title, note);
    let body = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    if store.is_none() {
        paint.sentence(body, "waiting for the agent's answer");
    }
    store.map(|store| (body, store))
}

fn narrow_store(paint: &mut Paint<'_>, area: Rect, store: Option<&StoreRow>, was: Option<&StoreRow>) {
    let note = store.map(|store| ledger::summary(&store.ledger)).unwrap_or_default();
    let Some((body, store)) = begin(paint, area, "Object store", &note, store) else { return };
    ledger::bar(paint, body.x + MARGIN, body.y, body.width.saturating_sub(2 * MARGIN), &store.ledger);
    on_disk(paint, body, store, was);
    ledger::flow(paint, Rect { y: body.y + 2, height: body.height.saturating_sub(2), ..body }, &store.ledger, was.map(|was| &was.ledger));
}

/// What is on disk, below the store's bar and to its scale; or what is wrong.
fn on_disk(paint: &mut Paint<'_>, body: Rect, store: &StoreRow, was: Option<&StoreRow>) {
    let (x, y, room) = (body.x + MARGIN, body.y + 1, body.width.saturating_sub(2 * MARGIN));
    // What is wrong with it stands among the alerts.
    let (text, role) = (disk::summary(&store.spill), Role::Text);
    let at = paint.text(x, y, 8, "on disk", Role::Dim) + 1;
    let bar = if store.spill.files == 0 { 0 } else { room.saturating_sub(8 + 2 + width(&text)).min(room / 2) };
    let at = if bar >= 6 {
        disk::bar(paint, at, y, bar, &store.spill, disk::scale(store));
        at + bar + 2
    } else {
        at
    };
    let before = was.map(|was| disk::summary(&was.spill));
    let end = paint.text(at, y, (x + room).saturating_sub(at), &text, role);
    paint.trend(end, y, &text, before.as_deref());
}

fn wide_store(paint: &mut Paint<'_>, area: Rect, store: Option<&StoreRow>, was: Option<&StoreRow>) {
    let note = store.map(ledger::contents).unwrap_or_default();
    let Some((body, store)) = begin(paint, area, "Object store", &note, store) else { return };
    ledger::bar(paint, body.x + MARGIN, body.y, body.width.saturating_sub(2 * MARGIN), &store.ledger);
    on_disk(paint, body, store, was);
    let rest = Rect { y: body.y + 2, height: body.height.saturating_sub(2), ..body };
    if rest.height < ledger::LIST {
        // What is nothing gives way.
        ledger::flow(paint, rest, &store.ledger, was.map(|was| &was.ledger));
    } else {
        ledger::list(paint, rest, &store.ledger, was.map(|was| &was.ledger));
    }
}

/// The node's memory in lines of name, size and what is in it.
fn node_rows(store: &StoreRow) -> [(&'static str, u64, String); 5] {
    let node = &store.node;
    let read = if node.shared_read_bytes > 0 { format!("backed, {} in views", size(node.shared_read_bytes)) } else { "backed".to_owned() };
    [
        ("object store", node.store_backed_bytes, read),
        ("driver heaps", node.driver_heap_bytes, things(node.drivers.into(), "driver", "drivers")),
        ("worker heaps", node.worker_heap_bytes, things(node.workers.into(), "worker", "workers")),
        ("agent heap", node.agent_heap_bytes, "system".to_owned()),
        ("machine", node.machine_total_bytes.saturating_sub(node.machine_available_bytes), String::new()),
    ]
}

fn available(store: &StoreRow) -> String {
    let node = &store.node;
    let free = format!("{} of {} available", size(node.machine_available_bytes), size(node.machine_total_bytes));
    match reserved(node) {
        reserved if reserved.is_empty() => free,
        reserved => format!("reserved {reserved} · {free}"),
    }
}

/// What tasks and actors have reserved of all that there is: `2 of 2 CPU, 1.50G of 4.00G memory`.
pub(super) fn reserved(node: &NodeRow) -> String {
    let (had, total) = (&node.reserved, &node.resources);
    let mut parts = Vec::new();
    if !total.cpus.is_zero() {
        parts.push(format!("{} of {} CPU", had.cpus, total.cpus));
    }
    if !total.gpus.is_zero() {
        parts.push(format!("{} of {} GPU", had.gpus, total.gpus));
    }
    if total.memory_bytes > 0 {
        parts.push(format!("{} of {} memory", size(had.memory_bytes), size(total.memory_bytes)));
    }
    parts.extend(total.custom.iter().map(|(name, all)| format!("{} of {all} {name}", had.custom.get(name).copied().unwrap_or_default())));
    parts.join(", ")
}

fn node_list(paint: &mut Paint<'_>, area: Rect, store: Option<&StoreRow>, was: Option<&StoreRow>) {
    let note = store.map(available).unwrap_or_default();
    let Some((body, store)) = begin(paint, area, "Node memory", &note, store) else { return };
    let x = body.x + MARGIN;
    let room = body.width.saturating_sub(2 * MARGIN);
    let total = store.node.machine_total_bytes;
    let rows = node_rows(store);
    let were = was.map(node_rows);
    for (row, (name, bytes, about)) in rows.iter().enumerate() {
        let y = body.y + row as u16 + u16::from(row > 2);
        if y >= body.bottom() {
            break;
        }
        paint.text(x, y, 13, name, Role::Dim);
        let before = were.as_ref().map(|were| cells(were[row].1));
        paint.figure(x + 13, y, 6, (&cells(*bytes), before.as_deref()), Role::Text);
        let about = if *name == "machine" { format!("{} in use", percent(*bytes, total)) } else { about.clone() };
        let bar = room.saturating_sub(20 + 24).min(24);
        if bar >= 6 {
            if *name == "machine" && store.node.machine_total_bytes == store.pressure.total_bytes {
                pressure::gauge(paint, x + 20, y, bar, &store.pressure);
            } else {
                paint.gauge(x + 20, y, bar, *bytes, total, if *name == "machine" { Role::Dim } else { Role::Accent });
            }
        }
        let at = if bar >= 6 { 22 + bar } else { 20 };
        paint.text(x + at, y, room.saturating_sub(at), &about, Role::Dim);
    }
    let y = body.y + rows.len() as u16 + 1;
    if let Some(victim) = store.pressure.next_victim.as_ref().filter(|_| y < body.bottom()) {
        paint.text(x, y, 13, "next victim", Role::Dim);
        let role = pressure::text(pressure::role(&store.pressure));
        let next = pressure::next(victim);
        // The reason stands with the processes; here as a whole or not at all.
        let why = format!(": {}", victim.why);
        let why = if 13 + width(&next) + width(&why) <= room { why } else { String::new() };
        paint.line(x + 13, y, room.saturating_sub(13), &[(&next, role), (&why, Role::Dim)]);
    }
}

fn node_lines(paint: &mut Paint<'_>, area: Rect, store: Option<&StoreRow>, was: Option<&StoreRow>) {
    let note = store.map(available).unwrap_or_default();
    let Some((body, store)) = begin(paint, area, "Node memory", &note, store) else { return };
    let [backed, drivers, workers, agent, machine] = node_rows(store);
    let (x, room) = (body.x + MARGIN, body.width.saturating_sub(2 * MARGIN));
    let were = was.map(node_rows);
    let pair = |row: &(&'static str, u64, String)| {
        let before = were.as_ref().and_then(|were| were.iter().find(|was| was.0 == row.0)).map(|was| size(was.1));
        (format!("{} ", row.0), size(row.1), before)
    };
    let mut line = |y: u16, label: &str, parts: &[(String, String, Option<String>)], tail: &str| {
        if y >= body.bottom() {
            return;
        }
        let mut at = paint.text(x, y, 13, label, Role::Dim).max(x + 13);
        for (name, figure, before) in parts {
            at = paint.text(at, y, (x + room).saturating_sub(at), name, Role::Dim);
            at = paint.figure(at, y, (x + room).saturating_sub(at), (figure, before.as_deref()), Role::Text) + 2;
        }
        if at + width(tail) <= x + room {
            paint.text(at, y, width(tail), tail, Role::Dim);
        }
    };
    // Of whom, where there is room for it.
    let mut parts = [pair(&backed), pair(&drivers), pair(&workers)];
    let of = [format!("heaps of {} ", drivers.2), format!("of {} ", workers.2)];
    let wide: u16 = parts.iter().map(|(_, figure, _)| width(figure) + 2).sum::<u16>() - 2;
    if 13 + width(&parts[0].0) + width(&of[0]) + width(&of[1]) + wide <= room {
        let [of_drivers, of_workers] = of;
        (parts[1].0, parts[2].0) = (of_drivers, of_workers);
    }
    line(body.y, "application", &parts, "");
    line(body.y + 1, "system", &[pair(&agent)], "");
    if store.pressure.total_bytes == 0 {
        let share = percent(machine.1, store.node.machine_total_bytes);
        line(body.y + 2, "machine", &[("in use ".to_owned(), size(machine.1), None)], &share);
    } else {
        full(paint, Rect { y: body.y + 2, height: body.height.saturating_sub(2), ..body }, &store.pressure, was.map(|was| &was.pressure));
    }
}

/// How full the memory is, and who is next, in one line.
fn full(paint: &mut Paint<'_>, area: Rect, row: &PressureRow, was: Option<&PressureRow>) {
    const BAR: u16 = 20;
    if area.height == 0 {
        return;
    }
    let (x, y, right) = (area.x + MARGIN, area.y, area.right().saturating_sub(MARGIN));
    paint.text(x, y, 12, &row.source, Role::Dim);
    let at = x + 13;
    pressure::gauge(paint, at, y, BAR, row);
    let used = percent(row.used_bytes, row.total_bytes);
    let before = was.map(|was| percent(was.used_bytes, was.total_bytes));
    let role = pressure::text(pressure::role(row));
    let next =
        row.next_victim.as_ref().map_or_else(|| "in use".to_owned(), |victim| format!("in use; next victim {}", pressure::who(victim)));
    let from = at + BAR + 2;
    let from = paint.figure(from, y, right.saturating_sub(from), (&used, before.as_deref()), role) + 2;
    paint.text(from, y, right.saturating_sub(from), &next, Role::Dim);
}

/// What asks for attention. On a single line, the worst, and how many there are more.
fn attention(paint: &mut Paint<'_>, area: Rect, alerts: &[Alert]) {
    let look = |level: Level| match level {
        Level::Notice => ("·", Role::Text),
        Level::Warning => ("!", Role::Warn),
        Level::Bad => ("✗", Role::Bad),
    };
    let room = area.width.saturating_sub(2 * MARGIN + 2);
    if area.height == 1 {
        let Some((level, text)) = alerts.first() else { return };
        let (sign, role) = look(*level);
        let more = if alerts.len() > 1 { format!("  +{}", alerts.len() - 1) } else { String::new() };
        paint.text(area.x + MARGIN, area.y, 1, sign, role);
        let text = super::format::cut(text, room.saturating_sub(width(&more)));
        paint.line(area.x + MARGIN + 2, area.y, room, &[(&text, role), (&more, Role::Dim)]);
        return;
    }
    if area.height == 0 {
        return;
    }
    paint.rule(Rect { height: 1, ..area }, "Alerts", "");
    for ((level, text), y) in alerts.iter().zip(area.y + 1..area.bottom()) {
        let (sign, role) = look(*level);
        paint.text(area.x + MARGIN, y, 1, sign, role);
        paint.text(area.x + MARGIN + 2, y, room, text, role);
    }
}

fn history(app: &App, paint: &mut Paint<'_>, area: Rect) {
    const GAP: u16 = 3;
    let Some((body, store)) = begin(paint, area, "Five minutes", "", app.model().store.as_ref()) else { return };
    // Low regions have no lines for names: they stand before their curves, and the most telling ones come first.
    let (across, height) = match (body.height, body.width >= WIDE) {
        (0..4, _) => (2, 1),
        (height, true) => (6, height),
        (height, false) => (3, height / 2),
    };
    let wide = (body.width.saturating_sub(2 * MARGIN) - GAP * (across - 1)) / across;
    for (at, one) in (0..).zip(curves::all(app, store)) {
        let (x, y) = (body.x + MARGIN + (at % across) * (wide + GAP), body.y + at / across * height);
        if y + height > body.bottom() {
            return;
        }
        if height == 1 {
            one.line(app, paint, x, y, wide);
        } else {
            one.tall(app, paint, x, y, wide, height);
        }
    }
}

/// The sites that hold most; where there is room, beside them those that grow most.
fn sites(app: &App, paint: &mut Paint<'_>, area: Rect) {
    if area.height == 0 {
        return;
    }
    let right = if area.width >= WIDE { area.width * 2 / 5 } else { 0 };
    let left = Rect { width: area.width - right, ..area };
    holding(app, paint, left);
    if right > 0 {
        growing(app, paint, Rect { x: left.right(), width: right, ..area });
    }
}

/// The sites that grew most within the last minute. How each goes on, where it has been growing for long.
fn growing(app: &App, paint: &mut Paint<'_>, area: Rect) {
    paint.rule(Rect { height: 1, ..area }, "Growing in a minute", "");
    let body = Rect { y: area.y + 1, height: area.height - 1, ..area };
    let window = app.window(Slot::Growth);
    let rows = window.and_then(|window| window.of::<SiteRow>()).unwrap_or_default();
    let grown: Vec<&SiteRow> = rows.iter().filter(|row| row.growth_bytes > 0).collect();
    if grown.is_empty() {
        return paint.sentence(body, "no site has grown");
    }
    let end = body.right().saturating_sub(MARGIN);
    for (row, y) in grown.into_iter().zip(body.y..body.bottom()) {
        let leak = app.model().leaks.of(row.site.id).map(|suspect| app.leak_words(&suspect));
        let x = body.x + MARGIN;
        paint.text(x - 1, y, 1, if leak.is_some() { "!" } else { " " }, Role::Bad);
        let (figure, role) = growth_cell(row.growth_bytes);
        paint.right(x, y, 8, &figure, role);
        let at = paint.text(x + 10, y, end.saturating_sub(x + 10), &row.site.short(), Role::Text) + 2;
        // The alerts tell it too: as a whole or not at all.
        let leak = leak.filter(|leak| at + width(leak) <= end).unwrap_or_default();
        paint.text(at, y, end.saturating_sub(at), &leak, Role::Dim);
    }
}

fn holding(app: &App, paint: &mut Paint<'_>, area: Rect) {
    let window = app.window(Slot::Sites);
    let rows = window.and_then(|window| window.of::<SiteRow>()).unwrap_or_default();
    let body = Rect { y: area.y + 1, height: area.height - 1, ..area };
    let title = match app.mark() {
        Some(mark) => format!("Creation sites · grown since {}", clock(mark.at_ms, app.settings.utc_offset_ms)),
        None => "Creation sites".to_owned(),
    };
    paint.rule(Rect { height: 1, ..area }, &title, "");
    if rows.is_empty() {
        let why: &[&str] = if window.is_none() { &["waiting for the agent's answer"] } else { &[NO_SITES, NO_OBJECTS] };
        return paint.sentences(body, why);
    }
    // The names of the columns stand in the rule: there is no line to give away.
    let area = since::beside(app, area, false);
    let fitted = table::fit(SITES, area.width);
    let figures = || fitted.iter().filter(|fit| SITES[fit.column].right);
    let start = |fit: &table::Fitted| area.x + (fit.x + fit.width).saturating_sub(width(SITES[fit.column].title));
    if let (Some(first), Some(last)) = (figures().next(), figures().next_back()) {
        let from = start(first).saturating_sub(1);
        let blank = " ".repeat(usize::from((area.x + last.x + last.width + 1).saturating_sub(from)));
        paint.text(from, area.y, area.width, &blank, Role::Column);
    }
    for fit in figures() {
        paint.text(start(fit), area.y, fit.width, SITES[fit.column].title, Role::Column);
    }
    let now = app.agent_now_ms();
    for (row, value) in rows.iter().take(usize::from(body.height)).enumerate() {
        let line = Rect { y: body.y + row as u16, height: 1, ..body };
        let inner = Rect { x: area.x, width: area.width, ..line };
        since::cell(app, Slot::Sites, Table::Sites, paint, line, value);
        table::changed(paint, inner, SITES, &fitted, (value, window.and_then(|window| window.was(value, now))), now);
        if app.model().leaks.of(value.site.id).is_some() {
            paint.text(inner.x + 1, line.y, 1, "!", Role::Bad);
        }
        paint.hit(line, Hit::Row(Slot::Main, row as u64));
        if row as u64 == app.place().list.cursor {
            table::select(paint, line);
        }
    }
}

fn events(app: &App, paint: &mut Paint<'_>, area: Rect) {
    if area.height == 0 {
        return;
    }
    paint.rule(Rect { height: 1, ..area }, "Events", "");
    let rows = app.window(Slot::Events).and_then(|window| window.of::<EventRow>()).unwrap_or_default();
    let body = Rect { y: area.y + 1, height: area.height - 1, ..area };
    if rows.is_empty() {
        return paint.sentence(body, "nothing happened yet");
    }
    for (row, value) in rows.iter().take(usize::from(body.height)).enumerate() {
        super::events::line(app, paint, Rect { y: body.y + row as u16, height: 1, ..body }, EVENTS, value);
    }
}
