//! `plasmon` and `plasmon attach` without the dashboard: the report, or a view as it would be drawn.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use plasmon_protocol::error::Error;
use plasmon_tui::app::route::Page;

use plasmon_tui::command::{Failure, Found, Memory, memory_report};

/// What is printed instead of opening the dashboard.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Output {
    /// Print the report, also where a terminal is, instead of opening the dashboard
    #[arg(long)]
    once: bool,
    /// Print it as JSON; with --watch, one line each time
    #[arg(long)]
    json: bool,
    /// Print it again every second, until interrupted
    #[arg(long)]
    watch: bool,
    /// Print a view instead, as the dashboard draws it: overview, references, sites, spill, tasks, processes, events, dead or node
    #[arg(long, value_name = "NAME", conflicts_with = "json")]
    view: Option<String>,
}

impl Output {
    /// Whether anything is to be printed.
    pub(crate) fn is_wanted(&self) -> bool {
        self.once || self.json || self.watch || self.view.is_some()
    }

    /// Whether it is printed until somebody interrupts it.
    pub(crate) fn is_endless(&self) -> bool {
        self.watch
    }

    /// Prints what is asked for.
    pub(crate) fn print(&self, found: &Found) -> Result<(), Failure> {
        let Some(name) = &self.view else {
            let memory = Memory { json: self.json, watch: self.watch, ..Memory::of_everything() };
            return memory_report(&memory, |_| Ok(found.clone())).map(drop);
        };
        let page = page(name)?;
        // As wide as the terminal; without one, as wide as a page.
        let size = crossterm::terminal::size().ok().filter(|_| crate::can_be_drawn_on()).unwrap_or((120, 40));
        loop {
            let text = plasmon_tui::fetch_view(&found.url, found.token.as_deref(), page, size)?;
            let mut out = std::io::stdout().lock();
            let clear = if self.watch && crate::can_be_drawn_on() { "\x1b[H\x1b[2J" } else { "" };
            match write!(out, "{clear}{text}").and_then(|()| out.flush()) {
                Ok(()) if self.watch => std::thread::sleep(Duration::from_secs(1)),
                Ok(()) => return Ok(()),
                // Whoever read has seen enough.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
                Err(error) => return Err(Error::system("write the view", error).into()),
            }
        }
    }
}

/// The view of that name, in any of its spellings.
fn page(name: &str) -> Result<Page, Failure> {
    let names = |page: &Page| [page.title(), page.medium(), page.short()].map(str::to_lowercase);
    let found = Page::ALL.iter().find(|page| names(page).contains(&name.to_lowercase()));
    found.copied().ok_or_else(|| {
        let all: Vec<String> = Page::ALL.iter().map(|page| page.medium().to_lowercase()).collect();
        Error::invalid("--view", name, format!("there are {}", all.join(", "))).into()
    })
}
