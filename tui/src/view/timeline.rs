//! The time line of a recording: its ends, its marks, and where one stands.

use ratatui::layout::Rect;

use super::format::{clock, span, width};
use super::paint::{MARGIN, Paint};
use super::theme::Role;
use crate::app::App;
use crate::app::replay::Replay;
use crate::recording::Weight;

/// What stands for a mark.
fn sign(weight: Weight) -> (&'static str, Role) {
    match weight {
        Weight::Work => ("▪", Role::Disk),
        Weight::Warning => ("!", Role::Warn),
        Weight::Error => ("×", Role::Bad),
    }
}

/// The cell of an instant, of so many.
fn cell(replay: &Replay, at_ms: u64, cells: u16) -> u16 {
    let (begin, end) = (replay.timeline.begin_ms, replay.timeline.end_ms);
    let whole = u128::from(end.saturating_sub(begin).max(1));
    let last = u128::from(cells.saturating_sub(1));
    let part = u128::from(at_ms.saturating_sub(begin)).min(whole);
    // The ends are theirs alone: only what is there stands there.
    u16::try_from((part * last + if part == whole { 0 } else { whole / 2 }) / whole).unwrap_or(0).min(cells.saturating_sub(1))
}

/// Draws it.
pub fn draw(app: &App, paint: &mut Paint<'_>, area: Rect) {
    let Some(replay) = app.replay() else { return };
    let offset = app.settings.utc_offset_ms;
    let (begin, end) = (clock(replay.timeline.begin_ms, offset), clock(replay.timeline.end_ms, offset));
    let left = match replay.timeline.end_ms.saturating_sub(replay.at_ms) {
        0 => "at the end".to_owned(),
        left => format!("{} to the end", span(left)),
    };
    // As wide as it ever gets, so that the line does not move while one moves in it.
    let room = (2 * MARGIN + 10 + 10 + 17 + 4).min(area.width);
    let mut x = paint.text(area.x + MARGIN, area.y, area.width, &begin, Role::Dim) + 1;
    let cells = area.width.saturating_sub(room).max(8);
    let here = cell(replay, replay.at_ms, cells);
    let mut marks: Vec<Option<Weight>> = vec![None; usize::from(cells)];
    for mark in replay.timeline.marks.iter() {
        if let Some(place) = marks.get_mut(usize::from(cell(replay, mark.at_ms, cells))) {
            *place = (*place).max(Some(mark.weight));
        }
    }
    for (at, mark) in (0..cells).zip(marks) {
        let (symbol, role) = match mark {
            // A mark is not hidden by whoever stands at it.
            Some(weight) => sign(weight),
            None if at < here => ("━", Role::Accent),
            None if at == here => ("●", Role::Accent),
            None => ("─", Role::Dim),
        };
        let mut style = paint.theme.style(role);
        if at == here {
            style = style.reversed();
        }
        x = paint.styled(x, area.y, 1, symbol, style);
    }
    x = paint.text(x + 1, area.y, area.right().saturating_sub(x + 1), &end, Role::Dim) + 2;
    let room = area.right().saturating_sub(x + MARGIN);
    let wide = width(&left).min(room);
    paint.text(area.right().saturating_sub(MARGIN + wide), area.y, wide, &left, Role::Text);
}
