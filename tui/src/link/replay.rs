//! A link to a recording: it answers as the agent would have at the instant that it stands at.

use std::collections::{BTreeMap, VecDeque};

use plasmon_protocol::column::Table;
use plasmon_protocol::stream::{Body, Detail, Frame, Request, Target, View};
use plasmon_protocol::window::Window;

use super::{Link, LinkEvent};
use crate::recording::Recording;

/// The dashboard's end of a recording.
#[derive(Debug)]
pub struct ReplayLink {
    recording: Recording,
    at_ms: u64,
    seq: u64,
    subscriptions: BTreeMap<u32, Subscription>,
    events: VecDeque<LinkEvent>,
}

#[derive(Debug)]
enum Subscription {
    View(View, Option<Window>),
    Watch(Target, Option<Option<Detail>>),
}

impl ReplayLink {
    /// At the end of the recording.
    #[must_use]
    pub fn new(mut recording: Recording) -> Self {
        let at_ms = recording.timeline().end_ms;
        recording.seek(at_ms);
        let connected = LinkEvent::Connected(Box::new(recording.node().clone()));
        Self { recording, at_ms, seq: 0, subscriptions: BTreeMap::new(), events: VecDeque::from([connected]) }
    }

    fn tell(&mut self, body: Body) {
        self.seq += 1;
        let frame = Frame { seq: self.seq, at_ms: self.at_ms, missed: 0, body };
        self.events.push_back(LinkEvent::Frame(Box::new(frame)));
    }

    /// Tells what a subscription shows now, if that is news.
    fn bring_up(&mut self, id: u32) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else { return };
        let body = match subscription {
            Subscription::View(view, told) => match self.recording.show(view, self.at_ms) {
                Ok(window) if told.as_ref() == Some(&window) => return,
                Ok(window) => {
                    let body = Body::Snapshot { id, totals: window.totals, start: window.start, rows: window.rows.clone() };
                    *told = Some(window);
                    body
                }
                Err(error) => {
                    self.subscriptions.remove(&id);
                    Body::Error { id: Some(id), code: error.code().to_owned(), message: error.to_string(), hint: error.hint().to_owned() }
                }
            },
            Subscription::Watch(target, told) => {
                let detail = self.recording.detail(target);
                if told.as_ref() == Some(&detail) {
                    return;
                }
                *told = Some(detail.clone());
                let left_out = if detail.is_none() { self.recording.left_out(table_of(target)) } else { 0 };
                if detail.is_none() && matches!(target, Target::Explain(_)) {
                    let message = "why it waited, or what it did, is not recorded of this instant".to_owned();
                    let hint = "that is recorded of all that waits and of the first of the others, a hundred of them at most".to_owned();
                    Body::Error { id: Some(id), code: "not_recorded".to_owned(), message, hint }
                } else if left_out > 0 {
                    let message = format!("it is not among what was recorded: {left_out} more rows were left out");
                    let hint = "the largest are recorded, and of tasks the oldest".to_owned();
                    Body::Error { id: Some(id), code: "not_recorded".to_owned(), message, hint }
                } else {
                    Body::Detail { id, detail: detail.map(Box::new) }
                }
            }
        };
        self.tell(body);
    }
}

/// The table that a thing is a row of.
fn table_of(target: &Target) -> Table {
    match target {
        Target::Object(_) => Table::Objects,
        Target::Site(_) => Table::Sites,
        Target::Task(_) => Table::Tasks,
        Target::Process(_) => Table::Processes,
        Target::Actor(_) => Table::Actors,
        Target::SpillFile(_) => Table::SpillFiles,
        Target::Explain(_) => Table::Tasks,
        Target::Node | Target::Recording => Table::Store,
    }
}

impl Link for ReplayLink {
    fn send(&mut self, request: Request) {
        let (id, subscription) = match request {
            Request::Subscribe { id, view } => (id, Subscription::View(view, None)),
            Request::Watch { id, target } => (id, Subscription::Watch(target, None)),
            Request::Unsubscribe { id } => {
                self.subscriptions.remove(&id);
                return;
            }
            Request::Hello { .. } | Request::Report { .. } | Request::Ack { .. } => return,
        };
        self.subscriptions.insert(id, subscription);
        self.bring_up(id);
    }

    async fn next(&mut self) -> Option<LinkEvent> {
        match self.events.pop_front() {
            Some(event) => Some(event),
            // More comes of requests alone.
            None => std::future::pending().await,
        }
    }

    fn ready(&mut self) -> Option<LinkEvent> {
        self.events.pop_front()
    }

    fn seek(&mut self, at_ms: u64) {
        self.at_ms = at_ms;
        self.recording.seek(at_ms);
        let ids: Vec<u32> = self.subscriptions.keys().copied().collect();
        ids.into_iter().for_each(|id| self.bring_up(id));
    }
}
