//! `python -m plasmon`: the parts of the command `plasmon` that need no terminal, parsed and run as it does.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use plasmon_tui::command::{Failure, Found, Memory, Target, run_memory, usage};
use pyo3::prelude::*;

use crate::inside::Apart;
use crate::report::Source;

/// See inside the shared memory of parallel programs: who holds what, and which line of code made it
#[derive(Parser, Debug)]
#[command(name = "python -m plasmon", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Print every reference: who holds which object, why, and from which line of code
    Memory(Box<Memory>),
    /// Run the agent of this node without a dashboard
    #[command(disable_help_flag = true)]
    Agent {
        /// As `plasmon agent --help` tells them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
        options: Vec<OsString>,
    },
}

/// Runs `python -m plasmon` with these arguments; the exit code: 0 done, 1 a condition asked for holds, 2 an error.
#[pyfunction]
pub(crate) fn run_command(py: Python<'_>, arguments: Vec<OsString>) -> i32 {
    let code = py.apart(|| match Cli::try_parse_from(std::iter::once(OsString::from("plasmon")).chain(arguments)) {
        Err(error) => usage(&error),
        Ok(Cli { command: Command::Memory(memory) }) => run_memory(&memory, find),
        Ok(Cli { command: Command::Agent { options } }) => {
            plasmon_agent::command::main(std::iter::once(OsString::from("python -m plasmon agent")).chain(options))
        }
    });
    [0, 1].into_iter().find(|number| code == ExitCode::from(*number)).map_or(2, i32::from)
}

/// The agent that is named, or else this process's, or this user's newest live one.
fn find(target: &Target) -> Result<Found, Failure> {
    target.find(|token_file| {
        let Source { url, token } = Source::newest(token_file)?;
        Ok(Found { url, token })
    })
}
