//! The two segments that one client shares with the agent: a ring each way, the pins, and control words.
//!
//! The agent makes both. The *client segment* is written by the client and read by the agent; the *agent segment* the other way
//! round, sealed so that nobody but the agent can ever write it. Words that different threads touch often lie 128 bytes apart, because
//! processors fetch cache lines in pairs.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use plasmon_protocol::local::{MAX_LEASES, PAGE, VERSION};

use crate::pin::{PINS, PinScanner, PinTable};
use crate::place::{Bytes, Place};
use crate::ring::{Consumer, Producer, TO_AGENT, TO_CLIENT};
use crate::segment::{Segment, invalid};
use crate::sync::{AtomicU64, Ordering};
use crate::words::{AgentWords, CallSites, ClientWords, Word, Words};

const LINE: u64 = 128;

/// Both segments begin with their magic number, then head and tail.
const MAGIC: u64 = 0;
const HEAD: u64 = LINE;
const TAIL: u64 = 2 * LINE;

const CLIENT_MAGIC: u64 = u64::from_le_bytes(*b"PLSMclnt") ^ VERSION as u64;
const SLEEPER: u64 = 3 * LINE;
const PIN_WORDS: u64 = 4 * LINE;
const CLIENT_DATA: u64 = (PIN_WORDS + PINS as u64 * 8).next_multiple_of(PAGE);
/// Bytes of the client segment.
pub const CLIENT_SEGMENT: u64 = CLIENT_DATA + TO_AGENT as u64;

const AGENT_MAGIC: u64 = u64::from_le_bytes(*b"PLSMagnt") ^ VERSION as u64;
const RECALL: u64 = 3 * LINE;
const WANTS_SPACE: u64 = 4 * LINE;
const SITES: u64 = 5 * LINE;
const WITHDRAWN: u64 = 6 * LINE;
const FREED: u64 = 8 * LINE;
const AGENT_DATA: u64 = (FREED + MAX_LEASES as u64 * 4).next_multiple_of(PAGE);
/// Bytes of the agent segment.
pub const AGENT_SEGMENT: u64 = AGENT_DATA + TO_CLIENT as u64;

fn words(client: &Arc<Segment>, agent: &Arc<Segment>) -> io::Result<Words> {
    Ok(Words {
        sleeper: Word(Place::at(client, SLEEPER)?),
        recall: Word(Place::at(agent, RECALL)?),
        wants_space: Word(Place::at(agent, WANTS_SPACE)?),
        sites: Word(Place::at(agent, SITES)?),
        withdrawn: Place::at(agent, WITHDRAWN)?,
        freed: Place::many(agent, FREED, MAX_LEASES)?,
    })
}

/// The agent's end of one client. Dropped only after the client's death or its [`Bye`](plasmon_protocol::local::ToAgent::Bye).
#[derive(Debug)]
pub struct AgentLink {
    client_fd: OwnedFd,
    agent: Arc<Segment>,
    producer: Producer,
    consumer: Consumer,
    pins: PinScanner,
    words: AgentWords,
}

impl AgentLink {
    /// Makes both segments.
    ///
    /// # Errors
    /// What the system says.
    pub fn create() -> io::Result<Self> {
        let made = Segment::create("plasmon-client", CLIENT_SEGMENT)?;
        let client_fd = made.fd()?.try_clone_to_owned()?;
        drop(made);
        rustix::io::pwrite(&client_fd, &CLIENT_MAGIC.to_le_bytes(), MAGIC)?;
        // The agent only reads it from here on, so that no mistake of its own can write there.
        let client = Arc::new(Segment::open(client_fd.try_clone()?, CLIENT_SEGMENT, false)?);
        let agent = Arc::new(Segment::create_exclusive("plasmon-agent", AGENT_SEGMENT)?);
        let link = Self {
            producer: Producer::over(Place::at(&agent, HEAD)?, Place::at(&client, TAIL)?, Bytes::at(&agent, AGENT_DATA, TO_CLIENT)?),
            consumer: Consumer::over(Place::at(&client, HEAD)?, Place::at(&agent, TAIL)?, Bytes::at(&client, CLIENT_DATA, TO_AGENT)?),
            pins: PinScanner::over(Place::many(&client, PIN_WORDS, PINS)?),
            words: AgentWords(words(&client, &agent)?),
            client_fd,
            agent,
        };
        link.words.set_sites(CallSites::default());
        Place::<AtomicU64>::at(&link.agent, MAGIC)?.store(AGENT_MAGIC, Ordering::Release);
        Ok(link)
    }

    /// The client segment, for passing on.
    pub fn client_fd(&self) -> BorrowedFd<'_> {
        self.client_fd.as_fd()
    }

    /// The agent segment, for passing on.
    ///
    /// # Errors
    /// None here: this is its maker.
    pub fn agent_fd(&self) -> io::Result<BorrowedFd<'_>> {
        self.agent.fd()
    }

    /// The ring to the client.
    pub fn producer(&mut self) -> &mut Producer {
        &mut self.producer
    }

    /// The ring from the client.
    pub fn consumer(&mut self) -> &mut Consumer {
        &mut self.consumer
    }

    /// Whether there is nothing from the client to drain; see [`crate::slot::SlotTable::set_agent_state`].
    pub fn is_empty(&self) -> bool {
        self.consumer.is_empty()
    }

    /// What the client pins.
    pub fn pins(&self) -> &PinScanner {
        &self.pins
    }

    /// What the agent says without a message, and which of the client's threads sleeps.
    pub fn words(&self) -> &AgentWords {
        &self.words
    }
}

/// A client's end.
#[derive(Debug)]
pub struct ClientLink {
    producer: Producer,
    consumer: Consumer,
    words: ClientWords,
}

impl ClientLink {
    /// Maps the segments that [`AgentLink::create`] made. Once for each pair: the rings begin at their begin.
    ///
    /// # Errors
    /// Invalid data when they are no such segments of this version; else what the system says.
    pub fn open(client_fd: OwnedFd, agent_fd: OwnedFd) -> io::Result<Self> {
        let client = Arc::new(Segment::open(client_fd, CLIENT_SEGMENT, true)?);
        let agent = Arc::new(Segment::open(agent_fd, AGENT_SEGMENT, false)?);
        for (name, segment, expected) in [("client", &client, CLIENT_MAGIC), ("agent", &agent, AGENT_MAGIC)] {
            let magic = crate::sync::acquire(&*Place::<AtomicU64>::at(segment, MAGIC)?);
            if magic != expected {
                return Err(invalid(format!("the {name} segment begins with {magic:#x} instead of {expected:#x}")));
            }
        }
        Ok(Self {
            producer: Producer::over(Place::at(&client, HEAD)?, Place::at(&agent, TAIL)?, Bytes::at(&client, CLIENT_DATA, TO_AGENT)?),
            consumer: Consumer::over(Place::at(&agent, HEAD)?, Place::at(&client, TAIL)?, Bytes::at(&agent, AGENT_DATA, TO_CLIENT)?),
            words: ClientWords { pins: PinTable::over(Place::many(&client, PIN_WORDS, PINS)?), words: words(&client, &agent)? },
        })
    }

    /// The ring to the agent, the ring from it, and everything that all threads use.
    pub fn split(self) -> (Producer, Consumer, ClientWords) {
        (self.producer, self.consumer, self.words)
    }
}
