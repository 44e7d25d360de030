//! A report on its way: all references of one instant, sent in parts, each read from where they are kept when the one before is with the
//! kernel.

use std::collections::HashSet;
use std::path::Path;

use plasmon_protocol::error::Error;
use plasmon_protocol::window::Payload;

use crate::telemetry::desk::Whole;
use crate::telemetry::frame::report_part;
use crate::telemetry::spool::{Ledger, Spool};

/// See the module.
pub(super) struct Report {
    id: u32,
    /// The clock of the report's instant, milliseconds since the Unix epoch.
    pub(super) at_ms: u64,
    parts: Spool,
}

impl Report {
    /// What is to be sent under the viewer's number, kept in `directory` until it is. Blocks.
    ///
    /// # Errors
    /// [`Error::Encode`], which no row can bring about by its values; [`Error::System`] when it can be kept nowhere, or others leave no room.
    pub(super) fn of(id: u32, whole: &Whole, directory: &Path, ledger: &Ledger) -> Result<Self, Error> {
        let parts = Spool::write(directory, ledger, |parts| {
            let (mut store, mut told, mut sent) = (Some(&whole.store), HashSet::new(), (0, 0));
            loop {
                let (dead, rows) = (&whole.dead[sent.0..], &whole.rows[sent.1..]);
                let (payload, taken) = report_part(id, store.take(), dead, rows, &mut told)?;
                parts.push(payload.fields());
                sent = (sent.0 + taken.0, sent.1 + taken.1);
                if sent == (whole.dead.len(), whole.rows.len()) {
                    return Ok(());
                }
            }
        })?;
        Ok(Self { id, at_ms: whole.at_ms, parts })
    }

    /// The viewer's number for it.
    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// Whether all of it was sent.
    pub(super) fn is_sent(&self) -> bool {
        self.parts.is_empty()
    }

    /// The next part; `None` after the last.
    ///
    /// # Errors
    /// [`Error::System`] when it cannot be read back.
    pub(super) async fn next(&mut self) -> Result<Option<Payload>, Error> {
        Ok(self.parts.next().await?.map(Payload::of))
    }
}
