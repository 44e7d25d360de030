//! What windows must know of each kind of row beyond its columns.

use std::collections::HashSet;
use std::hash::Hash;

use crate::column::{Record, Table};
use crate::id::{ActorId, ObjectId, TaskId};
use crate::record::{ActorRow, EventRow, ObjectRow, PostMortemRow, ProcessRow, ReferenceRow, SiteRow, SpillFileRow, StoreRow, TaskRow};
use crate::stream::Rows;
use serde::Serialize;

/// Every table, in the order of its discriminant.
pub const TABLES: [Table; 10] = [
    Table::References,
    Table::Objects,
    Table::Sites,
    Table::Processes,
    Table::Tasks,
    Table::Actors,
    Table::PostMortem,
    Table::Events,
    Table::SpillFiles,
    Table::Store,
];

/// A row that windows can be made of.
pub trait Shown: Record + Serialize + Default + Sync {
    /// Fields that make up the row's key; sent whatever columns a viewer asks for, or it could not tell rows apart.
    const KEY_FIELDS: &'static [&'static str];

    /// Whether no two rows are about the same object.
    const ONE_ROW_PER_OBJECT: bool = false;

    /// Orders rows as their keys do, and tells them apart, without writing the keys.
    type Tie: Ord + Hash;

    /// See [`Shown::Tie`].
    fn tie(&self) -> Self::Tie;

    /// The rows of this kind, if these are such.
    fn of(rows: &Rows) -> Option<&[Self]>;

    /// The same, taken out; none if these are others.
    fn owned(rows: Rows) -> Vec<Self>;

    /// The rows as what frames carry.
    fn rows(rows: Vec<Self>) -> Rows;

    /// Bytes that the row stands for; an object that two rows stand for counts in both.
    fn bytes(&self) -> u64 {
        0
    }

    /// The object that the row is about, with the number of references that the row stands for.
    fn object(&self) -> Option<(ObjectId, u64)> {
        None
    }

    /// The place of the row's reference type in `ReferenceType::ALL`.
    fn reference_type(&self) -> Option<usize> {
        None
    }
}

/// How many rows these are.
#[must_use]
pub fn count(rows: &Rows) -> usize {
    match rows {
        Rows::References(rows) => rows.len(),
        Rows::Objects(rows) => rows.len(),
        Rows::Sites(rows) => rows.len(),
        Rows::Processes(rows) => rows.len(),
        Rows::Tasks(rows) => rows.len(),
        Rows::Actors(rows) => rows.len(),
        Rows::PostMortem(rows) => rows.len(),
        Rows::Events(rows) => rows.len(),
        Rows::SpillFiles(rows) => rows.len(),
        Rows::Store(rows) => rows.len(),
        Rows::Groups(rows) => rows.len(),
    }
}

/// The field of [`Rows`] that these are in.
#[must_use]
pub fn name(rows: &Rows) -> &'static str {
    match rows {
        Rows::References(_) => "references",
        Rows::Objects(_) => "objects",
        Rows::Sites(_) => "sites",
        Rows::Processes(_) => "processes",
        Rows::Tasks(_) => "tasks",
        Rows::Actors(_) => "actors",
        Rows::PostMortem(_) => "post_mortem",
        Rows::Events(_) => "events",
        Rows::SpillFiles(_) => "spill_files",
        Rows::Store(_) => "store",
        Rows::Groups(_) => "groups",
    }
}

/// The rows of several windows over one table, each once, in the order of the windows.
#[must_use]
pub fn join<'a>(table: Table, parts: impl Iterator<Item = &'a Rows>) -> Rows {
    fn all<'a, R: Shown>(parts: impl Iterator<Item = &'a Rows>) -> Rows {
        let mut seen = HashSet::new();
        R::rows(parts.flat_map(|part| R::of(part).unwrap_or_default()).filter(|row| seen.insert(row.key())).cloned().collect())
    }
    match table {
        Table::References => all::<ReferenceRow>(parts),
        Table::Objects => all::<ObjectRow>(parts),
        Table::Sites => all::<SiteRow>(parts),
        Table::Processes => all::<ProcessRow>(parts),
        Table::Tasks => all::<TaskRow>(parts),
        Table::Actors => all::<ActorRow>(parts),
        Table::PostMortem => all::<PostMortemRow>(parts),
        Table::Events => all::<EventRow>(parts),
        Table::SpillFiles => all::<SpillFileRow>(parts),
        Table::Store => all::<StoreRow>(parts),
    }
}

/// Decimal digits, left-aligned: these sort as the text of the number does.
pub(super) fn digits<const N: usize>(mut number: u64) -> [u8; N] {
    let mut reversed = [0_u8; 20];
    let mut len = 0;
    loop {
        if let Some(digit) = reversed.get_mut(len) {
            *digit = b'0' + (number % 10) as u8;
        }
        len += 1;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    let mut text = [0; N];
    for (to, from) in text.iter_mut().zip(reversed[..len].iter().rev()) {
        *to = *from;
    }
    text
}

macro_rules! shown {
    ($row:ty, $variant:ident, [$($field:literal),*], $tie:ty, |$this:ident| $tie_value:expr, { $($rest:tt)* }) => {
        impl Shown for $row {
            const KEY_FIELDS: &'static [&'static str] = &[$($field),*];
            type Tie = $tie;

            fn tie(&self) -> $tie {
                let $this = self;
                $tie_value
            }

            fn of(rows: &Rows) -> Option<&[Self]> {
                if let Rows::$variant(rows) = rows { Some(rows) } else { None }
            }

            fn owned(rows: Rows) -> Vec<Self> {
                if let Rows::$variant(rows) = rows { rows } else { Vec::new() }
            }

            fn rows(rows: Vec<Self>) -> Rows {
                Rows::$variant(rows)
            }

            $($rest)*
        }
    };
}

shown!(
    ReferenceRow,
    References,
    ["process", "object_id"],
    ([u8; 10], ObjectId),
    |row| (digits(u64::from(row.process.0)), row.object_id),
    {
        fn bytes(&self) -> u64 {
            self.size_bytes.unwrap_or(0)
        }

        fn object(&self) -> Option<(ObjectId, u64)> {
            Some((self.object_id, 1))
        }

        fn reference_type(&self) -> Option<usize> {
            Some(self.reference_type as usize)
        }
    }
);
shown!(ObjectRow, Objects, ["object_id"], ObjectId, |row| row.object_id, {
    const ONE_ROW_PER_OBJECT: bool = true;

    fn bytes(&self) -> u64 {
        self.size_bytes.unwrap_or(0)
    }

    fn object(&self) -> Option<(ObjectId, u64)> {
        Some((self.object_id, u64::from(self.references)))
    }
});
shown!(SiteRow, Sites, ["site"], [u8; 10], |row| digits(u64::from(row.site.id.0)), {
    fn bytes(&self) -> u64 {
        // What was created in just this place, so that no object counts twice.
        self.own_bytes
    }
});
shown!(ProcessRow, Processes, ["process"], [u8; 10], |row| digits(u64::from(row.process.0)), {
    fn bytes(&self) -> u64 {
        self.held_bytes
    }
});
shown!(TaskRow, Tasks, ["task_id"], TaskId, |row| row.task_id, {});
shown!(ActorRow, Actors, ["actor_id"], ActorId, |row| row.actor_id, {
    fn bytes(&self) -> u64 {
        self.held_bytes
    }
});
shown!(PostMortemRow, PostMortem, ["process"], [u8; 10], |row| digits(u64::from(row.process.0)), {
    fn bytes(&self) -> u64 {
        self.held_bytes
    }
});
shown!(EventRow, Events, ["number"], [u8; 20], |row| digits(row.number), {});
shown!(SpillFileRow, SpillFiles, ["file"], [u8; 10], |row| digits(u64::from(row.file.0)), {
    fn bytes(&self) -> u64 {
        self.live_bytes
    }
});
shown!(StoreRow, Store, [], (), |_row| (), {
    fn bytes(&self) -> u64 {
        self.ledger.used_bytes()
    }
});

#[cfg(test)]
mod tests {
    use crate::id::{ProcessId, SiteId};
    use crate::record::{ReferenceType, Site};
    use proptest::prelude::*;

    use super::*;

    fn agrees<R: Shown>(a: &R, b: &R) {
        assert_eq!(a.tie().cmp(&b.tie()), a.key().cmp(&b.key()), "{} {}", a.key(), b.key());
    }

    proptest! {
        #[test]
        fn ties_order_rows_as_their_keys_do(p in any::<[u32; 2]>(), shift in 0_u32..32, o in any::<[[u8; 16]; 2]>(), n in any::<[u64; 2]>()) {
            let p = p.map(|number| number >> shift);
            let reference = |i: usize| ReferenceRow { process: ProcessId(p[i]), object_id: ObjectId(o[i]), ..Default::default() };
            agrees(&reference(0), &reference(1));
            let site = |i: usize| SiteRow { site: Site { id: SiteId(p[i]), ..Site::default() }.into(), ..Default::default() };
            agrees(&site(0), &site(1));
            let event = |i: usize| EventRow { number: n[i] >> shift, ..Default::default() };
            agrees(&event(0), &event(1));
            let object = |i: usize| ObjectRow { object_id: ObjectId(o[i]), ..Default::default() };
            agrees(&object(0), &object(1));
        }
    }

    #[test]
    fn discriminants_are_places() {
        for (place, table) in TABLES.into_iter().enumerate() {
            assert_eq!(table as usize, place);
        }
        for (place, kind) in ReferenceType::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, place);
        }
    }
}
