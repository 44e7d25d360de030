//! Spilling and restoring, beside what the same disk does for whoever asks it directly.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use plasmon::{ObjectRef, get as fetch, put as store};
use plasmon_memory::pool::Pool;
use rustix::fs::{Mode, OFlags};

use crate::daemon::Daemon;
use crate::sample::{each, in_turns};
use crate::shared::source;
use crate::table::{Goal, Unit};
use crate::viewer::store_row;
use crate::{Bench, Outcome};

const MIB: usize = 1 << 20;
/// The store: a third of what one round writes and reads again and again.
const CAPACITY: u64 = 512 << 20;
/// All of it goes to disk as soon as it can.
const EAGER: &str = "0.05";
const LARGE: usize = 64 * MIB;
const SMALL: usize = 1 << 10;
/// Bytes that are written or read in one round.
const ROUND: usize = 256 * MIB;
const SMALL_ROUND: usize = 32 * MIB;
/// Rounds' worth of objects that take turns, so that none is in memory when its turn comes.
const SETS: usize = 3;
/// Bytes of one direct write or read.
const BLOCK: usize = 4 * MIB;
/// Longer than any round takes.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn spill(bench: &mut Bench) -> Outcome<()> {
    let direct = Direct::new(&bench.scratch.join("direct"))?;
    let Some(direct) = direct else {
        bench.table.leave_out("spill and restore", "the file system takes no direct I/O, so there is no floor");
        return Ok(());
    };
    one_size(bench, &direct, "64 MiB objects", LARGE, ROUND, Goal::AtLeastRatio(0.9))?;
    one_size(bench, &direct, "1 KiB objects, fused", SMALL, SMALL_ROUND, Goal::AtLeastRatio(0.8))?;
    streaming(bench, &direct)
}

fn one_size(bench: &mut Bench, direct: &Direct, what: &str, length: usize, round: usize, goal: Goal) -> Outcome<()> {
    let sets_bytes = (SETS * round) as u64;
    let capacity = if length == LARGE { CAPACITY } else { sets_bytes * 2 / 3 };
    let daemon = Daemon::spilling(&bench.scratch, capacity, EAGER)?;
    daemon.connect()?;
    let source = source(length);
    let count = round / length;
    let [spilled, floor] = in_turns([
        &mut || {
            let before = store_row(daemon.session())?.spill;
            let held: Vec<ObjectRef<[u8]>> = (0..count).map(|_| store(black_box(&source[..]))).collect::<Result<_, _>>()?;
            // What stays below the threshold is not written.
            let most = (round as u64).saturating_sub(before.threshold_bytes);
            let deadline = Instant::now() + PATIENCE;
            let after = loop {
                let row = store_row(daemon.session())?.spill;
                if row.spilled_bytes_total - before.spilled_bytes_total >= most && row.writing_bytes == 0 {
                    break row;
                }
                if Instant::now() > deadline {
                    return Err(format!("not spilled in time: {row:?}").into());
                }
                // The agent's clock tells how long it took; to ask takes the processor that the writing needs.
                std::thread::sleep(Duration::from_millis(20));
            };
            drop(held);
            let bytes = after.spilled_bytes_total - before.spilled_bytes_total;
            let ms = after.spill_ms_total - before.spill_ms_total;
            Ok(per_mib(ms as f64 * 1e6, bytes))
        },
        &mut || direct.write(round),
    ])?;
    let name = "sequential O_DIRECT writer, synced";
    bench.table.row(&format!("spill, {what}"), &spilled, Unit::MebibytesPerSecond, Some((name, &floor)), goal);
    let sets: Vec<Vec<ObjectRef<[u8]>>> =
        (0..SETS).map(|_| (0..count).map(|_| store(&source[..])).collect::<Result<_, _>>()).collect::<Result<_, _>>()?;
    let mut turn = 0;
    let [restored, floor] = in_turns([
        &mut || {
            turn += 1;
            let set = &sets[turn % SETS];
            let took = each(1, || {
                for object in set {
                    black_box(fetch(black_box(object))?[0]);
                }
                Ok(())
            })?;
            Ok(per_mib(took, round as u64))
        },
        &mut || direct.read(round),
    ])?;
    let name = "sequential O_DIRECT reader";
    bench.table.row(&format!("restore, {what}"), &restored, Unit::MebibytesPerSecond, Some((name, &floor)), goal);
    drop(sets);
    Ok(plasmon::shutdown()?)
}

/// A program that puts more than fits, without a pause.
fn streaming(bench: &mut Bench, direct: &Direct) -> Outcome<()> {
    let daemon = Daemon::spilling(&bench.scratch, CAPACITY / 2, "0.8")?;
    daemon.connect()?;
    let source = source(8 * MIB);
    let bytes = 4 * ROUND;
    let [put, floor] = in_turns([
        &mut || {
            let mut held: Vec<ObjectRef<[u8]>> = Vec::new();
            let took = each(1, || {
                for _ in 0..bytes / source.len() {
                    held.push(store(black_box(&source[..]))?);
                }
                Ok(())
            });
            drop(held);
            crate::daemon::rest();
            Ok(per_mib(took?, bytes as u64))
        },
        &mut || direct.write(bytes),
    ])?;
    let name = "sequential O_DIRECT writer, synced";
    let metric = "put 8 MiB, four times what fits, while it is spilled";
    bench.table.row(metric, &put, Unit::MebibytesPerSecond, Some((name, &floor)), Goal::AtLeastRatio(0.7));
    Ok(plasmon::shutdown()?)
}

/// Nanoseconds for a mebibyte.
fn per_mib(nanoseconds: f64, bytes: u64) -> f64 {
    nanoseconds / (bytes as f64 / MIB as f64)
}

/// The floor: one file, written and read past the page cache, one block after the other.
struct Direct {
    file: File,
    memory: Pool,
}

impl Direct {
    /// `None` where the file system has no direct I/O.
    fn new(path: &Path) -> Outcome<Option<Self>> {
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::DIRECT | OFlags::CLOEXEC;
        let Ok(file) = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR) else { return Ok(None) };
        let memory = Pool::create(BLOCK as u64)?;
        memory.populate(0, BLOCK as u64)?;
        memory.write(0, &source(BLOCK));
        Ok(Some(Self { file: File::from(file), memory }))
    }

    fn write(&self, bytes: usize) -> Outcome<f64> {
        let block = self.memory.slice(0, BLOCK as u64).ok_or("no memory")?;
        self.file.set_len(0)?;
        let took = each(1, || {
            for index in 0..bytes / BLOCK {
                self.file.write_all_at(block, (index * BLOCK) as u64)?;
            }
            Ok(self.file.sync_data()?)
        })?;
        Ok(per_mib(took, bytes as u64))
    }

    fn read(&self, bytes: usize) -> Outcome<f64> {
        if self.file.metadata()?.len() < bytes as u64 {
            self.write(bytes)?;
        }
        let mut into = memmap2::MmapMut::map_anon(BLOCK)?;
        let took = each(1, || {
            for index in 0..bytes / BLOCK {
                self.file.read_exact_at(&mut into, (index * BLOCK) as u64)?;
            }
            Ok(())
        })?;
        Ok(per_mib(took, bytes as u64))
    }
}
