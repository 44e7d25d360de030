//! The connection to an agent: requests go out, what happens comes in. A WebSocket in life, a recording afterwards, a pair of
//! channels in tests.

pub mod many;
pub mod memory;
pub mod replay;
pub mod websocket;

use std::future::Future;

use plasmon_protocol::record::NodeRow;
use plasmon_protocol::stream::{Frame, Request, VERSION};

use crate::model::Merged;

/// What happens on a link.
#[derive(Clone, Debug)]
pub enum LinkEvent {
    /// A connection is there: the agent answered a hello.
    Connected(Box<NodeRow>),
    /// A frame, its text made harmless.
    Frame(Box<Frame>),
    /// Of several agents, who they are, and whether each is lost.
    Nodes(Vec<(NodeRow, bool)>),
    /// Of a subscription to several agents, what its rows don't tell.
    Merged {
        /// The subscription.
        id: u32,
        /// That.
        merged: Merged,
    },
    /// The connection is gone; another is tried after `retry_ms` milliseconds.
    Lost {
        /// Why.
        error: LinkError,
        /// Time until the next attempt.
        retry_ms: u64,
    },
}

/// A connection that restores itself.
pub trait Link {
    /// Sends a request on the connection that is there now; without one it is dropped, for a new connection asks anew.
    fn send(&mut self, request: Request);

    /// The next event. Dropping the future loses nothing. `None` when the link has ended for good.
    fn next(&mut self) -> impl Future<Output = Option<LinkEvent>>;

    /// An event that is already here.
    fn ready(&mut self) -> Option<LinkEvent>;

    /// Shows another instant, milliseconds since the Unix epoch by the agent's clock; only a recording has others than now.
    fn seek(&mut self, at_ms: u64) {
        let _ = at_ms;
    }
}

/// Why there is no connection.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LinkError {
    /// The URL is none of an agent's.
    #[error("'{url}' is not the URL of an agent: {cause}")]
    Url {
        /// As given.
        url: String,
        /// What is wrong with it.
        cause: String,
    },
    /// Nothing answers there.
    #[error("cannot connect to {url}: {cause}")]
    Unreachable {
        /// Where.
        url: String,
        /// What the system says.
        cause: String,
    },
    /// 401
    #[error("{url} asks for a token and got none")]
    TokenMissing {
        /// Where.
        url: String,
    },
    /// 403
    #[error("{url} does not accept this token")]
    TokenRefused {
        /// Where.
        url: String,
    },
    /// 421
    #[error("{url} does not go by this host name")]
    HostRefused {
        /// Where.
        url: String,
    },
    /// Any other answer than an upgrade.
    #[error("{url} is no agent: it answered {status}")]
    NoAgent {
        /// Where.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The agent speaks another version of the stream.
    #[error("the agent at {url} speaks version {theirs} of the stream, this program version {VERSION}")]
    Version {
        /// Where.
        url: String,
        /// The agent's version.
        theirs: u32,
    },
    /// The agent refused the hello.
    #[error("{message}")]
    Refused {
        /// As it says.
        message: String,
        /// What it says to do.
        hint: String,
    },
    /// A frame could not be read.
    #[error("{url} sent a frame that cannot be read: {cause}")]
    Frame {
        /// Where from.
        url: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The connection broke or ended.
    #[error("the connection to {url} ended: {cause}")]
    Ended {
        /// Where.
        url: String,
        /// How.
        cause: String,
    },
    /// Nothing was heard for too long.
    #[error("nothing heard from {url} for {seconds} s")]
    Silent {
        /// Where.
        url: String,
        /// How long.
        seconds: u64,
    },
}

impl LinkError {
    /// What to do about it; may be empty.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Url { .. } => "write it like ws://127.0.0.1:6480".to_owned(),
            Self::Unreachable { .. } => "is the agent running, and does an ssh tunnel lead there?".to_owned(),
            Self::TokenMissing { .. } => "give its token with --token-file".to_owned(),
            Self::TokenRefused { .. } => "give the token of this very agent with --token-file".to_owned(),
            Self::HostRefused { .. } => "use its IP address, or start the agent with --allow-host NAME".to_owned(),
            Self::NoAgent { .. } => "is this the agent's port?".to_owned(),
            Self::Version { theirs, .. } if *theirs > VERSION => "use a newer plasmon".to_owned(),
            Self::Version { .. } => "use a newer agent".to_owned(),
            Self::Refused { hint, .. } => hint.clone(),
            Self::Frame { .. } | Self::Ended { .. } | Self::Silent { .. } => String::new(),
        }
    }

    /// Whether a later attempt with the same options can succeed by itself.
    #[must_use]
    pub fn passes(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Frame { .. } | Self::Ended { .. } | Self::Silent { .. })
    }
}
