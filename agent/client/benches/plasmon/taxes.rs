//! What it costs to be watched: creation sites, and a dashboard.

use std::cell::Cell;

use rustix::process::{Pid, Signal, kill_process};

use crate::daemon::{Daemon, rest};
use crate::objects::burst;
use crate::sample::{Sample, in_turns};
use crate::shared::source;
use crate::table::{Goal, Unit};
use crate::tasks::round_trips;
use crate::viewer::{Viewer, events};
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
    let daemon = Daemon::start(&bench.scratch, CAPACITY, &[])?;
    daemon.connect()?;
    let sites = Switch { daemon: &daemon, recorded: Cell::new(Recorded::Lines) };
    let on = |recorded, measure: &dyn Fn() -> Outcome<f64>| {
        sites.turn(recorded)?;
        measure()?;
        measure()
    };
    let [lines, stacks, floor] =
        in_turns([&mut || on(Recorded::Lines, &puts), &mut || on(Recorded::Stacks, &puts), &mut || on(Recorded::Nothing, &puts)])?;
    let beside = Some(("creation sites off", &floor));
    bench.table.row("put 1 KiB, creation sites on", &lines, Unit::Nanoseconds, beside, MOST);
    bench.table.row("put 1 KiB, whole stacks as creation sites", &stacks, Unit::Nanoseconds, beside, Goal::Open);
    let [lines, floor] = in_turns([&mut || on(Recorded::Lines, &calls), &mut || on(Recorded::Nothing, &calls)])?;
    bench.table.row("task round trip, creation sites on", &lines, Unit::Microseconds, Some(("creation sites off", &floor)), MOST);
    sites.turn(Recorded::Lines)?;
    let watched = |measure: &dyn Fn() -> Outcome<f64>| {
        let viewer = Viewer::attach(daemon.session())?;
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

/// What is recorded of call sites.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Recorded {
    Nothing,
    Lines,
    Stacks,
}

/// Has an agent record call sites otherwise while this program stays connected: between two connections memory and workers differ by more
/// than sites cost.
struct Switch<'a> {
    daemon: &'a Daemon,
    recorded: Cell<Recorded>,
}

impl Switch<'_> {
    fn turn(&self, to: Recorded) -> Outcome<()> {
        let from = self.recorded.get();
        let signal = match (from, to) {
            _ if from == to => return Ok(()),
            // What was switched off comes back as it was, lines or stacks.
            (Recorded::Nothing, Recorded::Lines) => {
                self.turn(Recorded::Stacks)?;
                return self.turn(Recorded::Lines);
            }
            (_, Recorded::Nothing) => Signal::USR1,
            (_, Recorded::Lines | Recorded::Stacks) => Signal::USR2,
        };
        let told = || events(self.daemon.session(), "switched");
        let before = told()?;
        kill_process(Pid::from_raw(self.daemon.pid().cast_signed()).ok_or("an agent without a number")?, signal)?;
        while told()? == before {
            rest();
        }
        rest();
        self.recorded.set(to);
        Ok(())
    }
}
