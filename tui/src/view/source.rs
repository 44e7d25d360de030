//! A source excerpt, the line that is meant marked.

use plasmon_protocol::record::Site;
use plasmon_protocol::stream::Source;
use ratatui::layout::Rect;

use super::format::{cut_start, width};
use super::paint::{MARGIN, Paint};
use super::theme::Role;

/// Draws the lines around the marked one; without a source, why there is none.
pub fn draw(paint: &mut Paint<'_>, area: Rect, site: &Site, source: Option<&Source>) {
    if area.height == 0 {
        return;
    }
    let place = format!("{}:{}", site.file, site.line);
    let changed = source.is_some_and(|source| source.changed_ms.is_some());
    let note = if changed { "changed since the build" } else { "" };
    let room = area.width.saturating_sub(6 + if changed { width(note) + 5 } else { 0 });
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
    for (row, (at, line)) in shown.enumerate() {
        let y = body.y + row as u16;
        let number = u64::from(source.first_line) + at as u64;
        let is_marked = number == u64::from(source.marked_line);
        let (role, sign) = if is_marked { (Role::Marked, "▶") } else { (Role::Dim, " ") };
        paint.text(body.x, y, 1, sign, Role::Accent);
        paint.right(body.x + MARGIN, y, digits, &number.to_string(), if is_marked { Role::Accent } else { Role::Dim });
        let x = body.x + MARGIN + digits + 2;
        let text = line.get(indent..).unwrap_or(line.trim_start());
        let room = body.right().saturating_sub(x + 1);
        paint.text(x, y, room, text, if is_marked { role } else { Role::Text });
    }
}
