//! What it costs to be watched: creation sites, and a dashboard.

use crate::daemon::Daemon;
use crate::objects::burst;
use crate::sample::{Sample, in_turns};
use crate::shared::source;
use crate::table::{Goal, Unit};
use crate::tasks::round_trips;
use crate::viewer::Viewer;
use crate::{Bench, Outcome};

const CAPACITY: u64 = 256 << 20;
/// Puts of 1 KiB in one burst.
const BURST: usize = 1000;
/// Bursts of one round: its figure is their median.
const BURSTS: usize = 5;
const MOST: Goal = Goal::Ratio(1.05);

pub(crate) fn taxes(bench: &mut Bench) -> Outcome<()> {
    let source = source(1 << 10);
    let puts = || {
        let bursts: Vec<f64> = (0..BURSTS).map(|_| burst(&source, BURST)).collect::<Outcome<_>>()?;
        Ok(Sample::of(bursts).median())
    };
    // A connection's first calls start its workers.
    let calls = || round_trips().and_then(|_| round_trips());
    let with = Daemon::start(&bench.scratch, CAPACITY, &[])?;
    let without = Daemon::start(&bench.scratch, CAPACITY, &[("PLASMON_SITES", "off")])?;
    let on = |daemon: &Daemon, measure: &dyn Fn() -> Outcome<f64>| {
        daemon.connect()?;
        measure()?;
        measure()
    };
    let [sites, floor] = in_turns([&mut || on(&with, &puts), &mut || on(&without, &puts)])?;
    bench.table.row("put 1 KiB, creation sites on", &sites, Unit::Nanoseconds, Some(("creation sites off", &floor)), MOST);
    let stacks = Daemon::start(&bench.scratch, CAPACITY, &[("PLASMON_SITES", "stack")])?;
    let [stacks] = in_turns([&mut || on(&stacks, &puts)])?;
    bench.table.row(
        "put 1 KiB, whole stacks as creation sites",
        &stacks,
        Unit::Nanoseconds,
        Some(("creation sites off", &floor)),
        Goal::Open,
    );
    let [sites, floor] = in_turns([&mut || on(&with, &calls), &mut || on(&without, &calls)])?;
    bench.table.row("task round trip, creation sites on", &sites, Unit::Microseconds, Some(("creation sites off", &floor)), MOST);
    drop(without);
    with.connect()?;
    let watched = |measure: &dyn Fn() -> Outcome<f64>| {
        let viewer = Viewer::attach(with.session())?;
        let took = measure();
        viewer.detach()?;
        took
    };
    let [streaming, floor] = in_turns([&mut || watched(&puts), &mut || puts()])?;
    bench.table.row("put 1 KiB, one dashboard attached", &streaming, Unit::Nanoseconds, Some(("none attached", &floor)), MOST);
    let [streaming, floor] = in_turns([&mut || watched(&calls), &mut || calls()])?;
    bench.table.row("task round trip, one dashboard attached", &streaming, Unit::Microseconds, Some(("none attached", &floor)), MOST);
    Ok(plasmon::shutdown()?)
}
