//! External storage, done: the threads that write, read back and remove spill files, and the places where these are. What is done, and
//! when, is planned elsewhere ([`crate::spill`]).
//!
//! - [`target`]: a place that keeps files; [`directory`]: one on this machine; `object_storage`: one that a URL
//!   names; [`failing`]: one that fails when told to.
//! - [`pools`]: the threads, which take jobs and report.
//! - [`places`]: which places an agent has, and their removal.

pub mod buffer;
mod compact;
pub mod directory;
pub mod failing;
mod image;
#[cfg(feature = "object-storage")]
pub mod object_storage;
pub mod places;
pub mod pools;
mod read;
pub mod target;
mod write;
