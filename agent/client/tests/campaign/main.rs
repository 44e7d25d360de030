//! A kill campaign: workers, drivers and agents die by SIGKILL, at random moments and at labelled points inside the client library,
//! while a mixed load runs, in stores so small that objects are spilled, evicted and restored all the time, to a disk that fails now and
//! then. After every round: no object that somebody holds is lost, no byte is wrong, the ledger is closed, and no
//! byte, descriptor, thread, process or file is left.
//!
//! ```sh
//! make campaign KILLS=50000 SEED=7
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this program reports")]

mod agents;
mod board;
mod census;
mod content;
mod deaths;
mod fleet;
mod guard;
mod item;
mod labels;
mod labour;
mod load;
mod midway;
mod plan;
mod procs;
mod storage;
#[path = "../support/mod.rs"]
mod support;
mod tally;
mod tasks;
mod trouble;
mod vault;

use std::path::PathBuf;
use std::process::ExitCode;

use plan::{Errand, Plan};
use tally::Tally;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((role, rest)) if role == "driver" => match Errand::parse(rest) {
            Some(errand) => labour::driver(&errand),
            None => ExitCode::from(2),
        },
        Some((role, rest)) if role == "inside" => inside(rest),
        _ => match Plan::parse(&arguments) {
            Ok(plan) => guard::run(plan),
            Err(cause) => {
                eprintln!("campaign: {cause}");
                ExitCode::from(2)
            }
        },
    }
}

/// The campaign itself.
fn inside(arguments: &[String]) -> ExitCode {
    let directory = PathBuf::from(std::env::var_os(procs::DIRECTORY).expect("started by the guard"));
    let plan = Plan::parse(arguments).expect("started by the guard");
    let mut tally = Tally::begin(plan.kills);
    let done = deaths::run(plan, directory.clone(), &mut tally).and_then(|()| agents::run(plan, &directory, &mut tally));
    match done {
        Ok(()) => {
            println!("{}", tally.summary());
            std::fs::write(directory.join("done"), "").expect("the scratch directory is writable");
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            eprintln!("campaign: {wrong}\n{}", procs::picture(&directory));
            ExitCode::FAILURE
        }
    }
}
