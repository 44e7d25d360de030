//! One connected client: its rings, its socket, its life.

use std::collections::VecDeque;

use plasmon_memory::doorbell::Doorbell;
use plasmon_memory::link::AgentLink;
use plasmon_memory::process::Pidfd;

use super::line::Line;

/// A client that has said hello.
#[derive(Debug)]
pub struct Peer {
    /// Both rings and the shared words.
    pub link: AgentLink,
    /// Its socket, until either side ends it.
    pub line: Option<Line>,
    /// Its life.
    pub pidfd: Pidfd,
    /// Wakes its service thread.
    pub doorbell: Doorbell,
    /// Encoded messages that its ring had no room for; bounded, since every message answers a request of the client's or is within
    /// its window.
    pub backlog: VecDeque<Vec<u8>>,
    /// Something was sent since it was last woken.
    pub touched: bool,
    /// It may not stay: its ring is not read any more.
    pub dropped: bool,
    /// Why it may not stay, where its own end would not tell.
    pub reason: Option<String>,
    /// Its socket closed at this time (milliseconds); its end must follow soon.
    pub hung_up_ms: Option<u64>,
    /// Whether it is this agent's child, whose end it reaps.
    pub child: bool,
}

/// How long a driver may live on after its socket closed without a word, milliseconds.
const HANG_UP_MS: u64 = 200;
/// How long a worker may take to end after it closed its socket, milliseconds.
const LEAVE_MS: u64 = 2000;

impl Peer {
    /// When its end is overdue, milliseconds since the Unix epoch; `None` while its socket is open.
    #[must_use]
    pub fn overdue_ms(&self) -> Option<u64> {
        self.hung_up_ms.map(|at| at + if self.child { LEAVE_MS } else { HANG_UP_MS })
    }

    /// Ends the connection, for the reason that there is or for this one. What it has published and what was not sent is forgotten.
    pub fn hang_up(&mut self, otherwise: &str) {
        self.dropped = true;
        self.backlog = VecDeque::new();
        if let Some(line) = self.line.take() {
            line.part(self.reason.as_deref().unwrap_or(otherwise));
        }
    }
}
