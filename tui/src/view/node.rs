//! The node: what it is and offers, the limits around it, and what would make it better.

use plasmon_protocol::doctor::{Check, NodeDetail, mark};
use plasmon_protocol::record::Severity;
use plasmon_protocol::stream::Detail;
use ratatui::layout::Rect;

use super::facts::{self, Fact, fact};
use super::format::{cut_start, grouped, long_span, percent, size, things};
use super::hit::Hit;
use super::overview::reserved;
use super::paint::{MARGIN, Paint};
use super::table;
use super::theme::Role;
use crate::app::App;
use crate::app::node::{FACTS, INDENT, Row, rows};
use crate::app::subscribe::Slot;

/// Cells of a limit's bar.
const BAR: u16 = 12;

/// Draws it.
pub fn draw(app: &App, paint: &mut Paint<'_>, area: Rect) {
    let Some(detail) = app.node() else {
        paint.rule(Rect { height: 1, ..area }, "Node", "");
        let why = if app.replay().is_some() {
            "this recording does not tell here what its machine allowed".to_owned()
        } else {
            app.why_not(Slot::Main)
        };
        return paint.sentence(Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area }, &why);
    };
    paint.rule(Rect { height: 1, ..area }, "Node", "");
    let was = match app.detail_was(Slot::Main) {
        Some(Detail::Node(was)) => Some(about(app, was)),
        _ => None,
    };
    facts::draw(paint, Rect { y: area.y + 1, height: FACTS - 2, ..area }, &about(app, detail), was.as_deref());
    let y = area.y + FACTS - 1;
    let (note, role) = verdict(&detail.checks);
    paint.rule_of(Rect { y, height: 1, ..area }, &[("Limits, and what would make it better", Role::Title)], &[(&note, role)]);
    let body = Rect { y: y + 1, height: area.bottom().saturating_sub(y + 1), ..area };
    if detail.checks.is_empty() {
        return paint.sentence(body, "nothing was looked at yet");
    }
    let list = &app.place().list;
    let first = usize::try_from(list.offset).unwrap_or(0);
    let shown = rows(&detail.checks, app.size.0).into_iter().skip(first).take(usize::from(body.height));
    for (row, y) in shown.zip(body.y..) {
        let here = Rect { y, height: 1, ..body };
        let first_of = matches!(row, Row::Fact(_));
        let number = match row {
            Row::Fact(number) => {
                one(paint, here, &detail.checks[number]);
                number
            }
            Row::Advice(number, text) => {
                paint.text(here.x + INDENT, y, here.width.saturating_sub(INDENT + MARGIN), &text, Role::Accent);
                number
            }
        };
        paint.hit(here, Hit::Row(Slot::Main, number as u64));
        if number as u64 == list.cursor {
            if first_of {
                table::select(paint, here);
            } else {
                paint.over(here, paint.theme.selection());
            }
        }
    }
}

fn about(app: &App, detail: &NodeDetail) -> Vec<Vec<Fact>> {
    let node = &detail.node;
    let up = long_span(app.agent_now_ms().saturating_sub(node.started_ms));
    let viewers = app.model().store.as_ref().map_or(0, |store| store.viewers);
    vec![
        vec![
            ("", node.node.hex(), Role::Title),
            fact("at", &*node.listen),
            fact("agent", format!("{}, {}", node.pid, node.version)),
            fact("up", up),
            fact("watched by", things(viewers.into(), "viewer", "viewers")),
        ],
        vec![
            fact("reserved", reserved(node)),
            fact(
                "runs",
                format!("{}, {}", things(node.drivers.into(), "driver", "drivers"), things(node.workers.into(), "worker", "workers")),
            ),
        ],
        vec![
            fact("store", size(detail.capacity_bytes)),
            fact("spills to", if detail.spill_places.is_empty() { "nowhere".to_owned() } else { detail.spill_places.join(", ") }),
        ],
    ]
}

fn verdict(checks: &[Check]) -> (String, Role) {
    let count = |severity| checks.iter().filter(|check| check.severity == severity).count();
    match (count(Severity::Error), count(Severity::Warning)) {
        (0, 0) => ("all as it should be".to_owned(), Role::Ok),
        (0, more) => (format!("{more} could be better"), Role::Warn),
        (bad, _) => (format!("{bad} will not work"), Role::Bad),
    }
}

fn one(paint: &mut Paint<'_>, line: Rect, check: &Check) {
    let (x, y) = (line.x + MARGIN, line.y);
    let role = match check.severity {
        Severity::Info => Role::Ok,
        other => Role::severity(other),
    };
    let sign = if check.severity == Severity::Info { "✓" } else { mark(check.severity) };
    paint.text(x, y, 2, sign, role);
    paint.text(x + 2, y, INDENT - MARGIN - 3, &cut_start(&check.subject, INDENT - MARGIN - 3), Role::Text);
    let mut at = line.x + INDENT;
    let end = line.right().saturating_sub(MARGIN);
    if let (Some(used), Some(limit)) = (check.used, check.limit.filter(|limit| *limit > 0)) {
        let figure = |number| if check.bytes { size(number) } else { grouped(number) };
        paint.text(at, y, BAR, &"·".repeat(usize::from(BAR)), Role::Dim);
        let near = u128::from(used) * 10 >= u128::from(limit) * 9;
        paint.gauge(at, y, BAR, used, limit, if near { Role::Warn } else { Role::Accent });
        at += BAR + 2;
        let wide = end.saturating_sub(at) > 50;
        let share = format!("{:>5}  ", percent(used, limit));
        at = paint.text(at, y, 7, &share, Role::Dim);
        if !wide {
            let text = format!("{} of {}", figure(used), figure(limit));
            paint.text(at, y, end.saturating_sub(at), &text, Role::Text);
            return;
        }
    }
    paint.text(at, y, end.saturating_sub(at), &check.fact, Role::Text);
}
