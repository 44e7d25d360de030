//! Post-mortem: processes that died as they should not have, and what the selected one held when it died.

use plasmon_protocol::stream::Detail;
use ratatui::layout::Rect;

use super::columns::held;
use super::format::{grouped, size, things};
use super::paint::Paint;
use super::{post_mortem, table};
use crate::app::App;
use crate::app::geometry::{dead, shape};
use crate::app::subscribe::Slot;

/// Draws it.
pub fn draw(app: &App, paint: &mut Paint<'_>, area: Rect) {
    let below = dead(app.canvas());
    let upper = Rect { height: area.height.saturating_sub(below), ..area };
    debug_assert_eq!(shape(&app.place().route, app.canvas()).rows + 2, upper.height);
    post_mortem::draw(app, Slot::Main, paint, upper);
    let lower = Rect { y: upper.bottom(), height: below, ..area };
    let rest = Rect { y: lower.y + 1, height: lower.height.saturating_sub(1), ..lower };
    let Some(Detail::PostMortem(detail)) = app.detail(Slot::Aside) else {
        paint.rule(Rect { height: 1, ..lower }, "Held when it died", "");
        return paint.sentence(rest, "what the selected process held shows here; it is released, and in no total");
    };
    let row = &detail.process;
    let total = format!("{} · {}", things(row.references, "reference", "references"), size(row.held_bytes));
    let title = format!("Held by {} {} when it died", row.process_type, row.pid);
    paint.rule(Rect { height: 1, ..lower }, &title, &total);
    if detail.references.is_empty() {
        return paint.sentence(rest, "it held no references");
    }
    let columns = held(rest.width);
    table::head(paint, Rect { height: 1, ..rest }, columns, None);
    let fitted = table::fit(columns, rest.width);
    let now = app.agent_now_ms();
    let room = usize::from(rest.height.saturating_sub(1));
    // The last line tells what does not fit.
    let shown = if row.references > room as u64 { room.saturating_sub(1) } else { room }.min(detail.references.len());
    for (value, y) in detail.references.iter().take(shown).zip(rest.y + 1..) {
        table::row(paint, Rect { y, height: 1, ..rest }, columns, &fitted, value, now);
    }
    let more = row.references.saturating_sub(shown as u64);
    if more > 0 && shown < room {
        let y = rest.y + 1 + shown as u16;
        paint.text(rest.x + super::paint::MARGIN, y, rest.width, &format!("… {} more", grouped(more)), super::theme::Role::Dim);
    }
}
