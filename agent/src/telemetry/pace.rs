//! How much of the node's time viewers may take.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Copying rows for viewers takes at most one part in this many of the node's time.
const NODE_SHARE: u32 = 40;
/// However large the tables, viewers wait no longer than this between two copies.
const LONGEST_PACE: Duration = Duration::from_secs(3);

/// Keeps copies for viewers, all together, from taking more than a share of the node's time.
#[derive(Default)]
pub(super) struct Pace(Mutex<Option<Instant>>);

impl Pace {
    /// Not before this.
    pub(super) fn next(&self) -> Instant {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or_else(Instant::now)
    }

    /// A copy took this long.
    pub(super) fn took(&self, time: Duration) {
        let next = Instant::now() + (time * NODE_SHARE).min(LONGEST_PACE);
        let mut pace = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *pace = Some(pace.map_or(next, |before| before.max(next)));
    }
}
