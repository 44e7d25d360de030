//! Chains of processes, and where they run. A sleeping process is woken in a few microseconds where its processor is awake, and in
//! dozens where it sleeps, so a ping-pong costs a tenth on one processor of what it costs on two. Both floors are told.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::daemon::Daemon;
use crate::echo::Echo;
use crate::sample::in_turns;
use crate::table::{Goal, Unit};
use crate::tasks::{ping_pongs, round_trips};
use crate::{Bench, Outcome};

const CAPACITY: u64 = 256 << 20;

/// Runs `begin` on these processors alone; processes that it starts stay there.
fn on<T>(processors: &[usize], begin: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    let before = sched_getaffinity(None)?;
    let mut these = CpuSet::new();
    processors.iter().for_each(|processor| these.set(*processor));
    sched_setaffinity(None, &these)?;
    let done = begin();
    sched_setaffinity(None, &before)?;
    done
}

/// The processors that this process may use, the first two of them; twice the same where there is but one.
fn processors() -> Outcome<[usize; 2]> {
    let allowed = sched_getaffinity(None)?;
    let mut processors = (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor));
    let first = processors.next().unwrap_or(0);
    Ok([first, processors.next().unwrap_or(first)])
}

/// Ping-pongs of two processes that stay where they are. Left to the kernel, the same two take ten times as long in one run as in another.
pub(crate) struct Floors {
    first: usize,
    near: Echo,
    far: Echo,
}

impl Floors {
    /// What [`Self::apart`] measures.
    pub(crate) const APART: &str = "futex ping-pong, each on a processor of its own";
    /// What [`Self::together`] measures.
    pub(crate) const TOGETHER: &str = "futex ping-pong, both on one processor";

    pub(crate) fn start() -> Outcome<Self> {
        let [first, second] = processors()?;
        Ok(Self { first, near: on(&[first], Echo::start)?, far: on(&[second], Echo::start)? })
    }

    /// Nanoseconds there and back, where each wakes the other's processor.
    pub(crate) fn apart(&self) -> Outcome<f64> {
        on(&[self.first], || ping_pongs(&self.far))
    }

    /// Nanoseconds there and back, where one processor is given from one to the other.
    pub(crate) fn together(&self) -> Outcome<f64> {
        on(&[self.first], || ping_pongs(&self.near))
    }
}

pub(crate) fn cores(bench: &mut Bench) -> Outcome<()> {
    let [first, second] = processors()?;
    if first == second {
        bench.table.leave_out("chains on one and on two processors", "this process may use one processor");
        return Ok(());
    }
    let (floors, free) = (Floors::start()?, Echo::start()?);
    let daemon = on(&[first], || {
        let daemon = Daemon::start(&bench.scratch, CAPACITY, &[])?;
        daemon.connect()?;
        // Starts its workers.
        round_trips()?;
        Ok(daemon)
    })?;
    let [call, near, far, free] =
        in_turns([&mut || on(&[first], round_trips), &mut || floors.together(), &mut || floors.apart(), &mut || ping_pongs(&free)])?;
    plasmon::shutdown()?;
    drop(daemon);
    let (together, apart) = (Some((Floors::TOGETHER, &near)), Some((Floors::APART, &far)));
    bench.table.row("futex ping-pong, left to the kernel", &free, Unit::Microseconds, apart, Goal::Open);
    bench.table.row(Floors::TOGETHER, &near, Unit::Microseconds, apart, Goal::Open);
    bench.table.row("task round trip, all on one processor", &call, Unit::Microseconds, apart, Goal::Ratio(0.3));
    bench.table.row("the same, three processes beside two", &call, Unit::Microseconds, together, Goal::Open);
    Ok(())
}
