//! A link within one process: tests play the agent at its other end.

use plasmon_protocol::stream::Request;
use tokio::sync::mpsc;

use super::{Link, LinkEvent};

/// The viewer's end.
#[derive(Debug)]
pub struct MemoryLink {
    events: mpsc::UnboundedReceiver<LinkEvent>,
    requests: mpsc::UnboundedSender<Request>,
}

/// The agent's end.
#[derive(Debug)]
pub struct FarEnd {
    /// What the viewer is told.
    pub events: mpsc::UnboundedSender<LinkEvent>,
    /// What the viewer asked for.
    pub requests: mpsc::UnboundedReceiver<Request>,
}

/// Both ends of a new link.
#[must_use]
pub fn pair() -> (MemoryLink, FarEnd) {
    let (tell, events) = mpsc::unbounded_channel();
    let (ask, requests) = mpsc::unbounded_channel();
    (MemoryLink { events, requests: ask }, FarEnd { events: tell, requests })
}

impl Link for MemoryLink {
    fn send(&mut self, request: Request) {
        // When the far end is gone, `next` says so.
        let _ = self.requests.send(request);
    }

    async fn next(&mut self) -> Option<LinkEvent> {
        self.events.recv().await
    }

    fn ready(&mut self) -> Option<LinkEvent> {
        self.events.try_recv().ok()
    }
}
