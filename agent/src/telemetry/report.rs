//! A report on its way: all references of one instant, sent in parts, each written when the one before is with the kernel.

use std::collections::HashSet;

use plasmon_protocol::error::Error;
use plasmon_protocol::id::SiteId;
use plasmon_protocol::record::{ReferenceRow, StoreRow};
use plasmon_protocol::stream::PostMortem;
use plasmon_protocol::window::Payload;

use crate::telemetry::desk::Whole;
use crate::telemetry::frame::report_part;

/// See the module.
pub(super) struct Report {
    id: u32,
    /// The clock of the report's instant, milliseconds since the Unix epoch.
    pub(super) at_ms: u64,
    store: Option<StoreRow>,
    dead: Vec<PostMortem>,
    rows: Vec<ReferenceRow>,
    /// Frames that were sent.
    told: HashSet<SiteId>,
    /// How many of the dead, and of the rows, were sent.
    sent: (usize, usize),
}

impl Report {
    /// What is to be sent under the viewer's number.
    pub(super) fn of(id: u32, whole: Whole) -> Self {
        let Whole { at_ms, store, dead, rows } = whole;
        Self { id, at_ms, store: Some(store), dead, rows, told: HashSet::new(), sent: (0, 0) }
    }

    /// The viewer's number for it.
    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// The next part, and whether it is the last.
    pub(super) fn next(&mut self) -> Result<(Payload, bool), Error> {
        let dead = self.dead.get(self.sent.0..).unwrap_or_default();
        let rows = self.rows.get(self.sent.1..).unwrap_or_default();
        let (payload, taken) = report_part(self.id, self.store.take().as_ref(), dead, rows, &mut self.told)?;
        self.sent = (self.sent.0 + taken.0, self.sent.1 + taken.1);
        Ok((payload, self.sent == (self.dead.len(), self.rows.len())))
    }
}
