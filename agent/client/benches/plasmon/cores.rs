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

pub(crate) fn cores(bench: &mut Bench) -> Outcome<()> {
    let allowed = sched_getaffinity(None)?;
    let processors: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor)).take(2).collect();
    let [first, second] = processors[..] else {
        bench.table.leave_out("chains on one and on two processors", "this process may use one processor");
        return Ok(());
    };
    let (near, far, free) = (on(&[first], Echo::by_futex)?, on(&[second], Echo::by_futex)?, Echo::by_futex()?);
    let daemon = on(&[first], || {
        let daemon = Daemon::start(&bench.scratch, CAPACITY, &[])?;
        daemon.connect()?;
        // Starts its workers.
        round_trips()?;
        Ok(daemon)
    })?;
    let [call, near, far, free] = in_turns([
        &mut || on(&[first], round_trips),
        &mut || on(&[first], || ping_pongs(&near)),
        &mut || on(&[first], || ping_pongs(&far)),
        &mut || ping_pongs(&free),
    ])?;
    plasmon::shutdown()?;
    drop(daemon);
    let apart = Some(("futex ping-pong, each on a processor of its own", &far));
    let unpinned = Some(("futex ping-pong, unpinned", &free));
    bench.table.row("futex ping-pong, both on one processor", &near, Unit::Microseconds, unpinned, Goal::Open);
    bench.table.row("futex ping-pong, each on a processor of its own", &far, Unit::Microseconds, unpinned, Goal::Open);
    bench.table.row("task round trip, all on one processor", &call, Unit::Microseconds, apart, Goal::Ratio(0.3));
    let together = Some(("futex ping-pong, both on one processor", &near));
    bench.table.row("the same, three processes beside two", &call, Unit::Microseconds, together, Goal::Open);
    Ok(())
}
