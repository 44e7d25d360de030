//! The loop that joins link, screen and app: drain what is ready, then draw, at a deadline.

use std::io::{self, Write};
use std::time::Duration;

use crossterm::event::{Event, MouseButton, MouseEvent, MouseEventKind};
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::app::mouse::Mouse;
use crate::app::{App, Effect, Msg};
use crate::keys::Key;
use crate::link::{Link, LinkEvent};
use crate::terminal::Screen;

/// The screen follows data this closely.
const AFTER_DATA: Duration = Duration::from_millis(33);
/// The screen follows keys this closely.
const AFTER_KEYS: Duration = Duration::from_millis(10);
/// Messages that are taken before the screen is due again.
const BATCH: usize = 256;

/// Why the dashboard ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExitReason {
    /// The viewer left.
    Quit,
    /// A signal asked for it.
    Signal,
    /// The program that opened it closed it.
    Closed,
    /// The terminal is gone.
    Hangup,
}

/// What reaches the loop from the program around it.
#[derive(Debug, Default)]
pub struct Outside {
    /// What that program is doing, for the header.
    pub progress: Option<watch::Receiver<String>>,
    /// Closes the dashboard when it turns true, or when its sender is dropped.
    pub quit_when: Option<watch::Receiver<bool>>,
}

/// Runs the dashboard until somebody leaves. `clock` tells the time in milliseconds since the Unix epoch.
///
/// # Errors
/// When the terminal cannot be drawn on.
pub async fn run<L: Link, S: Screen>(
    mut app: App,
    link: &mut L,
    screen: &mut S,
    mut outside: Outside,
    clock: impl Fn() -> u64,
) -> io::Result<ExitReason> {
    let (columns, rows) = screen.size()?;
    let mut input = screen.input();
    let mut signals = Signals::new()?;
    let mut effects = app.update(Msg::Tick(clock()));
    effects.extend(app.update(Msg::Resize(columns, rows)));
    let mut drawn_at = Instant::now();
    let mut draw_at = Some(drawn_at);
    let mut tick_at = drawn_at + Duration::from_millis(app.clock_ms());
    let mut linked = true;
    loop {
        for effect in std::mem::take(&mut effects) {
            match effect {
                Effect::Send(request) => link.send(request),
                Effect::Seek(at_ms) => link.seek(at_ms),
                Effect::Copy(text) => screen.copy(&text)?,
                Effect::Mouse(on) => screen.mouse(on)?,
                Effect::Save { stem, ending, text } => {
                    effects.extend(app.update(Msg::Saved(save(&stem, ending, &text))));
                }
                Effect::Redraw => screen.redraw()?,
                Effect::Suspend => {
                    // The reader must let go of the terminal before the shell reads it.
                    drop(input);
                    screen.suspend()?;
                    input = screen.input();
                    let (columns, rows) = screen.size()?;
                    effects.extend(app.update(Msg::Tick(clock())));
                    effects.extend(app.update(Msg::Resize(columns, rows)));
                }
                Effect::Quit => return Ok(ExitReason::Quit),
            }
        }
        let due = tokio::select! {
            biased;
            // First of all, or a flood of data would starve the screen.
            () = sleep_until(draw_at.unwrap_or(drawn_at)), if draw_at.is_some() => {
                screen.draw(&app)?;
                effects.extend(app.drawn());
                drawn_at = Instant::now();
                draw_at = None;
                tick_at = drawn_at + Duration::from_millis(app.clock_ms());
                continue;
            }
            event = input.next() => {
                effects.extend(app.update(Msg::Tick(clock())));
                match event {
                    Some(Ok(event)) => take_event(&mut app, event, &mut effects),
                    Some(Err(error)) => return Err(error),
                    None => return Ok(ExitReason::Hangup),
                }
                drawn_at + AFTER_KEYS
            }
            event = link.next(), if linked => {
                let now_ms = clock();
                effects.extend(app.update(Msg::Tick(now_ms)));
                match event {
                    Some(event) => take_link(&mut app, event, now_ms, &mut effects),
                    None => linked = false,
                }
                for _ in 0..BATCH {
                    let Some(event) = link.ready() else { break };
                    take_link(&mut app, event, now_ms, &mut effects);
                }
                drawn_at + AFTER_DATA
            }
            // What is about to be drawn has the time, too. A clock that is late already would turn the loop until that is due.
            () = sleep_until(tick_at), if draw_at.is_none() => drawn_at,
            text = changed(&mut outside.progress) => {
                effects.extend(app.update(Msg::Progress(text.unwrap_or_default())));
                drawn_at + AFTER_DATA
            }
            close = changed(&mut outside.quit_when) => {
                if close.unwrap_or(true) {
                    return Ok(ExitReason::Closed);
                }
                continue;
            }
            () = signals.next() => return Ok(ExitReason::Signal),
        };
        effects.extend(app.update(Msg::Tick(clock())));
        let due = due.max(Instant::now());
        draw_at = Some(draw_at.map_or(due, |earlier| earlier.min(due)));
    }
}

fn take_event(app: &mut App, event: Event, effects: &mut Vec<Effect>) {
    if matches!(event, Event::Resize(..)) {
        // A terminal that became smaller and as large again has lost what it showed, though its size is as it was.
        effects.push(Effect::Redraw);
    }
    let msg = match event {
        Event::Key(key) => Key::from_event(key).map(Msg::Key),
        Event::Paste(text) => Some(Msg::Paste(text)),
        Event::Resize(columns, rows) => Some(Msg::Resize(columns, rows)),
        Event::Mouse(event) => mouse(event).map(Msg::Mouse),
        Event::FocusGained | Event::FocusLost => None,
    };
    effects.extend(msg.map(|msg| app.update(msg)).unwrap_or_default());
}

fn mouse(event: MouseEvent) -> Option<Mouse> {
    match event.kind {
        MouseEventKind::Down(MouseButton::Left) => Some(Mouse::Click(event.column, event.row)),
        MouseEventKind::ScrollDown => Some(Mouse::WheelDown),
        MouseEventKind::ScrollUp => Some(Mouse::WheelUp),
        _ => None,
    }
}

/// Writes a new file into the working directory; its path, or why there is none. No file that is there is touched.
fn save(stem: &str, ending: &str, text: &str) -> Result<String, String> {
    for number in 1..100 {
        let name = if number == 1 { format!("{stem}.{ending}") } else { format!("{stem}-{number}.{ending}") };
        let made = std::fs::OpenOptions::new().write(true).create_new(true).open(&name);
        match made.and_then(|mut file| file.write_all(text.as_bytes())) {
            Ok(()) => return Ok(std::path::absolute(&name).map_or(name, |path| path.display().to_string())),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(format!("cannot save {name}: {error}")),
        }
    }
    Err(format!("cannot save {stem}.{ending}: a hundred of that name are there"))
}

fn take_link(app: &mut App, event: LinkEvent, now_ms: u64, effects: &mut Vec<Effect>) {
    effects.extend(app.update(match event {
        LinkEvent::Connected(node) => Msg::Connected(node),
        LinkEvent::Frame(frame) => Msg::Frame(frame),
        LinkEvent::Nodes(nodes) => Msg::Nodes(nodes),
        LinkEvent::Merged { id, merged } => Msg::Merged(id, merged),
        LinkEvent::Lost { error, retry_ms } => Msg::Lost { cause: error.to_string(), hint: error.hint(), retry_at_ms: now_ms + retry_ms },
    }));
}

/// The next value of a channel; `None` once when its sender is gone, then never again. Without a channel, never.
async fn changed<T: Clone>(channel: &mut Option<watch::Receiver<T>>) -> Option<T> {
    let Some(receiver) = channel else { return std::future::pending().await };
    if receiver.changed().await.is_err() {
        *channel = None;
        return None;
    }
    Some(receiver.borrow_and_update().clone())
}

/// The signals that end a program in order.
pub struct Signals {
    #[cfg(unix)]
    all: [tokio::signal::unix::Signal; 3],
}

impl Signals {
    /// Listens to them from now on.
    ///
    /// # Errors
    /// What the system says.
    #[cfg(unix)]
    pub fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { all: [signal(SignalKind::terminate())?, signal(SignalKind::hangup())?, signal(SignalKind::interrupt())?] })
    }

    /// Returns when one came.
    #[cfg(unix)]
    pub async fn next(&mut self) {
        let [terminate, hangup, interrupt] = &mut self.all;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            _ = interrupt.recv() => {}
        }
    }

    /// Listens to them from now on.
    ///
    /// # Errors
    /// None.
    #[cfg(not(unix))]
    pub fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Returns when one came.
    #[cfg(not(unix))]
    pub async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
