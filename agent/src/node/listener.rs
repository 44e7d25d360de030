//! How clients connect: hello, checks, then the descriptors of the shared memory.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

use plasmon_memory::channel::Channel;
use plasmon_memory::doorbell::Doorbell;
use plasmon_memory::link::AgentLink;
use plasmon_memory::process::Pidfd;
use plasmon_memory::words::CallSites;
use plasmon_protocol::error::Error;
use plasmon_protocol::id::ProcessId;
use plasmon_protocol::local::{self, AgentHello, ClientHello, MAX_ARGUMENTS, MAX_TEXT, VERSION, Welcome};

use super::line::Line;
use super::program::Program;

/// A connection that has not said hello.
#[derive(Debug)]
pub struct Newcomer {
    /// The socket.
    pub line: Line,
    /// The worker that was started with this socket, and its process id; `None` for a driver.
    pub worker: Option<(ProcessId, u32)>,
    /// When it connected, milliseconds since the Unix epoch.
    pub since_ms: u64,
}

/// How long a client may take to say hello, milliseconds.
const HELLO_MS: u64 = 5000;
/// How long a worker may take that was started, milliseconds: its program may be slow to load. Then it is given up for another.
const READY_MS: u64 = 60_000;

impl Newcomer {
    /// The process that connects; 0 when the system does not tell.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.worker.map_or_else(|| self.line.peer_pid().unwrap_or(0), |(_, pid)| pid)
    }

    /// When its hello is overdue, milliseconds since the Unix epoch.
    #[must_use]
    pub fn overdue_ms(&self) -> Option<u64> {
        Some(self.since_ms + if self.worker.is_some() { READY_MS } else { HELLO_MS })
    }
}

/// A hello that was checked.
#[derive(Debug)]
pub struct Introduction {
    /// The hello.
    pub hello: ClientHello,
    /// Its life.
    pub pidfd: Pidfd,
    /// What its workers are started from, but for the environment; drivers only.
    pub program: Option<Program>,
}

/// Reads and checks a hello.
///
/// # Errors
/// What to tell the client before it is dropped.
pub fn introduce(newcomer: &Newcomer, packet: &[u8], descriptors: Vec<OwnedFd>) -> Result<Introduction, Error> {
    let who = "a client that connects";
    let refuse = |cause: String| Error::Protocol { who: who.to_owned(), cause };
    if let Some(version) = local::version_of_hello(packet).filter(|version| *version != VERSION) {
        // Its hello may say more than can be read here.
        let release = local::decode::<ClientHello>(who, packet).map_or_else(|_| String::new(), |hello| format!(" {}", hello.release));
        return Err(Error::Version {
            ours: format!("agent {} (local protocol {VERSION})", env!("CARGO_PKG_VERSION")),
            theirs: format!("client{release} (local protocol {version})"),
        });
    }
    let hello: ClientHello = local::decode(who, packet)?;
    for (what, text) in [("release", &hello.release), ("path", &hello.executable), ("directory", &hello.directory)] {
        if text.len() > MAX_TEXT {
            return Err(refuse(format!("its hello has a {what} of {} bytes", text.len())));
        }
    }
    let arguments: usize = hello.arguments.iter().map(String::len).sum();
    if arguments > MAX_ARGUMENTS {
        return Err(refuse(format!("its hello has arguments of {arguments} bytes")));
    }
    let uid = newcomer.line.peer_uid().map_err(|error| refuse(error.to_string()))?;
    if uid != rustix::process::getuid().as_raw() {
        return Err(refuse(format!("it runs as user {uid}, the agent as {}", rustix::process::getuid().as_raw())));
    }
    // The socket tells who is there; for a started worker, the agent knows better than the pair's maker.
    let pid = match newcomer.worker {
        Some((_, pid)) => pid,
        None => newcomer.line.peer_pid().map_err(|error| refuse(error.to_string()))?,
    };
    let pidfd = Pidfd::open(pid).map_err(|error| Error::system(format!("watch process {pid}"), error))?;
    let program = match (newcomer.worker, descriptors.into_iter().next()) {
        (Some(_), _) => None,
        (None, Some(executable)) => {
            let (path, directory) = (hello.executable.clone(), PathBuf::from(&hello.directory));
            Some(Program { executable, path, arguments: hello.arguments.clone(), directory, environment: Vec::new() })
        }
        (None, None) => return Err(refuse("no descriptor of its executable came with its hello".to_owned())),
    };
    Ok(Introduction { hello: ClientHello { pid, ..hello }, pidfd, program })
}

/// What a client is given: its own rings and doorbells.
#[derive(Debug)]
pub struct Equipment {
    /// Both rings and the shared words.
    pub link: AgentLink,
    /// Wakes its service thread.
    pub doorbell: Doorbell,
    /// Wakes the thread of it that waits for an answer or a task.
    pub reader_bell: Doorbell,
}

impl Equipment {
    /// Fresh rings, and what the client records of call sites.
    ///
    /// # Errors
    /// What the system says.
    pub fn make(sites: CallSites) -> io::Result<Self> {
        let link = AgentLink::create()?;
        link.words().set_sites(sites);
        Ok(Self { link, doorbell: Doorbell::create()?, reader_bell: Doorbell::create()? })
    }

    /// Answers a hello.
    ///
    /// # Errors
    /// What the system says; the client is gone, or does not read.
    pub fn hand_over(
        &self,
        channel: &Channel,
        hello: AgentHello,
        pool: BorrowedFd<'_>,
        slots: BorrowedFd<'_>,
        bell: &Doorbell,
    ) -> io::Result<()> {
        let welcome: Welcome = Ok(hello);
        let bytes = local::encode(&welcome).map_err(io::Error::other)?;
        let (client, agent) = (self.link.client_fd(), self.link.agent_fd()?);
        channel.send(&bytes, &[pool, slots, client, agent, bell.fd(), self.doorbell.fd(), self.reader_bell.fd()])
    }
}

/// Tells a client why it is not let in.
pub fn turn_away(channel: &Channel, error: Error) {
    let welcome: Welcome = Err(error);
    if let Ok(bytes) = local::encode(&welcome) {
        // It may be gone already.
        let _ = channel.send(&bytes, &[]);
    }
}
