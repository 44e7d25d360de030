//! Lines of facts: names and values after one another.

use ratatui::layout::Rect;

use super::format::width;
use super::paint::{MARGIN, Paint};
use super::theme::Role;

/// A fact: what it is, and its value; nothing is drawn of one without a value.
pub type Fact = (&'static str, String, Role);

/// A plain one.
pub fn fact(name: &'static str, value: impl Into<String>) -> Fact {
    (name, value.into(), Role::Text)
}

/// So much of a value must be seen, or its name says nothing.
const LEAST: u16 = 6;

/// One line, as far as there is room; where it ends. What the same facts were a moment ago marks those that changed.
pub fn line(paint: &mut Paint<'_>, mut x: u16, y: u16, end: u16, facts: &[Fact], was: Option<&[Fact]>) -> u16 {
    for (at, (name, value, role)) in facts.iter().enumerate().filter(|(_, (_, value, _))| !value.is_empty()) {
        let needed = if name.is_empty() { 1 } else { width(name) + 1 + width(value).min(LEAST) };
        if at > 0 && x + needed > end {
            break;
        }
        if !name.is_empty() {
            x = paint.text(x, y, end.saturating_sub(x), name, Role::Dim) + 1;
        }
        let before = was.and_then(|was| was.get(at)).filter(|before| before.0 == *name).map(|before| &*before.1);
        x = paint.figure(x, y, end.saturating_sub(x), (value, before), *role) + 2;
    }
    x
}

/// One line of the facts that fit as a whole, the first one in any case.
pub fn whole(paint: &mut Paint<'_>, x: u16, y: u16, end: u16, facts: &[Fact], was: Option<&[Fact]>) -> u16 {
    facts.iter().enumerate().filter(|(_, (_, value, _))| !value.is_empty()).fold(x, |at, (number, one)| {
        let (name, value, _) = one;
        let wide = if name.is_empty() { width(value) } else { width(name) + 1 + width(value) };
        let was = was.and_then(|was| was.get(number)).map(std::slice::from_ref);
        if at == x || at + wide <= end { line(paint, at, y, end, std::slice::from_ref(one), was) } else { end }
    })
}

/// As many lines as there is room for.
pub fn draw(paint: &mut Paint<'_>, area: Rect, lines: &[Vec<Fact>], was: Option<&[Vec<Fact>]>) {
    for (row, facts) in lines.iter().enumerate().take(usize::from(area.height)) {
        let before = was.and_then(|was| was.get(row)).map(Vec::as_slice);
        line(paint, area.x + MARGIN, area.y + row as u16, area.right().saturating_sub(MARGIN), facts, before);
    }
}
