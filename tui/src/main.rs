//! The command `plasmon`: dashboard, report, demo, agent.

#[cfg(target_os = "linux")]
mod demo;
#[path = "main/doctor.rs"]
mod doctor;
#[path = "main/explain.rs"]
mod explain;
#[cfg(target_os = "linux")]
#[path = "main/local.rs"]
mod local;
#[path = "main/look_back.rs"]
mod look_back;
#[path = "main/looks.rs"]
mod looks;
#[path = "main/output.rs"]
mod output;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use plasmon_protocol::error::Error;
use plasmon_tui::DashboardOptions;
use plasmon_tui::command::{Failure, Found, Memory, Target, report, run_memory, usage};
use plasmon_tui::link::websocket::Door;
use plasmon_tui::view::theme::Theme;

/// See inside the shared memory of parallel programs: who holds what, and which line of code made it
#[derive(Parser, Debug)]
#[command(name = "plasmon", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    output: output::Output,
    #[command(flatten)]
    looks: looks::Looks,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Sort a file in parallel and watch it: an agent, a real workload, the dashboard
    #[cfg(target_os = "linux")]
    Demo(local::DemoOptions),
    /// Open the dashboard on an agent, here or elsewhere
    Attach(Attach),
    /// Print every reference: who holds which object, why, and from which line of code
    Memory(Box<Memory>),
    /// Write what an agent shows into a file, once a second
    Record(look_back::RecordOptions),
    /// Open a recording in the dashboard, with a time line to go back and forth in
    Replay(look_back::ReplayOptions),
    /// Say why something waits: for what, who holds that, and who waits for each other
    Explain(explain::Explain),
    /// Say what this machine allows and what would make it better: memory, huge pages, limits, disks
    Doctor(doctor::Doctor),
    /// Run the agent of this node without a dashboard
    #[cfg(target_os = "linux")]
    Agent(local::AgentCommand),
}

#[derive(Args, Debug)]
struct Attach {
    /// The agent's stream, such as ws://127.0.0.1:6480; several are shown as one, with a column that tells the node
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,
    /// The file with the agent's token; of several agents, given as often as there are, in their order, or once for all
    #[arg(long, env = "PLASMON_TOKEN_FILE", value_name = "FILE")]
    token_file: Vec<PathBuf>,
    #[command(flatten)]
    output: output::Output,
    #[command(flatten)]
    looks: looks::Looks,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let result = match cli.command {
        None => watch_or_report(&cli.target, &cli.output, &cli.looks),
        Some(Command::Attach(attach)) => attach_all(&attach),
        Some(Command::Memory(memory)) => return run_memory(&memory, attach_to),
        Some(Command::Record(options)) => look_back::run_record(&options),
        Some(Command::Replay(options)) => look_back::run_replay(&options),
        Some(Command::Explain(what)) => attach_to(&what.target).and_then(|found| explain::run(&found, &what)),
        Some(Command::Doctor(what)) => doctor::run(&what),
        #[cfg(target_os = "linux")]
        Some(Command::Demo(options)) => local::demo(options),
        #[cfg(target_os = "linux")]
        Some(Command::Agent(agent)) => local::agent(agent),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.told(),
    }
}

/// Whether standard output is a terminal that can do more than print lines.
fn can_be_drawn_on() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// The dashboard on one agent or on several; the report of each where there is no terminal.
fn attach_all(attach: &Attach) -> Result<(), Failure> {
    let files = &attach.token_file;
    if files.len() > 1 && files.len() != attach.urls.len() {
        let cause = format!("of {} agents, one token file for all or one for each", attach.urls.len());
        return Err(Error::invalid("--token-file", format!("given {} times", files.len()), cause).into());
    }
    let targets = attach.urls.iter().enumerate().map(|(at, url)| {
        let token_file = files.get(at).or_else(|| files.first().filter(|_| files.len() == 1)).cloned();
        Target { address: Some(url.clone()), token_file }
    });
    let targets: Vec<Target> = targets.collect();
    if targets.len() > 1 && attach.output.is_endless() {
        return Err(Failure {
            message: format!("--watch prints one agent again and again, and {} are given", targets.len()),
            hint: "name one; without --watch each is printed once, and without --once, --json and --view they are one dashboard".to_owned(),
        });
    }
    if targets.len() == 1 || attach.output.is_wanted() || !can_be_drawn_on() {
        return targets.iter().try_for_each(|target| watch_or_report(target, &attach.output, &attach.looks));
    }
    let theme = attach.looks.theme()?;
    let mut found = targets.iter().map(attach_to).collect::<Result<Vec<Found>, Failure>>()?.into_iter();
    let Some(Found { url, token }) = found.next() else { return Ok(()) };
    let more = found.map(|found| Door { url: found.url, token: found.token }).collect();
    plasmon_tui::dashboard(DashboardOptions { url, token, more, theme, ..DashboardOptions::default() })?;
    Ok(())
}

/// The dashboard on a terminal; the report where there is none.
fn watch_or_report(target: &Target, output: &output::Output, looks: &looks::Looks) -> Result<(), Failure> {
    let theme = looks.theme()?;
    let found = attach_to(target)?;
    if output.is_wanted() {
        return output.print(&found);
    }
    if can_be_drawn_on() {
        return dashboard(found, theme, None, None);
    }
    report(&found)
}

fn dashboard(
    found: Found,
    theme: Theme,
    progress: Option<tokio::sync::watch::Receiver<String>>,
    quit_when: Option<tokio::sync::watch::Receiver<bool>>,
) -> Result<(), Failure> {
    let options = DashboardOptions { url: found.url, token: found.token, progress, theme, quit_when, ..DashboardOptions::default() };
    plasmon_tui::dashboard(options)?;
    Ok(())
}

/// The agent that is named, or else this user's newest live one.
fn attach_to(target: &Target) -> Result<Found, Failure> {
    #[cfg(target_os = "linux")]
    let newest = local::newest;
    #[cfg(not(target_os = "linux"))]
    let newest =
        |_: Option<&std::path::Path>| Err(Error::invalid("--address", "", "agents run on Linux only: name one of another machine").into());
    target.find(newest)
}
