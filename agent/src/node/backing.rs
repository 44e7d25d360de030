//! Puts memory behind the pool, ahead of need: in small steps, because the kernel holds up other page faults meanwhile, and never
//! beyond what the machine and the control group have left.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvError};
use std::time::{Duration, Instant};

use plasmon_memory::pool::Pool;

use crate::machine::HeadRoom;

/// Bytes of one step.
const STEP: u64 = 4 << 20;
/// What is left to everybody else, bytes.
const RESERVE: u64 = 64 << 20;
/// Where at least so many bytes are free, it is looked again after so many steps only, and before so long: to look takes a part of a step's
/// time.
const PLENTY: u64 = 1 << 30;
const STEPS: u32 = 8;
const LOOK_GOOD_FOR: Duration = Duration::from_millis(20);

/// What the processor does for a step: 0.3 ms with huge pages that are at hand, 1.4 ms with small ones. Those that the kernel has to make
/// first take longer than this, and so do those that a virtual machine's host has never given it.
const SLOW: Duration = Duration::from_millis(2);
/// By the clock a step may take longer, for other threads have the processor too. One that the kernel waits in, for other processors or for
/// room, holds up whatever needs this process's maps.
const LATE: Duration = Duration::from_millis(20);
/// Steps with small pages after one with huge pages that was slow: twice as many each time.
const FEWEST: u32 = 16;
const MOST: u32 = 1024;

/// How far the backing came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Everything below has memory behind it.
    Backed(u64),
    /// There is no memory for more than the bytes below.
    Failed(u64, String),
}

/// In which pages the next step is backed: in huge ones while that is quick.
#[derive(Debug, Default)]
struct Pages {
    /// Steps with small ones that are left.
    small: u32,
    /// How many there were after the last that was slow.
    after: u32,
}

impl Pages {
    /// Backs whole steps in huge pages where that is worth trying. False when it was not done.
    fn back(&mut self, pool: &Pool, offset: u64, length: u64) -> bool {
        if length != STEP || !offset.is_multiple_of(STEP) || self.are_small() {
            return false;
        }
        let (begun, clock) = (worked(), Instant::now());
        let done = pool.back_huge(offset, length);
        let is_quick = worked().saturating_sub(begun) < SLOW && clock.elapsed() < LATE;
        match &done {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => self.small = u32::MAX,
            Ok(()) if is_quick => self.after = 0,
            _ => self.put_off(),
        }
        done.is_ok()
    }

    /// Whether small ones are to be taken, for one step.
    fn are_small(&mut self) -> bool {
        let small = self.small;
        self.small -= u32::from(small > 0 && small < u32::MAX);
        small > 0
    }

    fn put_off(&mut self) {
        self.after = (self.after * 2).clamp(FEWEST, MOST);
        self.small = self.after;
    }
}

/// Serves requests until nobody can make any more; each says how far the pool should be backed.
pub fn run(pool: &Arc<Pool>, head_room: Option<&HeadRoom>, requests: &Receiver<u64>, mut report: impl FnMut(Progress)) {
    // Steps that are left until it is looked again what is free.
    let (mut backed, mut steps, mut looked, mut pages) = (0, 0, Instant::now(), Pages::default());
    while let Ok(target) = latest(requests) {
        // By whole steps: huge pages begin where those do.
        let target = target.min(pool.capacity()).next_multiple_of(STEP).min(pool.capacity());
        while backed < target {
            let step = STEP.min(target - backed);
            let looks = steps == 0 || looked.elapsed() > LOOK_GOOD_FOR;
            let room = if looks { head_room.map_or(u64::MAX, HeadRoom::bytes) } else { u64::MAX };
            if looks {
                (looked, steps) = (Instant::now(), if room >= PLENTY { STEPS } else { 1 });
            }
            steps -= 1;
            let failure = if room < step + RESERVE {
                Some(format!("only {} of memory are available on this machine", plasmon_protocol::size::Bytes(room)))
            } else if pages.back(pool, backed, step) {
                None
            } else {
                pool.back(backed, step).err().map(|error| error.to_string())
            };
            if let Some(cause) = failure {
                report(Progress::Failed(backed, cause));
                break;
            }
            backed += step;
            report(Progress::Backed(backed));
        }
    }
}

/// How long the processor has worked for this thread.
fn worked() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Waits for a request; of several, the one that goes farthest.
fn latest(requests: &Receiver<u64>) -> Result<u64, RecvError> {
    let first = requests.recv()?;
    Ok(requests.try_iter().fold(first, u64::max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_pages_that_come_slowly_are_asked_for_ever_more_seldom() {
        let mut pages = Pages::default();
        assert!(!pages.are_small());
        for steps in [16, 32, 64, 128, 256, 512, 1024, 1024] {
            pages.put_off();
            assert_eq!((0..2000).take_while(|_| pages.are_small()).count(), steps);
        }
        pages.after = 0;
        pages.put_off();
        assert_eq!((0..1000).take_while(|_| pages.are_small()).count(), 16, "a quick one makes up for those");
        pages.small = u32::MAX;
        assert_eq!((0..1000).take_while(|_| pages.are_small()).count(), 1000, "there will never be any");
    }

    #[test]
    fn what_is_backed_is_zero_in_whatever_pages() {
        let pool = Arc::new(Pool::create(5 * STEP + 3 * 4096).unwrap());
        let (ask, requests) = std::sync::mpsc::channel();
        // The second one ends within a step, as the pool does.
        let mut targets = [STEP, 2 * STEP + 4096, 6 * STEP].into_iter();
        ask.send(targets.next().unwrap()).unwrap();
        let (mut ask, mut target, mut told) = (Some(ask), STEP, Vec::new());
        run(&pool, None, &requests, |progress| {
            if progress == Progress::Backed(target.next_multiple_of(STEP).min(pool.capacity())) {
                // The last one ends it.
                ask = ask.take().zip(targets.next()).map(|(ask, next)| {
                    ask.send(next).unwrap();
                    target = next;
                    ask
                });
            }
            told.push(progress);
        });
        assert_eq!(told.last(), Some(&Progress::Backed(pool.capacity())), "{told:?}");
        assert!(pool.slice(0, pool.capacity()).unwrap().iter().all(|byte| *byte == 0));
    }
}
