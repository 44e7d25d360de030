//! What everything costs when there is a lot of it already, beside what it costs when there is little: at most one and a half times as
//! much. Long queues of tasks are in `queue.rs`.

use std::cell::RefCell;

use plasmon_agent::reactor::Core;

use crate::daemon::{Daemon, rest};
use crate::driver::{Driver, core};
use crate::idle::weight;
use crate::program::{Order, Program, together};
use crate::reactor::work;
use crate::sample::{Sample, in_turns};
use crate::table::{Goal, Unit};
use crate::tasks::round_trips;
use crate::{Bench, Outcome};

const MANY: usize = 1_000_000;
const FEW: usize = 1000;
/// Rounds of many things, each beside the median of so many rounds of few.
const ROUNDS: usize = 5;
const REPEATS: usize = 40;
/// Places of the program: nearly as many as an agent keeps; those beyond share one.
const SITES: u32 = 65_000;
/// Objects in the rows about sites and processes.
const OBJECTS: usize = 64 << 10;
const PROCESSES: usize = 64;
const CAPACITY: u64 = 1 << 30;
const MOST: Goal = Goal::Ratio(1.5);

pub(crate) fn growth(bench: &mut Bench) -> Outcome<()> {
    objects(bench)?;
    sites(bench)?;
    processes(bench)?;
    programs(bench)
}

const COSTS: [&str; 4] = [
    "a put among 1,000,000 objects",
    "a view among 1,000,000 references",
    "a drop of 1,000,000, in the order of the puts",
    "a drop of 1,000,000, all over the place",
];

/// Nanoseconds of each message of the four costs.
fn costs(core: &mut Core, driver: &mut Driver) -> Outcome<[f64; 4]> {
    let puts = driver.puts();
    let put = work(core, driver, &puts)?;
    let view = work(core, driver, &driver.pins())?;
    let in_order = work(core, driver, &driver.drops(true))?;
    let again = driver.puts();
    work(core, driver, &again)?;
    Ok([put, view, in_order, work(core, driver, &driver.drops(false))?])
}

/// Objects, and references to them.
fn objects(bench: &mut Bench) -> Outcome<()> {
    let before = weight(std::process::id())?;
    let (mut small, mut large) = (core(), core());
    let (mut few, mut many) = (Driver::connect(&mut small, FEW, 1)?, Driver::connect(&mut large, MANY, 1)?);
    let mut samples: [[Vec<f64>; 2]; 4] = Default::default();
    for _ in 0..ROUNDS {
        let least: Vec<[f64; 4]> = (0..REPEATS).map(|_| costs(&mut small, &mut few)).collect::<Outcome<_>>()?;
        let most = costs(&mut large, &mut many)?;
        for (cost, sample) in samples.iter_mut().enumerate() {
            sample[0].push(Sample::of(least.iter().map(|costs| costs[cost]).collect()).median());
            sample[1].push(most[cost]);
        }
    }
    for (what, samples) in COSTS.iter().zip(samples) {
        let [few, many] = samples.map(Sample::of);
        bench.table.row(&format!("reactor alone, {what}"), &many, Unit::Nanoseconds, Some(("of 1,000", &few)), MOST);
    }
    // Without what the messages take.
    let mut puts = many.puts().into_iter().peekable();
    while puts.peek().is_some() {
        many.take(&mut large, puts.by_ref().take(FEW))?;
    }
    drop(puts);
    let bytes = (weight(std::process::id())? - before) * f64::from(1 << 20) - many.own_bytes() as f64;
    let bytes = Sample::of(vec![bytes / MANY as f64]);
    bench.table.row("reactor alone, bytes of an object and its reference", &bytes, Unit::Bytes, None, Goal::AtMost(300.0));
    Ok(())
}

/// Puts and drops at so many places in turns.
fn at_sites(sites: u32) -> Outcome<impl FnMut() -> Outcome<f64>> {
    let mut core = core();
    let mut driver = Driver::connect(&mut core, OBJECTS, sites)?;
    Ok(move || {
        let messages: Vec<_> = driver.puts().into_iter().chain(driver.drops(true)).collect();
        work(&mut core, &driver, &messages)
    })
}

fn sites(bench: &mut Bench) -> Outcome<()> {
    let (mut few, mut many) = (at_sites(FEW as u32)?, at_sites(SITES)?);
    let [few, many] = in_turns([&mut few, &mut many])?;
    let floor = Some(("at 1,000", &few));
    bench.table.row("reactor alone, a message with 65,000 sites, about all that are kept", &many, Unit::Nanoseconds, floor, MOST);
    Ok(())
}

/// As many puts and drops, by one process and by many in turns.
fn by_processes(count: usize) -> Outcome<impl FnMut() -> Outcome<f64>> {
    let mut core = core();
    let drivers: Vec<Driver> = (0..count).map(|_| Driver::connect(&mut core, OBJECTS / count, 1)).collect::<Outcome<_>>()?;
    let mut drivers = drivers;
    Ok(move || {
        let mut costs = 0.0;
        for driver in &mut drivers {
            let messages: Vec<_> = driver.puts().into_iter().chain(driver.drops(true)).collect();
            costs += work(&mut core, driver, &messages)?;
        }
        Ok(costs / count as f64)
    })
}

fn processes(bench: &mut Bench) -> Outcome<()> {
    let (mut one, mut many) = (by_processes(1)?, by_processes(PROCESSES)?);
    let [one, many] = in_turns([&mut one, &mut many])?;
    bench.table.row("reactor alone, a message of 64 processes in turns", &many, Unit::Nanoseconds, Some(("of one", &one)), MOST);
    Ok(())
}

/// One program that works, alone and beside many that are connected; and all of them at once.
fn programs(bench: &mut Bench) -> Outcome<()> {
    let (alone, among) = (Daemon::start(&bench.scratch, CAPACITY, &[])?, Daemon::start(&bench.scratch, CAPACITY, &[])?);
    let mut one = [Program::start(&alone)?];
    let many = RefCell::new((0..PROCESSES).map(|_| Program::start(&among)).collect::<Outcome<Vec<_>>>()?);
    let puts = 64 * FEW;
    let one = RefCell::new(&mut one);
    let [least, beside, all] = in_turns([
        &mut || together(&mut one.borrow_mut()[..], Order::PutDrop, puts),
        &mut || together(&mut many.borrow_mut()[..1], Order::PutDrop, puts),
        &mut || {
            let took = together(&mut many.borrow_mut(), Order::PutDrop, puts / PROCESSES);
            rest();
            took
        },
    ])?;
    let floor = Some(("one process", &least));
    bench.table.row("put + drop 64 B beside 63 idle processes", &beside, Unit::Nanoseconds, floor, MOST);
    bench.table.row("put + drop 64 B, by 64 processes at once", &all, Unit::Nanoseconds, floor, MOST);
    let calls = |daemon: &Daemon| {
        daemon.connect()?;
        round_trips()?;
        round_trips()
    };
    let [least, beside] = in_turns([&mut || calls(&alone), &mut || calls(&among)])?;
    plasmon::shutdown()?;
    let floor = Some(("beside one", &least));
    bench.table.row("task round trip beside 64 idle processes", &beside, Unit::Microseconds, floor, MOST);
    Ok(())
}
