//! Why something waits: rings of waits first, then what waits for what, as a tree whose nodes open.

use plasmon_protocol::explain::{Explanation, Line, Node};
use ratatui::layout::Rect;

use super::hit::Hit;
use super::paint::Paint;
use super::table;
use super::theme::Role;
use crate::app::App;
use crate::app::subscribe::Slot;
use crate::app::why::{INDENT, Row, rows};
use crate::model::Watched;

/// Draws it.
pub fn draw(app: &App, paint: &mut Paint<'_>, area: Rect) {
    let explanation = app.explanation();
    let note = explanation.map_or((String::new(), Role::Dim), summary);
    paint.rule_of(Rect { height: 1, ..area }, &[("Why does it wait?", Role::Title)], &[(&note.0, note.1)]);
    let body = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    let Some(explanation) = explanation else {
        return match app.watched(Slot::Main) {
            Some(Watched::Gone) => paint.sentence(body, "it is gone: nobody holds it any more, or it has ended · Esc goes back"),
            _ => paint.sentence(body, &app.why_not(Slot::Main)),
        };
    };
    if explanation.answers.is_empty() {
        return paint.sentence(body, "nothing waits: every task runs, and every get has its value");
    }
    let now = app.agent_now_ms();
    let all = rows(explanation, app.size.0, now);
    let list = &app.place().list;
    let first = usize::try_from(list.offset).unwrap_or(0);
    let before = all.iter().take(first).filter(|row| matches!(row, Row::Line(Line::Node { .. }))).count() as u64;
    let mut place = before;
    for (at, row) in all.into_iter().skip(first).take(usize::from(body.height)).enumerate() {
        let here = Rect { y: body.y + at as u16, height: 1, ..body };
        let (x, room) = (here.x + INDENT, here.width.saturating_sub(2 * INDENT));
        match row {
            Row::Cycle(text) => {
                paint.text(x, here.y, room, &text, Role::Bad);
            }
            Row::Verdict(text) => {
                paint.text(x, here.y, room, &text, Role::Title);
            }
            Row::Line(Line::Node { node, branch, reason, again }) => {
                if let Some(node) = explanation.nodes.get(node) {
                    one(paint, x, here.y, room, node, &Place { branch: &branch, reason: &reason, again, now });
                }
                paint.hit(here, Hit::Row(Slot::Main, place));
                if place == list.cursor {
                    table::select(paint, here);
                }
                place += 1;
            }
            Row::Line(line) => {
                paint.text(x, here.y, room, &line.text(explanation, now), Role::Dim);
            }
        }
    }
}

/// How many wait, and whether for each other.
fn summary(explanation: &Explanation) -> (String, Role) {
    match explanation.cycles.len() {
        0 => (String::new(), Role::Dim),
        1 => ("1 deadlock".to_owned(), Role::Bad),
        more => (format!("{more} deadlocks"), Role::Bad),
    }
}

struct Place<'a> {
    branch: &'a str,
    reason: &'a str,
    again: bool,
    now: u64,
}

fn one(paint: &mut Paint<'_>, x: u16, y: u16, room: u16, node: &Node, place: &Place<'_>) {
    let gap = if place.reason.is_empty() { "" } else { " " };
    let role = match (node.stuck, place.again) {
        (true, _) => Role::Bad,
        (false, true) => Role::Dim,
        (false, false) => Role::Text,
    };
    let about = node.about(place.now, place.again);
    let parts =
        [(place.branch, Role::Dim), (place.reason, Role::Dim), (gap, Role::Dim), (node.label.as_str(), role), (about.as_str(), Role::Dim)];
    paint.line(x, y, room, &parts);
}
