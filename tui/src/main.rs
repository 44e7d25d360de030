//! The command `plasmon`: dashboard, report, demo, agent.

#[cfg(target_os = "linux")]
mod demo;
#[path = "main/doctor.rs"]
mod doctor;
#[path = "main/explain.rs"]
mod explain;
#[path = "main/fail_on.rs"]
mod fail_on;
#[cfg(target_os = "linux")]
#[path = "main/local.rs"]
mod local;
#[path = "main/look_back.rs"]
mod look_back;
#[path = "main/looks.rs"]
mod looks;
#[path = "main/output.rs"]
mod output;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use fail_on::FailOn;
use plasmon_protocol::error::Error;
use plasmon_protocol::filter::{Filter, FilterError, milliseconds};
use plasmon_protocol::report::{GroupBy, Report, ReportOptions, SortBy, Units};
use plasmon_tui::DashboardOptions;
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

/// Which agent.
#[derive(Args, Clone, Debug, Default)]
struct Target {
    /// The agent's stream, such as ws://127.0.0.1:6480 [default: this user's newest live agent]
    #[arg(long, value_name = "URL")]
    address: Option<String>,
    /// The file with the agent's token
    #[arg(long, env = "PLASMON_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
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

#[derive(Args, Clone, Debug)]
struct Memory {
    #[command(flatten)]
    target: Target,
    /// Group rows by NODE_ADDRESS, STACK_TRACE, PID or REFERENCE_TYPE
    #[arg(long, value_name = "KEY", default_value = "NODE_ADDRESS", value_parser = choice::<GroupBy>)]
    group_by: GroupBy,
    /// Sort rows by OBJECT_SIZE, PID, REFERENCE_TYPE or AGE, largest first
    #[arg(long, value_name = "KEY", default_value = "OBJECT_SIZE", value_parser = choice::<SortBy>)]
    sort_by: SortBy,
    /// Smallest first
    #[arg(long)]
    reverse: bool,
    /// Print sizes in B, KB, MB, GB (powers of 1000) or AUTO
    #[arg(long, value_name = "UNIT", default_value = "B", value_parser = choice::<Units>)]
    units: Units,
    /// Print at most this many rows of each group
    #[arg(short = 'n', long = "num-entries", value_name = "N")]
    limit: Option<usize>,
    /// Print the sums only
    #[arg(long)]
    stats_only: bool,
    /// Separate whole values by " | " instead of aligning them
    #[arg(long)]
    no_format: bool,
    /// Print JSON
    #[arg(long, conflicts_with_all = ["no_format", "stats_only"])]
    json: bool,
    /// Print only references that match, such as 'site:cache.rs size>1m !type:pinned age<10m'. Words are looked for in every text; a space is
    /// and, | is or, ! is not
    #[arg(long, value_name = "EXPR")]
    filter: Option<String>,
    /// Exit with 1 when a reference matches EXPR, a filter, whatever --filter shows; may be given several times. 'growth' instead, alone or
    /// before a filter over sites, watches for --growth-time and exits with 1 when a creation site keeps more and more: when the least that
    /// it held rises from each quarter of the time to the next
    #[arg(long, value_name = "EXPR|growth", conflicts_with = "watch")]
    fail_on: Vec<String>,
    /// How long --fail-on growth watches
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    growth_time: Duration,
    /// Print again every second, until interrupted; with --json, one line each time
    #[arg(long)]
    watch: bool,
}

impl Memory {
    /// The whole report, as `plasmon memory` prints it.
    fn of_everything() -> Self {
        Self {
            target: Target::default(),
            group_by: GroupBy::NodeAddress,
            sort_by: SortBy::ObjectSize,
            reverse: false,
            units: Units::B,
            limit: None,
            stats_only: false,
            no_format: false,
            json: false,
            filter: None,
            fail_on: Vec::new(),
            growth_time: Duration::ZERO,
            watch: false,
        }
    }
}

/// What went wrong, in words, and what to do.
struct Failure {
    message: String,
    hint: String,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { message: error.to_string(), hint: error.hint().to_owned() }
    }
}

impl From<plasmon_tui::Error> for Failure {
    fn from(error: plasmon_tui::Error) -> Self {
        Self { message: error.to_string(), hint: error.hint() }
    }
}

impl From<FilterError> for Failure {
    fn from(error: FilterError) -> Self {
        Self { message: error.to_string(), hint: error.hint }
    }
}

/// An agent that can be asked.
#[derive(Clone)]
struct Found {
    url: String,
    token: Option<String>,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let result = match cli.command {
        None => watch_or_report(&cli.target, &cli.output, &cli.looks),
        Some(Command::Attach(attach)) => attach_all(&attach),
        Some(Command::Memory(memory)) => match memory_report(&memory, None) {
            Ok(true) => return ExitCode::from(1),
            Ok(false) => Ok(()),
            Err(failure) => Err(failure),
        },
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
        Err(Failure { message, hint }) => {
            let mut stderr = std::io::stderr();
            // Nobody to tell: the exit code says it.
            let _ = writeln!(stderr, "error: {message}");
            if !hint.is_empty() {
                let _ = writeln!(stderr, "hint: {hint}");
            }
            ExitCode::from(2)
        }
    }
}

/// Help and version, which are no errors, go to stdout; what is wrong with the command line ends with a hint as every error does.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // A closed pipe is the reader's choice.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.render().to_string().replace("For more information, try '--help'.", "hint: see --help for what is accepted");
    // Nobody to tell: the exit code says it.
    let _ = std::io::stderr().write_all(text.as_bytes());
    ExitCode::from(2)
}

/// One of a few words; what is wrong with another, without the flag and the value, which the caller names.
fn choice<T: FromStr<Err = Error>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| match error {
        Error::Invalid { cause, .. } => cause,
        other => other.to_string(),
    })
}

/// A time as filters take it, at least a tenth of a second: the agent sends no more often.
fn duration(text: &str) -> Result<Duration, String> {
    match milliseconds(text) {
        Ok(time) if (100..=86_400_000).contains(&time) => Ok(Duration::from_millis(time)),
        Ok(_) => Err("it is not between 100ms and 1d".to_owned()),
        Err(Error::Invalid { cause, .. }) => Err(cause),
        Err(other) => Err(other.to_string()),
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

fn attach_to(target: &Target) -> Result<Found, Failure> {
    match &target.address {
        Some(address) => Ok(Found { url: stream_url(address), token: target.token_file.as_deref().map(read_token).transpose()? }),
        #[cfg(target_os = "linux")]
        None => local::newest(target.token_file.as_deref()),
        #[cfg(not(target_os = "linux"))]
        None => Err(Error::invalid("--address", "", "agents run on Linux only: name one of another machine").into()),
    }
}

/// `host:port` is as good as `ws://host:port`.
fn stream_url(address: &str) -> String {
    if address.contains("://") { address.to_owned() } else { format!("ws://{address}") }
}

/// The token in a file. A client never makes one.
fn read_token(path: &std::path::Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::system(format!("read the token file {}", path.display()), error))?;
    let token = text.trim();
    if token.is_empty() {
        return Err(Error::invalid("token file", path.display().to_string(), "it is empty").into());
    }
    Ok(token.to_owned())
}

/// Prints the report of an agent that is known, or else of the one that is meant, again and again if that is asked for; whether what must
/// not be is.
fn memory_report(memory: &Memory, known: Option<&Found>) -> Result<bool, Failure> {
    // What cannot be read is said before an agent is looked for.
    let conditions = memory.fail_on.iter().map(|text| text.parse()).collect::<Result<Vec<FailOn>, _>>()?;
    let filter = Filter::parse(memory.filter.as_deref().unwrap_or_default())?;
    let found = known.cloned().map_or_else(|| attach_to(&memory.target), Ok)?;
    let asked = fail_on::asked(&filter, &conditions);
    loop {
        let report = plasmon_tui::fetch_matching(&found.url, found.token.as_deref(), &asked)?;
        let failed = fail_on::holds(&conditions, &report, &found, memory.growth_time);
        // Also where the conditions could not be looked at.
        let wanted = print(&report.filtered(&filter), memory)?;
        if failed? {
            return Ok(true);
        }
        if !wanted || !memory.watch {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// The whole report, once.
fn report(found: &Found) -> Result<(), Failure> {
    print(&plasmon_tui::fetch_report(&found.url, found.token.as_deref())?, &Memory::of_everything()).map(drop)
}

/// Prints a report; whether its reader wants more.
fn print(report: &Report, memory: &Memory) -> Result<bool, Failure> {
    let options = ReportOptions {
        group_by: memory.group_by,
        sort_by: memory.sort_by,
        reverse: memory.reverse,
        units: memory.units,
        limit: memory.limit,
        stats_only: memory.stats_only,
        no_format: memory.no_format,
        width: width(),
    };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let written = if memory.json {
        // Again and again, one line is one report.
        let written = if memory.watch { serde_json::to_writer(&mut out, report) } else { serde_json::to_writer_pretty(&mut out, report) };
        written.map_err(std::io::Error::from).and_then(|()| writeln!(out))
    } else {
        if memory.watch {
            // From the top of the screen, as `watch` does it.
            let _ = write!(out, "\x1b[H\x1b[2J");
        }
        out.write_all(report.text(&options).as_bytes())
    };
    match written.and_then(|()| out.flush()) {
        // Whoever read has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::system("write the report", error).into()),
        Ok(()) => Ok(true),
    }
}

/// Columns of the terminal; without one, rows are as long as they are.
fn width() -> usize {
    if !std::io::stdout().is_terminal() {
        return usize::MAX;
    }
    crossterm::terminal::size().map_or(80, |(columns, _)| usize::from(columns))
}
