//! A view of two tables, one above the other.

use plasmon_protocol::column::Table;
use ratatui::layout::Rect;

use super::paint::Paint;
use super::{actors, post_mortem, processes, tasks};
use crate::app::App;

/// Draws it.
pub fn draw(app: &App, paint: &mut Paint<'_>, area: Rect) {
    let mut y = area.y;
    for part in app.parts() {
        let height = (part.rows + 2).min(area.bottom().saturating_sub(y));
        let region = Rect { y, height, ..area };
        match part.table {
            Table::Actors => actors::draw(app, part.slot, paint, region),
            Table::PostMortem => post_mortem::draw(app, part.slot, paint, region),
            Table::Processes => processes::draw(app, part.slot, paint, region),
            _ => tasks::draw(app, part.slot, paint, region),
        }
        y += height;
    }
}
