//! Spill files through the threads that write and read them: what is there, what is damaged, what fails.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used)]

#[path = "disk/damage.rs"]
mod damage;
#[path = "disk/faults.rs"]
mod faults;
#[path = "disk/mounts.rs"]
mod mounts;
#[path = "disk/placement.rs"]
mod placement;
#[path = "disk/rig.rs"]
mod rig;
#[path = "disk/round_trips.rs"]
mod round_trips;
