//! How good it is: every figure beside the floor that this machine sets, measured in the same run, the two in turns.
//!
//! `make bench` prints the table and writes `bench.json` into the target directory; `make bench ONLY=put` measures one group.
//! It also writes `bench.md`, the table as the README has it; `README=1` puts it there. `instructions` counts those of the hot paths instead.
//! A goal that is missed is no failure. A machine whose processors were taken away meanwhile is: its figures mean nothing.
#![expect(clippy::print_stdout, reason = "the table is the output")]

#[path = "plasmon/cores.rs"]
mod cores;
#[path = "plasmon/crash.rs"]
mod crash;
#[path = "plasmon/daemon.rs"]
mod daemon;
#[path = "plasmon/driver.rs"]
mod driver;
#[path = "plasmon/echo.rs"]
mod echo;
#[path = "plasmon/elsewhere.rs"]
mod elsewhere;
#[path = "plasmon/floor.rs"]
mod floor;
#[path = "plasmon/gibibyte.rs"]
mod gibibyte;
#[path = "plasmon/growth.rs"]
mod growth;
#[path = "plasmon/idle.rs"]
mod idle;
#[path = "plasmon/instructions.rs"]
mod instructions;
#[path = "plasmon/machine.rs"]
mod machine;
#[path = "plasmon/objects.rs"]
mod objects;
#[path = "plasmon/plasma.rs"]
mod plasma;
#[path = "plasmon/program.rs"]
mod program;
#[path = "plasmon/queue.rs"]
mod queue;
#[path = "plasmon/reactor.rs"]
mod reactor;
#[path = "plasmon/report.rs"]
mod report;
#[path = "plasmon/sample.rs"]
mod sample;
#[path = "plasmon/scaling.rs"]
mod scaling;
#[path = "plasmon/shared.rs"]
mod shared;
#[path = "plasmon/spill.rs"]
mod spill;
#[path = "plasmon/stream.rs"]
mod stream;
#[path = "plasmon/table.rs"]
mod table;
#[path = "plasmon/tasks.rs"]
mod tasks;
#[path = "plasmon/taxes.rs"]
mod taxes;
#[path = "plasmon/viewer.rs"]
mod viewer;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use machine::Steal;
use table::Table;

/// What can go wrong on the way to a figure.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// What this process is, when it is not the benchmark itself.
pub(crate) const ROLE: &str = "PLASMON_BENCH_ROLE";

/// A processor that is taken away more than this makes figures meaningless, percent.
const MOST_STEAL: f64 = 1.0;

/// What a group of rows is measured with.
pub(crate) struct Bench {
    pub(crate) table: Table,
    /// Sessions and other files.
    pub(crate) scratch: PathBuf,
}

/// A group's name for `ONLY`, and what measures it.
type Group = (&'static str, fn(&mut Bench) -> Outcome<()>);

const GROUPS: [Group; 21] = [
    ("put", objects::put),
    ("gibibyte", gibibyte::put),
    ("get", objects::get),
    ("elsewhere", elsewhere::elsewhere),
    ("plasma", plasma::compare),
    ("clients", scaling::clients),
    ("task", tasks::tasks),
    ("cores", cores::cores),
    ("worker", tasks::worker),
    ("actor", tasks::actors),
    ("wait", tasks::wait),
    ("queue", queue::queue),
    ("reactor", reactor::reactor),
    ("growth", growth::growth),
    ("tax", taxes::taxes),
    ("stream", stream::stream),
    ("actors", stream::actors),
    ("report", report::report),
    ("crash", crash::crash),
    ("spill", spill::spill),
    ("agent", idle::agent),
];

fn main() -> ExitCode {
    match std::env::var(ROLE).as_deref() {
        Ok("echo") => return echo::answer(),
        Ok("agent") => return daemon::serve(),
        Ok("plasma") => return plasma::serve(),
        Ok("program") => return program::run(),
        Ok("counted") => return instructions::run(),
        Ok("nothing") => return ExitCode::SUCCESS,
        Ok("crowd") => return viewer::gather(),
        _ => {}
    }
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<ExitCode> {
    // Cargo adds flags of its own; what is left says which group.
    let only: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if only == ["instructions"] {
        return instructions::check();
    }
    if let Some(unknown) = only.iter().find(|only| !GROUPS.iter().any(|(name, _)| name == only)) {
        let names: Vec<&str> = GROUPS.iter().map(|(name, _)| *name).collect();
        return Err(format!("no group '{unknown}'; there are {}", names.join(", ")).into());
    }
    let readme = std::env::var("README").is_ok_and(|readme| readme == "1");
    if readme && !only.is_empty() {
        return Err("README=1 writes the whole table: it cannot be of one group only".into());
    }
    let scratch = tempfile::Builder::new().prefix("plasmon-bench").tempdir()?;
    let mut bench = Bench { table: Table::default(), scratch: scratch.path().to_owned() };
    for line in machine::fingerprint()? {
        println!("{line}");
    }
    let steal = Steal::begin()?;
    let mut failed = false;
    for (name, measure) in GROUPS {
        if only.is_empty() || only.iter().any(|only| only == name) {
            eprintln!("measuring: {name}");
            if let Err(error) = measure(&mut bench) {
                // The others are told all the same.
                eprintln!("error: {name}: {error}");
                bench.table.leave_out(name, &error.to_string());
                failed = true;
            }
        }
    }
    let stolen = steal.percent()?;
    println!("{:<17}{stolen:.2} % of processor time taken away during the run\n", "steal");
    print!("{}", bench.table);
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench.json");
    std::fs::write(&file, bench.table.json()?)?;
    println!("\nwritten to {}", file.display());
    let text = format!("{}\n\n{}", machine::sentence()?, bench.table.markdown());
    std::fs::write(file.with_file_name("bench.md"), &text)?;
    if readme {
        into_readme(&text)?;
    }
    if stolen > MOST_STEAL {
        eprintln!("error: {stolen:.2} % of processor time was taken away, more than {MOST_STEAL} %: these figures mean nothing");
        return Ok(ExitCode::FAILURE);
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Puts the table between its marks in the README.
fn into_readme(text: &str) -> Outcome<()> {
    const MARKS: [&str; 2] = ["<!-- bench -->\n", "<!-- /bench -->"];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(&path)?;
    let (before, rest) = readme.split_once(MARKS[0]).ok_or("the README has no mark before the table")?;
    let (_, after) = rest.split_once(MARKS[1]).ok_or("the README has no mark behind the table")?;
    Ok(std::fs::write(&path, [before, MARKS[0], text, MARKS[1], after].concat())?)
}
