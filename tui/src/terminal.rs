//! The terminal: taken over, drawn on, and given back as it was found.

use std::cell::Cell;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use crossterm::clipboard::CopyToClipboard;
use crossterm::cursor::{Hide, Show};
use crossterm::event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture, Event, EventStream};
use crossterm::style::ResetColor;
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode,
};
use crossterm::{execute, queue};
use futures_util::Stream;
use futures_util::stream::BoxStream;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

use crate::app::App;
use crate::view;
use crate::view::theme::Theme;

/// Where the dashboard is drawn, and where keys come from.
pub trait Screen {
    /// What the terminal reports, from now on. Whoever reads it must drop it before the terminal is given away.
    fn input(&mut self) -> BoxStream<'static, io::Result<Event>>;

    /// Its size: columns, rows.
    ///
    /// # Errors
    /// When the terminal is gone.
    fn size(&self) -> io::Result<(u16, u16)>;

    /// Draws what has changed.
    ///
    /// # Errors
    /// When the terminal is gone.
    fn draw(&mut self, app: &App) -> io::Result<()>;

    /// Forgets what is on the screen: the next drawing draws everything.
    ///
    /// # Errors
    /// When the terminal is gone.
    fn redraw(&mut self) -> io::Result<()>;

    /// Puts a text on the clipboard of whoever sits before the terminal.
    ///
    /// # Errors
    /// When the terminal is gone.
    fn copy(&mut self, text: &str) -> io::Result<()>;

    /// Takes the mouse, or gives it back to the terminal.
    ///
    /// # Errors
    /// When the terminal is gone.
    fn mouse(&mut self, on: bool) -> io::Result<()>;

    /// Gives the terminal back until the shell continues this process.
    ///
    /// # Errors
    /// When the terminal is gone.
    fn suspend(&mut self) -> io::Result<()>;
}

/// A terminal behind a writer.
pub struct Tty<W: Write> {
    terminal: Terminal<CrosstermBackend<W>>,
    theme: Theme,
    has_mouse: bool,
    /// Whether it is the process's own, which a panic gives back.
    is_own: bool,
}

/// Takes the terminal over.
fn enter(writer: &mut impl Write) -> io::Result<()> {
    execute!(writer, EnterAlternateScreen, EnableBracketedPaste, Hide)
}

/// Gives the terminal back: every mode that was set is unset, and no colour is left behind.
///
/// # Errors
/// When the writer fails.
pub fn leave(writer: &mut impl Write) -> io::Result<()> {
    execute!(writer, EndSynchronizedUpdate, DisableMouseCapture, DisableBracketedPaste, ResetColor, LeaveAlternateScreen, Show)
}

impl<W: Write> Tty<W> {
    /// A terminal behind any writer, modes set; raw mode is not touched.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn over(mut writer: W, theme: Theme) -> io::Result<Self> {
        enter(&mut writer)?;
        Ok(Self { terminal: Terminal::new(CrosstermBackend::new(writer))?, theme, has_mouse: false, is_own: false })
    }

    /// As [`Tty::over`], with a size of its own instead of the terminal's.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn fixed(mut writer: W, theme: Theme, columns: u16, rows: u16) -> io::Result<Self> {
        enter(&mut writer)?;
        let area = ratatui::layout::Rect::new(0, 0, columns, rows);
        let options = ratatui::TerminalOptions { viewport: ratatui::Viewport::Fixed(area) };
        Ok(Self { terminal: Terminal::with_options(CrosstermBackend::new(writer), options)?, theme, has_mouse: false, is_own: false })
    }

    /// What is written to.
    pub fn writer(&mut self) -> &mut impl Write {
        self.terminal.backend_mut()
    }

    /// The right to write on it, until it is dropped.
    ///
    /// # Errors
    /// When a panic has given the terminal back: what it says would be drawn over.
    fn turn(&self) -> io::Result<Option<MutexGuard<'static, ()>>> {
        if !self.is_own {
            return Ok(None);
        }
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        if !TAKEN.load(Ordering::Acquire) {
            return Err(io::Error::other("the terminal was given back when something in this program panicked"));
        }
        Ok(Some(turn))
    }
}

/// Gives the terminal back when dropped, however that comes about.
#[derive(Debug)]
pub struct Guard(());

impl Drop for Guard {
    fn drop(&mut self) {
        restore();
    }
}

/// Whether the process's terminal is taken over.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// Held by who writes on the process's terminal.
static TURN: Mutex<()> = Mutex::new(());

thread_local! {
    /// Whether this thread is the one that took the terminal over.
    static DRAWS: Cell<bool> = const { Cell::new(false) };
}

/// Gives the process's terminal back, once: to leave the alternate screen again would put the cursor onto what was printed since. Nothing
/// can be done about failures: there is no other place to tell them.
fn restore() {
    if !TAKEN.swap(false, Ordering::AcqRel) {
        return;
    }
    let _ = leave(&mut io::stdout());
    let _ = disable_raw_mode();
}

/// Takes the process's terminal over. A panic anywhere gives it back before its message is printed; from then on it cannot be drawn on.
///
/// # Errors
/// When standard output is no terminal.
pub fn take_over(theme: Theme) -> io::Result<(Tty<io::Stdout>, Guard)> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // Another thread's panic waits until a picture that has begun is whole; a panic while drawing has the turn already.
            let turn = (!DRAWS.get()).then(|| TURN.lock());
            restore();
            drop(turn);
            previous(panic);
        }));
    });
    // The theme decides: where it has colours they are sent, whatever the environment says.
    crossterm::style::force_color_output(theme.is_coloured());
    enable_raw_mode()?;
    DRAWS.set(true);
    TAKEN.store(true, Ordering::Release);
    let guard = Guard(());
    Ok((Tty { is_own: true, ..Tty::over(io::stdout(), theme)? }, guard))
}

impl<W: Write> Screen for Tty<W> {
    fn input(&mut self) -> BoxStream<'static, io::Result<Event>> {
        let stream: std::pin::Pin<Box<dyn Stream<Item = io::Result<Event>> + Send>> = Box::pin(EventStream::new());
        stream
    }

    fn size(&self) -> io::Result<(u16, u16)> {
        self.terminal.size().map(|size| (size.width, size.height))
    }

    fn draw(&mut self, app: &App) -> io::Result<()> {
        let _turn = self.turn()?;
        queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        let theme = &self.theme;
        let drawn = self.terminal.draw(|frame| view::draw(app, theme, frame.buffer_mut())).map(drop);
        execute!(self.terminal.backend_mut(), EndSynchronizedUpdate)?;
        drawn
    }

    fn redraw(&mut self) -> io::Result<()> {
        let _turn = self.turn()?;
        // `Terminal::clear` would ask the terminal where the cursor is, and its answer would come among the keys.
        execute!(self.terminal.backend_mut(), Clear(ClearType::All))?;
        self.terminal.swap_buffers();
        self.terminal.swap_buffers();
        Ok(())
    }

    fn copy(&mut self, text: &str) -> io::Result<()> {
        let _turn = self.turn()?;
        execute!(self.terminal.backend_mut(), CopyToClipboard::to_clipboard_from(text))
    }

    fn mouse(&mut self, on: bool) -> io::Result<()> {
        let _turn = self.turn()?;
        self.has_mouse = on;
        let writer = self.terminal.backend_mut();
        if on { execute!(writer, EnableMouseCapture) } else { execute!(writer, DisableMouseCapture) }
    }

    fn suspend(&mut self) -> io::Result<()> {
        let turn = self.turn()?;
        leave(self.terminal.backend_mut())?;
        disable_raw_mode()?;
        // Stops here; the shell's `fg` lets it go on.
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TSTP)?;
        enable_raw_mode()?;
        enter(self.terminal.backend_mut())?;
        if self.has_mouse {
            execute!(self.terminal.backend_mut(), EnableMouseCapture)?;
        }
        drop(turn);
        self.redraw()
    }
}
