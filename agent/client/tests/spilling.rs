//! Objects in external storage: a small store, a real disk, real processes.

mod support;

#[path = "spilling/deaths.rs"]
mod deaths;
#[path = "spilling/faults.rs"]
mod faults;
#[path = "spilling/files.rs"]
mod files;
#[path = "spilling/hammer.rs"]
mod hammer;
#[path = "spilling/memory.rs"]
mod memory;
#[path = "spilling/pattern.rs"]
mod pattern;
#[path = "spilling/scenarios.rs"]
mod scenarios;
#[path = "spilling/store.rs"]
mod store;
