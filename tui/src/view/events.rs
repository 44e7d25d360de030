//! What happened, the newest first.

use plasmon_protocol::column::Table;
use plasmon_protocol::record::EventRow;
use plasmon_protocol::stream::Totals;
use ratatui::layout::Rect;

use super::columns::EVENTS;
use super::format::clock;
use super::hit::Hit;
use super::paint::{MARGIN, Paint};
use super::since;
use super::table::{self, Column, fit};
use super::theme::Role;
use super::window::{Words, matched, title, why_empty};
use crate::app::App;
use crate::app::subscribe::Slot;
use crate::model::Window;

/// Cells of the time of day and the gap behind it.
const CLOCK: u16 = 9;

fn totals(_: &Window, totals: &Totals) -> String {
    matched(totals, "event", "events")
}

/// One event on a line; the time of day is by the viewer's clock.
pub fn line(app: &App, paint: &mut Paint<'_>, line: Rect, columns: &[Column<EventRow>], row: &EventRow) {
    let rest = Rect { x: line.x + CLOCK, width: line.width.saturating_sub(CLOCK), ..line };
    paint.text(line.x + MARGIN, line.y, 8, &clock(row.at_ms, app.settings.utc_offset_ms), Role::Dim);
    table::row(paint, rest, columns, &fit(columns, rest.width), row, app.agent_now_ms());
}

/// Draws the whole view.
pub fn draw(app: &App, paint: &mut Paint<'_>, area: Rect) {
    let words = Words { title: "Events", empty: "nothing happened yet", how: "", totals };
    title(app, Slot::Main, paint, area, &words);
    let found = app.window(Slot::Main).and_then(|window| window.of::<EventRow>().map(|rows| (window, rows)));
    let Some((window, rows)) = found.filter(|(window, _)| window.count() > 0) else {
        return why_empty(app, Slot::Main, paint, Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area }, &words);
    };
    let inner = since::beside(app, area, false);
    let head = Rect { y: area.y + 1, height: 1, ..inner };
    since::head(app, paint, Rect { x: area.x, ..head }, false);
    paint.text(head.x + MARGIN, head.y, 8, "time", Role::Column);
    table::head(paint, Rect { x: head.x + CLOCK, width: head.width.saturating_sub(CLOCK), ..head }, EVENTS, app.sorted_by().as_ref());
    let list = &app.place().list;
    for at in 0..area.height.saturating_sub(2) {
        let place = list.offset + u64::from(at);
        let Some(row) = place.checked_sub(window.start).and_then(|at| rows.get(usize::try_from(at).ok()?)) else { continue };
        let here = Rect { y: area.y + 2 + at, height: 1, ..area };
        since::cell(app, Slot::Main, Table::Events, paint, here, row);
        line(app, paint, Rect { x: inner.x, width: inner.width, ..here }, EVENTS, row);
        paint.hit(here, Hit::Row(Slot::Main, place));
        if place == list.cursor {
            table::select(paint, here);
        }
    }
}
