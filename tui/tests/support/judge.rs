//! A terminal that tells what was done to it.

use std::io;
use std::num::NonZero;
use std::sync::{Arc, Mutex};

use plasmon_protocol::report::is_harmful;
use plasmon_tui::app::App;
use plasmon_tui::terminal::{Screen as _, Tty};
use plasmon_tui::view;
use plasmon_tui::view::theme::Theme;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use vt100::{Callbacks, Parser, Screen};

/// What was done besides writing into cells.
#[derive(Default)]
struct Done(Vec<String>);

impl Callbacks for Done {
    fn audible_bell(&mut self, _: &mut Screen) {
        self.0.push("bell".to_owned());
    }

    fn visual_bell(&mut self, _: &mut Screen) {
        self.0.push("visual bell".to_owned());
    }

    fn resize(&mut self, _: &mut Screen, request: (u16, u16)) {
        self.0.push(format!("resize {request:?}"));
    }

    fn set_window_icon_name(&mut self, _: &mut Screen, name: &[u8]) {
        self.0.push(format!("icon {name:?}"));
    }

    fn set_window_title(&mut self, _: &mut Screen, title: &[u8]) {
        self.0.push(format!("title {title:?}"));
    }

    fn copy_to_clipboard(&mut self, _: &mut Screen, _: &[u8], data: &[u8]) {
        self.0.push(format!("copy {data:?}"));
    }

    fn paste_from_clipboard(&mut self, _: &mut Screen, _: &[u8]) {
        self.0.push("paste".to_owned());
    }

    fn unhandled_char(&mut self, _: &mut Screen, char: char) {
        self.0.push(format!("character {:x}", u32::from(char)));
    }

    fn unhandled_control(&mut self, _: &mut Screen, control: u8) {
        self.0.push(format!("control {control:x}"));
    }

    fn unhandled_escape(&mut self, _: &mut Screen, one: Option<u8>, two: Option<u8>, last: u8) {
        self.0.push(format!("escape {one:?} {two:?} {last}"));
    }

    fn unhandled_csi(&mut self, _: &mut Screen, one: Option<u8>, _: Option<u8>, parameters: &[&[u16]], last: char) {
        // The dashboard's own: one update of the whole screen, and no colour for lines below letters.
        let own = [(Some(b'?'), 2026, 'h'), (Some(b'?'), 2026, 'l'), (None, 59, 'm')];
        if !own.iter().any(|(sign, number, end)| (one, parameters, last) == (*sign, &[&[*number][..]][..], *end)) {
            self.0.push(format!("CSI {one:?} {parameters:?} {last}"));
        }
    }

    fn unhandled_osc(&mut self, _: &mut Screen, parameters: &[&[u8]]) {
        self.0.push(format!("OSC {parameters:?}"));
    }
}

/// A writer whose bytes can be looked at.
#[derive(Clone, Default)]
struct Tape(Arc<Mutex<Vec<u8>>>);

impl io::Write for Tape {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn terminal(columns: u16, rows: u16) -> Parser<Done> {
    Parser::new_with_callbacks(NonZero::new(rows).unwrap(), NonZero::new(columns).unwrap(), 0, Done::default())
}

/// The judge takes the replacement character for broken bytes and leaves it out: another one stands in for it.
fn standing_in(text: &str) -> String {
    text.replace(char::REPLACEMENT_CHARACTER, "\u{a4}")
}

/// More characters than this on one letter are not kept by the judge, bytes.
const KEPT: usize = 18;

/// What the dashboard draws arrives cell by cell, and does nothing else.
#[track_caller]
pub(crate) fn screen(app: &App, columns: u16, rows: u16, what: &str) {
    let tape = Tape::default();
    let mut tty = Tty::fixed(tape.clone(), Theme::new(true), columns, rows).unwrap();
    tty.draw(app).unwrap();
    let mut terminal = terminal(columns, rows);
    let bytes = String::from_utf8(tape.0.lock().unwrap().clone()).unwrap();
    terminal.process(standing_in(&bytes).as_bytes());
    assert_eq!(terminal.callbacks().0, Vec::<String>::new(), "{what}");
    let mut buffer = Buffer::empty(Rect::new(0, 0, columns, rows));
    view::draw(app, &Theme::new(true), &mut buffer);
    for y in 0..rows {
        let mut x = 0;
        while x < columns {
            let symbol = &*standing_in(buffer[(x, y)].symbol());
            assert!(!symbol.chars().any(is_harmful), "{what}: {symbol:?} at {x}, {y}");
            // A sign of several letters may stand in one cell or in as many as it takes.
            let wide = view::format::width(symbol).max(1);
            let cells = (x..x + wide).map(|x| terminal.screen().cell(y, x).unwrap().contents());
            let arrived: String = cells.collect();
            let blank = arrived.trim().is_empty() && symbol.trim().is_empty();
            let cut = arrived.len() >= KEPT && symbol.starts_with(&arrived);
            assert!(blank || cut || arrived == symbol, "{what}: {symbol:?} was meant and {arrived:?} arrived at {x}, {y}");
            x += wide;
        }
    }
}

/// A text of lines, each of which stands in its row as it is, and does nothing else.
#[track_caller]
pub(crate) fn lines(text: &str) {
    for line in text.lines() {
        assert!(!line.chars().any(is_harmful), "{line:?}");
        let mut terminal = terminal(u16::try_from(4 * line.len() + 2).unwrap(), 3);
        terminal.process(standing_in(line).as_bytes());
        assert_eq!(terminal.callbacks().0, Vec::<String>::new(), "{line:?}");
        let (row, column) = terminal.screen().cursor_position();
        assert_eq!(row, 0, "{line:?}");
        assert!(usize::from(column) <= 2 * line.chars().count(), "{line:?}");
        let shown: String = terminal.screen().rows(0, 4 * line.len() as u16 + 2).next().unwrap_or_default();
        let plain = |text: &str| text.chars().filter(|char| char.is_ascii_graphic()).collect::<String>();
        assert_eq!(plain(&shown), plain(line), "nothing is written over");
    }
}
