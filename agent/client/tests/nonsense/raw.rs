//! A client without the client library: it says hello, has the rings, and keeps no rule that the test does not make it keep.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use plasmon_memory::channel::Channel;
use plasmon_memory::doorbell::Doorbell;
use plasmon_memory::link::{CLIENT_SEGMENT, ClientLink};
use plasmon_memory::ring::{Consumer, Frames, Producer, TO_AGENT, TO_CLIENT, max_message};
use plasmon_protocol::error::Error;
use plasmon_protocol::id::ObjectKey;
use plasmon_protocol::local::{self, AgentHello, ClientHello, Memory, ToAgent, ToClient, VERSION, Welcome};
use plasmon_protocol::record::ProcessType;
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::support::{Flag, PATIENCE};

/// Where the words lie in the client's segment, bytes.
pub(crate) const HEAD: u64 = 128;
pub(crate) const TAIL: u64 = 256;
pub(crate) const PINS: u64 = 512;
/// Where the ring's data begin.
pub(crate) const DATA: u64 = CLIENT_SEGMENT - TO_AGENT as u64;

/// The socket of the agent of this test.
pub(crate) fn socket() -> Channel {
    Channel::connect(&PathBuf::from(Flag::named("session").wait()).join("agent.sock")).unwrap()
}

/// A hello as it should be.
pub(crate) fn hello() -> ClientHello {
    ClientHello {
        version: VERSION,
        release: "0".to_owned(),
        process_type: ProcessType::Driver,
        pid: std::process::id(),
        executable: "nonsense".to_owned(),
        directory: "/".to_owned(),
        arguments: Vec::new(),
    }
}

/// This program's executable.
pub(crate) fn executable() -> File {
    File::open("/proc/self/exe").unwrap()
}

/// What the agent answers; `None` when it closed the connection instead.
pub(crate) fn answer(channel: &Channel) -> Option<Result<(AgentHello, Vec<OwnedFd>), Error>> {
    assert!(readable(channel.fd()), "the agent never answers");
    let (bytes, descriptors) = channel.recv().unwrap_or_default()?;
    Some(local::decode::<Welcome>("the agent", &bytes).unwrap().map(|hello| (hello, descriptors)))
}

/// Waits until there is something to read, or the other end is gone.
pub(crate) fn readable(fd: BorrowedFd<'_>) -> bool {
    let limit = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
    let mut polled = [PollFd::new(&fd, PollFlags::IN)];
    rustix::event::poll(&mut polled, Some(&limit)).unwrap() > 0
}

pub(crate) struct Raw {
    pub(crate) hello: AgentHello,
    pub(crate) channel: Channel,
    pub(crate) pool: OwnedFd,
    pub(crate) slots: OwnedFd,
    pub(crate) client: OwnedFd,
    pub(crate) agent: OwnedFd,
    pub(crate) agent_bell: Doorbell,
    pub(crate) own_bell: Doorbell,
    pub(crate) reader_bell: Doorbell,
    pub(crate) ring: Producer,
    inbound: Consumer,
    /// Messages that were received and not looked at.
    received: std::collections::VecDeque<Vec<u8>>,
    request: u32,
}

impl Raw {
    /// Connects as a driver.
    pub(crate) fn connect() -> Self {
        let channel = socket();
        channel.send(&local::encode(&hello()).unwrap(), &[executable().as_fd()]).unwrap();
        let (hello, descriptors) = answer(&channel).expect("a welcome").unwrap();
        let [pool, slots, client, agent, agent_bell, own_bell, reader_bell] = <[_; 7]>::try_from(descriptors).unwrap();
        let copy = |fd: &OwnedFd| fd.try_clone().unwrap();
        let (ring, inbound, _) = ClientLink::open(copy(&client), copy(&agent)).unwrap().split();
        let [agent_bell, own_bell, reader_bell] = [agent_bell, own_bell, reader_bell].map(Doorbell::from_fd);
        let received = Default::default();
        Self { hello, channel, pool, slots, client, agent, agent_bell, own_bell, reader_bell, ring, inbound, received, request: 0 }
    }

    /// Publishes any bytes as one message.
    pub(crate) fn publish(&mut self, message: &[u8]) {
        while !self.ring.push(message) {
            self.agent_bell.ring();
            if self.is_dropped() {
                return;
            }
            self.take();
            std::thread::yield_now();
        }
        self.agent_bell.ring();
    }

    pub(crate) fn send(&mut self, message: &ToAgent<'_>) {
        self.publish(&local::encode(message).unwrap());
    }

    /// Receives what there is.
    fn take(&mut self) {
        let mut bytes = Vec::new();
        self.inbound.drain(&mut bytes).unwrap();
        self.received.extend(Frames::new(&bytes, max_message(TO_CLIENT)).map(|frame| frame.unwrap().to_vec()));
    }

    /// The next message.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            if let Some(message) = self.received.pop_front() {
                return message;
            }
            self.take();
            assert!(std::time::Instant::now() < deadline, "the agent never answers");
            if self.received.is_empty() {
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
        }
    }

    /// A number for a request.
    pub(crate) fn number(&mut self) -> u32 {
        self.request += 1;
        self.request
    }

    /// A block of slots: the key of the next object in the first.
    pub(crate) fn slots(&mut self) -> ObjectKey {
        let request = self.number();
        self.send(&ToAgent::Slots { request });
        let message = self.next();
        match local::decode::<ToClient<'_>>("the agent", &message).unwrap() {
            ToClient::Slots { first, .. } => self.vacant(first),
            other => panic!("{other:?}"),
        }
    }

    /// The key of the next object in a free slot.
    pub(crate) fn vacant(&self, slot: u32) -> ObjectKey {
        ObjectKey { slot, generation: self.slot(slot).0 + 1 }
    }

    /// What the slot table says: generation and state.
    fn slot(&self, slot: u32) -> (u32, u32) {
        let mut word = [0; 8];
        rustix::io::pread(&self.slots, &mut word, 256 + 32 * u64::from(slot)).unwrap();
        let word = u64::from_le_bytes(word);
        ((word >> 32) as u32, word as u32)
    }

    /// A lease: its number, where it lies and how long it is.
    pub(crate) fn lease(&mut self, bytes: u64, chunk: bool) -> (u32, u64, u64) {
        let request = self.number();
        self.send(&ToAgent::Lease { request, bytes, chunk, site: 0 });
        let message = self.next();
        match local::decode::<ToClient<'_>>("the agent", &message).unwrap() {
            ToClient::Leased { lease, offset, length, .. } => (lease, offset, length),
            other => panic!("{other:?}"),
        }
    }

    /// A lease of its own and an object in it.
    pub(crate) fn object(&mut self) -> (ObjectKey, Memory) {
        let key = self.slots();
        let (lease, offset, _) = self.lease(1000, true);
        let memory = Memory { lease, offset, length: 100 };
        self.send(&ToAgent::Put { key, memory, site: 0, hidden: false });
        (key, memory)
    }

    /// Writes into its segment, whatever the rings say.
    pub(crate) fn scribble(&self, offset: u64, bytes: &[u8]) {
        rustix::io::pwrite(&self.client, bytes, offset).unwrap();
    }

    /// Whether the agent has closed the connection.
    pub(crate) fn is_dropped(&self) -> bool {
        let mut polled = [PollFd::new(&self.channel, PollFlags::IN)];
        rustix::event::poll(&mut polled, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// The keys of objects in memory, as the slot table shows them to everybody.
    pub(crate) fn others(&self) -> Vec<ObjectKey> {
        let keys = (0..self.hello.slots.min(4096)).map(|slot| (slot, self.slot(slot)));
        keys.filter(|(_, (_, state))| *state == 2).map(|(slot, (generation, _))| ObjectKey { slot, generation }).collect()
    }
}
