//! The shortest way of a put: a small object, when chunk, slot and room in the ring are at hand. None of it can fail, so no error is carried
//! about, which is many times as large as what a put has in its hands. What is missing is for [`super::put`] to get. Nor is anything moved about on the stack: to read in one piece what was written in two is to wait until
//! all that was written before has reached the cache, the ring too, which the agent's processor has.

use plasmon_protocol::id::ObjectKey;
use plasmon_protocol::local::{Memory, SMALL, Short};

use crate::client::Client;

/// As [`super::put`] for a value without references inside, which people see; `None` when that is to do it, and nothing was done.
#[inline(always)]
pub(crate) fn put_at_once(client: &Client, length: u64, site: u32, fill: impl FnOnce(&mut [u8])) -> Option<ObjectKey> {
    if length > SMALL {
        return None;
    }
    client.by_seat(|writer, ring| {
        let berth = ring.berth()?;
        let chunk = writer.chunks.last_mut()?;
        let key = writer.slots.at_hand(client)?;
        let Some((offset, room)) = chunk.range.take(length) else {
            writer.slots.settle(key, false);
            return None;
        };
        fill(room);
        failpoint!("copied");
        berth.push(&Short::put(key, Memory { lease: chunk.number, offset, length }, site, false));
        chunk.published = chunk.published.wrapping_add(1);
        writer.slots.settle(key, true);
        Some(key)
    })
}
