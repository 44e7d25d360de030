//! One connected client: its rings, its socket, its life.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use plasmon_memory::channel::Channel;
use plasmon_memory::doorbell::Doorbell;
use plasmon_memory::link::AgentLink;
use plasmon_memory::process::Pidfd;

/// A client that has said hello.
#[derive(Debug)]
pub struct Peer {
    /// Both rings and the shared words.
    pub link: AgentLink,
    /// Its end of the socket. Closed by dropping.
    pub channel: Option<Channel>,
    /// Its life.
    pub pidfd: Pidfd,
    /// Wakes its service thread.
    pub doorbell: Doorbell,
    /// Encoded messages that its ring had no room for; bounded, since every message answers a request of the client's or is within
    /// its window.
    pub backlog: VecDeque<Vec<u8>>,
    /// Something was sent since it was last woken.
    pub touched: bool,
    /// It broke the protocol: its ring is not read any more.
    pub dropped: bool,
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
}

/// What a driver's workers are started from. Complete when the driver connects: workers may be started after its end.
#[derive(Debug)]
pub struct Program {
    /// The executable, held open.
    pub executable: OwnedFd,
    /// Its path, as `argv[0]`.
    pub path: String,
    /// The working directory.
    pub directory: PathBuf,
    /// The environment that the driver was started with.
    pub environment: Vec<(OsString, OsString)>,
}
