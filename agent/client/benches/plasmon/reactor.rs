//! The reactor alone: messages of one driver, no rings, no shared memory, nobody to tell.

use plasmon_agent::reactor::Core;
use plasmon_protocol::local::{SLOT_BLOCK, ToAgent, encode};

use crate::driver::{Driver, core};
use crate::sample::{each, in_turns};
use crate::table::{Goal, Unit};
use crate::{Bench, Outcome};

/// Objects that live at once: put one after the other, then dropped one after the other.
const LIVE: usize = SLOT_BLOCK as usize;
/// Messages in one call, about what a ring holds after a nap.
const BATCH: usize = 512;
/// Puts and drops of all objects, in one round.
const TIMES: usize = 100;

/// Puts of all objects in their next generations, each time with their drops.
fn messages(driver: &mut Driver) -> Vec<ToAgent<'static>> {
    (0..TIMES).flat_map(|_| driver.puts().into_iter().chain(driver.drops(true))).collect()
}

/// Nanoseconds of each of these messages, which are read as the agent reads a ring.
pub(crate) fn work(core: &mut Core, driver: &Driver, messages: &[ToAgent<'static>]) -> Outcome<f64> {
    let mut batches = Vec::new();
    for batch in messages.chunks(BATCH) {
        let mut ring = Vec::new();
        for message in batch {
            let bytes = encode(message)?;
            ring.extend_from_slice(&u32::try_from(bytes.len())?.to_le_bytes());
            ring.extend_from_slice(&bytes);
        }
        batches.push(ring);
    }
    each(messages.len(), || batches.iter().try_for_each(|ring| driver.take_from_ring(core, ring)))
}

pub(crate) fn reactor(bench: &mut Bench) -> Outcome<()> {
    let (mut plain, mut encoded) = (core(), core());
    let (mut one, mut other) = (Driver::connect(&mut plain, LIVE, 1)?, Driver::connect(&mut encoded, LIVE, 1)?);
    let [alone, decoding] = in_turns([
        &mut || {
            let messages = messages(&mut one);
            each(messages.len(), || {
                let mut messages = messages.into_iter().peekable();
                while messages.peek().is_some() {
                    one.take(&mut plain, messages.by_ref().take(BATCH))?;
                }
                Ok(())
            })
        },
        &mut || {
            let messages = messages(&mut other);
            work(&mut encoded, &other, &messages)
        },
    ])?;
    bench.table.row("reactor alone, messages", &alone, Unit::PerSecond, None, Goal::AtLeast(4e6));
    bench.table.row("reactor with decoding, messages", &decoding, Unit::PerSecond, None, Goal::Open);
    Ok(())
}
