//! What people see of external storage: the spill files, the sums over them, and who waits for room.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Site;
use super::words::{SpillCause, SpillCut, SpillFileState};
use crate::id::{ObjectId, SpillFileId};

/// One spill file. `live_bytes + dead_bytes + header_bytes == file_bytes`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SpillFileRow {
    /// Its number.
    pub file: SpillFileId,
    /// The directory or URL that it lies in.
    pub place: Arc<str>,
    /// Its name there.
    pub name: Arc<str>,
    /// Where it is in its life.
    pub state: SpillFileState,
    /// All of it, bytes.
    pub file_bytes: u64,
    /// Bytes of objects that live.
    pub live_bytes: u64,
    /// Bytes of objects that were freed since.
    pub dead_bytes: u64,
    /// Headers and the padding that aligns records, bytes.
    pub header_bytes: u64,
    /// Objects that live.
    pub objects: u32,
    /// Objects that were written.
    pub written: u32,
    /// Objects that were read back from it, ever.
    pub restored: u64,
    /// Why its objects were spilled.
    pub cause: SpillCause,
    /// Why it was cut where it was.
    pub cut: SpillCut,
    /// When its writing began.
    pub created_ms: u64,
    /// How long the writing took, milliseconds; 0 while it goes on.
    pub write_ms: u64,
}

/// External storage as a whole. `now` figures are of this instant, `total` ones of the agent's life.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SpillRow {
    /// In a few words: `on`, `off`, or why nothing can be spilled at this moment.
    pub state: Arc<str>,
    /// Whether something is wrong: [`SpillRow::state`] says what.
    pub failing: bool,
    /// Where spill files go, several in turn.
    pub places: Vec<Arc<str>>,
    /// Spilling starts when primary copies take up this many bytes.
    pub threshold_bytes: u64,
    /// Files may take up so many bytes in all.
    pub limit_bytes: Option<u64>,
    /// Primary copies in the pool, bytes: what is nowhere else.
    pub primary_bytes: u64,
    /// Files now.
    pub files: u32,
    /// All of them, bytes.
    pub file_bytes: u64,
    /// Of those, bytes of objects that live.
    pub live_bytes: u64,
    /// Of those, bytes of objects that were freed since.
    pub dead_bytes: u64,
    /// Of those, headers and alignment, bytes.
    pub header_bytes: u64,
    /// Objects that have a copy in a file now.
    pub objects: u64,
    /// Of them, objects that are in no memory.
    pub spilled_objects: u64,
    /// Bytes of those.
    pub spilled_bytes: u64,
    /// Objects spilled, total.
    pub spilled_objects_total: u64,
    /// Their bytes, total.
    pub spilled_bytes_total: u64,
    /// Milliseconds in which something was being written, total; what overlaps counts once.
    pub spill_ms_total: u64,
    /// Objects restored, total.
    pub restored_objects_total: u64,
    /// Their bytes, total.
    pub restored_bytes_total: u64,
    /// Milliseconds in which something was being read, total; what overlaps counts once.
    pub restore_ms_total: u64,
    /// Files written, total.
    pub files_total: u64,
    /// Files removed, total.
    pub deleted_total: u64,
    /// File bytes written, headers and compaction included, total.
    pub file_bytes_total: u64,
    /// Bytes freed in files since their writing, removed ones included, total.
    pub dead_bytes_total: u64,
    /// Headers and alignment, removed files included, bytes, total.
    pub header_bytes_total: u64,
    /// Writes, reads and removals that failed, total.
    pub failures_total: u64,
    /// Objects being written.
    pub writing_objects: u64,
    /// Their bytes.
    pub writing_bytes: u64,
    /// Objects being read.
    pub reading_objects: u64,
    /// Their bytes.
    pub reading_bytes: u64,
    /// Free bytes of the file systems that the directories are on; `None` where nobody can tell.
    pub disk_free_bytes: Option<u64>,
    /// All their bytes.
    pub disk_total_bytes: Option<u64>,
    /// Objects that came back again and again within the last minute.
    pub thrashing_objects: u64,
    /// Who waits for room, first come first; at most [`MAX_QUEUE`].
    pub queue: Vec<WaitRow>,
}

/// Entries of [`SpillRow::queue`].
pub const MAX_QUEUE: usize = 20;

/// One create or get that waits for room in the store.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WaitRow {
    /// Its place in the queue, from 1.
    pub position: u32,
    /// The process that waits.
    pub pid: u32,
    /// Bytes that it waits for.
    pub bytes: u64,
    /// The object that a get waits for; none for a create.
    pub object: Option<ObjectId>,
    /// Where the program waits.
    pub site: Arc<Site>,
    /// Since when.
    pub since_ms: u64,
    /// For what it waits, in a few words.
    pub reason: Arc<str>,
}
