//! Memory runs out, by a limit of this example's own: 600 MiB more than is in use now. One task fills 400 MiB and is done; a second one
//! that needs 400 MiB at the same time has to go, and is tried again when the first is done; a third can never run, and says why.
//!
//! ```sh
//! cargo run --release -p plasmon --example out_of_memory
//! ```
#![expect(clippy::print_stdout, reason = "an example prints what it shows")]

use std::time::Duration;

use plasmon::{Bytes, Error, Options, TaskOptions};
use plasmon_agent::config::AgentOptions;
use plasmon_agent::machine::Gauge;
use plasmon_agent::scheduler::pressure::Limits;

const MIB: u64 = 1 << 20;
/// How much more than now may be in use.
const ROOM: u64 = 600 * MIB;

/// Fills memory and keeps it for a while.
#[plasmon::remote(max_retries = 3)]
fn fill(mebibytes: u64, seconds: u64) -> String {
    let memory = std::hint::black_box(vec![1_u8; (mebibytes * MIB) as usize]);
    std::thread::sleep(Duration::from_secs(seconds));
    format!("{} in process {}", Bytes(memory.len() as u64), std::process::id())
}

pub(crate) fn main() -> Result<(), Error> {
    let now =
        Gauge::open(Limits { share: 1.0, min_free: None })?.read().ok_or_else(|| Error::system("read the memory", "nothing is told"))?;
    let share = (now.used_bytes + ROOM) as f64 / now.total_bytes as f64;
    println!(
        "{} of {} in use ({}); workers are ended above {:.1} %",
        Bytes(now.used_bytes),
        Bytes(now.total_bytes),
        now.source,
        share * 100.0
    );
    let agent = AgentOptions { oom_threshold: Some(share), ..AgentOptions::default() };
    Options::new().local().agent(agent).num_cpus(2.0).object_store_memory(16 * MIB).init()?;

    let first = fill.remote(400, 3)?;
    std::thread::sleep(Duration::from_secs(1));
    let second = fill.remote(400, 1)?;
    println!("first:  {}", plasmon::get(&first)?);
    println!("second: {}, after it was tried again", plasmon::get(&second)?);

    let never = fill.options(TaskOptions::new().max_retries(0)).remote(1500, 60)?;
    match plasmon::get(&never) {
        Ok(text) => println!("third:  {text}, as others have let go of memory meanwhile"),
        Err(error) => println!("third:  {error}\nhint: {}", error.hint()),
    }
    plasmon::shutdown()
}
