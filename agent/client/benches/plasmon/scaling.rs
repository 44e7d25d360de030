//! Several programs at once; and what everything costs when there is a lot of it already.

use std::cell::RefCell;

use crate::daemon::{Daemon, rest};
use crate::objects::VIEWS;
use crate::program::{Order, Program, together, together_beside};
use crate::sample::{Sample, in_turns};
use crate::table::{Goal, Unit};
use crate::{Bench, Outcome};

const CAPACITY: u64 = 1 << 30;
/// Programs at once, most.
const CLIENTS: usize = 4;

/// One, two and four clients do the same at once. What no client needs anybody for grows with them up to the number of processors; the
/// agent has one thread, so what goes through it must only not get slower.
pub(crate) fn clients(bench: &mut Bench) -> Outcome<()> {
    let daemon = Daemon::start(&bench.scratch, CAPACITY, &[])?;
    // One more, which stands for the agent.
    let programs: Vec<Program> = (0..=CLIENTS).map(|_| Program::holding(&daemon, VIEWS)).collect::<Outcome<_>>()?;
    let programs = RefCell::new(programs);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for (what, order, count, alone) in [
        ("put 64 B, bursts", Order::Put, 4096, true),
        ("put + drop 64 B", Order::PutDrop, 20_000, false),
        // Long enough for the kernel to spread four programs over the processors: for one or two milliseconds they stay where they woke.
        ("get, resident", Order::Get, 400_000, true),
        ("tasks, pipelined", Order::Task, 20_000, false),
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
            // What this machine cannot do is no goal: those that put are told beside as many that only copy for as long.
            let goal = if order == Order::Put { Goal::Open } else { Goal::AtLeastRatio(least) };
            bench.table.row(&metric, sample, Unit::PerSecond, Some(("one client", &one)), goal);
        }
        if order == Order::Put {
            beside_copies(bench, &daemon, &programs, one.median() * count as f64, [(2, &two), (CLIENTS, &four)])?;
        }
    }
    Ok(())
}

/// What as many processes have of one's speed that only copy, each for as long as one client's burst takes, beside one that is as busy
/// meanwhile as the agent is with all their messages.
fn beside_copies(
    bench: &mut Bench,
    daemon: &Daemon,
    programs: &RefCell<Vec<Program>>,
    burst: f64,
    measured: [(usize, &Sample); 2],
) -> Outcome<()> {
    const TRIES: usize = 1_000_000;
    const BURSTS: usize = 50;
    const PUTS: usize = 4096;
    programs.borrow_mut()[0].work(Order::Copy, TRIES)?;
    let one = together(&mut programs.borrow_mut()[..1], Order::Copy, TRIES)?;
    // What the agent needs for the messages of a burst: half of what it needs for putting and dropping.
    let before = cpu_ns(daemon.pid())?;
    for _ in 0..BURSTS {
        programs.borrow_mut()[0].work(Order::Put, PUTS)?;
        rest();
    }
    let agent = cpu_ns(daemon.pid())?.saturating_sub(before) as f64 / (2 * BURSTS) as f64;
    let copies = (burst / one) as usize;
    let with = |clients: usize| {
        let took = together_beside(&mut programs.borrow_mut()[..=clients], Order::Copy, copies, (agent * clients as f64 / one) as usize);
        rest();
        took
    };
    let [alone, two, four] = in_turns([&mut || with(1), &mut || with(2), &mut || with(CLIENTS)])?;
    for ((clients, sample), copied) in measured.into_iter().zip([two, four]) {
        let floor = Sample::of(vec![burst / PUTS as f64 * copied.median() / alone.median()]);
        let metric = format!("put 64 B, bursts, {clients} clients beside as many that only copy");
        bench.table.row(
            &metric,
            sample,
            Unit::PerSecond,
            Some(("one client, times what those have of one", &floor)),
            Goal::AtLeastRatio(0.9),
        );
    }
    Ok(())
}

/// Processor time that a process has had, nanoseconds: its threads' together.
fn cpu_ns(pid: u32) -> Outcome<u64> {
    let mut all = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        all += text.split(' ').next().ok_or("no processor time")?.parse::<u64>()?;
    }
    Ok(all)
}
