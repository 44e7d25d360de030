//! What a viewer has of one view or one thing in detail, and what is new to it.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use plasmon_protocol::column::RowKey;
use plasmon_protocol::error::Error;
use plasmon_protocol::stream::{Detail, Totals};

use crate::telemetry::frame::{Payload, fitting, rows_name, write_rows};
use crate::telemetry::window::{Query, Window};

/// Tells texts apart without keeping them: 128 bits under keys that no peer knows.
#[derive(Clone, Default)]
struct Prints(RandomState, RandomState);

type Print = (u64, u64);

impl Prints {
    fn of(&self, text: &str) -> Print {
        (self.0.hash_one(text), self.1.hash_one(text))
    }
}

/// A view that a viewer watches. What it has is kept as keys and prints, not as rows, so that many viewers cost little.
pub struct ViewState {
    query: Query,
    prints: Prints,
    sent: Option<Sent>,
}

struct Sent {
    totals: Totals,
    start: u64,
    rows: Vec<(RowKey, Print)>,
}

impl ViewState {
    /// Nothing sent yet.
    #[must_use]
    pub fn new(query: Query) -> Self {
        Self { query, prints: Prints::default(), sent: None }
    }

    /// What it watches.
    #[must_use]
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// What the viewer must be sent so that it has `window`; nothing when it has that already. From then on it counts as sent.
    ///
    /// # Errors
    /// [`Error::Encode`], see [`write_rows`].
    pub fn update(&mut self, id: u32, window: &Window) -> Result<Option<Payload>, Error> {
        let mut rows = write_rows(&window.rows, self.query.fields())?;
        let whole = rows.len();
        rows.truncate(fitting(&rows));
        let totals = Totals { cut: (whole - rows.len()) as u64, ..window.totals };
        let now: Vec<_> = rows.iter().map(|row| (row.key.clone(), self.prints.of(&row.json))).collect();
        let name = rows_name(&window.rows);
        let payload = match &self.sent {
            Some(sent) => {
                let same_order = sent.rows.iter().map(|(key, _)| key).eq(now.iter().map(|(key, _)| key));
                let had: HashMap<&str, Print> = sent.rows.iter().map(|(key, print)| (key.as_str(), *print)).collect();
                let changed: Vec<_> =
                    rows.iter().zip(&now).filter(|(_, (key, print))| had.get(key.as_str()) != Some(print)).map(|(row, _)| row).collect();
                if same_order && changed.is_empty() && sent.totals == totals && sent.start == window.start {
                    return Ok(None);
                }
                let order = (!same_order).then_some(rows.as_slice());
                Payload::delta(id, &totals, window.start, order, name, &changed)?
            }
            None => None,
        };
        let payload = match payload {
            Some(delta) => delta,
            None => Payload::snapshot(id, &totals, window.start, name, &rows)?,
        };
        self.sent = Some(Sent { totals, start: window.start, rows: now });
        Ok(Some(payload))
    }
}

/// One thing that a viewer watches in detail.
#[derive(Default)]
pub struct WatchState {
    prints: Prints,
    sent: Option<Print>,
}

impl WatchState {
    /// The frame that brings the viewer up to `detail`; nothing when it has that already. From then on it counts as sent.
    ///
    /// # Errors
    /// [`Error::Encode`], see [`write_rows`].
    pub fn update(&mut self, id: u32, detail: Option<&Detail>) -> Result<Option<Payload>, Error> {
        let payload = Payload::detail(id, detail)?;
        let print = self.prints.of(&payload.frame(0, 0, 0));
        Ok((self.sent.replace(print) != Some(print)).then_some(payload))
    }
}
