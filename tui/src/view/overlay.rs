//! What opens over the body: the choice of a column, the palette, the help.

use ratatui::layout::Rect;

use super::format::width;
use super::help;
use super::hit::Hit;
use super::paint::{MARGIN, Paint};
use super::table;
use super::theme::Role;
use crate::app::App;
use crate::app::pick::Pick;
use crate::app::prompt::{Overlay, matching};
use crate::keys;

/// Draws what is open, if anything.
pub fn draw(app: &App, paint: &mut Paint<'_>, body: Rect) {
    match &app.overlay {
        None | Some(Overlay::Filter(_)) => {}
        Some(Overlay::Help(first)) => help::draw(app, paint, body, *first),
        Some(open @ (Overlay::Sort(chosen) | Overlay::Group(chosen))) => {
            let folds = matches!(open, Overlay::Group(_));
            let columns = if folds { app.groupables() } else { app.sortables() };
            let rows: Vec<(String, &str, &str)> =
                columns.iter().map(|column| (column.letter.to_string(), column.name, column.about)).collect();
            choice(paint, body, if folds { "Fold by" } else { "Sort by" }, &rows, *chosen);
        }
        Some(Overlay::Pick(pick, chosen)) => {
            let rows: Vec<(String, &str, &str)> =
                pick.choices().iter().map(|(letter, name, about)| (letter.to_string(), *name, *about)).collect();
            choice(paint, body, if *pick == Pick::Copy { "Copy" } else { "Save as" }, &rows, *chosen);
        }
        Some(Overlay::Palette(input, chosen)) => {
            let contexts = app.place_contexts();
            let found = matching(&contexts, input.value());
            let rows: Vec<(String, &str, &str)> = found.iter().map(|row| (keys::keys_of(&contexts, row), "", row.help)).collect();
            choice(paint, body, "Do", &rows, *chosen);
        }
    }
}

/// A list to choose from, at the bottom of the body: next to the line that one types into.
fn choice(paint: &mut Paint<'_>, body: Rect, title: &str, rows: &[(String, &str, &str)], chosen: usize) {
    let height = (rows.len().max(1) as u16 + 1).min(body.height);
    let area = Rect { y: body.bottom() - height, height, ..body };
    paint.clear(area);
    let shown = usize::from(height - 1);
    let first = chosen.saturating_sub(shown.saturating_sub(1));
    let more = rows.len().saturating_sub(first + shown);
    let note = if more > 0 { format!("{more} more ↓") } else { String::new() };
    paint.rule(Rect { height: 1, ..area }, title, &note);
    if rows.is_empty() {
        return paint.sentence(Rect { y: area.y + 1, height: 1, ..area }, "nothing matches");
    }
    let keys = rows.iter().map(|row| width(&row.0)).max().unwrap_or(0) + 2;
    let names = rows.iter().map(|row| width(row.1)).max().unwrap_or(0);
    let names = if names > 0 { names + 2 } else { 0 };
    for (at, (key, name, about)) in rows.iter().enumerate().skip(first).take(shown) {
        let line = Rect { y: area.y + 1 + (at - first) as u16, height: 1, ..area };
        let x = area.x + MARGIN;
        let room = area.width.saturating_sub(2 * MARGIN);
        paint.text(x, line.y, keys, key, Role::Accent);
        paint.text(x + keys, line.y, names, name, Role::Text);
        let left = room.saturating_sub(keys + names);
        paint.text(x + keys + names, line.y, left, about, if names > 0 { Role::Dim } else { Role::Text });
        paint.hit(line, Hit::Choice(at));
        if at == chosen {
            table::select(paint, line);
        }
    }
}
