//! `put` and `get` of resident memory.

use std::hint::black_box;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};

use plasmon::{ObjectRef, Pinned, get as fetch, put as store};

use crate::daemon::{Daemon, rest};
use crate::floor::Barest;
use crate::sample::{each, in_turns};
use crate::shared::{copy, resident, source};
use crate::table::{Goal, Unit};
use crate::{Bench, Outcome};

/// Large enough that a lease of 100 MiB stays warm: an eighth of it may lie idle.
const CAPACITY: u64 = 2 << 30;
/// Small objects in one burst. Their messages fit the ring several times.
const BURST: usize = 4096;
/// Puts and drops without a pause.
const SUSTAINED: usize = 100_000;
/// Numbers of an object that is written in place: 16 MiB.
const IN_PLACE: usize = 2 << 20;
/// Views that are held at once; the table of pins has room for them.
pub(crate) const VIEWS: usize = 1000;

pub(crate) fn put(bench: &mut Bench) -> Outcome<()> {
    let daemon = Daemon::start(&bench.scratch, CAPACITY, &[])?;
    daemon.connect()?;
    small(bench)?;
    large(bench, "put 1 MiB, warm lease", 1 << 20, 16)?;
    large(bench, "put 100 MiB, warm lease", 100 << 20, 1)?;
    in_place(bench)?;
    Ok(plasmon::shutdown()?)
}

fn small(bench: &mut Bench) -> Outcome<()> {
    let source = source(64);
    let mut shared = resident(64 * BURST as u64)?;
    let head = AtomicU64::new(0);
    let mut barest = Barest::start(64, BURST)?;
    let [put, barest, floor] = in_turns([&mut || burst(&source, BURST), &mut || barest.burst(&source, BURST), &mut || {
        rest();
        each(BURST, || {
            for turn in 0..BURST as u64 {
                copy(&mut shared, black_box(&source))?;
                head.store(turn, Ordering::Release);
            }
            Ok(())
        })
    }])?;
    bench.table.row("put 64 B, burst", &put, Unit::Nanoseconds, Some(("bump + copy + release store", &floor)), Goal::Ratio(5.0));
    let beside = Some(("the barest program that tells a reader of each", &barest));
    bench.table.row("the same, beside the barest that the design allows", &put, Unit::Nanoseconds, beside, Goal::Open);
    let [both] = in_turns([&mut || {
        each(SUSTAINED, || {
            for _ in 0..SUSTAINED {
                drop(store(black_box(&source[..]))?);
            }
            Ok(())
        })
    }])?;
    bench.table.row("put + drop 64 B, sustained", &both, Unit::PerSecond, None, Goal::AtLeast(2e6));
    rest();
    Ok(())
}

/// Nanoseconds for one put of a burst; the objects are dropped afterwards.
pub(crate) fn burst(source: &[u8], count: usize) -> Outcome<f64> {
    let mut held = Vec::with_capacity(count);
    let took = each(count, || {
        for _ in 0..count {
            held.push(store(black_box(source))?);
        }
        Ok(())
    });
    drop(held);
    rest();
    took
}

fn large(bench: &mut Bench, metric: &str, length: usize, count: usize) -> Outcome<()> {
    let source = source(length);
    let mut shared = resident((length * count) as u64)?;
    let [put, floor] = in_turns([&mut || burst(&source, count), &mut || {
        rest();
        each(count, || {
            for _ in 0..count {
                copy(&mut shared, black_box(&source))?;
            }
            Ok(())
        })
    }])?;
    bench.table.row(metric, &put, Unit::Microseconds, Some(("memcpy, same source, resident shared memory", &floor)), Goal::Ratio(1.05));
    Ok(())
}

/// Written where it stays, without any copy.
fn in_place(bench: &mut Bench) -> Outcome<()> {
    let mut own = vec![1_u64; IN_PLACE];
    let mut turn = 0;
    let fill = |room: &mut [u64], turn: u64| {
        for (number, place) in (turn..).zip(black_box(room)) {
            *place = number;
        }
    };
    let [created, floor] = in_turns([
        &mut || {
            turn += 1;
            let mut object = None;
            let took = each(1, || {
                let mut draft = plasmon::create::<u64>(IN_PLACE)?;
                fill(&mut draft, turn);
                object = Some(draft.seal()?);
                Ok(())
            });
            drop(object);
            rest();
            took
        },
        &mut || {
            rest();
            each(1, || {
                fill(&mut own, 7);
                Ok(())
            })
        },
    ])?;
    let floor = Some(("the same into a vector", &floor));
    bench.table.row("create 16 MiB in place and seal", &created, Unit::Microseconds, floor, Goal::Ratio(1.05));
    Ok(())
}

pub(crate) fn get(bench: &mut Bench) -> Outcome<()> {
    let daemon = Daemon::start(&bench.scratch, CAPACITY, &[])?;
    daemon.connect()?;
    let source = source(64);
    let references: Vec<ObjectRef<[u8]>> = (0..VIEWS).map(|_| store(&source[..])).collect::<Result<_, _>>()?;
    rest();
    let pointers: Vec<Box<[u8]>> = (0..VIEWS).map(|_| source.clone().into_boxed_slice()).collect();
    let mut held: Vec<Pinned<[u8]>> = Vec::with_capacity(VIEWS);
    let [get, both, floor] = in_turns([
        &mut || {
            let took = each(VIEWS, || {
                for reference in &references {
                    let view = fetch(black_box(reference))?;
                    black_box(view[0]);
                    held.push(view);
                }
                Ok(())
            });
            held.clear();
            rest();
            took
        },
        &mut || {
            let took = each(VIEWS, || {
                for reference in &references {
                    black_box(fetch(black_box(reference))?[0]);
                }
                Ok(())
            });
            rest();
            took
        },
        &mut || look_through(&pointers),
    ])?;
    let floor = Some(("pointer dereference", &floor));
    bench.table.row("get, resident", &get, Unit::Nanoseconds, floor, Goal::Above(50.0));
    bench.table.row("get + drop of the view, resident", &both, Unit::Nanoseconds, floor, Goal::Open);
    let views: Vec<Pinned<[u8]>> = references.iter().map(fetch).collect::<Result<_, _>>()?;
    let [hot, floor] = in_turns([&mut || look_through(&views), &mut || look_through(&pointers)])?;
    let floor = Some(("pointer dereference", &floor));
    bench.table.row("a byte of a view that is held", &hot, Unit::Nanoseconds, floor, Goal::Above(10.0));
    drop((views, references));
    Ok(plasmon::shutdown()?)
}

/// Nanoseconds for the first byte of one of them.
fn look_through(all: &[impl Deref<Target = [u8]>]) -> Outcome<f64> {
    rest();
    each(all.len(), || {
        for one in black_box(all) {
            black_box(one[0]);
        }
        Ok(())
    })
}
