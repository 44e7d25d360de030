//! How near the agent is to its limit of open files. Clients are let in only while enough is left for what must go on: workers that
//! running programs need, files, viewers.

use rustix::process::{Resource, getrlimit};

/// Descriptors that one client costs.
pub const CLIENT: u64 = 6;
/// What is always left, if the limit allows it.
const RESERVE: std::ops::RangeInclusive<u64> = 24..=64;

/// Whether one more client may be let in, beside `on_their_way` that have a socket and nothing else yet. `estimate` is about how many
/// descriptors are open: far from the limit nothing is counted.
#[must_use]
pub fn suffice(estimate: u64, on_their_way: u64) -> bool {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let wanted = CLIENT * (1 + on_their_way) + (limit / 4).clamp(*RESERVE.start(), *RESERVE.end());
    if estimate.saturating_mul(2).saturating_add(wanted) < limit {
        return true;
    }
    // One of those that are counted reads the directory.
    std::fs::read_dir("/proc/self/fd").is_ok_and(|open| open.count() as u64 + wanted <= limit)
}
