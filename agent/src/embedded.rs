//! An agent that a program started for itself: the program's own executable, re-executed. It is configured through the socket that
//! it inherits, and ends when the other end of that socket does.

use plasmon_memory::channel::Channel;
use plasmon_protocol::error::Error;
use plasmon_protocol::local;
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

/// Runs an agent for whoever holds the other end of `channel`; returns when that end is closed and everything is gone.
///
/// # Errors
/// Whatever keeps it from starting; the other end was told.
pub fn run(channel: &Channel) -> Result<(), Error> {
    let agent = match start(channel) {
        Ok(agent) => agent,
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
    while let Ok(Some(_)) = channel.recv() {}
    drop(agent);
    Ok(())
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
