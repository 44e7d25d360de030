//! Shared-memory objects and tasks for programs.
//!
//! ```
//! #[plasmon::remote]
//! fn total(numbers: &[f64]) -> f64 {
//!     numbers.iter().sum()
//! }
//!
//! fn main() -> Result<(), plasmon::Error> {
//!     plasmon::init()?;
//!     let numbers = plasmon::put(&[1.0, 2.0, 3.5][..])?; // copied once, into shared memory
//!     let sum = total.remote(&numbers)?;                 // runs in a worker process, on a view of the same memory
//!     assert_eq!(plasmon::get(&sum)?, 6.5);
//!     plasmon::shutdown()
//! }
//! ```
//!
//! - [`init`], [`Options`], [`shutdown`]: the connection to the node's agent.
//! - [`put`], [`create`], [`get`], [`wait`]: objects. [`ObjectRef`] keeps one alive; [`Pinned`] is a view into one.
//! - [`remote`]: functions that run as tasks; [`TaskOptions`] says how.
//! - [`macro@actor`]: values that live in a worker of their own and are called there; [`ActorOptions`] says how, [`get_actor`] finds
//!   them by name.
//! - [`cancel`], [`is_cancelled`]: what is not wanted any more. [`kill`], [`kill_with`]: actors that have to end, or to begin anew.
//! - [`Error`]: everything that can go wrong, typed.
//! - [`binding`]: what a package for another language builds on.
//!
//! What is no copy: `get` of a slice of plain numbers (`[u8]`, `[f32]`, ...), and an argument of such a type. Other values go
//! through serde.
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[macro_use]
mod failpoint;

mod actor;
mod argument;
pub mod binding;
mod boot;
mod cancelled;
mod client;
mod connect;
mod draft;
mod generator;
mod heap;
mod inbound;
mod init;
mod listed;
mod object;
mod object_ref;
mod options;
mod pinned;
mod registry;
mod request;
mod scope;
mod service;
mod site;
mod stack;
mod task;
mod turn;
mod value;
mod worker;
mod writer;

pub use actor::{Actor, ActorHandle, ActorOptions, get_actor, kill, kill_with};
pub use argument::IntoArgument;
pub use cancelled::is_cancelled;
pub use draft::{Draft, create};
pub use init::{Info, Options, info, init, is_initialized, shutdown};
pub use listed::Errors;
pub use object::{get, get_timeout, put, wait};
pub use object_ref::{Get, ObjectRef};
pub use pinned::Pinned;
pub use plasmon_macros::{actor, remote};
pub use plasmon_memory::number::Number;
pub use plasmon_protocol::error::Error;
pub use plasmon_protocol::id::{ActorId, NodeId, ObjectId, ProcessId, TaskId};
pub use plasmon_protocol::local::ENDLESS;
pub use plasmon_protocol::size::Bytes;
pub use task::{TaskOptions, cancel};
pub use value::Value;

/// The README's examples are tested.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// What the code that [`macro@remote`] and [`macro@actor`] write needs; not for programs.
#[doc(hidden)]
pub mod macros {
    pub use linkme;
    pub use plasmon_protocol::local::{CallRetries, RetryExceptions};
    pub use serde;

    pub use crate::actor::{call, create};
    pub use crate::argument::Encoded;
    pub use crate::listed::{ByAny, ByError, ByLocalReference, ByReference, ERROR_LISTS, Seen, all_or_none, is, is_any, says};
    pub use crate::registry::{Call, Failure, Numbers, Plain, REMOTE_FUNCTIONS, RemoteFunction, Returned};
    pub use crate::task::{no_result, submit};
}
