//! Tasks, and waiting for them.

use std::process::Command;

use plasmon::ObjectRef;

use crate::cores::Floors;
use crate::daemon::{Daemon, rest};
use crate::echo::Echo;
use crate::sample::{each, in_turns};
use crate::table::{Goal, Unit};
use crate::{Bench, Outcome, ROLE};

const CAPACITY: u64 = 256 << 20;
/// Calls one after the other, in one round.
const CALLS: usize = 100;
/// Tasks submitted at once.
const PIPELINED: usize = 5000;
/// References in one `wait`.
const AWAITED: usize = 1000;

/// A task that does nothing.
#[plasmon::remote]
pub(crate) fn nothing() {}

/// A task that waits for one of its own.
#[plasmon::remote]
fn nested() -> bool {
    nothing.remote().is_ok_and(|inner| plasmon::get(&inner).is_ok())
}

pub(crate) fn tasks(bench: &mut Bench) -> Outcome<()> {
    let daemon = Daemon::start(&bench.scratch, CAPACITY, &[])?;
    daemon.connect()?;
    let floors = Floors::start()?;
    let [call, apart, together] = in_turns([&mut round_trips, &mut || floors.apart(), &mut || floors.together()])?;
    let (apart, together) = (Some((Floors::APART, &apart)), Some((Floors::TOGETHER, &together)));
    bench.table.row("task round trip, no-op", &call, Unit::Microseconds, apart, Goal::Ratio(1.3));
    bench.table.row("the same, the goal beyond", &call, Unit::Microseconds, apart, Goal::Ratio(0.3));
    bench.table.row("the same, three processes beside two", &call, Unit::Microseconds, together, Goal::Open);
    drop(floors);
    let [inside, twice] = in_turns([&mut nested_calls, &mut || Ok(2.0 * round_trips()?)])?;
    let floor = Some(("two round trips, one after the other", &twice));
    bench.table.row("nested task: one that waits for one of its own", &inside, Unit::Microseconds, floor, Goal::Ratio(1.3));
    let [pipelined] = in_turns([&mut || {
        let took = each(PIPELINED, || {
            let results = submit(PIPELINED)?;
            for result in &results {
                plasmon::get(result)?;
            }
            Ok(results)
        });
        rest();
        took
    }])?;
    bench.table.row("tasks, pipelined", &pipelined, Unit::PerSecond, None, Goal::AtLeast(200_000.0));
    Ok(plasmon::shutdown()?)
}

/// Nanoseconds of one way there and back.
pub(crate) fn ping_pongs(echo: &Echo) -> Outcome<f64> {
    each(CALLS, || (0..CALLS).try_for_each(|_| echo.call()))
}

/// Nanoseconds of one call that waits for its result.
pub(crate) fn round_trips() -> Outcome<f64> {
    each(CALLS, || {
        for _ in 0..CALLS {
            plasmon::get(&nothing.remote()?)?;
        }
        Ok(())
    })
}

/// Nanoseconds of one call that makes another one.
fn nested_calls() -> Outcome<f64> {
    each(CALLS, || {
        for _ in 0..CALLS {
            if !plasmon::get(&nested.remote()?)? {
                return Err("a nested task had no result".into());
            }
        }
        Ok(())
    })
}

/// From the first call of a program until its result is there: a worker is started for it.
pub(crate) fn worker(bench: &mut Bench) -> Outcome<()> {
    let daemon = Daemon::start(&bench.scratch, CAPACITY, &[])?;
    let [start, floor] = in_turns([
        &mut || {
            daemon.connect()?;
            let took = each(1, || Ok(plasmon::get(&nothing.remote()?)?));
            plasmon::shutdown()?;
            took
        },
        &mut || {
            each(1, || {
                let status = Command::new(std::env::current_exe()?).env(ROLE, "nothing").status()?;
                if status.success() { Ok(()) } else { Err(format!("a process that does nothing: {status}").into()) }
            })
        },
    ])?;
    let floor = Some(("this program as a process that does nothing", &floor));
    bench.table.row("worker start, to its first task's result", &start, Unit::Milliseconds, floor, Goal::Ratio(5.0));
    Ok(())
}

/// An actor that is called in order, or says so.
struct Ordered {
    next: u64,
}

#[plasmon::actor]
impl Ordered {
    fn new() -> Self {
        Self { next: 0 }
    }

    fn take(&mut self, number: u64) {
        // A wrong order shows in the end.
        self.next = if number == self.next { number + 1 } else { u64::MAX };
    }

    fn taken(&self) -> u64 {
        self.next
    }
}

pub(crate) fn actors(bench: &mut Bench) -> Outcome<()> {
    let daemon = Daemon::start(&bench.scratch, CAPACITY, &[])?;
    daemon.connect()?;
    let (near, actor) = (Ordered::remote()?, Ordered::remote()?);
    near.ready()?;
    actor.ready()?;
    let floors = Floors::start()?;
    let [call, apart, together] = in_turns([
        &mut || {
            each(CALLS, || {
                for _ in 0..CALLS {
                    plasmon::get(&near.taken()?)?;
                }
                Ok(())
            })
        },
        &mut || floors.apart(),
        &mut || floors.together(),
    ])?;
    let (apart, together) = (Some((Floors::APART, &apart)), Some((Floors::TOGETHER, &together)));
    bench.table.row("actor call round trip, no-op", &call, Unit::Microseconds, apart, Goal::Ratio(1.3));
    bench.table.row("the same, three processes beside two", &call, Unit::Microseconds, together, Goal::Open);
    drop(floors);
    let mut sent = 0;
    let [one_way] = in_turns([&mut || {
        let took = each(PIPELINED, || {
            for _ in 0..PIPELINED {
                actor.take(sent)?;
                sent += 1;
            }
            let taken = plasmon::get(&actor.taken()?)?;
            if taken == sent { Ok(()) } else { Err(format!("{taken} of {sent} calls in order").into()) }
        });
        rest();
        took
    }])?;
    bench.table.row("actor calls, one way, in order, pipelined", &one_way, Unit::PerSecond, None, Goal::AtLeast(200_000.0));
    Ok(plasmon::shutdown()?)
}

fn submit(count: usize) -> Outcome<Vec<ObjectRef<()>>> {
    Ok((0..count).map(|_| nothing.remote()).collect::<Result<_, _>>()?)
}

pub(crate) fn wait(bench: &mut Bench) -> Outcome<()> {
    let daemon = Daemon::start(&bench.scratch, CAPACITY, &[])?;
    daemon.connect()?;
    let there: Vec<ObjectRef<[u8]>> = (0..AWAITED).map(|_| plasmon::put(&[7; 64][..])).collect::<Result<_, _>>()?;
    rest();
    let [resident, one_by_one] = in_turns([
        &mut || {
            each(10, || {
                for _ in 0..10 {
                    plasmon::wait(&there, AWAITED, None)?;
                }
                Ok(())
            })
        },
        &mut || {
            let mut missing = submit(AWAITED)?;
            let took = each(1, || {
                while !missing.is_empty() {
                    missing = plasmon::wait(&missing, 1, None)?.1;
                }
                Ok(())
            });
            rest();
            took
        },
    ])?;
    bench.table.row("wait, 1,000 references that are there", &resident, Unit::Microseconds, None, Goal::Open);
    bench.table.row("wait, 1,000 tasks, one at a time", &one_by_one, Unit::Milliseconds, None, Goal::Open);
    drop(there);
    Ok(plasmon::shutdown()?)
}
