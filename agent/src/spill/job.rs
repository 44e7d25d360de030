//! What the I/O threads are asked to do, and what they report. The ranges of the pool that a job names stay where they are, and nobody
//! else writes them, until its report has come.

use std::fmt;

use plasmon_protocol::id::{ObjectKey, SpillFileId};

/// One object of a [`WriteJob`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WriteItem {
    /// The object.
    pub key: ObjectKey,
    /// Where its bytes are: bytes from the pool's begin.
    pub from: u64,
    /// Its size, bytes.
    pub length: u64,
    /// Where its record begins in the file ([`super::format::Layout`]).
    pub at: u64,
}

/// A file to write, whole and synced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WriteJob {
    /// The new file.
    pub file: SpillFileId,
    /// In which of the places ([`super::policy::Places`]) it goes.
    pub place: usize,
    /// Its records in rising order of `at`.
    pub items: Vec<WriteItem>,
    /// The whole file's size, bytes.
    pub bytes: u64,
}

/// One object of a [`ReadJob`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadItem {
    /// The object.
    pub key: ObjectKey,
    /// Where its record begins in the file.
    pub at: u64,
    /// Its size, bytes.
    pub length: u64,
    /// Where its bytes go: bytes from the pool's begin. From here on to the next multiple of a page nothing else lies when `length` is
    /// large ([`super::format::is_aligned`]).
    pub into: u64,
}

/// Objects to read from one file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadJob {
    /// The job's number.
    pub number: u64,
    /// The file.
    pub file: SpillFileId,
    /// Its place.
    pub place: usize,
    /// What to read, in rising order of `at`.
    pub items: Vec<ReadItem>,
}

/// One record of a [`CompactJob`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CompactItem {
    /// The object.
    pub key: ObjectKey,
    /// Its size, bytes.
    pub length: u64,
    /// Where its record begins in the old file.
    pub from: u64,
    /// Where its record begins in the new file.
    pub at: u64,
}

/// The live part of a file, to be written into another one, whole and synced. The old file stays.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CompactJob {
    /// The old file.
    pub from: SpillFileId,
    /// Its place.
    pub from_place: usize,
    /// The new file.
    pub file: SpillFileId,
    /// Its place.
    pub place: usize,
    /// Its records in rising order of both offsets.
    pub items: Vec<CompactItem>,
    /// The new file's size, bytes.
    pub bytes: u64,
}

/// What the I/O threads are asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Job {
    /// Write a file.
    Write(WriteJob),
    /// Read objects back.
    Read(ReadJob),
    /// Write the live part of a file anew.
    Compact(CompactJob),
    /// Remove a file, complete or not.
    Delete {
        /// The file.
        file: SpillFileId,
        /// Its place.
        place: usize,
    },
}

/// What went wrong with external storage.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// What is there is not what was written: the value is lost. Which file, at which offset, and what is wrong with it.
    Corrupt(String),
    /// The storage does not serve at this moment: with which file, and the system's words. Worth trying again.
    Io(String),
    /// There is no room: the disk is full, or nearly, or a limit is reached. Worth trying again.
    NoRoom(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt(cause) | Self::Io(cause) | Self::NoRoom(cause) => f.write_str(cause),
        }
    }
}

/// Room where a place is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DiskRoom {
    /// Which file system it is; 0 where that is not known.
    pub file_system: u64,
    /// Bytes that can still be written.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
}

impl DiskRoom {
    /// Whether both are one file system's.
    #[must_use]
    pub fn is_of(&self, other: &Self) -> bool {
        self.file_system != 0 && (self.file_system, self.total) == (other.file_system, other.total)
    }
}

/// What the I/O threads report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Report {
    /// A [`WriteJob`] or [`CompactJob`] wrote some more bytes: a sign of life, at most ten times a second.
    Progress,
    /// A [`WriteJob`] ended: all is on disk, synced, or nothing counts.
    Written {
        /// The file.
        file: SpillFileId,
        /// How it went.
        result: Result<(), Failure>,
        /// How long it took, milliseconds.
        took_ms: u64,
    },
    /// A [`ReadJob`] ended.
    Read {
        /// The job's number.
        number: u64,
        /// For each item, in order, how it went. What stands in the pool after a failure is nothing.
        results: Vec<Result<(), Failure>>,
        /// How long it took, milliseconds.
        took_ms: u64,
    },
    /// A [`CompactJob`] ended: all is on disk, synced, or nothing counts. Objects whose records are damaged are named, and not in the
    /// new file's sense there.
    Compacted {
        /// The new file.
        file: SpillFileId,
        /// How it went, with the damaged objects.
        result: Result<Vec<(ObjectKey, Failure)>, Failure>,
        /// How long it took, milliseconds.
        took_ms: u64,
    },
    /// A file is gone, or could not be removed.
    Deleted {
        /// The file.
        file: SpillFileId,
        /// How it went.
        result: Result<(), Failure>,
    },
    /// How much room there is where a place is; `None` where nobody can tell.
    Room {
        /// The place.
        place: usize,
        /// The room.
        room: Option<DiskRoom>,
    },
}

#[cfg(test)]
mod tests {
    use super::DiskRoom;

    #[test]
    fn directories_share_the_room_of_their_file_system() {
        let one = DiskRoom { file_system: 7, free: 10, total: 20 };
        assert!(one.is_of(&DiskRoom { free: 9, ..one }), "it was looked at a moment later");
        assert!(!one.is_of(&DiskRoom { file_system: 8, ..one }));
        let unknown = DiskRoom { file_system: 0, ..one };
        assert!(!unknown.is_of(&unknown), "two that nobody can tell apart count each");
    }
}
