//! The table of actors.

use plasmon_protocol::record::ActorRow;
use plasmon_protocol::stream::{GroupRow, Totals};
use ratatui::layout::Rect;

use super::columns::{ACTORS, GROUPS};
use super::format::things;
use super::paint::Paint;
use super::window::{Words, is_folded, matched, table};
use crate::app::App;
use crate::app::subscribe::Slot;
use crate::model::Window;

fn totals(window: &Window, totals: &Totals) -> String {
    let all = matched(totals, "actor", "actors");
    match window.of::<ActorRow>() {
        Some(rows) if rows.len() as u64 == totals.matched => {
            let queued: u64 = rows.iter().map(|row| u64::from(row.queued)).sum();
            format!("{all} · {} wait", things(queued, "call", "calls"))
        }
        _ => all,
    }
}

/// Draws it.
pub fn draw(app: &App, slot: Slot, paint: &mut Paint<'_>, area: Rect) {
    let words = Words { title: "Actors", empty: "no actor was created yet", how: "", totals };
    if is_folded(app, slot) {
        return table::<GroupRow>(app, slot, paint, area, GROUPS, &words);
    }
    table::<ActorRow>(app, slot, paint, area, ACTORS, &words);
}
