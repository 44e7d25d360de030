//! A terminal emulator with a program in it.

use std::io::{Read, Write};
use std::num::NonZero;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtyPair, PtySize, SlavePty, native_pty_system};
use rustix::process::Signal;

use crate::place::{PATIENCE, Place, signal, until, workspace};

pub(crate) struct Screen {
    parser: Arc<Mutex<vt100::Parser>>,
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
        let parser = Arc::new(Mutex::new(vt100::Parser::new(dimension(rows), dimension(columns), 0)));
        let mut output = master.try_clone_reader().unwrap();
        let emulator = Arc::clone(&parser);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Ends when nobody has the terminal open any more.
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                emulator.lock().unwrap().process(&bytes[..read]);
            }
        });
        let child = slave.spawn_command(command).unwrap();
        Self { parser, keyboard: master.take_writer().unwrap(), master, _slave: slave, child, modes }
    }

    /// What stands on the screen.
    pub(crate) fn text(&self) -> String {
        let parser = self.parser.lock().unwrap();
        let (_, columns) = parser.screen().size();
        let rows: Vec<String> = parser.screen().rows(0, columns.get()).map(|row| row.trim_end().to_owned()).collect();
        rows.join("\n")
    }

    /// Looks at the emulator.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&vt100::Screen) -> T) -> T {
        at(self.parser.lock().unwrap().screen())
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
        self.parser.lock().unwrap().screen_mut().set_size(dimension(rows), dimension(columns));
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
        let left = |screen: &vt100::Screen| !screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste();
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
