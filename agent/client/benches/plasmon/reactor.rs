//! The reactor alone: messages of one driver, no rings, no shared memory, nobody to tell.

use plasmon_agent::reactor::{Core, Violation};
use plasmon_protocol::local::{SLOT_BLOCK, ToAgent, decode, encode};

use crate::driver::{Driver, core};
use crate::sample::{each, in_turns};
use crate::table::{Goal, Unit};
use crate::{Bench, Outcome};

/// Objects that live at once: put one after the other, then dropped one after the other.
const LIVE: usize = SLOT_BLOCK as usize;
/// Messages in one call, about what a ring holds after a nap.
pub(crate) const BATCH: usize = 512;
/// Puts and drops of all objects, in one round.
const TIMES: usize = 100;

/// Puts of all objects in their next generations, each time with their drops.
fn messages(driver: &mut Driver) -> Vec<ToAgent<'static>> {
    (0..TIMES).flat_map(|_| driver.puts().into_iter().chain(driver.drops(true))).collect()
}

/// Nanoseconds of each of these messages.
pub(crate) fn work(core: &mut Core, driver: &Driver, messages: Vec<ToAgent<'static>>) -> Outcome<f64> {
    each(messages.len(), || {
        let mut messages = messages.into_iter().peekable();
        while messages.peek().is_some() {
            driver.take(core, messages.by_ref().take(BATCH))?;
        }
        Ok(())
    })
}

pub(crate) fn reactor(bench: &mut Bench) -> Outcome<()> {
    let (mut plain, mut encoded) = (core(), core());
    let (mut one, mut other) = (Driver::connect(&mut plain, LIVE, 1)?, Driver::connect(&mut encoded, LIVE, 1)?);
    let [alone, decoding] = in_turns([
        &mut || {
            let messages = messages(&mut one);
            work(&mut plain, &one, messages)
        },
        &mut || {
            let messages: Vec<Vec<u8>> = messages(&mut other).iter().map(encode).collect::<Result<_, _>>()?;
            each(messages.len(), || {
                for batch in messages.chunks(BATCH) {
                    let batch = batch.iter().map(|bytes| decode("it", bytes).map_err(|error| Violation(error.to_string())));
                    other.take_decoded(&mut encoded, batch)?;
                }
                Ok(())
            })
        },
    ])?;
    bench.table.row("reactor alone, messages", &alone, Unit::PerSecond, None, Goal::AtLeast(4e6));
    bench.table.row("reactor with decoding, messages", &decoding, Unit::PerSecond, None, Goal::Open);
    Ok(())
}
