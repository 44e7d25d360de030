//! How near the agent is to its limit of open files. Clients are let in only while enough is left for what must go on: workers that
//! running programs need, files, viewers.

use rustix::process::{Resource, getrlimit};

/// Descriptors that one client costs.
pub const CLIENT: u64 = 6;
/// What clients always leave, if the limit allows it; viewers leave half of it.
const RESERVE: std::ops::RangeInclusive<u64> = 16..=64;

/// Whether one more client may be let in, beside `on_their_way` that have a socket and nothing else yet. `estimate` is about how many
/// descriptors are open: far from the limit nothing is counted.
#[must_use]
pub fn suffice(estimate: u64, on_their_way: u64) -> bool {
    let limit = limit();
    let wanted = CLIENT * (1 + on_their_way) + reserve(limit);
    estimate.saturating_mul(2).saturating_add(wanted) < limit || fit(wanted, limit)
}

/// Whether one more viewer may be let in.
#[must_use]
pub fn suffice_for_viewer() -> bool {
    let limit = limit();
    fit(1 + reserve(limit) / 2, limit)
}

fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

fn reserve(limit: u64) -> u64 {
    (limit / 4).clamp(*RESERVE.start(), *RESERVE.end())
}

fn fit(wanted: u64, limit: u64) -> bool {
    // One of those that are counted reads the directory.
    std::fs::read_dir("/proc/self/fd").is_ok_and(|open| open.count() as u64 + wanted <= limit)
}
