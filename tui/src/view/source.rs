//! A source excerpt, the line that is meant marked.

use std::borrow::Cow;

use plasmon_protocol::record::Site;
use plasmon_protocol::stream::Source;
use ratatui::layout::Rect;

use super::format::{cut_start, width};
use super::paint::{MARGIN, Paint};
use super::theme::Role;

/// What is said of a file whose lines may not be those that the program was built from.
const CHANGED: &str = "changed since the build";

/// Draws the lines around the marked one; without a source, why there is none.
pub fn draw(paint: &mut Paint<'_>, area: Rect, site: &Site, source: Option<&Source>) {
    if area.height == 0 {
        return;
    }
    let place = format!("{}:{}", site.file, site.line);
    let changed = source.is_some_and(|source| source.changed_ms.is_some());
    // Beside what stands around and between them.
    let left = |note: &str| area.width.saturating_sub(if note.is_empty() { 6 } else { 7 + width(note) });
    let note = match changed {
        false => "",
        true if width(&place) <= left(CHANGED) => CHANGED,
        true => "file changed",
    };
    let room = left(note);
    paint.rule_of(Rect { height: 1, ..area }, &[(&cut_start(&place, room), Role::Title)], &[(note, Role::Warn)]);
    let body = Rect { y: area.y + 1, height: area.height - 1, ..area };
    let Some(source) = source.filter(|source| !source.lines.is_empty()) else {
        let why = if site.file.is_empty() { "the place is not known" } else { "the agent cannot read this file" };
        return paint.sentence(body, why);
    };
    let marked = usize::try_from(source.marked_line.saturating_sub(source.first_line)).unwrap_or(0);
    let height = usize::from(body.height);
    let first = marked.saturating_sub(height / 2).min(source.lines.len().saturating_sub(height));
    let last_number = u64::from(source.first_line) + (first + height) as u64;
    let digits = u16::try_from(last_number.to_string().len()).unwrap_or(1);
    // Common indentation says nothing and costs room.
    let shown = source.lines.iter().enumerate().skip(first).take(height);
    let indent = shown
        .clone()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(_, line)| line.len() - line.trim_start_matches(' ').len())
        .min()
        .unwrap_or(0);
    let text_x = body.x + MARGIN + digits + 2;
    let room = body.right().saturating_sub(text_x + 1);
    let step = step(source.lines.get(marked).map_or("", String::as_str).get(indent..).unwrap_or(""), room);
    for (row, (at, line)) in shown.enumerate() {
        let y = body.y + row as u16;
        let number = u64::from(source.first_line) + at as u64;
        let is_marked = number == u64::from(source.marked_line);
        let (role, sign) = if is_marked { (Role::Marked, "▶") } else { (Role::Dim, " ") };
        paint.text(body.x, y, 1, sign, Role::Accent);
        paint.right(body.x + MARGIN, y, digits, &number.to_string(), if is_marked { Role::Accent } else { Role::Dim });
        let text = narrowed(line.get(indent..).unwrap_or(line.trim_start()), step);
        paint.text(text_x, y, room, &text, if is_marked { role } else { Role::Text });
    }
}

/// By how much the indentation of all lines is divided, so that the marked one can be read in so many columns.
fn step(marked: &str, room: u16) -> usize {
    [1, 2, 4].into_iter().find(|step| width(&narrowed(marked, *step)) <= room).unwrap_or(4)
}

/// A line with a part of its indentation.
fn narrowed(line: &str, step: usize) -> Cow<'_, str> {
    let text = line.trim_start_matches(' ');
    let indent = line.len() - text.len();
    if step == 1 || indent == 0 { Cow::Borrowed(line) } else { Cow::Owned(format!("{:1$}{text}", "", indent / step)) }
}

#[cfg(test)]
mod tests {
    use super::{narrowed, step};

    #[test]
    fn a_marked_line_that_is_too_long_gives_up_indentation_first() {
        let line = "        put(&x)?";
        assert_eq!(step(line, 16), 1);
        assert_eq!(step(line, 15), 2);
        assert_eq!(step(line, 10), 4);
        assert_eq!(step(line, 3), 4);
        assert_eq!(narrowed(line, 1), line);
        assert_eq!(narrowed(line, 2), "    put(&x)?");
        assert_eq!(narrowed("   ", 4), "");
        assert_eq!(narrowed("put", 4), "put");
    }
}
