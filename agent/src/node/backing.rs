//! Puts memory behind the pool, ahead of need: in small steps, because the kernel holds up other page faults meanwhile, and never
//! beyond what the machine and the control group have left.

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

/// How far the backing came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Everything below has memory behind it.
    Backed(u64),
    /// There is no memory for more than the bytes below.
    Failed(u64, String),
}

/// Serves requests until nobody can make any more; each says how far the pool should be backed.
pub fn run(pool: &Arc<Pool>, head_room: Option<&HeadRoom>, requests: &Receiver<u64>, mut report: impl FnMut(Progress)) {
    // Steps that are left until it is looked again what is free.
    let (mut backed, mut steps, mut looked) = (0, 0, Instant::now());
    while let Ok(target) = latest(requests) {
        let target = target.min(pool.capacity());
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

/// Waits for a request; of several, the one that goes farthest.
fn latest(requests: &Receiver<u64>) -> Result<u64, RecvError> {
    let first = requests.recv()?;
    Ok(requests.try_iter().fold(first, u64::max))
}
