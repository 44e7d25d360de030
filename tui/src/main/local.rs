//! What only works where agents run: finding one, starting one, the demo.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::Args;
use plasmon::Options;
use plasmon_agent::config::AgentOptions;
use plasmon_agent::machine::doctor::{self, Facts};
use plasmon_agent::session::{find_live, temp_dir};
use plasmon_protocol::doctor::Check;
use plasmon_protocol::error::Error;
use plasmon_protocol::size::Bytes;
use plasmon_tui::view::theme::Theme;
use tokio::sync::watch;

use crate::demo::{self, Outcome, Plan};
use crate::looks::Looks;
use plasmon_tui::command::{Failure, Found, Memory, print, read_token};

/// `plasmon demo`
#[derive(Args, Debug)]
pub(crate) struct DemoOptions {
    /// Sort the lines of this file, in a store a quarter as large, at least 64 MiB [default: 256 MiB of generated records]
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Write the sorted lines to this file
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Stay when the work is done, until q [default: at most a minute]
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    looks: Looks,
    #[command(flatten)]
    agent: AgentOptions,
}

/// `plasmon agent`
#[derive(Args, Debug)]
pub(crate) struct AgentCommand {
    #[command(flatten)]
    agent: AgentOptions,
}

pub(crate) fn agent(command: AgentCommand) -> Result<(), Failure> {
    Ok(plasmon_agent::command::run(command.agent)?)
}

/// This user's newest live agent.
pub(crate) fn newest(token_file: Option<&Path>) -> Result<Found, Failure> {
    let found = find_live(&temp_dir())?.into_iter().next().ok_or_else(|| Failure {
        message: format!("no agent of this user is running under {}", temp_dir().display()),
        hint: "start one with `plasmon agent`, or try `plasmon demo`".to_owned(),
    })?;
    let token = read_token(token_file.unwrap_or(&found.address.token_file))?;
    Ok(Found { url: format!("ws://{}", found.address.listen), token: Some(token) })
}

/// What this machine allows an agent that spills to these directories, or where it would when there are none.
pub(crate) fn checks(spill_dirs: &[PathBuf]) -> Vec<Check> {
    let spill_dirs = if spill_dirs.is_empty() { doctor::default_spill_dirs(&temp_dir()) } else { spill_dirs.to_vec() };
    doctor::examine(&Facts { capacity_bytes: None, spill_dirs })
}

pub(crate) fn demo(options: DemoOptions) -> Result<(), Failure> {
    let theme = options.looks.theme()?;
    let mut plan = Plan { input: options.input, output: options.output, store: 0 };
    let size = match &plan.input {
        Some(path) => {
            let facts = std::fs::metadata(path).map_err(|error| Error::system(format!("read {}", path.display()), error))?;
            if !facts.is_file() {
                return Err(Error::invalid("--input", path.display().to_string(), "it is not a regular file").into());
            }
            facts.len()
        }
        None => demo::GENERATED,
    };
    let mut agent = options.agent;
    let (store, input) = demo::STORE_OF_INPUT;
    agent.object_store_memory = agent.object_store_memory.or(Some(Bytes((size.saturating_mul(store) / input).max(64 << 20))));
    if agent.print_config {
        return Ok(plasmon_agent::command::run(agent)?);
    }
    // Its own agent, whatever `PLASMON_ADDRESS` says.
    let info = Options::new().local().agent(agent).init()?;
    plan.store = info.capacity;
    let found = find_live(info.session.parent().and_then(Path::parent).unwrap_or(&temp_dir()))?;
    let found = found.into_iter().find(|found| found.path == info.session);
    let found = found.ok_or_else(|| Error::Connect { action: "find the demo's agent".to_owned(), cause: "it is gone".to_owned() })?;
    let found = Found { url: format!("ws://{}", found.address.listen), token: Some(read_token(&found.address.token_file)?) };
    let result = if crate::can_be_drawn_on() { watched(plan, found, theme, options.keep) } else { unwatched(&plan, &found) };
    let ended = plasmon::shutdown();
    result?;
    Ok(ended?)
}

/// How long the dashboard stays when the work is done and nobody said to keep it.
const LINGER: Duration = Duration::from_secs(60);

/// How many seconds the dashboard still stays when the work ended so long ago; none when it is time to leave.
fn seconds_left(since: Duration) -> Option<u64> {
    let left = LINGER.checked_sub(since).filter(|left| !left.is_zero())?;
    Some(left.as_secs() + u64::from(left.subsec_nanos() > 0))
}

/// How long work that was left is waited for.
const CLEANING: Duration = Duration::from_secs(2);

/// How long the report waits for what comes a little after the results: the ends of the last tasks, and the names of functions.
const SETTLING: Duration = Duration::from_secs(3);

/// The work behind the dashboard.
fn watched(plan: Plan, found: Found, theme: Theme, keep: bool) -> Result<(), Failure> {
    let (tell, progress) = watch::channel("starting".to_owned());
    let (done, quit_when) = watch::channel(false);
    let (finished, outcome) = mpsc::channel();
    std::thread::spawn(move || {
        let outcome = demo::sort(&plan, |line| drop(tell.send(line)));
        let ended = Instant::now();
        let (result, kept) = match outcome {
            Ok(Outcome { summary, cache }) => (Ok(summary.clone()), Some((summary, cache))),
            Err(error) => (Err(error), None),
        };
        // Before the dashboard closes: then what it closes for can be told. Nobody may want it any more.
        let _ = finished.send(result);
        // The cache, and what is seen of it, stays as long as the dashboard does.
        while let Some((summary, _)) = &kept
            && !done.is_closed()
        {
            let mut pause = LINGER;
            if !keep {
                let since = ended.elapsed();
                let Some(left) = seconds_left(since) else { break };
                // Until there is a second less.
                pause = (LINGER - since).saturating_sub(Duration::from_secs(left - 1));
                let line = format!("done: {} lines, verified · leaving in {left} s", summary.lines);
                tell.send_if_modified(|shown| {
                    line != *shown && {
                        *shown = line;
                        true
                    }
                });
            }
            closed_within(&done, pause);
        }
        let _ = done.send(true);
        drop(kept);
    });
    crate::dashboard(found, theme, Some(progress), Some(quit_when))?;
    match outcome.try_recv() {
        Ok(result) => {
            let summary = result?;
            // A closed pipe is the reader's choice.
            let _ = writeln!(
                std::io::stdout(),
                "sorted {} lines, {}: order, count and checksum are right",
                summary.lines,
                Bytes(summary.bytes)
            );
            Ok(())
        }
        // Left before the work was done: it ends with its agent, and removes what it has written by then.
        Err(mpsc::TryRecvError::Empty) => {
            let ended = plasmon::shutdown();
            let _ = outcome.recv_timeout(CLEANING);
            Ok(ended?)
        }
        Err(mpsc::TryRecvError::Disconnected) => Err(Failure { message: "the demo's work panicked".to_owned(), hint: String::new() }),
    }
}

/// Waits until nobody listens any more, for so long at most.
fn closed_within(done: &watch::Sender<bool>, pause: Duration) {
    match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => drop(runtime.block_on(async { tokio::time::timeout(pause, done.closed()).await })),
        Err(_) => std::thread::sleep(Duration::from_millis(50)),
    }
}

/// The work with its progress on stderr, then the report, while the cache still holds what it holds.
fn unwatched(plan: &Plan, found: &Found) -> Result<(), Failure> {
    let outcome = demo::sort(plan, |line| {
        let _ = writeln!(std::io::stderr(), "{line}");
    })?;
    let deadline = Instant::now() + SETTLING;
    let report = loop {
        let report = plasmon_tui::fetch_report(&found.url, found.token.as_deref())?;
        let named = report.references().iter().all(|row| !row.call_site.function.is_empty());
        if (named && report.store().node.tasks_running == 0) || Instant::now() >= deadline {
            break report;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    print(&report, &Memory::of_everything())?;
    drop(outcome.cache);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dashboard_stays_a_minute_behind_the_work() {
        for (since, left) in
            [(0, Some(60)), (1, Some(60)), (1000, Some(59)), (59_001, Some(1)), (59_999, Some(1)), (60_000, None), (90_000, None)]
        {
            assert_eq!(seconds_left(Duration::from_millis(since)), left, "{since} ms");
        }
    }
}
