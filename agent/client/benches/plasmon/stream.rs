//! The live stream: long tables, and a crowd of viewers.

use std::time::{Duration, Instant};

use plasmon::{ActorOptions, put};
use plasmon_protocol::column::Table;
use plasmon_protocol::stream::{Body, Request, View, Window};

use crate::daemon::Daemon;
use crate::idle::{processor_ns, weight};
use crate::program::{Order, Program};
use crate::sample::{Sample, each, in_turns};
use crate::shared::source;
use crate::table::{Goal, Unit};
use crate::viewer::{Connection, Crowd};
use crate::{Bench, Outcome};

const CAPACITY: u64 = 512 << 20;
const MANY: usize = 1_000_000;
const FEW: usize = 10_000;
/// References that are let go of and taken between two frames.
const CHANGES: usize = 1_000;
/// Actors that end and come between two frames, and how few there are beside many.
const TURNOVER: usize = 10;
const FEW_ACTORS: usize = 100;
/// Frames, and windows that are scrolled to, in one round.
const FRAMES: usize = 10;
const SCROLLS: usize = 50;
/// First screens: after each nobody looks until the agent has forgotten the table.
const FIRST: usize = 3;
const FORGOTTEN: Duration = Duration::from_secs(11);
/// Puts and drops of one round: several ticks.
const PUTS: usize = 1_000_000;
/// Viewers that read all that they are sent, and that read nothing.
const HEALTHY: usize = 150;
const STALLED: usize = 50;
/// Pauses between puts, of 20 ms each, while frames are counted.
const CALM: usize = 100;
/// Until all have got their first frames.
const GATHERED: Duration = Duration::from_millis(300);

fn page(start: usize) -> View {
    View { window: Window { start: start as u64, len: 50 }, ..View::of(Table::References) }
}

/// Until a window of so many rows is there.
fn first_screen(daemon: &Daemon, rows: usize) -> Outcome<f64> {
    let mut connection = Connection::open(daemon.session())?;
    each(1, || {
        connection.send(&Request::Subscribe { id: 1, view: page(0) })?;
        match connection.frame()?.body {
            Body::Snapshot { totals, .. } if totals.rows >= rows as u64 => Ok(()),
            other => Err(format!("no first screen of {rows} rows: {other:?}").into()),
        }
    })
}

/// Nanoseconds until a window somewhere else is there.
fn scroll(connection: &mut Connection, rows: usize, seed: &mut usize) -> Outcome<f64> {
    each(SCROLLS, || {
        for _ in 0..SCROLLS {
            *seed = (*seed + 104_729) % rows;
            connection.send(&Request::Subscribe { id: 1, view: page(*seed) })?;
            while !matches!(connection.frame()?.body, Body::Snapshot { .. }) {}
        }
        Ok(())
    })
}

/// Nanoseconds of the agent's processor time for each frame of a changing table, the changes included.
fn frames(daemon: &Daemon, holder: &mut Program, connection: &mut Connection) -> Outcome<f64> {
    let before = processor_ns(daemon.pid())?;
    for _ in 0..FRAMES {
        holder.work(Order::Change, CHANGES)?;
        connection.frame()?;
    }
    Ok((processor_ns(daemon.pid())? - before) as f64 / FRAMES as f64)
}

pub(crate) fn stream(bench: &mut Bench) -> Outcome<()> {
    long_tables(bench)?;
    crowd(bench)
}

/// Whatever it would do: it is never placed.
struct Idle;

#[plasmon::actor]
impl Idle {
    fn new() -> Self {
        Self
    }
}

/// The same changes among many actors and among few: some end and others come.
pub(crate) fn actors(bench: &mut Bench) -> Outcome<()> {
    let daemon = Daemon::start(&bench.scratch, CAPACITY, &[])?;
    daemon.connect()?;
    let create = || Idle::options(ActorOptions::new().num_gpus(1.0)).remote();
    let mut connection = Connection::open(daemon.session())?;
    let window = Window { start: 0, len: 50 };
    connection.send(&Request::Subscribe { id: 1, view: View { window, ..View::of(Table::Actors) } })?;
    connection.send(&Request::Subscribe { id: 2, view: View::of(Table::Store) })?;
    let (source, mut waiting) = (source(64), Vec::new());
    let mut work = |count: usize| {
        while waiting.len() < count {
            waiting.push(create()?);
        }
        let mut seen = 0;
        while seen < count as u64 {
            if let Body::Snapshot { id: 1, totals, .. } | Body::Delta { id: 1, totals, .. } = connection.frame()?.body {
                seen = totals.rows;
            }
        }
        let [work] = in_turns([&mut || {
            let before = processor_ns(daemon.pid())?;
            for _ in 0..FRAMES {
                waiting.drain(..TURNOVER);
                for _ in 0..TURNOVER {
                    waiting.push(create()?);
                }
                drop(put(&source[..])?);
                while !matches!(connection.frame()?.body, Body::Delta { id: 2, .. } | Body::Snapshot { id: 2, .. }) {}
            }
            Ok((processor_ns(daemon.pid())? - before) as f64 / FRAMES as f64)
        }])?;
        Outcome::Ok(work)
    };
    let (few, many) = (work(FEW_ACTORS)?, work(FEW)?);
    let floor = Some(("100 actors", &few));
    bench.table.row("10,000 actors, work of a frame of 20 changes", &many, Unit::Milliseconds, floor, Goal::Ratio(1.5));
    drop(waiting);
    Ok(plasmon::shutdown()?)
}

fn long_tables(bench: &mut Bench) -> Outcome<()> {
    let daemon = Daemon::start(&bench.scratch, CAPACITY, &[])?;
    let small = Daemon::start(&bench.scratch, CAPACITY, &[])?;
    let empty = weight(daemon.pid())?;
    let mut holder = Program::holding(&daemon, MANY)?;
    let few = Program::holding(&small, FEW)?;
    let core = weight(daemon.pid())?;
    let own = (weight(holder.pid())? - weight(few.pid())?) * f64::from(1 << 20) / (MANY - FEW) as f64;
    let (mut screens, mut weights) = (Vec::new(), Vec::new());
    for _ in 0..FIRST {
        screens.push(first_screen(&daemon, MANY)?);
        weights.push(weight(daemon.pid())?);
        std::thread::sleep(FORGOTTEN);
    }
    let watched = weights.first().copied().ok_or("no first screen")?;
    bench.table.row("1,000,000 references, first screen", &Sample::of(screens), Unit::Milliseconds, None, Goal::AtMost(1000.0));
    let (mut here, mut there) = (Connection::open(daemon.session())?, Connection::open(small.session())?);
    let (mut place, mut other) = (1, 1);
    let [many, least] = in_turns([&mut || scroll(&mut here, MANY, &mut place), &mut || scroll(&mut there, FEW, &mut other)])?;
    let floor = Some(("10,000 references", &least));
    bench.table.row("1,000,000 references, scrolling", &many, Unit::Microseconds, floor, Goal::Ratio(1.1));
    let [work] = in_turns([&mut || frames(&daemon, &mut holder, &mut here)])?;
    bench.table.row("1,000,000 references, work of a frame of 1,000 changes", &work, Unit::Milliseconds, None, Goal::AtMost(16.0));
    let bytes = |from: f64, to: f64| Sample::of(vec![(to - from) * f64::from(1 << 20) / MANY as f64]);
    bench.table.row("1,000,000 references, bytes a row", &bytes(empty, watched), Unit::Bytes, None, Goal::AtMost(300.0));
    bench.table.row("of it replica and order", &bytes(core, watched), Unit::Bytes, None, Goal::Open);
    bench.table.row("bytes a row, without any viewer", &bytes(empty, core), Unit::Bytes, None, Goal::AtMost(300.0));
    bench.table.row("bytes of a reference in its own process", &Sample::of(vec![own]), Unit::Bytes, None, Goal::AtMost(128.0));
    // The allocator keeps some of what was given back.
    let later = bytes(empty, weight(daemon.pid())?);
    bench.table.row("bytes a row, after replicas were dropped and made anew", &later, Unit::Bytes, None, Goal::Open);
    drop((here, there, few));
    drop(holder);
    let daemon = Daemon::start(&bench.scratch, CAPACITY, &[])?;
    let _holder = Program::holding(&daemon, 50_000)?;
    let [report] = in_turns([&mut || {
        each(1, || {
            let mut connection = Connection::open(daemon.session())?;
            connection.send(&Request::Report { id: 1, filter: String::new() })?;
            while !matches!(connection.frame()?.body, Body::Report { last: true, .. }) {}
            Ok(())
        })
    }])?;
    bench.table.row("report of 50,000 references, read as rows", &report, Unit::Milliseconds, None, Goal::AtMost(150.0));
    Ok(())
}

/// 200 viewers, a quarter of which read nothing. They run at the lowest priority: what counts is what they cost the agent.
fn crowd(bench: &mut Bench) -> Outcome<()> {
    let daemon = Daemon::start(&bench.scratch, CAPACITY, &[])?;
    daemon.connect()?;
    let source = source(64);
    let puts = || {
        each(PUTS, || {
            for _ in 0..PUTS {
                drop(put(&source[..])?);
            }
            Ok(())
        })
    };
    // Rows that are looked at, as many as a window shows.
    let _held = (0..FEW).map(|_| put(&source[..])).collect::<Result<Vec<_>, _>>()?;
    let mut bytes = Vec::new();
    let [watched, floor] = in_turns([
        &mut || {
            let healthy = Crowd::attach(daemon.session(), HEALTHY, 0)?;
            let before = weight(daemon.pid())?;
            let stalled = Crowd::attach(daemon.session(), 0, STALLED)?;
            std::thread::sleep(GATHERED);
            let took = puts()?;
            bytes.push((weight(daemon.pid())? - before).max(0.0) * f64::from(1 << 20) / STALLED as f64);
            stalled.detach()?;
            healthy.detach()?;
            Ok(took)
        },
        &mut || puts(),
    ])?;
    let floor = Some(("none attached", &floor));
    bench.table.row("put + drop 64 B, 200 viewers, 50 of them stalled", &watched, Unit::Nanoseconds, floor, Goal::Ratio(1.05));
    // What the crowd reads takes processor time as well, of which that work leaves none.
    let calmly = || {
        for _ in 0..CALM {
            (0..CHANGES / 10).try_for_each(|_| put(&source[..]).map(drop))?;
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    };
    let (mut rates, mut alone) = (Rate::default(), Rate::default());
    for _ in 0..FIRST {
        let healthy = Crowd::attach(daemon.session(), HEALTHY, 0)?;
        alone.beside(&healthy, calmly)?;
        let stalled = Crowd::attach(daemon.session(), 0, STALLED)?;
        rates.beside(&healthy, calmly)?;
        stalled.detach()?;
        healthy.detach()?;
    }
    let floor = alone.sample();
    let floor = Some(("without the 50 that stall", &floor));
    bench.table.row("frames a second that each of the others gets", &rates.sample(), Unit::Times, floor, Goal::AtLeastRatio(0.95));
    bench.table.row("agent's memory for each that stalls", &Sample::of(bytes), Unit::Bytes, None, Goal::AtMost(f64::from(256 << 10)));
    Ok(plasmon::shutdown()?)
}

/// Frames of the healthy over all rounds: one is too short for a rate.
#[derive(Default)]
struct Rate {
    frames: u64,
    seconds: f64,
}

impl Rate {
    /// Counts theirs while `work` goes on.
    fn beside(&mut self, healthy: &Crowd, work: impl FnOnce() -> Outcome<()>) -> Outcome<()> {
        std::thread::sleep(GATHERED);
        let (before, began) = (healthy.frames()?, Instant::now());
        work()?;
        self.frames += healthy.frames()? - before;
        self.seconds += began.elapsed().as_secs_f64();
        Ok(())
    }

    /// For each of them.
    fn sample(&self) -> Sample {
        Sample::of(vec![self.frames as f64 / self.seconds / HEALTHY as f64])
    }
}
