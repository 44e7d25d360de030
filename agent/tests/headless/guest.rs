//! A client that speaks the local protocol by itself: it does what no program linked to the client library would.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use plasmon_memory::channel::{Channel, inherit};
use plasmon_memory::doorbell::Doorbell;
use plasmon_memory::link::ClientLink;
use plasmon_memory::ring::{Consumer, Frames, Producer, TO_CLIENT, max_message};
use plasmon_memory::words::ClientWords;
use plasmon_protocol::error::Error;
use plasmon_protocol::local::{self, AgentHello, ClientHello, Farewell, ToAgent, ToClient, VERSION, Welcome};
use plasmon_protocol::record::ProcessType;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// A connection that has said hello and was not answered yet.
pub(crate) struct Knocking(Channel);

impl Knocking {
    /// Connects and says hello. Workers would be started from `program`.
    pub(crate) fn at(socket: &Path, program: &str) -> Self {
        Self::starting(socket, program, "/", &[])
    }

    /// The same; they would be started there, with these arguments.
    pub(crate) fn starting(socket: &Path, program: &str, directory: &str, arguments: &[&str]) -> Self {
        let channel = Channel::connect(socket).unwrap();
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let hello = ClientHello { arguments, ..hello(ProcessType::Driver, program, directory) };
        let program = File::open(program).unwrap();
        channel.send(&local::encode(&hello).unwrap(), &[program.as_fd()]).unwrap();
        Self(channel)
    }

    /// Says hello as the worker that this process was started as.
    pub(crate) fn as_worker(boot: &str) -> Self {
        let (_, descriptor) = boot.split_once(':').unwrap();
        let channel = Channel::from_fd(inherit(descriptor.parse().unwrap()).unwrap());
        channel.send(&local::encode(&hello(ProcessType::Worker, "worker", "/")).unwrap(), &[]).unwrap();
        Self(channel)
    }

    /// Whether there is an answer, or the end.
    pub(crate) fn is_answered(&self) -> bool {
        let mut events = [PollFd::new(&self.0, PollFlags::IN)];
        poll(&mut events, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// Waits for the answer.
    pub(crate) fn enter(self) -> Result<Guest, Error> {
        let (bytes, descriptors) = self.0.recv().unwrap().expect("an answer");
        let hello = local::decode::<Welcome>("the agent", &bytes)??;
        let [_pool, _slots, client, agent, agent_bell, own_bell, reader_bell] = <[_; 7]>::try_from(descriptors).unwrap();
        let (ring, inbound, words) = ClientLink::open(client, agent).unwrap().split();
        let agent_bell = Doorbell::from_fd(agent_bell);
        let bells = [own_bell, reader_bell].map(Doorbell::from_fd);
        Ok(Guest { hello, channel: self.0, ring, inbound, words, agent_bell, _bells: bells, bytes: Vec::new(), read: 0 })
    }
}

fn hello(process_type: ProcessType, program: &str, directory: &str) -> ClientHello {
    ClientHello {
        version: VERSION,
        release: "test".to_owned(),
        process_type,
        pid: std::process::id(),
        executable: program.to_owned(),
        directory: directory.to_owned(),
        arguments: Vec::new(),
    }
}

/// A client that was let in. It reads what it is sent only when asked to.
pub(crate) struct Guest {
    pub(crate) hello: AgentHello,
    channel: Channel,
    ring: Producer,
    inbound: Consumer,
    words: ClientWords,
    agent_bell: Doorbell,
    _bells: [Doorbell; 2],
    bytes: Vec<u8>,
    read: usize,
}

impl Guest {
    pub(crate) fn at(socket: &Path, program: &str) -> Self {
        Knocking::at(socket, program).enter().unwrap()
    }

    /// Publishes a message, if there is room for it.
    pub(crate) fn try_push(&mut self, message: &ToAgent<'_>) -> bool {
        let pushed = self.ring.push(&local::encode(message).unwrap());
        self.agent_bell.ring();
        pushed
    }

    /// Publishes a message, as soon as there is room.
    #[track_caller]
    pub(crate) fn push(&mut self, message: &ToAgent<'_>) {
        let deadline = Instant::now() + PATIENCE;
        while !self.try_push(message) {
            assert!(Instant::now() < deadline, "the agent does not read");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Looks at the next message, as soon as there is one.
    #[track_caller]
    pub(crate) fn next<T>(&mut self, look: impl FnOnce(ToClient<'_>) -> T) -> T {
        let deadline = Instant::now() + PATIENCE;
        while self.read == self.bytes.len() {
            self.bytes.clear();
            self.read = 0;
            if self.inbound.drain(&mut self.bytes).unwrap() == 0 {
                assert!(Instant::now() < deadline, "no message came");
                std::thread::sleep(Duration::from_millis(1));
            } else if self.words.wants_space() {
                self.agent_bell.ring();
            }
        }
        let mut frames = Frames::new(&self.bytes[self.read..], max_message(TO_CLIENT));
        let frame = frames.next().unwrap().unwrap();
        self.read = self.bytes.len() - frames.rest().len();
        look(local::decode("the agent", frame).unwrap())
    }

    /// Whether the agent has taken all that was published.
    pub(crate) fn is_heard(&mut self) -> bool {
        self.ring.is_drained().unwrap()
    }

    /// Whether the agent has more to say than there is room for.
    pub(crate) fn is_awaited(&self) -> bool {
        self.words.wants_space()
    }

    /// Whether there is nothing to read.
    pub(crate) fn has_read_all(&self) -> bool {
        self.read == self.bytes.len() && self.inbound.is_empty()
    }

    /// A block of slots: the first.
    #[track_caller]
    pub(crate) fn slots(&mut self, request: u32) -> Result<u32, Error> {
        self.push(&ToAgent::Slots { request });
        self.next(|message| match message {
            ToClient::Slots { request: answered, first } if answered == request => Ok(first),
            ToClient::Refused { request: answered, error } if answered == request => Err(error),
            other => panic!("{other:?}"),
        })
    }

    /// Waits for the agent to end the connection: why.
    #[track_caller]
    pub(crate) fn farewell(&self) -> Option<String> {
        let (bytes, _) = self.channel.recv().unwrap()?;
        let farewell: Farewell = local::decode("the agent", &bytes).unwrap();
        assert!(matches!(self.channel.recv(), Ok(None)));
        Some(farewell.cause)
    }
}

/// Bytes of a process's memory that are its own.
pub(crate) fn own_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    1024 * line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
}
