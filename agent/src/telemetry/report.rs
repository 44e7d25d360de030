//! A report on its way: all references of one instant, sent in parts, each written when the one before is with the kernel.

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
}

impl Report {
    /// What `tables` hold now.
    pub(super) fn of(tables: &dyn Tables, id: u32) -> Self {
        Self { id, at_ms: tables.now_ms(), store: Some(tables.store()), rows: tables.references(), sent: 0 }
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
