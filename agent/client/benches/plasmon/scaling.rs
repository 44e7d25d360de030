//! Several programs at once; and what everything costs when there is a lot of it already.

use std::cell::RefCell;

use crate::daemon::{Daemon, rest};
use crate::objects::VIEWS;
use crate::program::{Order, Program, together};
use crate::sample::in_turns;
use crate::table::{Goal, Unit};
use crate::{Bench, Outcome};

const CAPACITY: u64 = 1 << 30;
/// Programs at once, most.
const CLIENTS: usize = 4;

/// One, two and four clients do the same at once. What no client needs anybody for grows with them up to the number of processors; the
/// agent has one thread, so what goes through it must only not get slower.
pub(crate) fn clients(bench: &mut Bench) -> Outcome<()> {
    let daemon = Daemon::start(&bench.scratch, CAPACITY, &[])?;
    let programs: Vec<Program> = (0..CLIENTS).map(|_| Program::holding(&daemon, VIEWS)).collect::<Outcome<_>>()?;
    let programs = RefCell::new(programs);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for (what, order, count, alone) in [
        ("put 64 B, bursts", Order::Put, 4096, true),
        ("put + drop 64 B", Order::PutDrop, 20_000, false),
        ("get, resident", Order::Get, 20_000, true),
        ("tasks, pipelined", Order::Task, 2000, false),
    ] {
        let with = |clients: usize| {
            let took = together(&mut programs.borrow_mut()[..clients], order, count);
            rest();
            took
        };
        // Starts the workers of every job.
        with(CLIENTS)?;
        let [one, two, four] = in_turns([&mut || with(1), &mut || with(2), &mut || with(CLIENTS)])?;
        for (clients, sample) in [(2, &two), (CLIENTS, &four)] {
            let least = if alone { 0.95 * clients.min(cores) as f64 } else { 0.95 };
            let metric = format!("{what}, {clients} clients at once");
            bench.table.row(&metric, sample, Unit::PerSecond, Some(("one client", &one)), Goal::AtLeastRatio(least));
        }
    }
    Ok(())
}
