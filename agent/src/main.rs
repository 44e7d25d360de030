//! The daemon `plasmon-agent`.

use std::process::ExitCode;

fn main() -> ExitCode {
    plasmon_agent::command::main(std::env::args_os())
}
