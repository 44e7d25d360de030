//! A report on its way: all references of one instant, sent in parts, each written when the one before is with the kernel.

use std::time::{Duration, Instant};

use plasmon_protocol::error::Error;
use plasmon_protocol::record::{ReferenceRow, StoreRow};

use crate::telemetry::frame::{Payload, report_part};
use crate::telemetry::tables::Tables;

/// See the module.
pub(super) struct Report {
    id: u32,
    /// The clock of the report's instant, milliseconds since the Unix epoch.
    pub(super) at_ms: u64,
    store: Option<StoreRow>,
    rows: Vec<ReferenceRow>,
    sent: usize,
    /// What the copy took of the node's time.
    pub(super) took: Duration,
}

impl Report {
    /// What `tables` hold now.
    pub(super) fn of(tables: &dyn Tables, id: u32) -> Self {
        let began = Instant::now();
        let (at_ms, store, rows) = (tables.now_ms(), tables.store(), tables.references());
        Self { id, at_ms, store: Some(store), rows, sent: 0, took: began.elapsed() }
    }

    /// The viewer's number for it.
    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// The next part, and whether it is the last.
    pub(super) fn next(&mut self) -> Result<(Payload, bool), Error> {
        let rest = self.rows.get(self.sent..).unwrap_or_default();
        let (payload, taken) = report_part(self.id, self.store.take().as_ref(), rest)?;
        self.sent += taken;
        Ok((payload, self.sent == self.rows.len()))
    }
}
