//! One connected client: its rings, its socket, its life.

use std::collections::VecDeque;

use plasmon_memory::doorbell::Doorbell;
use plasmon_memory::link::AgentLink;
use plasmon_memory::process::Pidfd;
use plasmon_memory::words::Sleeper;

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
    /// Wakes the thread of it that waits for an answer or a task.
    pub reader_bell: Doorbell,
    /// Encoded messages that its ring had no room for. While there are any, the client's own ring is not read, and nothing is sent that
    /// it did not ask for; so what is kept for a client that never reads is at most
    ///
    /// - here, the answers to one message (64 KiB), refusals of its creates that waited for room (2^14 of at most 1 KiB), one task and a
    ///   few words (64 KiB): less than 20 MiB; of a worker that is heard out to take its tasks back, 1,024 answers of at most 16 KiB more;
    /// - in [`Peer::unread`], one ring of its own, 1 MiB;
    /// - in the core, its questions: at most 2^20 requests of 64 bytes.
    pub backlog: VecDeque<Vec<u8>>,
    /// Bytes taken out of its ring, and how many of them were worked off. The rest waits until the backlog is gone.
    pub unread: (Vec<u8>, usize),
    /// Something was sent since it was last woken.
    pub touched: bool,
    /// It has ended: nothing is sent to it any more.
    pub gone: bool,
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

    /// Whether something that was taken out of its ring was not worked off.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.unread.1 < self.unread.0.len()
    }

    /// Whether there is something to work off, and room for its answers.
    #[must_use]
    pub fn has_unread(&self) -> bool {
        !self.dropped && self.backlog.is_empty() && (self.unread.1 < self.unread.0.len() || !self.link.is_empty())
    }

    /// Wakes whichever of its threads sleeps.
    pub fn wake(&self) {
        match self.link.words().sleeper() {
            Sleeper::Nobody => {}
            Sleeper::Service => self.doorbell.ring(),
            Sleeper::Reader => self.reader_bell.ring(),
        }
    }

    /// Ends the connection, for the reason that there is or for this one. What it has published and what was not sent is forgotten.
    pub fn hang_up(&mut self, otherwise: &str) {
        self.dropped = true;
        self.backlog = VecDeque::new();
        self.unread = (Vec::new(), 0);
        if let Some(line) = self.line.take() {
            line.part(self.reason.as_deref().unwrap_or(otherwise));
        }
    }
}
