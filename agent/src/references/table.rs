//! One row for each (process, object) pair. Rows live in one array; two chains run through it: the holders of one object
//! (short, single) and the references of one process (long, double, so that any row can leave it at once).
//!
//! An object's first row is at the place with its slot's number, where that is free: so it is looked for without waiting for what the
//! object says, and a table that is far larger than the caches costs one wait instead of two.

use plasmon_memory::pages::reserve;
use plasmon_protocol::id::{ObjectKey, ProcessId, SiteId};
use plasmon_protocol::record::ReferenceType;

use super::vacant::Vacant;
use crate::changes::Changes;

/// No row.
pub const NONE: u32 = u32::MAX;

/// Which of a row's counts changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Count {
    /// Handles.
    Local,
    /// Views.
    Pinned,
    /// Pending tasks that need it.
    Submitted,
    /// Objects that contain it.
    Captured,
}

/// Why one process keeps one object. One cache line.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub struct Row {
    /// The object.
    pub key: ObjectKey,
    /// The holder.
    pub process: ProcessId,
    /// Where the holder first got it.
    pub site: SiteId,
    /// When, milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Indexed by [`Count`].
    counts: [u32; 4],
    /// Views in the holder's pin table when it was last looked at, and how many of the pins stand for such views whose handle is gone.
    viewed: u32,
    kept: u32,
    next_holder: u32,
    before: u32,
    after: u32,
}

const _: () = assert!(size_of::<Row>() == 64);

impl Row {
    /// At a place where there is none.
    fn none() -> Self {
        let (key, process, site) = (ObjectKey::default(), ProcessId(0), SiteId(0));
        Self { key, process, site, since_ms: 0, counts: [0; 4], viewed: 0, kept: 0, next_holder: NONE, before: NONE, after: NONE }
    }

    fn is_vacant(&self) -> bool {
        self.counts == [0; 4]
    }

    /// One of the counts that messages tell.
    #[must_use]
    pub fn count(&self, count: Count) -> u32 {
        self.counts[count as usize]
    }

    /// The holder's views: those that messages told of, and those that were seen in its pin table.
    #[must_use]
    pub fn pins(&self) -> u32 {
        self.count(Count::Pinned).saturating_add(self.viewed.saturating_sub(self.kept))
    }

    /// The counts as people see them, in the order of [`Count`].
    #[must_use]
    pub fn shown(&self) -> [u32; 4] {
        let [local, _, submitted, captured] = self.counts;
        [local, self.pins(), submitted, captured]
    }

    /// Whether the holder may have views that no message tells of: they have a handle, or had one.
    fn may_view(&self) -> bool {
        self.count(Count::Local) > 0 || (self.kept > 0 && self.count(Count::Pinned) > 0)
    }

    /// The first reason that holds, by Ray's precedence.
    #[must_use]
    pub fn reference_type(&self) -> ReferenceType {
        if self.pins() > 0 {
            ReferenceType::PinnedInMemory
        } else if self.count(Count::Submitted) > 0 {
            ReferenceType::UsedByPendingTask
        } else if self.count(Count::Local) > 0 {
            ReferenceType::LocalReference
        } else {
            ReferenceType::CapturedInObject
        }
    }
}

/// All rows.
#[derive(Debug)]
pub struct ReferenceTable {
    rows: Vec<Row>,
    vacant: Vacant,
    /// Rows that there is room for from the begin on.
    room: u32,
    /// Rows that changed, by their places, for whoever follows the table.
    pub changes: Changes,
}

/// What an increment did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Added {
    /// The row is new.
    NewRow,
    /// The row was there.
    SameRow,
}

/// What a decrement did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Removed {
    /// The row has other counts left.
    RowStays,
    /// It was the row's last count.
    RowGone,
    /// There is no such count: the holder said what is not so.
    NotHeld,
}

/// So many places are left free before the one with a slot's number.
const AHEAD: usize = 64;

impl ReferenceTable {
    /// No rows. Of as many as there are slots they never move.
    #[must_use]
    pub fn new(slots: u32) -> Self {
        Self { rows: Vec::new(), vacant: Vacant::default(), room: slots, changes: Changes::default() }
    }

    /// Raises a count. `first_holder` is the object's chain, `first_reference` the process's; both may change.
    #[expect(clippy::too_many_arguments, reason = "a row's identity, its two chains and its origin")]
    pub fn add(
        &mut self,
        first_holder: &mut u32,
        first_reference: &mut u32,
        key: ObjectKey,
        process: ProcessId,
        count: Count,
        site: SiteId,
        now_ms: u64,
    ) -> Added {
        if let Some(index) = self.find(*first_holder, key, process) {
            self.rows[index as usize].counts[count as usize] += 1;
            self.changes.mark(index);
            return Added::SameRow;
        }
        let mut counts = [0; 4];
        counts[count as usize] = 1;
        let (next_holder, before, after) = (*first_holder, NONE, *first_reference);
        let row = Row { key, process, site, since_ms: now_ms, counts, viewed: 0, kept: 0, next_holder, before, after };
        let index = self.place(row);
        self.changes.mark(index);
        if *first_reference != NONE {
            self.rows[*first_reference as usize].before = index;
        }
        *first_holder = index;
        *first_reference = index;
        Added::NewRow
    }

    /// Puts a new row where its object's slot says, or wherever there is a place.
    fn place(&mut self, row: Row) -> u32 {
        let (home, end) = (row.key.slot as usize, self.rows.len());
        if end == 0 {
            reserve(&mut self.rows, self.room as usize);
        }
        let index = if self.vacant.take(row.key.slot) {
            Some(row.key.slot)
        } else if (end..end + AHEAD).contains(&home) {
            self.rows.resize_with(home, Row::none);
            (end..home).for_each(|place| self.vacant.enter(place as u32));
            None
        } else {
            self.vacant.take_any()
        };
        match index {
            Some(index) => {
                self.rows[index as usize] = row;
                index
            }
            None => {
                self.rows.push(row);
                self.rows.len() as u32 - 1
            }
        }
    }

    /// Lowers a count. Also tells how many pins fewer the row has.
    pub fn remove(
        &mut self,
        first_holder: &mut u32,
        first_reference: &mut u32,
        key: ObjectKey,
        process: ProcessId,
        count: Count,
    ) -> (Removed, u32) {
        let Some(index) = self.find(*first_holder, key, process) else { return (Removed::NotHeld, 0) };
        let row = &mut self.rows[index as usize];
        if row.counts[count as usize] == 0 {
            return (Removed::NotHeld, 0);
        }
        let before = row.pins();
        row.counts[count as usize] -= 1;
        if row.viewed > 0 && !row.may_view() {
            // They were gone before what they had been got by.
            row.viewed = 0;
        }
        let fewer = before - row.pins();
        self.changes.mark(index);
        if !row.is_vacant() {
            return (Removed::RowStays, fewer);
        }
        self.unlink(index, first_holder, first_reference);
        (Removed::RowGone, fewer)
    }

    /// The row of a process, to change what it has of views; `None` when there is none.
    fn row_mut(&mut self, first_holder: u32, key: ObjectKey, process: ProcessId) -> Option<&mut Row> {
        let index = self.find(first_holder, key, process)?;
        self.changes.mark(index);
        self.rows.get_mut(index as usize)
    }

    /// So many views were seen in a holder's pin table: how many pins its row had before and has now. `None` when it can have none.
    pub fn see_views(&mut self, first_holder: u32, key: ObjectKey, process: ProcessId, views: u32) -> Option<(u32, u32)> {
        let index = self.find(first_holder, key, process)?;
        let row = &self.rows[index as usize];
        if views == row.viewed {
            return Some((row.pins(), row.pins()));
        }
        if views > 0 && !row.may_view() {
            return None;
        }
        let row = self.row_mut(first_holder, key, process)?;
        let before = row.pins();
        row.viewed = views;
        Some((before, row.pins()))
    }

    /// A handle becomes one pin, which stands for the views that were got by it: how many pins the row had before and has now. `None` when
    /// there is no such handle.
    pub fn keep_views(&mut self, first_holder: u32, key: ObjectKey, process: ProcessId) -> Option<(u32, u32)> {
        let row = self.row_mut(first_holder, key, process)?;
        let [local, pinned, ..] = row.counts;
        if local == 0 || pinned == u32::MAX || row.kept == u32::MAX {
            return None;
        }
        let before = row.pins();
        row.counts[Count::Local as usize] -= 1;
        row.counts[Count::Pinned as usize] += 1;
        row.kept += 1;
        Some((before, row.pins()))
    }

    /// One of the pins stands for views no more, before it goes: how many pins the row had before and has now. `None` when none does.
    pub fn end_views(&mut self, first_holder: u32, key: ObjectKey, process: ProcessId) -> Option<(u32, u32)> {
        let row = self.row_mut(first_holder, key, process)?;
        if row.kept == 0 {
            return None;
        }
        let before = row.pins();
        row.kept -= 1;
        if !row.may_view() {
            row.viewed = 0;
        }
        Some((before, row.pins()))
    }

    /// The row at a place, unless it is vacant.
    #[must_use]
    pub fn at(&self, place: u32) -> Option<&Row> {
        self.rows.get(place as usize).filter(|row| !row.is_vacant())
    }

    /// There are no rows at places from here on.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.rows.len() as u32
    }

    /// The places of the rows of one object.
    pub fn places(&self, first_holder: u32) -> impl Iterator<Item = u32> {
        let mut index = first_holder;
        std::iter::from_fn(move || {
            let place = index;
            index = self.rows.get(place as usize)?.next_holder;
            Some(place)
        })
    }

    /// The rows of one object.
    pub fn holders(&self, first_holder: u32) -> impl Iterator<Item = &Row> {
        self.places(first_holder).filter_map(|place| self.rows.get(place as usize))
    }

    /// The rows of one process, newest first.
    pub fn of_process(&self, first_reference: u32) -> impl Iterator<Item = &Row> {
        let mut index = first_reference;
        std::iter::from_fn(move || {
            let row = self.rows.get(index as usize)?;
            index = row.after;
            Some(row)
        })
    }

    fn find(&self, first_holder: u32, key: ObjectKey, process: ProcessId) -> Option<u32> {
        let home = self.rows.get(key.slot as usize).filter(|row| row.key == key && row.process == process && !row.is_vacant());
        if home.is_some() {
            return Some(key.slot);
        }
        let mut index = first_holder;
        while let Some(row) = self.rows.get(index as usize) {
            if row.process == process {
                return Some(index);
            }
            index = row.next_holder;
        }
        None
    }

    fn unlink(&mut self, index: u32, first_holder: &mut u32, first_reference: &mut u32) {
        let Row { next_holder, before, after, .. } = self.rows[index as usize];
        if *first_holder == index {
            *first_holder = next_holder;
        } else {
            let mut at = *first_holder;
            while self.rows[at as usize].next_holder != index {
                at = self.rows[at as usize].next_holder;
            }
            self.rows[at as usize].next_holder = next_holder;
        }
        match before {
            NONE => *first_reference = after,
            before => self.rows[before as usize].after = after,
        }
        if after != NONE {
            self.rows[after as usize].before = before;
        }
        self.vacant.enter(index);
    }
}
