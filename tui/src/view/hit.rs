//! What is where on the screen, for a mouse: drawing tells it, so that it cannot differ from what is seen.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use super::paint::Paint;
use super::theme::Theme;
use crate::app::App;
use crate::app::route::Page;
use crate::app::subscribe::Slot;
use crate::keys::Key;

/// Something that can be clicked on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hit {
    /// A view's name.
    View(Page),
    /// A breadcrumb: so many places stay open.
    Crumb(usize),
    /// A column's name, of the table that comes by a subscription.
    Column(Slot, &'static str),
    /// A row of it, by its place.
    Row(Slot, u64),
    /// An entry of a list that one chooses from.
    Choice(usize),
    /// A key in the last line.
    Key(Key),
}

/// Where everything is that can be clicked on; what is drawn later lies above.
#[must_use]
pub fn hits(app: &App) -> Vec<(Rect, Hit)> {
    let (columns, rows) = app.size;
    let mut buffer = Buffer::empty(Rect::new(0, 0, columns, rows));
    super::draw_telling(app, &Theme::new(false), &mut buffer)
}

/// How many sets of columns the table has that keys are for: one where they all fit.
#[must_use]
pub fn column_sets(app: &App) -> usize {
    let (columns, rows) = app.size;
    let mut buffer = Buffer::empty(Rect::new(0, 0, columns, rows));
    let theme = Theme::new(false);
    let mut paint = Paint::new(&mut buffer, &theme);
    super::whole(app, &mut paint);
    paint.main_sets
}

/// What is at this column and line.
#[must_use]
pub fn hit(app: &App, x: u16, y: u16) -> Option<Hit> {
    hits(app).into_iter().rev().find(|(area, _)| area.contains(Position { x, y })).map(|(_, hit)| hit)
}

/// The line of the selected row as it is drawn, without its mark.
#[must_use]
pub fn selected_text(app: &App) -> Option<String> {
    let (columns, rows) = app.size;
    let mut buffer = Buffer::empty(Rect::new(0, 0, columns, rows));
    let hits = super::draw_telling(app, &Theme::new(false), &mut buffer);
    let place = app.place().list.cursor;
    let (area, _) = hits.into_iter().find(|(_, hit)| *hit == Hit::Row(Slot::Main, place))?;
    let text = line(&buffer, area);
    Some(text.trim_start_matches('▸').trim().to_owned())
}

/// The symbols of one line, each once however wide it is.
fn line(buffer: &Buffer, area: Rect) -> String {
    let mut text = String::new();
    let mut x = area.x;
    while x < area.right() {
        let symbol = buffer[(x, area.y)].symbol();
        text.push_str(symbol);
        x += super::format::width(symbol).max(1);
    }
    text
}

/// The whole screen as lines without the blanks at their ends.
#[must_use]
pub fn screen_text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in buffer.area.y..buffer.area.bottom() {
        text.push_str(line(buffer, Rect { y, height: 1, ..buffer.area }).trim_end());
        text.push('\n');
    }
    text
}
