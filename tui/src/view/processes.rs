//! The table of processes.

use plasmon_protocol::record::ProcessRow;
use plasmon_protocol::stream::Totals;
use ratatui::layout::Rect;

use super::columns::PROCESSES;
use super::format::size;
use super::paint::Paint;
use super::window::{Words, matched, table};
use crate::app::App;
use crate::app::subscribe::Slot;
use crate::model::Window;

fn totals(window: &Window, totals: &Totals) -> String {
    let rows = window.of::<ProcessRow>().unwrap_or_default();
    let heap: u64 = rows.iter().map(|row| row.heap_bytes).sum();
    let all = matched(totals, "process", "processes");
    if rows.len() as u64 == totals.matched { format!("{all} · heaps {}", size(heap)) } else { all }
}

/// Draws it.
pub fn draw(app: &App, slot: Slot, paint: &mut Paint<'_>, area: Rect) {
    let how = "a program joins with init(), in Rust as in Python";
    let words = Words { title: "Processes", empty: "no process is connected", how, totals };
    table::<ProcessRow>(app, slot, paint, area, PROCESSES, &words);
}
