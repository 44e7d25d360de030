//! The agent of Plasmon: object store, references, scheduler and live stream of one node.
//!
//! It is a process of its own, one for each node: the daemon `plasmon-agent`, or a program re-executed by `plasmon::init()`.
//!
//! The truth, pure and simulated:
//! - [`reactor`]: one `Core`, changed only by `on_*` functions.
//! - [`store`]: who has which bytes; [`references`]: who holds what; [`scheduler`]: which task runs when; [`changes`]: what viewers were
//!   not told yet.
//!
//! The world around it:
//! - [`node`]: rings, sockets, clocks, worker processes.
//! - [`telemetry`]: the live stream; [`recorder`]: its last minutes in a file; [`disk`]: external storage.
//! - [`machine`]: what this machine has; [`session`]: what an agent keeps on disk; [`config`]: what it was told; [`log`].
//!
//! Ways to run it: [`command`] alone, [`embedded`] for a program; [`running`] is what both run.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod changes;
pub mod command;
pub mod config;
pub mod disk;
pub mod embedded;
pub mod log;
pub mod machine;
pub mod node;
pub mod reactor;
pub mod recorder;
pub mod references;
pub mod running;
pub mod scheduler;
pub mod session;
pub mod spill;
pub mod store;
pub mod telemetry;
