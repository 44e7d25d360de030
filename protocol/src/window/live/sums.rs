//! Sums over rows that can be taken back.

use super::super::row::Shown;
use crate::record::ReferenceTotals;
use crate::stream::{GroupRow, Totals};

/// Exact sums over rows; frames have them cut at the largest number there is.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Sums {
    pub(super) rows: u64,
    bytes: u128,
    references: u128,
    objects: u64,
    object_bytes: u128,
    by_type: [u64; 5],
}

impl Sums {
    /// Adds a row; `first` when no other row that was added is about the same object.
    pub(super) fn add<R: Shown>(&mut self, row: &R, first: bool) {
        let bytes = u128::from(row.bytes());
        self.rows += 1;
        self.bytes += bytes;
        if let Some((_, references)) = row.object() {
            self.references += u128::from(references);
            if first {
                self.objects += 1;
                self.object_bytes += bytes;
            }
        }
        if let Some(count) = row.reference_type().and_then(|kind| self.by_type.get_mut(kind)) {
            *count += 1;
        }
    }

    /// Takes a row back; `last` when no other row that is still in is about the same object.
    pub(super) fn remove<R: Shown>(&mut self, row: &R, last: bool) {
        let bytes = u128::from(row.bytes());
        self.rows -= 1;
        self.bytes -= bytes;
        if let Some((_, references)) = row.object() {
            self.references -= u128::from(references);
            if last {
                self.objects -= 1;
                self.object_bytes -= bytes;
            }
        }
        if let Some(count) = row.reference_type().and_then(|kind| self.by_type.get_mut(kind)) {
            *count -= 1;
        }
    }

    fn unique(&self) -> ReferenceTotals {
        ReferenceTotals { references: cut(self.references), unique_objects: self.objects, unique_bytes: cut(self.object_bytes) }
    }

    /// As totals over what matches, of so many rows.
    pub(super) fn totals(&self, rows: u64, groups: u64) -> Totals {
        Totals { rows, matched: self.rows, groups, bytes: cut(self.bytes), unique: self.unique(), cut: 0 }
    }

    /// Writes them into a group's row.
    pub(super) fn write(&self, row: &mut GroupRow) {
        (row.rows, row.bytes, row.unique, row.by_type) = (self.rows, cut(self.bytes), self.unique(), self.by_type);
    }
}

fn cut(sum: u128) -> u64 {
    u64::try_from(sum).unwrap_or(u64::MAX)
}
