//! The replica of what was subscribed: windows, details, the store's history and the state of the link. Pure: frames go in,
//! and the screen reads.

pub mod alert;
pub mod apart;
pub mod clean;
pub mod history;
pub mod leaks;
pub mod sliding;
pub mod window;

use std::collections::BTreeMap;
use std::sync::Arc;

use alert::Alert;
use plasmon_protocol::record::{NodeRow, StoreRow};
use plasmon_protocol::stream::{Body, Detail, Frame, Rows};

pub use history::History;
pub use leaks::Leaks;
pub use window::{Misfit, Window};

/// Skipped updates are told for this long after the last one, in milliseconds.
const SKIPS_SHOWN_MS: u64 = 5_000;

/// What a watched thing looks like.
#[derive(Clone, PartialEq, Debug)]
pub enum Watched {
    /// It is gone, or never was.
    Gone,
    /// As last sent.
    Here(Arc<Detail>),
}

/// A request that the agent refused, by the number of the subscription it concerns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The subscription, if the request had one.
    pub id: Option<u32>,
    /// What failed, with which value.
    pub message: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

/// What a frame did to the replica.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Applied {
    /// It is in.
    Done,
    /// It answers a subscription for the first time.
    Answered(u32),
    /// It does not fit what came before; the subscription must be asked for again.
    Misfit(u32),
    /// A frame is missing before it; everything must be asked for again.
    Gap,
    /// The agent refused a request.
    Refused(Refusal),
}

/// What a view of several agents does not have.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Merged {
    /// While groups are read that are too many to be followed: how many of how many are here.
    pub reading: Option<(u64, u64)>,
    /// Agents that are lost and had told nothing of it before, by their numbers.
    pub missing: Vec<usize>,
    /// What is wrong with each one's storage and memory, with its node's name; told of the stores.
    pub alarms: Vec<Alert>,
    /// The worst of one's storage.
    pub storage: Option<Alert>,
}

/// The replica.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// The node, once it said hello.
    pub node: Option<NodeRow>,
    /// The store's row, once it came.
    pub store: Option<StoreRow>,
    /// Samples of the store's row.
    pub history: History,
    /// Sites that keep more and more.
    pub leaks: Leaks,
    /// Windows by subscription.
    pub windows: BTreeMap<u32, Window>,
    /// Details by subscription.
    pub details: BTreeMap<u32, Watched>,
    /// What details were before their last change, and when that came.
    pub details_were: BTreeMap<u32, (u64, Arc<Detail>)>,
    /// The last frame's number; 0 before the first one of a connection.
    pub seq: u64,
    /// The agent's clock in the last frame, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Updates that this viewer was too slow for.
    pub missed: u64,
    /// When `missed` last rose, on the agent's clock.
    pub missed_at_ms: Option<u64>,
    /// Rows and details that frames have changed, ever.
    pub changes: u64,
    /// The last revision of a window.
    pub(crate) revision: u64,
}

impl Model {
    /// A new connection began: numbers start anew, and so does everything when another agent answers.
    pub fn connected(&mut self, node: NodeRow) {
        if self.node.as_ref().is_some_and(|known| known.node != node.node) {
            // No revision comes twice.
            *self = Self { revision: self.revision, ..Self::default() };
        }
        self.seq = 0;
        self.missed = 0;
        self.missed_at_ms = None;
        self.node = Some(node);
    }

    /// Takes a frame in. Frames for subscriptions that are not in `known` are left out: they were ended.
    pub fn apply(&mut self, frame: Frame, known: impl Fn(u32) -> bool) -> Applied {
        let gap = self.seq != 0 && frame.seq != self.seq + 1;
        self.seq = frame.seq;
        self.at_ms = frame.at_ms;
        if frame.missed > self.missed {
            self.missed_at_ms = Some(frame.at_ms);
        }
        self.missed = frame.missed;
        let applied = self.take(frame.body, known);
        if gap && !matches!(applied, Applied::Refused(_)) { Applied::Gap } else { applied }
    }

    fn take(&mut self, body: Body, known: impl Fn(u32) -> bool) -> Applied {
        self.revision += 1;
        match body {
            Body::Hello { node, .. } => {
                self.node = Some(*node);
                Applied::Done
            }
            Body::Snapshot { id, totals, start, rows } if known(id) => {
                let mut window = Window::new(totals, start, rows);
                window.revise(self.revision);
                self.changes += window.keys.len() as u64;
                self.sample(&window.rows);
                self.windows.insert(id, window);
                Applied::Answered(id)
            }
            Body::Delta { id, totals, start, order, rows } if known(id) => {
                self.sample(&rows);
                let at_ms = self.at_ms;
                let Some(window) = self.windows.get_mut(&id) else { return Applied::Misfit(id) };
                self.changes += (window::len(&rows) as u64).max(u64::from(order.is_some()));
                window.revise(self.revision);
                match window.apply(totals, start, order, rows, at_ms) {
                    Ok(()) => Applied::Done,
                    Err(Misfit) => Applied::Misfit(id),
                }
            }
            Body::Detail { id, detail } if known(id) => {
                self.changes += 1;
                let now = detail.map_or(Watched::Gone, |detail| Watched::Here(Arc::from(detail)));
                if let Some(Watched::Here(was)) = self.details.insert(id, now) {
                    self.details_were.insert(id, (self.at_ms, was));
                }
                Applied::Answered(id)
            }
            Body::Error { id, message, hint, .. } => Applied::Refused(Refusal { id, message, hint }),
            Body::Snapshot { .. } | Body::Delta { .. } | Body::Detail { .. } | Body::Report { .. } => Applied::Done,
        }
    }

    /// The store's row also feeds the header and the history.
    fn sample(&mut self, rows: &Rows) {
        if let Rows::Store(rows) = rows
            && let Some(row) = rows.last()
        {
            self.history.push(self.at_ms, row);
            self.node = Some(row.node.clone());
            self.store = Some(row.clone());
        }
    }

    /// Whether this viewer was too slow for updates just now: the last one is less than five seconds before `now_ms` on the agent's clock.
    #[must_use]
    pub fn skips(&self, now_ms: u64) -> bool {
        self.missed_at_ms.is_some_and(|at_ms| now_ms.saturating_sub(at_ms) < SKIPS_SHOWN_MS)
    }

    /// Drops what belongs to a subscription.
    pub fn forget(&mut self, id: u32) {
        self.windows.remove(&id);
        self.details.remove(&id);
        self.details_were.remove(&id);
    }

    /// What a detail was before its last change, while that is news.
    #[must_use]
    pub fn detail_was(&self, id: u32, now_ms: u64) -> Option<&Detail> {
        self.details_were.get(&id).filter(|(at_ms, _)| now_ms < at_ms + window::NEWS_MS).map(|(_, was)| &**was)
    }

    /// Whether anything that is shown has changed just now.
    #[must_use]
    pub fn has_news(&self, now_ms: u64) -> bool {
        self.windows.values().any(|window| window.has_news(now_ms))
            || self.details_were.keys().any(|id| self.detail_was(*id, now_ms).is_some())
    }

    /// Shows what `old` has under `new` until the first answer to `new` comes.
    pub fn rename(&mut self, old: u32, new: u32) {
        if let Some(window) = self.windows.remove(&old) {
            self.windows.insert(new, window);
        }
    }
}

#[cfg(test)]
mod tests {
    use plasmon_protocol::column::Table;
    use plasmon_protocol::id::NodeId;
    use plasmon_protocol::stream::Totals;

    use super::*;

    fn snapshot(seq: u64, id: u32) -> Frame {
        Frame {
            seq,
            at_ms: 1000 + seq,
            missed: 0,
            body: Body::Snapshot { id, totals: Totals::default(), start: 0, rows: window::none(Table::Sites) },
        }
    }

    #[test]
    fn a_missing_frame_and_an_unknown_window_are_noticed() {
        let mut model = Model::default();
        assert_eq!(model.apply(snapshot(1, 7), |_| true), Applied::Answered(7));
        assert_eq!(model.apply(snapshot(3, 7), |_| true), Applied::Gap);
        let delta = Body::Delta { id: 8, totals: Totals::default(), start: 0, order: None, rows: window::none(Table::Sites) };
        assert_eq!(model.apply(Frame { seq: 4, at_ms: 1, missed: 0, body: delta }, |_| true), Applied::Misfit(8));
        assert_eq!(model.apply(snapshot(5, 9), |id| id != 9), Applied::Done);
        assert!(!model.windows.contains_key(&9), "an ended subscription is left out");
    }

    #[test]
    fn skipped_updates_are_told_while_they_are_news() {
        let mut model = Model::default();
        model.apply(snapshot(1, 7), |_| true);
        assert!(!model.skips(1001));
        model.apply(Frame { missed: 3, ..snapshot(2, 7) }, |_| true);
        model.apply(Frame { missed: 3, at_ms: 4000, ..snapshot(3, 7) }, |_| true);
        assert!(model.skips(1002 + SKIPS_SHOWN_MS - 1), "since the last rise");
        assert!(!model.skips(1002 + SKIPS_SHOWN_MS));
        model.apply(Frame { missed: 4, at_ms: 9000, ..snapshot(4, 7) }, |_| true);
        assert!(model.skips(9000));
        model.connected(NodeRow::default());
        assert!(!model.skips(9000), "a new connection has skipped nothing");
    }

    #[test]
    fn another_agent_behind_the_same_address_starts_anew() {
        let mut model = Model::default();
        model.connected(NodeRow { node: NodeId([1; 8]), ..NodeRow::default() });
        model.apply(snapshot(1, 7), |_| true);
        model.connected(NodeRow { node: NodeId([1; 8]), ..NodeRow::default() });
        assert!(model.windows.contains_key(&7), "the last data stays for the same agent");
        assert_eq!(model.seq, 0);
        model.connected(NodeRow { node: NodeId([2; 8]), ..NodeRow::default() });
        assert!(model.windows.is_empty());
    }
}
