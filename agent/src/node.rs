//! The shell around the reactor: sockets, rings, clocks and threads. It owns the core and runs its effects.
//!
//! - [`shell`]: the node's thread: drains rings, runs the core, sleeps.
//! - [`effects`]: what the core wants done.
//! - [`peer`]: one connected client: its rings, its socket, its life; [`line`] is the socket.
//! - [`listener`]: how clients connect.
//! - [`backing`]: puts memory behind the pool, ahead of need.
//! - [`program`]: what workers are started from.
//! - [`workers`]: starts worker processes, and tells how they ended; [`spawner`] does it off the node's thread.
//! - [`descriptors`]: how near the limit of open files is.
//! - [`sampling`]: looks at machine and processes once a second.
//! - [`handle`]: how other threads ask; [`news`]: how they hear that they should.

pub mod backing;
pub mod descriptors;
pub mod effects;
pub mod handle;
pub mod line;
pub mod listener;
pub mod news;
pub mod peer;
pub mod program;
pub mod sampling;
pub mod shell;
pub mod spawner;
pub mod workers;

/// The clock of the whole agent: milliseconds since the Unix epoch at the start, then by a clock that never goes back.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch_ms: u64,
    start: std::time::Instant,
}

impl Clock {
    /// Reads the wall clock once.
    #[must_use]
    pub fn start() -> Self {
        let epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self { epoch_ms: epoch.as_millis() as u64, start: std::time::Instant::now() }
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.epoch_ms + self.start.elapsed().as_millis() as u64
    }
}
