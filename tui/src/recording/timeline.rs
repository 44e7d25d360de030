//! What a time line shows of a recording: its ends, its marks, and the samples of the curves.

use std::collections::BTreeSet;
use std::sync::Arc;

use plasmon_protocol::record::{EventKind, EventRow, Severity, StoreRow};
use plasmon_protocol::stream::{Body, Rows};

use crate::model::history::Sample;

/// How much a mark matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Weight {
    /// The work goes on: something was spilled.
    Work,
    /// It asks for some attention.
    Warning,
    /// Something died, or failed.
    Error,
}

/// An event that matters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// When, on the agent's clock, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// How much it matters.
    pub weight: Weight,
    /// What happened, in a line.
    pub text: Arc<str>,
}

/// See the module. Cheap to clone.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Timeline {
    /// The first instant, on the agent's clock, milliseconds since the Unix epoch.
    pub begin_ms: u64,
    /// The last instant.
    pub end_ms: u64,
    /// Events that matter, oldest first.
    pub marks: Arc<Vec<Mark>>,
    /// Figures of the store, oldest first.
    pub samples: Arc<Vec<Sample>>,
    noted: BTreeSet<u64>,
}

/// How much an event matters; most do not.
fn weight(event: &EventRow) -> Option<Weight> {
    match (event.severity, event.kind) {
        (Severity::Error, _) => Some(Weight::Error),
        (_, EventKind::ProcessDied | EventKind::ProcessDropped | EventKind::ActorDied | EventKind::ObjectLost | EventKind::StoreFull) => {
            Some(Weight::Error)
        }
        (Severity::Warning, _) => Some(Weight::Warning),
        (Severity::Info, EventKind::Spilled) => Some(Weight::Work),
        (Severity::Info, _) => None,
    }
}

impl Timeline {
    /// A line of the recording was read.
    pub(super) fn note(&mut self, at_ms: u64, body: &Body) {
        if self.begin_ms == 0 {
            self.begin_ms = at_ms;
        }
        self.end_ms = at_ms;
        let (Body::Snapshot { rows, .. } | Body::Delta { rows, .. }) = body else { return };
        match rows {
            Rows::Events(rows) => rows.iter().for_each(|row| self.mark(row)),
            Rows::Store(rows) => {
                let rows: &[StoreRow] = rows;
                Arc::make_mut(&mut self.samples).extend(rows.last().map(|row| Sample::of(at_ms, row)));
            }
            _ => {}
        }
    }

    fn mark(&mut self, event: &EventRow) {
        if let Some(weight) = weight(event)
            && event.at_ms >= self.begin_ms
            && self.noted.insert(event.number)
        {
            Arc::make_mut(&mut self.marks).push(Mark { at_ms: event.at_ms.min(self.end_ms), weight, text: event.message.as_str().into() });
        }
    }

    /// All lines were read.
    pub(super) fn finish(&mut self) {
        // One frame has its events newest first.
        Arc::make_mut(&mut self.marks).sort_by_key(|mark| mark.at_ms);
        self.noted.clear();
    }
}
