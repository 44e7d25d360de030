//! Writing a file: from pieces to something durable.

use std::sync::{Mutex, PoisonError};

use plasmon_memory::pool::Pool;
use plasmon_protocol::id::NodeId;
use plasmon_protocol::size::Bytes;

use super::buffer::Buffer;
use super::image::{Image, Source};
use super::target::{NewFile, SpillTarget};
use crate::spill::job::{Failure, WriteJob};

/// How full a file system may get, percent.
const FULL_PERCENT: u64 = 95;
/// Files of fewer pieces are written by one thread.
const SHARED_FROM: usize = 3;

/// Called between pieces; its failure ends the job.
pub(super) type Tick<'t> = &'t (dyn Fn() -> Result<(), Failure> + Sync);

/// Writes the file of `job`.
pub(super) fn write(
    target: &dyn SpillTarget,
    pool: &Pool,
    node: NodeId,
    job: &WriteJob,
    buffer: &mut Buffer,
    tick: Tick<'_>,
) -> Result<(), Failure> {
    head_room(target, job.bytes)?;
    let file = target.create(job.file, job.bytes)?;
    fill(&*file, &mut Image::new(pool, node, job, target.in_order()), buffer, target.in_order(), tick)?;
    file.finish()
}

/// Refuses a file of `bytes` bytes that would make the disk too full.
pub(super) fn head_room(target: &dyn SpillTarget, bytes: u64) -> Result<(), Failure> {
    let Some(room) = target.room()? else { return Ok(()) };
    let used = room.total.saturating_sub(room.free).saturating_add(bytes);
    if u128::from(used) * 100 <= u128::from(room.total) * u128::from(FULL_PERCENT) {
        return Ok(());
    }
    let percent = used as f64 / room.total.max(1) as f64 * 100.0;
    Err(Failure::NoRoom(format!(
        "{} more would make the disk {percent:.1} % full, the limit is {FULL_PERCENT} %; {} of {} are free",
        Bytes(bytes),
        Bytes(room.free),
        Bytes(room.total)
    )))
}

/// Writes all pieces. While one is being written, the next is made, and written, by another thread.
pub(super) fn fill<'p>(
    file: &dyn NewFile,
    source: &mut (dyn Source<'p> + 'p),
    buffer: &mut Buffer,
    in_order: bool,
    tick: Tick<'_>,
) -> Result<(), Failure> {
    let shared = !in_order && source.pieces() >= SHARED_FROM;
    let work = Mutex::new((source, None));
    let lock = || work.lock().unwrap_or_else(PoisonError::into_inner);
    let run = |buffer: &mut Buffer| {
        loop {
            let result = {
                let mut work = lock();
                if work.1.is_some() {
                    return;
                }
                work.0.next(buffer)
            };
            let result = result.and_then(|piece| match piece {
                Some((at, bytes)) => file.write(at, bytes).and_then(|()| tick()).map(|()| true),
                None => Ok(false),
            });
            match result {
                Ok(true) => {}
                Ok(false) => return,
                Err(failure) => {
                    lock().1.get_or_insert(failure);
                    return;
                }
            }
        }
    };
    std::thread::scope(|scope| {
        // Without a second thread it only takes longer.
        let helper = || Buffer::new().map(|mut buffer| run(&mut buffer));
        let _helper = shared.then(|| std::thread::Builder::new().name("spill-writes".to_owned()).spawn_scoped(scope, helper));
        run(buffer);
    });
    let failure = lock().1.take();
    failure.map_or(Ok(()), Err)
}
