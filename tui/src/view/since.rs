//! The column that a mark adds to every table: what grew since.

use plasmon_protocol::column::Table;
use ratatui::layout::Rect;

use super::format::{clock, count, growth, size};
use super::paint::{MARGIN, Paint};
use super::theme::Role;
use crate::app::App;
use crate::app::mark::Since;
use crate::app::subscribe::Slot;
use crate::model::window::Tabled;

/// Cells of the column.
const CELLS: u16 = 9;
/// Cells of the column that tells the node, where several agents are merged.
const NODE: u16 = 5;

/// Whether rows tell their node. Groups are of all nodes.
fn has_nodes(app: &App, grouped: bool) -> bool {
    !grouped && !app.nodes().is_empty()
}

/// Cells that the node takes.
fn node_cells(app: &App, grouped: bool) -> u16 {
    if has_nodes(app, grouped) { NODE + 1 } else { 0 }
}

/// What is left of an area beside the column; all of it without a mark.
#[must_use]
pub fn beside(app: &App, area: Rect, grouped: bool) -> Rect {
    let marked = if app.mark().is_some() { CELLS + 1 } else { 0 };
    let taken = (marked + node_cells(app, grouped)).min(area.width);
    Rect { x: area.x + taken, width: area.width - taken, ..area }
}

/// The column's name.
pub fn head(app: &App, paint: &mut Paint<'_>, line: Rect, grouped: bool) {
    if has_nodes(app, grouped) {
        paint.text(line.x + MARGIN, line.y, NODE, "node", Role::Column);
    }
    if app.mark().is_some() {
        paint.right(line.x + MARGIN + node_cells(app, grouped), line.y, CELLS - 1, "grown", Role::Sorted);
    }
}

/// A row's cell.
pub fn cell<R: Tabled>(app: &App, slot: Slot, table: Table, paint: &mut Paint<'_>, line: Rect, row: &R) {
    node(app, paint, line, row);
    if let Some(since) = app.since(slot, table, row) {
        word(app, paint, line, since, R::GROUPED);
    }
}

/// The node that a row is of, where several agents are merged.
pub fn node<R: Tabled>(app: &App, paint: &mut Paint<'_>, line: Rect, row: &R) {
    if let Some(name) = app.node_of(row) {
        paint.text(line.x + MARGIN, line.y, NODE, &name, Role::Accent);
    }
}

/// What became of something since the mark.
pub fn word(app: &App, paint: &mut Paint<'_>, line: Rect, since: Since, grouped: bool) {
    let (text, role) = match since {
        Since::New(Some(bytes)) => (growth(i64::try_from(bytes).unwrap_or(i64::MAX)), Role::Warn),
        Since::New(None) => ("new".to_owned(), Role::Warn),
        Since::Bytes(0) | Since::Rows(0) | Since::Old => return,
        Since::Bytes(bytes) => (growth(bytes), if bytes > 0 { Role::Warn } else { Role::Ok }),
        Since::Rows(rows) => (format!("{}{}", sign(rows), count(rows.unsigned_abs())), if rows > 0 { Role::Warn } else { Role::Ok }),
        Since::Unknown => ("?".to_owned(), Role::Dim),
    };
    paint.right(line.x + MARGIN + node_cells(app, grouped), line.y, CELLS - 1, &text, role);
}

fn sign(number: i64) -> &'static str {
    match number {
        0 => "",
        1.. => "+",
        _ => "-",
    }
}

/// `since 14:03:22 +34, +12.0M` for a table's title: rows, then bytes; nothing without a mark.
#[must_use]
pub fn note(app: &App, slot: Slot) -> Option<String> {
    let mark = app.mark()?;
    let at = clock(mark.at_ms, app.settings.utc_offset_ms);
    Some(match app.since_totals(slot) {
        None => format!("since {at}"),
        Some((rows, bytes)) => {
            let rows = (rows != 0 || bytes == 0).then(|| format!("{}{}", if rows >= 0 { "+" } else { "-" }, count(rows.unsigned_abs())));
            let bytes = (bytes != 0).then(|| format!("{}{}", sign(bytes), size(bytes.unsigned_abs())));
            let parts: Vec<String> = rows.into_iter().chain(bytes).collect();
            format!("since {at} {}", parts.join(", "))
        }
    })
}
