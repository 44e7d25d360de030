//! The store's bar: every byte of capacity in exactly one part, and the numbers.

use plasmon_protocol::record::{Ledger, StoreRow};
use plasmon_protocol::size::cells;
use ratatui::layout::Rect;

use super::chart::shares;
use super::format::{grouped, percent, size, things, width};
use super::paint::{MARGIN, Paint};
use super::theme::Role;

/// The stacked bar alone, one line.
pub fn bar(paint: &mut Paint<'_>, x: u16, y: u16, max: u16, ledger: &Ledger) {
    let parts: Vec<u64> = ledger.lines().iter().map(|(_, bytes)| *bytes).collect();
    let mut at = x;
    for (line, cells) in shares(&parts, max).into_iter().enumerate() {
        let text: String = std::iter::repeat_n(paint.theme.shade(line), usize::from(cells)).collect();
        at = paint.text(at, y, cells, &text, Role::Ledger(line));
    }
}

/// How full the store is, for the region's title.
#[must_use]
pub fn summary(ledger: &Ledger) -> String {
    format!("{} of {} · {}", size(ledger.used_bytes()), size(ledger.capacity_bytes), percent(ledger.used_bytes(), ledger.capacity_bytes))
}

/// How full the store is and with how much, for a wide title.
#[must_use]
pub fn contents(store: &StoreRow) -> String {
    let objects = things(store.objects, "object", "objects");
    let ledger = &store.ledger;
    let inlined = if ledger.inlined_objects > 0 { format!(", {} of them inlined", grouped(ledger.inlined_objects)) } else { String::new() };
    format!("{objects}{inlined} · {}", summary(ledger))
}

/// What the lines do not say: bytes that nobody can account for.
fn unattributed(paint: &mut Paint<'_>, x: u16, y: u16, max: u16, ledger: &Ledger) -> u16 {
    if ledger.unattributed_bytes == 0 {
        return x;
    }
    let text =
        format!("unattributed {}{}", if ledger.unattributed_bytes < 0 { "-" } else { "" }, size(ledger.unattributed_bytes.unsigned_abs()));
    paint.text(x, y, max, &text, Role::Bad) + 2
}

/// The lines that are not nothing, after one another on as many rows as the area has. Where not all of them fit, the smallest go.
pub fn flow(paint: &mut Paint<'_>, area: Rect, ledger: &Ledger, was: Option<&Ledger>) {
    let (left, end) = (area.x + MARGIN, area.right().saturating_sub(MARGIN));
    let (mut x, mut y) = (left, area.y);
    x = unattributed(paint, x, y, end.saturating_sub(x), ledger);
    let lines: Vec<(usize, &str, u64)> =
        ledger.lines().into_iter().enumerate().map(|(line, (name, bytes))| (line, name, bytes)).filter(|line| line.2 > 0).collect();
    let wide = |name: &str, bytes: u64| 2 + width(name) + 1 + width(&size(bytes));
    let fits = |least: u64| {
        let mut at = (x, y);
        for (_, name, bytes) in lines.iter().filter(|line| line.2 >= least) {
            at = beside(at, wide(name, *bytes), (left, end));
            at.0 += wide(name, *bytes) + 2;
        }
        at.1 < area.bottom()
    };
    let mut sizes: Vec<u64> = lines.iter().map(|line| line.2).collect();
    sizes.sort_unstable();
    let least = sizes.into_iter().find(|least| fits(*least)).unwrap_or(u64::MAX);
    for (line, name, bytes) in lines.iter().copied().filter(|line| line.2 >= least) {
        let glyph = paint.theme.shade(line).to_string();
        let figure = size(bytes);
        let wide = wide(name, bytes);
        (x, y) = beside((x, y), wide, (left, end));
        let role = Role::Ledger(line);
        x = paint.line(x, y, wide, &[(&glyph, role), (" ", role), (name, Role::Dim), (" ", Role::Text)]);
        let before = was.map(|was| size(was.lines()[line].1));
        x = paint.figure(x, y, width(&figure) + 1, (&figure, before.as_deref()), Role::Text) + 2;
    }
}

/// Where something so wide goes that follows what ends here: on the same row, or at the left of the next.
fn beside((x, y): (u16, u16), wide: u16, (left, end): (u16, u16)) -> (u16, u16) {
    if x + wide > end && x > left { (left, y + 1) } else { (x, y) }
}

/// Lines that [`list`] takes.
pub const LIST: u16 = 7;

/// All lines in two columns of name, size and share, the bytes without memory behind them last.
pub fn list(paint: &mut Paint<'_>, area: Rect, ledger: &Ledger, was: Option<&Ledger>) {
    let x = area.x + MARGIN;
    let half = (area.width.saturating_sub(2 * MARGIN) / 2).min(36);
    let lines = ledger.lines();
    let rows = lines.len() / 2 + 1;
    let place = |line: usize| (x + half * (line / rows) as u16, area.y + (line % rows) as u16);
    let mut write = |line: usize, name: &str, bytes: u64, before: Option<u64>, role: Role| {
        let (x, y) = place(line);
        if y < area.bottom() {
            paint.text(x + 2, y, 11, name, Role::Dim);
            paint.figure(x + 14, y, 6, (&cells(bytes), before.map(cells).as_deref()), role);
            paint.right(x + 20, y, 5, &percent(bytes, ledger.capacity_bytes), Role::Dim);
        }
    };
    for (line, (name, bytes)) in lines.into_iter().enumerate() {
        let before = was.map(|was| was.lines()[line].1);
        write(line, name, bytes, before, if bytes == 0 { Role::Dim } else { Role::Text });
    }
    if ledger.unbacked_bytes > 0 {
        write(lines.len(), "unbacked", ledger.unbacked_bytes, was.map(|was| was.unbacked_bytes), Role::Dim);
    }
    for line in 0..lines.len() {
        let (x, y) = place(line);
        if y < area.bottom() {
            paint.text(x, y, 2, &paint.theme.shade(line).to_string(), Role::Ledger(line));
        }
    }
    // What the agent's heap holds to run tasks again is no part of the capacity, so it has no share.
    let (x, y) = place(lines.len() + 1);
    if ledger.lineage_tasks > 0 && y < area.bottom() {
        paint.text(x + 2, y, 11, "lineage", Role::Dim);
        let before = was.map(|was| cells(was.lineage_bytes));
        paint.figure(x + 14, y, 6, (&cells(ledger.lineage_bytes), before.as_deref()), Role::Text);
    }
    let (x, y) = place(lines.len());
    let x = x + 27;
    if y < area.bottom() {
        unattributed(paint, x, y, area.right().saturating_sub(x + MARGIN), ledger);
    }
}
