//! The agent's end of a client's socket.

use std::ops::Deref;

use plasmon_memory::channel::Channel;
use plasmon_protocol::local::{self, Farewell};

/// A socket that ends for everybody who has a copy of the other end, forked children too, when it is dropped: closing alone would not
/// do while a copy of this end is left in a process that is just being started.
#[derive(Debug)]
pub struct Line(Channel);

impl Line {
    /// The agent's end of this connection.
    #[must_use]
    pub fn new(channel: Channel) -> Self {
        Self(channel)
    }

    /// Ends the connection and says why. A client that does not read is not waited for.
    pub fn part(self, cause: &str) {
        let farewell = Farewell { cause: cause.to_owned() };
        if let Ok(bytes) = local::encode(&farewell) {
            // It may be gone already.
            let _ = self.0.send(&bytes, &[]);
        }
    }
}

impl Deref for Line {
    type Target = Channel;

    fn deref(&self) -> &Channel {
        &self.0
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.0.hang_up();
    }
}
