//! What a program calls to show an agent.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use crate::app::{App, Settings};
use crate::error::Error;
use crate::link::many::ManyLink;
use crate::link::replay::ReplayLink;
use crate::link::websocket::{Door, WebSocketLink};
use crate::recording::Recording;
use crate::run::{ExitReason, Outside, run};
use crate::terminal::take_over;
use crate::view::theme::Theme;

/// Which agent to show, and how.
#[derive(Debug, Default)]
pub struct DashboardOptions {
    /// `ws://host:port`
    pub url: String,
    /// More agents, which are shown with it as one; each with its token.
    pub more: Vec<Door>,
    /// The agent's token.
    pub token: Option<String>,
    /// What the header calls the agent's address; the URL's host and port when empty.
    pub address: String,
    /// A line about what the program behind it is doing, for the header.
    pub progress: Option<watch::Receiver<String>>,
    /// How it looks.
    pub theme: Theme,
    /// Closes the dashboard when it turns true, or when its sender is dropped.
    pub quit_when: Option<watch::Receiver<bool>>,
}

/// Shows the dashboard on this process's terminal until the viewer leaves. Connects first: an agent that cannot be reached is
/// an error before the terminal is touched; one that is lost later is waited for. Blocks; must not be called within a runtime.
///
/// # Errors
/// When there is no connection at first, or the terminal cannot be used.
pub fn dashboard(options: DashboardOptions) -> Result<ExitReason, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    let reason = runtime.block_on(show(options));
    // A connection that is being made must not delay the way out.
    runtime.shutdown_background();
    reason
}

/// As [`dashboard`], within a runtime.
///
/// # Errors
/// When there is no connection at first, or the terminal cannot be used.
pub async fn show(options: DashboardOptions) -> Result<ExitReason, Error> {
    let DashboardOptions { url, more, token, address, progress, theme, quit_when } = options;
    let door = Door { url, token };
    let address = if address.is_empty() { door.address() } else { address };
    let (connection, node) = door.connect().await?;
    let first = WebSocketLink::keep(door, connection, node);
    let mut others = Vec::new();
    for door in more {
        let (connection, node) = door.connect().await?;
        others.push(WebSocketLink::keep(door, connection, node));
    }
    let address = if others.is_empty() { address } else { format!("{address} +{}", others.len()) };
    let mut app = App::new(Settings { address, utc_offset_ms: utc_offset_ms() });
    if let Some(progress) = &progress {
        app.progress.clone_from(&progress.borrow());
    }
    let (mut screen, guard) = take_over(theme).map_err(Error::Terminal)?;
    let outside = Outside { progress, quit_when };
    let reason = if others.is_empty() {
        let mut link = first;
        run(app, &mut link, &mut screen, outside, now_ms).await
    } else {
        let mut link = ManyLink::new(std::iter::once(first).chain(others).collect());
        run(app, &mut link, &mut screen, outside, now_ms).await
    };
    drop(guard);
    reason.map_err(Error::Terminal)
}

/// Shows a recording on this process's terminal until the viewer leaves; the header calls it `name`. Blocks; must not be called within a
/// runtime.
///
/// # Errors
/// When the terminal cannot be used.
pub fn replay(recording: Recording, name: String, theme: Theme) -> Result<ExitReason, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    runtime.block_on(async {
        let app = App::new(Settings { address: name, utc_offset_ms: utc_offset_ms() }).of_recording(recording.timeline().clone());
        let mut link = ReplayLink::new(recording);
        let (mut screen, guard) = take_over(theme).map_err(Error::Terminal)?;
        let reason = run(app, &mut link, &mut screen, Outside::default(), now_ms).await;
        drop(guard);
        reason.map_err(Error::Terminal)
    })
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

pub(crate) fn utc_offset_ms() -> i64 {
    let now = jiff::Timestamp::now();
    i64::from(jiff::tz::TimeZone::system().to_offset(now).seconds()) * 1000
}
