//! The brush: texts, rules and bars on a buffer, always within their area.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::format::{cut, width};
use super::hit::Hit;
use super::theme::{Role, Theme};
use crate::app::subscribe::Slot;

/// A buffer and how roles look on it.
pub struct Paint<'a> {
    /// What is drawn on.
    pub buffer: &'a mut Buffer,
    /// How.
    pub theme: &'a Theme,
    /// What can be clicked on, in the order of drawing.
    pub hits: Vec<(Rect, Hit)>,
    /// The subscription that what is drawn comes by.
    pub slot: Slot,
    /// How many sets of columns the table has that is being drawn.
    pub sets: usize,
    /// How many the one has that keys are for.
    pub main_sets: usize,
}

/// Cells before everything but marks and rules.
pub const MARGIN: u16 = 2;

impl<'a> Paint<'a> {
    /// A brush for a buffer.
    pub fn new(buffer: &'a mut Buffer, theme: &'a Theme) -> Self {
        Self { buffer, theme, hits: Vec::new(), slot: Slot::Main, sets: 1, main_sets: 1 }
    }
}

impl Paint<'_> {
    /// Tells what can be clicked on here.
    pub fn hit(&mut self, area: Rect, hit: Hit) {
        self.hits.push((area, hit));
    }

    /// A text, cut to `max` cells; where it ends.
    pub fn text(&mut self, x: u16, y: u16, max: u16, text: &str, role: Role) -> u16 {
        self.styled(x, y, max, text, self.theme.style(role))
    }

    /// A text in a style of its own.
    pub fn styled(&mut self, x: u16, y: u16, max: u16, text: &str, style: Style) -> u16 {
        let area = self.buffer.area;
        if y < area.y || y >= area.bottom() || x >= area.right() {
            return x;
        }
        let max = max.min(area.right() - x);
        // What was drawn here before must not shine through: a title on a rule is not dim.
        let style = Style::reset().patch(style);
        self.buffer.set_stringn(x, y, cut(text, max), usize::from(max), style).0
    }

    /// Several texts after one another, as far as there is room; where the last ends.
    pub fn line(&mut self, x: u16, y: u16, max: u16, parts: &[(&str, Role)]) -> u16 {
        let end = x + max;
        parts.iter().fold(x, |x, (text, role)| self.text(x, y, end.saturating_sub(x), text, *role))
    }

    /// A text that ends at `x + max`.
    pub fn right(&mut self, x: u16, y: u16, max: u16, text: &str, role: Role) {
        let text = cut(text, max);
        let indent = max.saturating_sub(width(&text));
        self.text(x + indent, y, max - indent, &text, role);
    }

    /// A region's title in a rule over its whole width, with a note at the right end.
    pub fn rule(&mut self, area: Rect, title: &str, note: &str) {
        self.rule_of(area, &[(title, Role::Title)], &[(note, Role::Dim)]);
    }

    /// A rule with parts of several roles in its title and its note. The note gives way to the title.
    pub fn rule_of(&mut self, area: Rect, title: &[(&str, Role)], note: &[(&str, Role)]) {
        if area.width < 8 || area.height == 0 {
            return;
        }
        let dashes = "─".repeat(usize::from(area.width));
        self.text(area.x, area.y, area.width, &dashes, Role::Dim);
        let room = area.width - MARGIN;
        let wide = |parts: &[(&str, Role)]| parts.iter().map(|(text, _)| width(text)).sum::<u16>();
        let (title_width, note_width) = (wide(title), wide(note));
        let end = self.line(area.x + 1, area.y, 1, &[(" ", Role::Text)]);
        let end = self.line(end, area.y, room - 1, title);
        if title_width > 0 {
            self.text(end, area.y, area.right().saturating_sub(end), " ", Role::Text);
        }
        if note_width > 0 && end + 2 + note_width + 3 <= area.right() {
            let x = area.right() - note_width - 3;
            self.text(x, area.y, 1, " ", Role::Text);
            let end = self.line(x + 1, area.y, note_width, note);
            self.text(end, area.y, 1, " ", Role::Text);
        }
    }

    /// A sentence in an area that has nothing else to show.
    pub fn sentence(&mut self, area: Rect, text: &str) {
        self.sentences(area, &[text]);
    }

    /// Sentences below one another in an area that has nothing else to show, as many as there is room for.
    pub fn sentences(&mut self, area: Rect, texts: &[&str]) {
        if area.width <= 2 * MARGIN {
            return;
        }
        let first = area.y + u16::from(area.height > 2);
        for (text, y) in texts.iter().zip(first..area.bottom()) {
            self.text(area.x + MARGIN, y, area.width - 2 * MARGIN, text, Role::Dim);
        }
    }

    /// A bar of `part` in `whole`, its end to an eighth of a cell.
    pub fn gauge(&mut self, x: u16, y: u16, max: u16, part: u64, whole: u64, role: Role) {
        const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
        if whole == 0 || max == 0 {
            return;
        }
        let eighths = (u128::from(part.min(whole)) * u128::from(max) * 8).div_ceil(u128::from(whole)) as usize;
        let bar = "█".repeat(eighths / 8) + EIGHTHS[eighths % 8];
        self.text(x, y, max, &bar, role);
    }

    /// Lays a style over cells.
    pub fn over(&mut self, area: Rect, style: Style) {
        self.buffer.set_style(area.intersection(self.buffer.area), style);
    }

    /// Makes an area pale: what it shows is not of now.
    pub fn dim(&mut self, area: Rect) {
        self.over(area, Style::new().add_modifier(Modifier::DIM).remove_modifier(Modifier::BOLD));
    }

    /// Blanks an area.
    pub fn clear(&mut self, area: Rect) {
        let area = area.intersection(self.buffer.area);
        for position in area.positions() {
            if let Some(cell) = self.buffer.cell_mut(position) {
                cell.reset();
            }
        }
    }
}
