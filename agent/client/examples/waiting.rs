//! A task that waits for memory which its own parent holds: the parent waits for it, so neither can go on. While it stands, look at it from
//! another terminal with `plasmon explain`, or with `w` in the dashboard. After a minute the parent gives up.
//!
//! ```sh
//! cargo run --release -p plasmon --example waiting
//! ```
#![expect(clippy::print_stdout, reason = "an example prints what it shows")]

use std::time::Duration;

use plasmon::{Bytes, Error, Options};
use plasmon_agent::config::AgentOptions;

const MIB: u64 = 1 << 20;

#[plasmon::remote(memory = 60 * MIB)]
fn child(number: u64) -> u64 {
    number + 1
}

/// Keeps its own 60 MiB while it waits for a task that wants as much.
#[plasmon::remote(memory = 60 * MIB)]
fn parent(number: u64) -> Result<u64, Error> {
    plasmon::get_timeout(&child.remote(number)?, Duration::from_secs(60))
}

pub(crate) fn main() -> Result<(), Error> {
    let agent = AgentOptions { memory: Some(Bytes(100 * MIB)), ..AgentOptions::default() };
    Options::new().local().agent(agent).num_cpus(2.0).object_store_memory(16 * MIB).init()?;
    println!("a parent holds 60 of 100 MiB and waits for a child that needs 60 MiB; for a minute: plasmon explain");
    match plasmon::get(&parent.remote(1)?) {
        Ok(number) => println!("{number}"),
        Err(error) => println!("{error}\nhint: {}", error.hint()),
    }
    plasmon::shutdown()
}
