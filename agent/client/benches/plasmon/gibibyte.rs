//! One object of 1 GiB: on pages that have memory behind them, and on pages that nobody ever touched.

use std::hint::black_box;
use std::os::fd::AsFd;
use std::sync::Arc;

use plasmon_memory::pool::Pool;
use rustix::fs::MemfdFlags;

use crate::daemon::{Daemon, rest};
use crate::machine::available_bytes;
use crate::sample::{each, in_turns};
use crate::shared::{copy, resident, source};
use crate::table::{Goal, Unit};
use crate::{Bench, Outcome};

const LENGTH: u64 = 1 << 30;
/// One object, and what the agent keeps backed beyond it.
const CAPACITY: u64 = LENGTH + (128 << 20);
/// The source, the floor's memory, the store, and room for everybody else.
const NEEDED: u64 = 6 << 30;
/// Bytes of one step of the ways to fill fresh pages; larger and smaller ones are slower.
const STEP: usize = 1 << 20;

pub(crate) fn put(bench: &mut Bench) -> Outcome<()> {
    let available = available_bytes();
    if available < NEEDED {
        bench.table.leave_out("put 1 GiB", &format!("{} MiB of memory are available, {} are needed", available >> 20, NEEDED >> 20));
        return Ok(());
    }
    let source = source(LENGTH as usize);
    backed(bench, &source)?;
    fresh(bench, &source)
}

fn backed(bench: &mut Bench, source: &[u8]) -> Outcome<()> {
    let daemon = Daemon::start(&bench.scratch, CAPACITY, &[])?;
    daemon.connect()?;
    drop(plasmon::put(source)?);
    let mut shared = resident(LENGTH)?;
    let [first, again, floor] = in_turns([
        &mut || {
            daemon.connect()?;
            one(source)
        },
        &mut || one(source),
        &mut || each(1, || copy(&mut shared, black_box(source))),
    ])?;
    plasmon::shutdown()?;
    let floor = Some(("memcpy, same source, resident shared memory", &floor));
    bench.table.row("put 1 GiB, backed ahead, first by this process", &first, Unit::Milliseconds, floor, Goal::Ratio(1.5));
    bench.table.row("put 1 GiB, backed ahead, written before by this process", &again, Unit::Milliseconds, floor, Goal::Ratio(1.5));
    Ok(())
}

fn fresh(bench: &mut Bench, source: &[u8]) -> Outcome<()> {
    let scratch = &bench.scratch;
    let [put, written, copied] = in_turns([
        &mut || {
            let daemon = Daemon::start(scratch, CAPACITY, &[])?;
            daemon.connect()?;
            let took = one(source);
            plasmon::shutdown()?;
            took
        },
        &mut || {
            let file = rustix::fs::memfd_create("floor", MemfdFlags::CLOEXEC)?;
            rustix::fs::ftruncate(&file, LENGTH)?;
            each(1, || write(file.as_fd(), black_box(source)))
        },
        &mut || {
            let pool = Arc::new(Pool::create(LENGTH)?);
            each(1, || {
                for (step, part) in black_box(source).chunks(STEP).enumerate() {
                    pool.populate((step * STEP) as u64, part.len() as u64)?;
                    // Not before: whoever gets a range has its pages.
                    let mut range = pool.write_range((step * STEP) as u64, part.len() as u64)?;
                    copy(&mut range, part)?;
                }
                Ok(())
            })
        },
    ])?;
    let best = [("pwrite into a fresh memory file", &written), ("populate + memcpy in steps, fresh memory file", &copied)]
        .into_iter()
        .min_by(|(_, one), (_, other)| one.median().total_cmp(&other.median()));
    bench.table.row("put 1 GiB, pages never used before", &put, Unit::Milliseconds, best, Goal::Ratio(1.1));
    Ok(())
}

fn one(source: &[u8]) -> Outcome<f64> {
    let mut held = None;
    let took = each(1, || {
        held = Some(plasmon::put(black_box(source))?);
        Ok(())
    });
    drop(held);
    // The lease is far more than may lie idle: the agent takes it back meanwhile.
    rest();
    took
}

fn write(file: std::os::fd::BorrowedFd<'_>, source: &[u8]) -> Outcome<()> {
    let mut offset = 0;
    for part in source.chunks(STEP) {
        let mut rest = part;
        while !rest.is_empty() {
            let written = rustix::io::pwrite(file, rest, offset)?;
            offset += written as u64;
            rest = &rest[written..];
        }
    }
    Ok(())
}
