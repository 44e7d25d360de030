//! The table of references, plain or folded, with both totals.

use plasmon_protocol::record::ReferenceRow;
use plasmon_protocol::stream::{GroupRow, Totals};
use ratatui::layout::Rect;

use super::columns::{REFERENCE_GROUPS, REFERENCES, REFERENCES_NARROW};
use super::format::{size, things};
use super::paint::Paint;
use super::sites::NO_OBJECTS;
use super::window::{Words, is_folded, matched, table};
use crate::app::App;
use crate::app::geometry::WIDE;
use crate::app::subscribe::Slot;
use crate::model::Window;

/// Both totals: rows, and the distinct objects behind them.
fn totals(_: &Window, totals: &Totals) -> String {
    let unique = &totals.unique;
    format!("{} · {}, {}", matched(totals, "row", "rows"), things(unique.unique_objects, "object", "objects"), size(unique.unique_bytes))
}

/// Draws it.
pub fn draw(app: &App, paint: &mut Paint<'_>, area: Rect) {
    let words = Words { title: "References", empty: "no process holds a reference to an object", how: NO_OBJECTS, totals };
    if is_folded(app, Slot::Main) {
        return table::<GroupRow>(app, Slot::Main, paint, area, REFERENCE_GROUPS, &words);
    }
    let columns = if area.width >= WIDE { REFERENCES } else { REFERENCES_NARROW };
    table::<ReferenceRow>(app, Slot::Main, paint, area, columns, &words);
}
