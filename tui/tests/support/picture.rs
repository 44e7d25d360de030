//! What a test sees of a screen: its text, the styles of its cells, and what its picture says.

use std::fmt::Write;

use plasmon_tui::svg;
use plasmon_tui::view::format::width;
use plasmon_tui::view::theme::Theme;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

use crate::stage::{self, Stage};

/// The sizes that every view is drawn at.
pub(crate) const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];

/// How a cell looks, in words; nothing when it looks like any text.
fn look(buffer: &Buffer, x: u16, y: u16) -> String {
    let cell = &buffer[(x, y)];
    let mut words = Vec::new();
    if cell.modifier != Modifier::empty() {
        words.push(format!("{:?}", cell.modifier).to_lowercase());
    }
    if cell.fg != Color::Reset {
        words.push(cell.fg.to_string().to_lowercase());
    }
    if cell.bg != Color::Reset {
        words.push(format!("on {}", cell.bg.to_string().to_lowercase()));
    }
    words.join(" ")
}

/// The styles of a screen: each look with a letter, then line by line the first cell, the cells and the letter of every run.
fn styles(buffer: &Buffer) -> String {
    let mut looks: Vec<String> = Vec::new();
    let mut lines = String::new();
    for y in 0..buffer.area.height {
        let mut runs: Vec<(u16, u16, usize)> = Vec::new();
        for x in 0..buffer.area.width {
            let look = look(buffer, x, y);
            // What is blank looks the same in most styles.
            if look.is_empty()
                || buffer[(x, y)].symbol() == " " && !look.contains("on ") && !look.contains("reversed") && !look.contains("underlined")
            {
                continue;
            }
            let at = looks.iter().position(|known| *known == look).unwrap_or_else(|| {
                looks.push(look);
                looks.len() - 1
            });
            match runs.last_mut() {
                Some((first, cells, last)) if *last == at && *first + *cells == x => *cells += 1,
                _ => runs.push((x, 1, at)),
            }
        }
        if !runs.is_empty() {
            let _ = write!(lines, "{y:>2}");
            for (first, cells, at) in runs {
                let _ = write!(lines, " {first}+{cells}{}", letter(at));
            }
            lines.push('\n');
        }
    }
    let named: Vec<String> = looks.iter().enumerate().map(|(at, look)| format!("{} {look}", letter(at))).collect();
    format!("{}\n{lines}", named.join(", "))
}

fn letter(at: usize) -> char {
    (b'a'..=b'z').chain(b'A'..=b'Z').nth(at).map_or('?', char::from)
}

/// A screen in sixteen colours and without any: its text, its styles, and what of both is other without colours.
pub(crate) fn both(stage: &Stage) -> String {
    let (colour, plain) = (stage.buffer(&Theme::new(true)), stage.buffer(&Theme::new(false)));
    for cell in plain.content() {
        assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset), "{cell:?}");
    }
    let text = stage::text(&colour);
    let mut both = format!("{text}\n-- styles: {}\n-- without colour: ", styles(&colour));
    both.push_str(&styles(&plain));
    for (y, (line, other)) in text.lines().zip(stage::text(&plain).lines()).enumerate() {
        if line != other {
            let _ = writeln!(both, "{y:>2} |{other}");
        }
    }
    for buffer in [colour, plain] {
        drawn(&buffer);
    }
    both
}

/// Draws a screen as a picture, and reads there what stands on the screen, cell by cell.
fn drawn(buffer: &Buffer) -> String {
    let picture = svg::render(buffer, "a test");
    let mut found = vec![vec![' '; usize::from(buffer.area.width)]; usize::from(buffer.area.height)];
    for line in picture.lines().filter(|line| line.starts_with("<text")) {
        let number = |name: &str| -> usize {
            let rest = line.split_once(&format!(" {name}=\"")).unwrap().1;
            rest[..rest.find('"').unwrap()].parse().unwrap()
        };
        let (_, text) = line.split_once('>').unwrap();
        let text = text.trim_end_matches("</text>").replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
        let (mut x, y) = ((number("x") - 12) / 9, (number("y") - 26) / 18);
        assert_eq!(number("textLength"), usize::from(width(&text)) * 9, "{line}");
        for char in text.chars() {
            let wide = usize::from(width(char.encode_utf8(&mut [0; 4])));
            if wide > 0 {
                found[y][x] = char;
            }
            x += wide;
        }
    }
    for y in 0..buffer.area.height {
        for x in 0..buffer.area.width {
            let symbol = buffer[(x, y)].symbol().chars().next().unwrap_or(' ');
            let is_shape = matches!(symbol, '█'..='▏' | '░'..='▓' | '─' | '\u{2800}'..='\u{28ff}');
            assert_eq!(found[usize::from(y)][usize::from(x)], if is_shape { ' ' } else { symbol }, "{x} {y} {symbol}");
        }
    }
    picture
}

/// A view at every size, with and without colours, as one text.
pub(crate) fn sheet(name: &str, mut at: impl FnMut(u16, u16) -> Stage) -> String {
    let mut all = String::new();
    for (columns, rows) in SIZES {
        let stage = at(columns, rows);
        let _ = writeln!(all, "==== {columns}x{rows}\n{}", both(&stage));
        shoot(name, &stage);
    }
    all
}

/// With `SHOTS=all` draws a screen into `target/tmp/pictures`, with and without colours, to be looked at.
pub(crate) fn shoot(name: &str, stage: &Stage) {
    if std::env::var_os("SHOTS").is_none_or(|value| value != "all") {
        return;
    }
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures");
    std::fs::create_dir_all(&directory).unwrap();
    for (theme, depth) in [(Theme::new(true), ""), (Theme::new(false), "_plain")] {
        let buffer = stage.buffer(&theme);
        let picture = svg::render(&buffer, name);
        std::fs::write(directory.join(format!("{name}_{}x{}{depth}.svg", buffer.area.width, buffer.area.height)), picture).unwrap();
    }
}
