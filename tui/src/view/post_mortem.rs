//! The table of processes that died as they should not have.

use plasmon_protocol::record::PostMortemRow;
use plasmon_protocol::stream::Totals;
use ratatui::layout::Rect;

use super::columns::POST_MORTEM;
use super::format::grouped;
use super::paint::Paint;
use super::window::{Words, table};
use crate::app::App;
use crate::app::subscribe::Slot;
use crate::model::Window;

fn totals(_: &Window, totals: &Totals) -> String {
    format!("{} died in the last minute · what they held is in no total", grouped(totals.matched))
}

/// Draws it.
pub fn draw(app: &App, slot: Slot, paint: &mut Paint<'_>, area: Rect) {
    let how = "who is killed or crashes is listed here with what it held";
    let words = Words { title: "Post-mortem", empty: "no process died in the last minute", how, totals };
    table::<PostMortemRow>(app, slot, paint, area, POST_MORTEM, &words);
}
