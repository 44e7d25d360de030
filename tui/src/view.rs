//! The screen: one file for one region. Every function reads the [`App`] and draws what is visible, nothing else.

pub mod actors;
pub mod alive;
pub mod chart;
pub mod columns;
pub mod curves;
pub mod dead;
pub mod disk;
pub mod events;
pub mod facts;
pub mod footer;
pub mod format;
pub mod header;
pub mod help;
pub mod hit;
pub mod ledger;
pub mod life;
pub mod news;
pub mod node;
pub mod overlay;
pub mod overview;
pub mod pages;
pub mod paint;
pub mod post_mortem;
pub mod pressure;
pub mod processes;
pub mod references;
pub mod since;
pub mod sites;
pub mod source;
pub mod spill;
pub mod split;
pub mod table;
pub mod tasks;
pub mod theme;
pub mod timeline;
pub mod why;
pub mod window;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::app::geometry::{FOOTER, HEADER, SMALLEST, pressure_lines};
use crate::app::route::{Page, Route};
use crate::app::{App, LinkState};
use paint::Paint;
use theme::{Role, Theme};

/// Draws the whole screen.
pub fn draw(app: &App, theme: &Theme, buffer: &mut Buffer) {
    draw_telling(app, theme, buffer);
}

/// Draws the whole screen; what can be clicked on where.
pub(crate) fn draw_telling(app: &App, theme: &Theme, buffer: &mut Buffer) -> Vec<(Rect, hit::Hit)> {
    if (buffer.area.width, buffer.area.height) != app.size {
        return draw_clipped(app, theme, buffer);
    }
    let mut paint = Paint::new(buffer, theme);
    whole(app, &mut paint);
    let hits = paint.hits;
    if theme.is_ascii() {
        theme::ascii::write(buffer);
    }
    hits
}

/// The terminal has another size by now than the dashboard knows: as much of the picture as there is room for, until it is told.
fn draw_clipped(app: &App, theme: &Theme, buffer: &mut Buffer) -> Vec<(Rect, hit::Hit)> {
    let mut known = Buffer::empty(Rect::new(0, 0, app.size.0, app.size.1));
    let hits = draw_telling(app, theme, &mut known);
    for position in buffer.area.intersection(known.area).positions() {
        buffer[position] = known[position].clone();
    }
    hits
}

fn whole(app: &App, paint: &mut Paint<'_>) {
    let area = paint.buffer.area;
    let line = app.time_line();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 + line {
        return small(paint, area, SMALLEST.1 + line);
    }
    header::draw(app, paint, Rect { height: HEADER, ..area });
    timeline::draw(app, paint, Rect { y: area.y + HEADER, height: line, ..area });
    let top = HEADER + line;
    let body = Rect { y: area.y + top, height: area.height - top - FOOTER, ..area };
    match &app.place().route {
        Route::View(Page::Overview) => overview::draw(app, paint, body),
        Route::View(Page::References) | Route::References { .. } => references::draw(app, paint, body),
        Route::View(Page::Sites) => sites::draw(app, paint, body),
        Route::View(Page::Spill) => spill::draw(app, paint, body),
        Route::View(Page::Processes) => {
            let height = pressure_lines(app.size);
            if height > 0 {
                pressure::draw(app, paint, Rect { height, ..body });
            }
            split::draw(app, paint, Rect { y: body.y + height, height: body.height - height, ..body });
        }
        Route::View(Page::Tasks) => split::draw(app, paint, body),
        Route::View(Page::Events) => events::draw(app, paint, body),
        Route::View(Page::PostMortem) => dead::draw(app, paint, body),
        Route::View(Page::Node) => node::draw(app, paint, body),
        Route::Why { .. } => why::draw(app, paint, body),
        Route::Object(_) | Route::Site { .. } | Route::Task { .. } | Route::Process { .. } | Route::Actor { .. } | Route::File(_) => {
            pages::draw(app, paint, body);
        }
    }
    if matches!(app.link, LinkState::Lost { .. }) {
        paint.dim(body);
    }
    overlay::draw(app, paint, body);
    footer::draw(app, paint, Rect { y: area.bottom() - FOOTER, height: FOOTER, ..area });
}

/// Too small to show anything true.
fn small(paint: &mut Paint<'_>, area: Rect, rows: u16) {
    let lines = [
        "plasmon needs a little more room".to_owned(),
        format!("{} × {} here, {} × {} needed", area.width, area.height, SMALLEST.0, rows),
        "q leaves".to_owned(),
    ];
    let top = area.y + area.height.saturating_sub(lines.len() as u16) / 2;
    for (line, text) in lines.iter().enumerate() {
        let width = format::width(text).min(area.width);
        let y = top + line as u16;
        if y < area.bottom() {
            let role = if line == 0 { Role::Title } else { Role::Dim };
            paint.text(area.x + (area.width - width) / 2, y, width, text, role);
        }
    }
}
