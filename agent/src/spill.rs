//! External storage, seen from the store: what to spill, what lies in which file, what a file looks like. Pure plans and formats; the
//! I/O is [`crate::disk`]'s.
//!
//! - [`format`]: records in a file, and what is checked when one is read back.
//! - [`job`]: what the I/O threads are asked to do, and what they report.
//! - [`files`]: the spill files, which objects live in them, and their ledger.
//! - [`policy`]: when to spill, how much, and where a batch is cut.

pub mod files;
pub mod format;
pub mod job;
pub mod policy;
