//! What somebody has of a window, and what is new to him: a viewer, or a recording.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::quality::RandomState;

use super::text::{Payload, RowText, fitting, write_rows};
use super::{Query, Window, name};
use crate::column::RowKey;
use crate::error::Error;
use crate::stream::Totals;

/// Tells texts apart without keeping them: 128 bits under keys that no peer knows.
#[derive(Clone, Default, Debug)]
pub struct Prints(RandomState, RandomState);

/// What tells one text from another.
pub type Print = (u64, u64);

impl Prints {
    /// Of this text.
    #[must_use]
    pub fn of(&self, text: &str) -> Print {
        (self.0.hash_one(text), self.1.hash_one(text))
    }
}

/// What was sent of a window. It is kept as keys and prints, not as rows, so that many viewers cost little.
#[derive(Clone, Default, Debug)]
pub struct Sent {
    prints: Prints,
    last: Option<Last>,
}

#[derive(Clone, Debug)]
struct Last {
    totals: Totals,
    start: u64,
    rows: Vec<(RowKey, Print)>,
}

impl Sent {
    /// What must be sent, in a frame of at most `limit` bytes, so that the other side has `window`, which `query` showed; nothing when it
    /// has that already. From then on it counts as sent.
    ///
    /// # Errors
    /// [`Error::Encode`], see [`write_rows`].
    pub fn update(&mut self, id: u32, window: &Window, query: &Query, limit: usize) -> Result<Option<Payload>, Error> {
        let mut rows = write_rows(&window.rows, query.fields())?;
        let whole = rows.len();
        rows.truncate(fitting(&rows, limit));
        let totals = Totals { cut: window.totals.cut + (whole - rows.len()) as u64, ..window.totals };
        let now: Vec<_> = rows.iter().map(|row| (row.key.clone(), self.prints.of(&row.json))).collect();
        let name = name(&window.rows);
        let payload = match &self.last {
            Some(last) => {
                let same_order = last.rows.iter().map(|(key, _)| key).eq(now.iter().map(|(key, _)| key));
                let had: HashMap<&str, Print> = last.rows.iter().map(|(key, print)| (key.as_str(), *print)).collect();
                let is_new = |(key, print): &(RowKey, Print)| had.get(key.as_str()) != Some(print);
                let changed: Vec<&RowText> = rows.iter().zip(&now).filter(|(_, now)| is_new(now)).map(|(row, _)| row).collect();
                if same_order && changed.is_empty() && last.totals == totals && last.start == window.start {
                    return Ok(None);
                }
                let order = (!same_order).then_some(rows.as_slice());
                Payload::delta(id, &totals, window.start, order, name, &changed, limit)?
            }
            None => None,
        };
        let payload = match payload {
            Some(delta) => delta,
            None => Payload::snapshot(id, &totals, window.start, name, &rows)?,
        };
        self.last = Some(Last { totals, start: window.start, rows: now });
        Ok(Some(payload))
    }

    /// Nothing counts as sent any more.
    pub fn forget(&mut self) {
        self.last = None;
    }
}
