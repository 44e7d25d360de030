//! A screen as a picture: a buffer to SVG, the same bytes for the same buffer.

use std::fmt::Write;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

use crate::view::format::width;

/// A cell in pixels.
const CELL: (u32, u32) = (9, 18);
/// Around the screen, pixels.
const BORDER: u32 = 12;
/// The screen's own colours.
const PAPER: &str = "#14181f";
const INK: &str = "#d5dae3";

/// How a run of cells is written.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Look {
    ink: &'static str,
    paper: &'static str,
    bold: bool,
    dim: bool,
    underlined: bool,
}

fn color(color: Color, default: &'static str) -> &'static str {
    match color {
        Color::Black => "#20262f",
        Color::Red => "#f2747c",
        Color::Green => "#8fc98a",
        Color::Yellow => "#e3bd6b",
        Color::Blue => "#74a7ee",
        Color::Magenta => "#c792dd",
        Color::Cyan => "#62c6cc",
        Color::Gray => "#aab2c0",
        Color::DarkGray => "#2c3542",
        Color::White => "#f2f5fa",
        // The dashboard uses the names above only.
        _ => default,
    }
}

fn look(cell: &Cell) -> Look {
    let (mut ink, mut paper) = (color(cell.fg, INK), color(cell.bg, PAPER));
    if cell.modifier.contains(Modifier::REVERSED) {
        std::mem::swap(&mut ink, &mut paper);
    }
    Look {
        ink,
        paper,
        bold: cell.modifier.contains(Modifier::BOLD),
        dim: cell.modifier.contains(Modifier::DIM),
        underlined: cell.modifier.contains(Modifier::UNDERLINED),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Runs of equal looks in one row: first cell, cells, look, text.
fn runs(buffer: &Buffer, y: u16) -> Vec<(u16, u16, Look, String)> {
    let mut runs: Vec<(u16, u16, Look, String)> = Vec::new();
    let mut x = buffer.area.x;
    while x < buffer.area.right() {
        let cell = &buffer[(x, y)];
        let cells = width(cell.symbol()).max(1);
        let look = look(cell);
        match runs.last_mut() {
            Some((_, len, last, text)) if *last == look => {
                *len += cells;
                text.push_str(cell.symbol());
            }
            _ => runs.push((x, cells, look, cell.symbol().to_owned())),
        }
        x += cells;
    }
    runs
}

/// The picture.
#[must_use]
pub fn render(buffer: &Buffer, title: &str) -> String {
    let area = buffer.area;
    let (wide, high) = (u32::from(area.width) * CELL.0 + 2 * BORDER, u32::from(area.height) * CELL.1 + 2 * BORDER);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{wide}\" height=\"{high}\" viewBox=\"0 0 {wide} {high}\" role=\"img\">\n\
         <title>{}</title>\n\
         <rect width=\"{wide}\" height=\"{high}\" rx=\"8\" fill=\"{PAPER}\"/>\n\
         <g font-family=\"ui-monospace,'SFMono-Regular','Cascadia Mono','DejaVu Sans Mono',Menlo,Consolas,monospace\" font-size=\"15\" \
         xml:space=\"preserve\">\n",
        escape(title)
    );
    // Writing to a string does not fail.
    for y in area.y..area.bottom() {
        let runs = runs(buffer, y);
        let top = BORDER + u32::from(y - area.y) * CELL.1;
        let left = |x: u16| BORDER + u32::from(x - area.x) * CELL.0;
        for (x, cells, look, _) in runs.iter().filter(|(_, _, look, _)| look.paper != PAPER) {
            let run = u32::from(*cells) * CELL.0;
            let _ = writeln!(svg, "<rect x=\"{}\" y=\"{top}\" width=\"{run}\" height=\"{}\" fill=\"{}\"/>", left(*x), CELL.1, look.paper);
        }
        for (x, _, look, text) in &runs {
            block(&mut svg, left(*x), top, look, text);
            let text: String = text.chars().map(|char| if is_block(char) { ' ' } else { char }).collect();
            // Wider gaps are left to the next text's place: no font and no viewer can move a column.
            let mut at = left(*x);
            for piece in text.split_inclusive("  ") {
                let ink = piece.trim_matches(' ');
                let indent = u32::try_from(piece.len() - piece.trim_start_matches(' ').len()).unwrap_or(0);
                if !ink.is_empty() {
                    written(&mut svg, at + indent * CELL.0, top + 14, look, ink);
                }
                at += u32::from(width(piece)) * CELL.0;
            }
        }
    }
    svg.push_str("</g>\n</svg>\n");
    svg
}

/// One text, as wide as its cells.
fn written(svg: &mut String, x: u32, y: u32, look: &Look, text: &str) {
    let run = u32::from(width(text)) * CELL.0;
    let _ = write!(svg, "<text x=\"{x}\" y=\"{y}\" textLength=\"{run}\" lengthAdjust=\"spacingAndGlyphs\" fill=\"{}\"", look.ink);
    if look.bold {
        svg.push_str(" font-weight=\"bold\"");
    }
    if look.dim {
        svg.push_str(" opacity=\"0.55\"");
    }
    if look.underlined {
        svg.push_str(" text-decoration=\"underline\"");
    }
    let _ = writeln!(svg, ">{}</text>", escape(text));
}

/// Glyphs that fill cells, drawn as shapes: fonts leave gaps between them. Also the rules and the dots of curves.
fn is_block(char: char) -> bool {
    is_dots(char) || matches!(char, '█'..='▏' | '░'..='▓' | '─')
}

/// The bits of a braille cell's dots, by column, from the top.
const DOTS: [[u32; 4]; 2] = [[0, 1, 2, 6], [3, 4, 5, 7]];

/// Draws the filling glyphs of a run, neighbours of one kind as one shape, all dots as one path.
fn block(svg: &mut String, left: u32, top: u32, look: &Look, text: &str) {
    let fade = if look.dim { 0.5 } else { 1.0 };
    let mut dots = String::new();
    let mut at = left;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let mut cells = 1;
        if is_block(char) && !is_dots(char) {
            while chars.next_if_eq(&char).is_some() {
                cells += 1;
            }
        }
        let run = cells * CELL.0;
        let mut shape = |y: u32, w: u32, h: u32, opacity: f32| {
            let _ =
                writeln!(svg, "<rect x=\"{at}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" fill=\"{}\" opacity=\"{opacity:.2}\"/>", look.ink);
        };
        match char {
            '█' => shape(top + 2, run, CELL.1 - 4, fade),
            '▉'..='▏' => shape(top + 2, (CELL.0 * (0x2590 - u32::from(char)) / 8).max(1), CELL.1 - 4, fade),
            '▓' => shape(top + 2, run, CELL.1 - 4, fade * 0.75),
            '▒' => shape(top + 2, run, CELL.1 - 4, fade * 0.5),
            '░' => shape(top + 2, run, CELL.1 - 4, fade * 0.25),
            '─' => shape(top + CELL.1 / 2, run, 1, fade * 0.6),
            _ if is_dots(char) => columns(&mut dots, at, top, u32::from(char) - 0x2800),
            _ => {}
        }
        at += run.max(u32::from(width(char.encode_utf8(&mut [0; 4])).max(1)) * CELL.0 * cells);
    }
    if !dots.is_empty() {
        let _ = writeln!(svg, "<path d=\"{dots}\" fill=\"{}\" opacity=\"{fade:.2}\"/>", look.ink);
    }
}

/// Dots above one another become one bar: a curve is an area, and its picture stays small.
fn columns(path: &mut String, x: u32, top: u32, bits: u32) {
    // Four and a half pixels a dot: the rows do not divide the cell evenly.
    let edge = |row: u32| top + row * CELL.1 / 4;
    for (column, rows) in (0_u32..).zip(DOTS) {
        let mut row = 0_u32;
        while row < 4 {
            let from = row;
            while row < 4 && bits >> rows[row as usize] & 1 == 1 {
                row += 1;
            }
            if row > from {
                let (x, wide) = (x + column * 5, 4);
                let _ = write!(path, "M{x} {}h{wide}v{}h-{wide}z", edge(from), edge(row) - edge(from));
            }
            row += 1;
        }
    }
}

fn is_dots(char: char) -> bool {
    ('\u{2800}'..='\u{28ff}').contains(&char)
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    #[test]
    fn a_picture_has_one_text_for_each_run_and_escapes_it() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 1));
        buffer.set_string(0, 0, "<a> ", Style::new());
        buffer.set_string(4, 0, "██", Style::new().fg(Color::Cyan));
        buffer.set_string(7, 0, "x&y", Style::new().add_modifier(Modifier::REVERSED));
        let svg = render(&buffer, "t<");
        assert_eq!(svg.matches("<text").count(), 2, "{svg}");
        assert!(svg.contains("&lt;a&gt;") && svg.contains("x&amp;y") && svg.contains("<title>t&lt;</title>"), "{svg}");
        assert!(svg.contains("textLength=\"27\"") && !svg.contains("script"), "{svg}");
        assert_eq!(svg, render(&buffer, "t<"), "the same bytes for the same buffer");
    }
}
