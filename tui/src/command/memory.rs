//! `plasmon memory`: every reference, as text or JSON.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use plasmon_protocol::error::Error;
use plasmon_protocol::filter::{Filter, milliseconds};
use plasmon_protocol::report::{GroupBy, Report, ReportOptions, SortBy, Units};

use super::fail_on::{self, FailOn};
use super::{Failure, Found, Target};

/// What is printed of an agent's report, and how.
#[derive(Args, Clone, Debug)]
pub struct Memory {
    /// Which agent.
    #[command(flatten)]
    pub target: Target,
    /// Group rows by NODE_ADDRESS, STACK_TRACE, PID or REFERENCE_TYPE
    #[arg(long, value_name = "KEY", default_value = "NODE_ADDRESS", value_parser = choice::<GroupBy>)]
    pub group_by: GroupBy,
    /// Sort rows by OBJECT_SIZE, PID, REFERENCE_TYPE or AGE, largest first
    #[arg(long, value_name = "KEY", default_value = "OBJECT_SIZE", value_parser = choice::<SortBy>)]
    pub sort_by: SortBy,
    /// Smallest first
    #[arg(long)]
    pub reverse: bool,
    /// Print sizes in B, KB, MB, GB (powers of 1000) or AUTO
    #[arg(long, value_name = "UNIT", default_value = "B", value_parser = choice::<Units>)]
    pub units: Units,
    /// Print at most this many rows of each group
    #[arg(short = 'n', long = "num-entries", value_name = "N")]
    pub limit: Option<usize>,
    /// Print the sums only
    #[arg(long)]
    pub stats_only: bool,
    /// Separate whole values by " | " instead of aligning them
    #[arg(long)]
    pub no_format: bool,
    /// Print JSON
    #[arg(long, conflicts_with_all = ["no_format", "stats_only"])]
    pub json: bool,
    /// Print only references that match, such as 'site:cache.rs size>1m !type:pinned age<10m'. Words are looked for in every text; a space is
    /// and, | is or, ! is not
    #[arg(long, value_name = "EXPR")]
    pub filter: Option<String>,
    /// Exit with 1 when a reference matches EXPR, a filter, whatever --filter shows; may be given several times. 'growth' instead, alone or
    /// before a filter over sites, watches for --growth-time and exits with 1 when a creation site keeps more and more: when the least that
    /// it held rises from each quarter of the time to the next
    #[arg(long, value_name = "EXPR|growth", conflicts_with = "watch")]
    pub fail_on: Vec<String>,
    /// How long --fail-on growth watches
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub growth_time: Duration,
    /// Print again every second, until interrupted; with --json, one line each time
    #[arg(long)]
    pub watch: bool,
}

impl Memory {
    /// The whole report, as `plasmon memory` prints it.
    #[must_use]
    pub fn of_everything() -> Self {
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

/// `plasmon memory`, of the agent that `find` finds. The exit code.
#[must_use]
pub fn run_memory(memory: &Memory, find: impl FnOnce(&Target) -> Result<Found, Failure>) -> ExitCode {
    match memory_report(memory, find) {
        Ok(true) => ExitCode::from(1),
        Ok(false) => ExitCode::SUCCESS,
        Err(failure) => failure.told(),
    }
}

/// Prints the report of the agent that `find` finds, again and again if that is asked for; whether what must not be is.
///
/// # Errors
/// What cannot be read, found, asked or written.
pub fn memory_report(memory: &Memory, find: impl FnOnce(&Target) -> Result<Found, Failure>) -> Result<bool, Failure> {
    // What cannot be read is said before an agent is looked for.
    if memory.fail_on.iter().any(|text| text.trim().is_empty()) {
        let hint = "name what must not be, as in --fail-on 'size>100m' or --fail-on growth; is the variable set that it comes from?";
        return Err(Failure {
            message: "--fail-on has an empty condition, which every reference would match".to_owned(),
            hint: hint.to_owned(),
        });
    }
    let conditions = memory.fail_on.iter().map(|text| text.parse()).collect::<Result<Vec<FailOn>, _>>()?;
    let filter = Filter::parse(memory.filter.as_deref().unwrap_or_default())?;
    let found = find(&memory.target)?;
    let asked = fail_on::asked(&filter, &conditions);
    loop {
        let report = crate::fetch_matching(&found.url, found.token.as_deref(), &asked)?;
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
///
/// # Errors
/// The agent cannot be asked, or nothing be written.
pub fn report(found: &Found) -> Result<(), Failure> {
    print(&crate::fetch_report(&found.url, found.token.as_deref())?, &Memory::of_everything()).map(drop)
}

/// Prints a report; whether its reader wants more.
///
/// # Errors
/// It cannot be written.
pub fn print(report: &Report, memory: &Memory) -> Result<bool, Failure> {
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
        if memory.watch && std::io::stdout().is_terminal() {
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
