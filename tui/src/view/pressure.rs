//! How full the memory is, where somebody has to go, and who is next.

use plasmon_protocol::record::{PressureRow, VictimRow};
use ratatui::layout::Rect;

use super::format::{percent, size, things};
use super::paint::{MARGIN, Paint};
use super::theme::Role;
use crate::app::App;
use crate::app::page::task_label;

/// Where the words begin.
const LABEL: u16 = 11;

/// Calm, near the threshold, beyond it.
#[must_use]
pub fn role(row: &PressureRow) -> Role {
    let near = row.threshold_bytes - row.threshold_bytes / 10;
    match row.used_bytes {
        _ if row.is_over() => Role::Bad,
        used if row.is_on() && used >= near => Role::Warn,
        _ => Role::Dim,
    }
}

/// A bar of what is in use, with a mark where somebody has to go.
pub fn gauge(paint: &mut Paint<'_>, x: u16, y: u16, max: u16, row: &PressureRow) {
    if max == 0 || row.total_bytes == 0 {
        return;
    }
    paint.text(x, y, max, &"·".repeat(usize::from(max)), Role::Dim);
    paint.gauge(x, y, max, row.used_bytes, row.total_bytes, role(row));
    if row.is_on() {
        let cell = (u128::from(row.threshold_bytes) * u128::from(max) / u128::from(row.total_bytes)) as u16;
        paint.text(x + cell.min(max - 1), y, 1, "│", if row.is_over() { Role::Bad } else { Role::Warn });
    }
}

/// Who is next, in as few words as there are.
#[must_use]
pub fn who(victim: &VictimRow) -> String {
    victim.task.as_ref().map_or_else(|| victim.pid.to_string(), |task| format!("{} {}", victim.pid, task_label(task)))
}

/// Who is next, in a few words; the reason where there is room for it.
#[must_use]
pub fn next(victim: &VictimRow) -> String {
    format!("worker {}, {}", who(victim), size(victim.bytes))
}

/// Draws the region, its title included.
pub fn draw(app: &App, paint: &mut Paint<'_>, area: Rect) {
    let Some(row) = app.model().store.as_ref().map(|store| &store.pressure) else {
        paint.rule(Rect { height: 1, ..area }, "Memory", "");
        return;
    };
    let source = if row.source.is_empty() { String::new() } else { format!("{} · ", row.source) };
    let note = format!("{source}{} ended for want of memory", things(row.kills, "worker", "workers"));
    paint.rule(Rect { height: 1, ..area }, "Memory", &note);
    let (x, right) = (area.x + MARGIN, area.right().saturating_sub(MARGIN));
    let y = area.y + 1;
    let room = |at: u16| right.saturating_sub(at);
    for (line, label) in (0..).zip(["in use", "threshold", "next"]) {
        paint.text(x, y + line, LABEL, label, Role::Dim);
    }
    let at = x + LABEL;
    if row.total_bytes == 0 {
        paint.text(at, y, room(at), "not looked at yet", Role::Dim);
        return;
    }
    let wide = (room(at) / 4).min(30);
    gauge(paint, at, y, wide, row);
    let formula = if &*row.source == "machine" {
        format!("= all - {} available", size(row.available_bytes))
    } else {
        format!("= {} usage - {} file cache", size(row.used_bytes.saturating_add(row.file_cache_bytes)), size(row.file_cache_bytes))
    };
    let figures = |row: &PressureRow| format!("{} of {}", size(row.used_bytes), size(row.total_bytes));
    let before = app.store_was().map(|was| figures(&was.pressure));
    let from = at + wide + 2;
    let from = paint.figure(from, y, room(from), (&figures(row), before.as_deref()), text(role(row))) + 2;
    paint.text(from, y, room(from), &formula, Role::Dim);
    threshold(paint, at, y + 1, room(at), row);
    goes(paint, at, y + 2, room(at), row);
}

/// The role of a figure beside the bar: it is no less readable when all is calm.
#[must_use]
pub fn text(role: Role) -> Role {
    if role == Role::Dim { Role::Text } else { role }
}

fn threshold(paint: &mut Paint<'_>, x: u16, y: u16, room: u16, row: &PressureRow) {
    if !row.is_on() {
        paint.text(x, y, room, "off: no worker is ended, the kernel decides", Role::Warn);
        return;
    }
    let figure = format!("{} ", size(row.threshold_bytes));
    let share = percent(row.threshold_bytes, row.total_bytes);
    let stalled = row.stalled_percent.map_or_else(String::new, |percent| format!(" · waited for memory {percent:.1} % of the time"));
    let dry = if row.dry_run { " · dry run: nobody is ended" } else { "" };
    paint.line(x, y, room, &[(&figure, Role::Text), (&share, Role::Dim), (dry, Role::Warn), (&stalled, Role::Dim)]);
}

fn goes(paint: &mut Paint<'_>, x: u16, y: u16, room: u16, row: &PressureRow) {
    if row.dying > 0 {
        let dying = format!("{} dying: nobody else goes until then", things(row.dying.into(), "worker is", "workers are"));
        paint.text(x, y, room, &dying, Role::Bad);
        return;
    }
    match &row.next_victim {
        Some(victim) => {
            let who = next(victim);
            paint.line(x, y, room, &[(&who, text(role(row))), (": ", Role::Dim), (&victim.why, Role::Dim)]);
        }
        None => {
            paint.text(x, y, room, "nobody: no worker holds much or has work", Role::Dim);
        }
    }
}
