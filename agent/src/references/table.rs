//! One row for each (process, object) pair. Rows live in one array; two chains run through it: the holders of one object
//! (short, single) and the references of one process (long, double, so that any row can leave it at once).

use plasmon_protocol::id::{ObjectKey, ProcessId, SiteId};
use plasmon_protocol::record::ReferenceType;

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

/// Why one process keeps one object.
#[derive(Clone, Debug)]
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
    next_holder: u32,
    before: u32,
    after: u32,
}

impl Row {
    /// One of the counts.
    #[must_use]
    pub fn count(&self, count: Count) -> u32 {
        self.counts[count as usize]
    }

    /// The first reason that holds, by Ray's precedence.
    #[must_use]
    pub fn reference_type(&self) -> ReferenceType {
        if self.count(Count::Pinned) > 0 {
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
#[derive(Debug, Default)]
pub struct ReferenceTable {
    rows: Vec<Row>,
    vacant: Vec<u32>,
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

impl ReferenceTable {
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
        if let Some(index) = self.find(*first_holder, process) {
            self.rows[index as usize].counts[count as usize] += 1;
            self.changes.mark(index);
            return Added::SameRow;
        }
        let mut counts = [0; 4];
        counts[count as usize] = 1;
        let row = Row { key, process, site, since_ms: now_ms, counts, next_holder: *first_holder, before: NONE, after: *first_reference };
        let index = match self.vacant.pop() {
            Some(index) => {
                self.rows[index as usize] = row;
                index
            }
            None => {
                self.rows.push(row);
                self.rows.len() as u32 - 1
            }
        };
        self.changes.mark(index);
        if *first_reference != NONE {
            self.rows[*first_reference as usize].before = index;
        }
        *first_holder = index;
        *first_reference = index;
        Added::NewRow
    }

    /// Lowers a count.
    pub fn remove(&mut self, first_holder: &mut u32, first_reference: &mut u32, process: ProcessId, count: Count) -> Removed {
        let Some(index) = self.find(*first_holder, process) else { return Removed::NotHeld };
        let counts = &mut self.rows[index as usize].counts;
        if counts[count as usize] == 0 {
            return Removed::NotHeld;
        }
        counts[count as usize] -= 1;
        self.changes.mark(index);
        if *counts != [0; 4] {
            return Removed::RowStays;
        }
        self.unlink(index, first_holder, first_reference);
        Removed::RowGone
    }

    /// The row at a place, unless it is vacant.
    #[must_use]
    pub fn at(&self, place: u32) -> Option<&Row> {
        self.rows.get(place as usize).filter(|row| row.counts != [0; 4])
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

    fn find(&self, first_holder: u32, process: ProcessId) -> Option<u32> {
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
        self.vacant.push(index);
    }
}
