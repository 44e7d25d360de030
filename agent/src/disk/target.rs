//! A place that keeps spill files.

use std::fmt;

use plasmon_protocol::id::SpillFileId;
use rustix::io::Errno;

use crate::spill::job::{DiskRoom, Failure};

/// A place that keeps spill files. Any thread may use it, any number of them at once, each file by one writer.
pub trait SpillTarget: Send + Sync {
    /// Begins a new file that will have `bytes` bytes, whole blocks. One of the same number is replaced.
    ///
    /// # Errors
    /// What the storage says; nothing is left there.
    fn create(&self, file: SpillFileId, bytes: u64) -> Result<Box<dyn NewFile>, Failure>;

    /// Opens a finished file.
    ///
    /// # Errors
    /// [`Failure::Corrupt`] when the place is there and the file is not; else what the storage says.
    fn open(&self, file: SpillFileId) -> Result<Box<dyn OldFile>, Failure>;

    /// Removes a file. A missing one counts as removed.
    ///
    /// # Errors
    /// What the storage says.
    fn delete(&self, file: SpillFileId) -> Result<(), Failure>;

    /// How much room there is; `None` where nobody can tell.
    ///
    /// # Errors
    /// What the storage says.
    fn room(&self) -> Result<Option<DiskRoom>, Failure>;

    /// What people call a file: its path or URL.
    fn name(&self, file: SpillFileId) -> String;

    /// Whether a new file takes its pieces from front to back only.
    fn in_order(&self) -> bool {
        false
    }
}

/// A file being written. Gone, unless finished, when dropped.
pub trait NewFile: Send + Sync {
    /// Writes a piece: whole blocks at a multiple of a block, in memory that begins at one. Each byte of the file is written once.
    ///
    /// # Errors
    /// What the storage says.
    fn write(&self, at: u64, bytes: &[u8]) -> Result<(), Failure>;

    /// Returns when all of it is durable.
    ///
    /// # Errors
    /// What the storage says; the file is gone then.
    fn finish(self: Box<Self>) -> Result<(), Failure>;
}

/// A file being read.
pub trait OldFile: Send + Sync {
    /// Reads whole blocks at a multiple of a block into memory that begins at one, and returns how many bytes there were: fewer only when
    /// the file ends.
    ///
    /// # Errors
    /// What the storage says.
    fn read(&self, at: u64, into: &mut [u8]) -> Result<usize, Failure>;
}

/// The failure that a refusal of the system amounts to: what was refused, of which file, in the system's words.
#[must_use]
pub fn refused(what: &str, name: &dyn fmt::Display, error: Errno) -> Failure {
    let text = format!("{what} {name}: {}", std::io::Error::from(error));
    match error {
        Errno::NOSPC | Errno::DQUOT => Failure::NoRoom(text),
        _ => Failure::Io(text),
    }
}
