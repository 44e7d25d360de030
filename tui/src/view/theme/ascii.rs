//! A screen in ASCII alone: for fonts and terminals that have nothing else.

use ratatui::buffer::Buffer;

/// Dots of a braille cell, from none to eight.
const DOTS: &[u8; 9] = b" .:-=+*%#";

/// What stands for a symbol.
fn plain(symbol: &str) -> char {
    let Some(char) = symbol.chars().next() else { return ' ' };
    match char {
        ' '..='~' => char,
        '─' => '-',
        '│' | '├' => '|',
        '└' => '`',
        '▸' | '▶' | '›' | '→' => '>',
        '←' => '<',
        '▲' | '↑' => '^',
        '▼' | '↓' => 'v',
        '·' | '…' => '.',
        '✓' => '+',
        '✗' | '×' => 'x',
        '▪' => '*',
        '█' | '▉' | '▊' | '▋' => '#',
        '▓' => '=',
        '▒' => '-',
        '▌' | '▍' | '▎' | '▏' => '|',
        '░' => '.',
        // The ledger's lines where colours cannot tell them apart.
        '▚' => '%',
        '▞' => '/',
        '◢' => 'A',
        '◤' => 'V',
        '▤' => '"',
        '▫' => 'o',
        '▖' => ',',
        '⏎' => '/',
        '\u{2800}'..='\u{28ff}' => {
            let dots = (u32::from(char) - 0x2800).count_ones();
            char::from(DOTS.get(dots as usize).copied().unwrap_or(b'#'))
        }
        _ => '?',
    }
}

/// Writes every cell in ASCII. What is two cells wide is two signs.
pub fn write(buffer: &mut Buffer) {
    let area = buffer.area;
    for y in area.y..area.bottom() {
        let mut x = area.x;
        while x < area.right() {
            let symbol = buffer[(x, y)].symbol();
            let wide = crate::view::format::width(symbol).max(1);
            if !symbol.is_ascii() {
                let char = plain(symbol);
                for x in x..(x + wide).min(area.right()) {
                    buffer[(x, y)].set_char(char);
                }
            }
            x += wide;
        }
    }
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    #[test]
    fn every_cell_is_ascii_and_nothing_moves() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 20, 1));
        buffer.set_string(0, 0, "─ é日本│▸ ⣿⡀ 1.5G ▲", Style::new());
        write(&mut buffer);
        let text: String = buffer.content().iter().map(ratatui::buffer::Cell::symbol).collect();
        assert_eq!(text, "- ?????|> #. 1.5G ^ ");
    }

    #[test]
    fn the_ledgers_lines_still_differ() {
        let theme = super::super::Theme::new(false);
        let glyphs: std::collections::BTreeSet<char> = (0..12).map(|line| plain(&theme.shade(line).to_string())).collect();
        assert_eq!(glyphs.len(), 12);
    }
}
