//! An agent that a program started for itself: the program's own executable, re-executed. It is configured through the socket that
//! it inherits, and ends when the other end of that socket does, or its starter: a process forked from that may hold the end for longer.

use plasmon_memory::channel::Channel;
use plasmon_memory::process::Pidfd;
use plasmon_protocol::error::Error;
use plasmon_protocol::local;
use rustix::event::{PollFd, PollFlags};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::log;
use crate::machine::Machine;
use crate::running::Agent;

/// What the starter says first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Order {
    /// The configuration, as [`Config::to_json`] writes it.
    pub config: String,
    /// Who starts it, for people: `process 123 (name)`.
    pub starter: String,
}

/// What the agent answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ready {
    /// The socket for clients.
    pub socket: String,
    /// Where the live stream is served.
    pub listen: String,
    /// The file with the stream's token.
    pub token_file: String,
}

/// Runs an agent for the process that made `channel` and started this one; returns when its end of `channel` is closed, or it has ended,
/// and everything is gone.
///
/// # Errors
/// Whatever keeps it from starting; the other end was told.
pub fn run(channel: &Channel) -> Result<(), Error> {
    let (starter, agent) = match starter(channel).and_then(|starter| Ok((starter, start(channel)?))) {
        Ok(both) => both,
        Err(error) => {
            answer(channel, &Err(error.clone()));
            return Err(error);
        }
    };
    let address = agent.address();
    answer(
        channel,
        &Ok(Ready {
            socket: address.socket.display().to_string(),
            listen: address.listen.to_string(),
            token_file: address.token_file.display().to_string(),
        }),
    );
    // Nothing more is said on this socket: the next thing to come is its end.
    let mut ends = [PollFd::new(channel, PollFlags::IN), PollFd::new(&starter, PollFlags::IN)];
    while rustix::event::poll(&mut ends, None) == Err(rustix::io::Errno::INTR) {}
    drop(agent);
    Ok(())
}

/// The process that made the socket and started this one.
fn starter(channel: &Channel) -> Result<Pidfd, Error> {
    let refused = |error: std::io::Error| Error::system("watch the process that starts the agent", error);
    let pid = channel.peer_pid().map_err(refused)?;
    let starter = Pidfd::open(pid).map_err(refused)?;
    // Asked afterwards: as long as it is the parent, its number is nobody else's.
    let parent = rustix::process::getppid().and_then(|parent| u32::try_from(parent.as_raw_nonzero().get()).ok());
    if parent == Some(pid) { Ok(starter) } else { Err(refused(std::io::Error::from(rustix::io::Errno::SRCH))) }
}

fn start(channel: &Channel) -> Result<Agent, Error> {
    let (bytes, _) = channel
        .recv()
        .ok()
        .flatten()
        .ok_or_else(|| Error::Connect { action: "read the starter's order".to_owned(), cause: "it ended first".to_owned() })?;
    let order: Order = local::decode("the starter", &bytes)?;
    let config = Config::from_json(&order.config, &Machine::read()?)?;
    let agent = Agent::start(&config, &order.starter)?;
    if let Err(error) = log::start(log::Target::File(agent.session().join("logs").join("agent.log"))) {
        tracing::warn!(%error, "no log is kept");
    }
    Ok(agent)
}

fn answer(channel: &Channel, ready: &Result<Ready, Error>) {
    if let Ok(bytes) = local::encode(ready) {
        // The starter may be gone; then the next read says so.
        let _ = channel.send(&bytes, &[]);
    }
}
