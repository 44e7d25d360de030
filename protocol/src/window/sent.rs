//! What a viewer has of a window, and what is new to it.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::quality::RandomState;

use super::text::{Payload, RowText, fitting, write_rows};
use super::{Query, Window, name};
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

/// A window as JSON, written once for all who look at the same.
#[derive(Clone, Debug)]
pub struct Rendered {
    name: &'static str,
    totals: Totals,
    start: u64,
    rows: Vec<RowText>,
    /// Of keys and of rows.
    prints: Vec<(u64, u64)>,
}

impl Rendered {
    /// `window`, which `query` showed, as far as it fits frames of at most `limit` bytes.
    ///
    /// # Errors
    /// [`Error::Encode`], see [`write_rows`].
    pub fn of(window: &Window, query: &Query, limit: usize, prints: &Prints) -> Result<Self, Error> {
        let mut rows = write_rows(&window.rows, query.fields())?;
        let whole = rows.len();
        rows.truncate(fitting(&rows, limit));
        let totals = Totals { cut: window.totals.cut + (whole - rows.len()) as u64, ..window.totals };
        let prints = rows.iter().map(|row| (prints.of(&row.key).0, prints.of(&row.json).0)).collect();
        Ok(Self { name: name(&window.rows), totals, start: window.start, rows, prints })
    }

    /// How many rows it has.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows.len()
    }
}

/// Bytes that are kept of each row of a window that was sent.
pub const SENT_ROW: usize = size_of::<(u64, u64)>();

/// What was sent of a window. It is kept as prints, not as rows, so that many viewers cost little.
#[derive(Clone, Default, Debug)]
pub struct Sent {
    prints: Prints,
    last: Option<Last>,
}

#[derive(Clone, Debug)]
struct Last {
    totals: Totals,
    start: u64,
    /// Of keys and of rows: half of each print tells apart what is compared so seldom.
    rows: Vec<(u64, u64)>,
}

impl Sent {
    /// What must be sent, in a frame of at most `limit` bytes, so that the other side has `window`, which `query` showed; nothing when it
    /// has that already. From then on it counts as sent.
    ///
    /// # Errors
    /// [`Error::Encode`], see [`write_rows`].
    pub fn update(&mut self, id: u32, window: &Window, query: &Query, limit: usize) -> Result<Option<Payload>, Error> {
        let rendered = Rendered::of(window, query, limit, &self.prints)?;
        self.bring_up(id, &rendered, limit, usize::MAX)
    }

    /// The same for a window that was written before, each time with the same [`Prints`] and `limit`; of its rows no more than `most`.
    ///
    /// # Errors
    /// [`Error::Encode`], which no row can bring about by its values.
    pub fn bring_up(&mut self, id: u32, now: &Rendered, limit: usize, most: usize) -> Result<Option<Payload>, Error> {
        let Rendered { name, totals, start, rows, prints } = now;
        let most = most.min(rows.len());
        let totals = &Totals { cut: totals.cut + (rows.len() - most) as u64, ..*totals };
        let (rows, prints) = (&rows[..most], &prints[..most]);
        let payload = match &self.last {
            Some(last) => {
                let same_order = last.rows.iter().map(|(key, _)| key).eq(prints.iter().map(|(key, _)| key));
                let had: HashMap<u64, u64, foldhash::fast::RandomState> = last.rows.iter().copied().collect();
                let changed: Vec<&RowText> =
                    rows.iter().zip(prints).filter(|(_, (key, print))| had.get(key) != Some(print)).map(|(row, _)| row).collect();
                if same_order && changed.is_empty() && last.totals == *totals && last.start == *start {
                    return Ok(None);
                }
                let order = (!same_order).then(|| rows.iter().map(|row| row.key.as_str()).collect());
                Payload::delta(id, totals, *start, order, name, &changed, limit)?
            }
            None => None,
        };
        let payload = match payload {
            Some(delta) => delta,
            None => Payload::snapshot(id, totals, *start, name, rows)?,
        };
        self.last = Some(Last { totals: *totals, start: *start, rows: prints.to_vec() });
        Ok(Some(payload))
    }

    /// How many rows count as sent.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.last.as_ref().map_or(0, |last| last.rows.len())
    }

    /// Nothing counts as sent any more.
    pub fn forget(&mut self) {
        self.last = None;
    }
}
