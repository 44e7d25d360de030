//! A terminal emulator with a program in it.

use std::io::{Read, Write};
use std::num::NonZero;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtyPair, PtySize, SlavePty, native_pty_system};
use rustix::process::Signal;

use super::place::{PATIENCE, Place, signal, until, workspace};

/// What the terminal has taken in.
struct Emulator {
    parser: vt100::Parser,
    /// Between the begin and the end of a synchronized update: a terminal shows nothing of it yet.
    updating: bool,
    /// The last bytes, where a mark may be cut.
    tail: Vec<u8>,
}

impl Emulator {
    fn take(&mut self, bytes: &[u8]) {
        const BEGIN: &[u8] = b"\x1b[?2026h";
        const END: &[u8] = b"\x1b[?2026l";
        self.parser.process(bytes);
        self.tail.extend_from_slice(bytes);
        if let Some(mark) = self.tail.windows(BEGIN.len()).rev().find(|part| *part == BEGIN || *part == END) {
            self.updating = mark == BEGIN;
        }
        let keep = self.tail.len().min(BEGIN.len() - 1);
        self.tail.drain(..self.tail.len() - keep);
    }
}

pub(crate) struct Screen {
    emulator: Arc<Mutex<Emulator>>,
    master: Box<dyn MasterPty + Send>,
    /// Open for as long as the terminal's modes are looked at.
    _slave: Box<dyn SlavePty + Send>,
    keyboard: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    modes: String,
}

fn size(columns: u16, rows: u16) -> PtySize {
    PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }
}

/// `plasmon` with these arguments, to be started in a terminal.
pub(crate) fn command(place: &Place, arguments: &[&str]) -> CommandBuilder {
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_plasmon"));
    command.args(arguments);
    command.env_clear();
    for (name, value) in place.environment() {
        command.env(name, value);
    }
    command.cwd(workspace());
    command
}

impl Screen {
    /// `plasmon` with these arguments in a terminal of this size.
    pub(crate) fn open(place: &Place, columns: u16, rows: u16, arguments: &[&str]) -> Self {
        Self::run(columns, rows, command(place, arguments))
    }

    pub(crate) fn run(columns: u16, rows: u16, command: CommandBuilder) -> Self {
        let PtyPair { master, slave } = native_pty_system().openpty(size(columns, rows)).unwrap();
        let modes = format!("{:?}", master.get_termios().unwrap());
        let dimension = |number| NonZero::new(number).unwrap();
        let parser = vt100::Parser::new(dimension(rows), dimension(columns), 0);
        let emulator = Arc::new(Mutex::new(Emulator { parser, updating: false, tail: Vec::new() }));
        let mut output = master.try_clone_reader().unwrap();
        let taker = Arc::clone(&emulator);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Ends when nobody has the terminal open any more.
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                taker.lock().unwrap().take(&bytes[..read]);
            }
        });
        let child = slave.spawn_command(command).unwrap();
        Self { emulator, keyboard: master.take_writer().unwrap(), master, _slave: slave, child, modes }
    }

    /// What stands on the screen.
    pub(crate) fn text(&self) -> String {
        self.look(|screen| {
            let (_, columns) = screen.size();
            let rows: Vec<String> = screen.rows(0, columns.get()).map(|row| row.trim_end().to_owned()).collect();
            rows.join("\n")
        })
    }

    /// Looks at the emulator, never at half an update; but for one that its program did not live to end.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&vt100::Screen) -> T) -> T {
        let deadline = Instant::now() + Duration::from_secs(2);
        loop {
            let emulator = self.emulator.lock().unwrap();
            if !emulator.updating || Instant::now() > deadline {
                return at(emulator.parser.screen());
            }
            drop(emulator);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits for a picture.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, what: &str, seen: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.text();
            if seen(&text) {
                return text;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(Instant::now() < deadline && ended.is_none(), "waited in vain for {what}, ended: {ended:?}, before:\n{text}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until all of these are on the screen.
    #[track_caller]
    pub(crate) fn shows(&mut self, parts: &[&str]) -> String {
        self.wait_for(&format!("{parts:?}"), |text| parts.iter().all(|part| text.contains(part)))
    }

    /// Waits until this is not on the screen any more.
    #[track_caller]
    pub(crate) fn hides(&mut self, part: &str) -> String {
        self.wait_for(&format!("no '{part}'"), |text| !text.contains(part))
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    /// Presses and waits for what it shows.
    #[track_caller]
    pub(crate) fn press_for(&mut self, keys: &str, parts: &[&str]) -> String {
        self.press(keys);
        self.shows(parts)
    }

    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        let dimension = |number| NonZero::new(number).unwrap();
        self.emulator.lock().unwrap().parser.screen_mut().set_size(dimension(rows), dimension(columns));
        self.master.resize(size(columns, rows)).unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.process_id().unwrap()
    }

    pub(crate) fn signal(&self, which: Signal) {
        signal(self.pid(), which);
    }

    /// Waits for the program's end; its exit code. The terminal is as it was.
    #[track_caller]
    pub(crate) fn end(&mut self) -> u32 {
        let child = &mut self.child;
        let code = until("the program's end", || child.try_wait().unwrap()).exit_code();
        let left = |screen: &vt100::Screen| {
            let mouse = screen.mouse_protocol_mode() != vt100::MouseProtocolMode::None;
            !screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste() && !mouse
        };
        until("the terminal to be given back", || self.look(left).then_some(()));
        assert_eq!(format!("{:?}", self.master.get_termios().unwrap()), self.modes, "the terminal's modes are not restored");
        code
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
