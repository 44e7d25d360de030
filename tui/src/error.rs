//! What can keep the dashboard from running.

use std::io;

use crate::link::LinkError;

/// Why there is no dashboard, or no report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no connection to the agent.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The terminal cannot be used.
    #[error("cannot use the terminal: {0}")]
    Terminal(#[source] io::Error),
    /// A recording cannot be written.
    #[error("cannot record: {0}")]
    Record(#[source] io::Error),
    /// The system grants no threads or timers.
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
}

impl Error {
    /// What to do about it; may be empty.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Link(error) => error.hint(),
            Self::Terminal(_) => "`plasmon memory` prints the same facts without a terminal".to_owned(),
            Self::Record(_) => "what was written before can be replayed".to_owned(),
            Self::Runtime(_) => String::new(),
        }
    }
}
