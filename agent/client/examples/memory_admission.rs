//! What tasks and actors reserve, in the situations of Ray's memory page: static reservations and those of one call, a third actor that
//! waits for memory, and a task that asks for more than the node has. Prints what it finds, and exits with 1 if something is not so.
//!
//! ```sh
//! cargo run --release -p plasmon --example memory_admission
//! ```
#![expect(clippy::print_stdout, reason = "an example prints what it shows")]

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use plasmon::{ActorOptions, Bytes, Error, Options, TaskOptions};
use plasmon_agent::config::AgentOptions;

const MIB: u64 = 1 << 20;
/// What the node offers to those that ask for memory.
const OFFERED: u64 = 4096 * MIB;

/// Reserves 500 MiB: they are set aside while it runs, however much it uses. Leaves its mark in a directory, and waits for `go` there.
#[plasmon::remote(memory = 500 * MIB)]
fn some_function(marks: &str, number: usize) -> std::io::Result<()> {
    std::fs::write(Path::new(marks).join(number.to_string()), "")?;
    while !Path::new(marks).join("go").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Reserves 2.5 GiB as long as it lives.
struct SomeActor;

#[plasmon::actor(memory = 2560 * MIB)]
impl SomeActor {
    fn new() -> Self {
        Self
    }
}

fn verdict(holds: bool, what: &str) -> bool {
    println!("{} {what}", if holds { "yes" } else { "NO " });
    holds
}

/// Whether an actor is still not made after a while.
fn waits(actor: &SomeActorHandle) -> bool {
    let actor = actor.clone();
    let (made, is_made) = std::sync::mpsc::channel();
    std::thread::spawn(move || made.send(actor.ready()));
    is_made.recv_timeout(Duration::from_millis(500)).is_err()
}

pub(crate) fn run() -> Result<bool, Error> {
    let agent = AgentOptions { memory: Some(Bytes(OFFERED)), ..AgentOptions::default() };
    Options::new().local().agent(agent).num_cpus(8.0).object_store_memory(16 * MIB).init()?;
    println!("a node that offers {} to those that ask for memory", Bytes(OFFERED));

    let marks = std::env::temp_dir().join(format!("memory_admission-{}", std::process::id()));
    std::fs::create_dir_all(&marks).map_err(|error| Error::system(format!("make {}", marks.display()), error))?;
    let path = &*marks.to_string_lossy();
    let nine: Vec<_> = (0..9).map(|number| some_function.remote(path, number)).collect::<Result<_, _>>()?;
    let begun = || std::fs::read_dir(&marks).map_or(0, Iterator::count);
    while begun() < 8 {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(500));
    let mut right = verdict(begun() == 8, "eight tasks of 500 MiB run side by side, the ninth waits");
    let _ = std::fs::write(marks.join("go"), "");
    nine.iter().try_for_each(plasmon::get)?;
    right &= verdict(true, "until there is room for it");

    let small = TaskOptions::new().memory(100 * MIB);
    plasmon::get(&some_function.options(small).remote(path, 9)?)?;
    right &= verdict(true, ".options() makes it 100 MiB for one call");

    let actor = SomeActor::remote()?;
    actor.ready()?;
    let second = SomeActor::remote()?;
    right &= verdict(waits(&second), "an actor of 2.5 GiB lives, a second one waits");
    let smaller = SomeActor::options(ActorOptions::new().memory(1024 * MIB)).remote()?;
    smaller.ready()?;
    right &= verdict(true, "one of 1 GiB, by .options(), finds room beside it");
    plasmon::kill(&actor)?;
    second.ready()?;
    right &= verdict(true, "the first is killed, and the second takes its place");

    let never = some_function.options(TaskOptions::new().memory(2 * OFFERED)).remote(path, 9)?;
    let timed_out = matches!(plasmon::get_timeout(&never, Duration::from_millis(500)), Err(Error::GetTimeout { .. }));
    right &= verdict(timed_out, "a task that asks for 8 GiB waits, and `plasmon explain` says for what");
    plasmon::cancel(&never, false)?;
    right &= verdict(matches!(plasmon::get(&never), Err(Error::TaskCancelled { .. })), "until it is cancelled");
    let _ = std::fs::remove_dir_all(&marks);
    plasmon::shutdown()?;
    Ok(right)
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("{error}\nhint: {}", error.hint());
            ExitCode::FAILURE
        }
    }
}
