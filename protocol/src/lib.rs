//! The vocabulary of Plasmon.
//!
//! What every part says to every other part, and nothing else: no threads, no sockets, no clocks, no unsafe.
//!
//! - [`id`]: newtype ids.
//! - [`record`]: the rows that people see; [`column`]: their columns.
//! - [`stream`]: dashboard and agent; [`filter`]: the language of its filters; [`window`]: what a view shows.
//! - [`recording`]: the stream's frames in a file.
//! - [`explain`]: why something waits; [`doctor`]: what a machine allows and what would make it better.
//! - [`local`]: client and agent, through rings and the unix socket.
//! - [`resources`]: what tasks and actors ask for, and what nodes offer.
//! - [`report`]: rows to the text and JSON report.
//! - [`error`]: every typed error; [`size`]: sizes of bytes.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod column;
pub mod doctor;
pub mod error;
pub mod explain;
pub mod filter;
pub mod id;
pub mod local;
pub mod record;
pub mod recording;
pub mod report;
pub mod resources;
pub mod size;
pub mod stream;
pub mod window;
