//! The table of tasks.

use plasmon_protocol::record::TaskRow;
use plasmon_protocol::stream::{GroupRow, Totals};
use ratatui::layout::Rect;

use super::columns::{GROUPS, TASKS};
use super::format::grouped;
use super::paint::Paint;
use super::theme::Role;
use super::window::{Words, is_folded, matched, table};
use crate::app::App;
use crate::app::subscribe::Slot;
use crate::model::Window;

fn totals(_: &Window, totals: &Totals) -> String {
    matched(totals, "task", "tasks")
}

/// Draws it.
pub fn draw(app: &App, slot: Slot, paint: &mut Paint<'_>, area: Rect) {
    let how = "a call of a remote function submits one: f.remote(..)";
    let words = Words { title: "Tasks", empty: "no task was submitted yet", how, totals };
    if is_folded(app, slot) {
        // Tasks weigh nothing.
        return table::<GroupRow>(app, slot, paint, area, &GROUPS[1..], &words);
    }
    table::<TaskRow>(app, slot, paint, area, TASKS, &words);
    if let Some(node) = &app.model().node {
        let failed = if node.tasks_failed > 0 { Role::Bad } else { Role::Dim };
        let counts = [
            (format!("{} running", grouped(node.tasks_running)), Role::Dim),
            (format!(" · {} waiting", grouped(node.tasks_pending)), Role::Dim),
            (format!(" · {} done", grouped(node.tasks_finished)), Role::Dim),
            (format!(" · {} failed", grouped(node.tasks_failed)), failed),
        ];
        let wide: u16 = counts.iter().map(|(text, _)| super::format::width(text)).sum();
        if super::window::notes(app, slot, paint.sets).is_empty() && area.width >= wide + 24 {
            let parts: Vec<(&str, Role)> = counts.iter().map(|(text, role)| (text.as_str(), *role)).collect();
            let x = area.right() - wide - 3;
            paint.text(x - 1, area.y, 1, " ", Role::Text);
            let end = paint.line(x, area.y, wide, &parts);
            paint.text(end, area.y, 1, " ", Role::Text);
        }
    }
}
