//! The dashboard of Plasmon: a terminal view of one agent's memory, live, from the ledger down to the line of code.
//!
//! A small Elm without a framework: messages go into [`app::App`], effects come out, and [`view::draw`] reads the result.
//!
//! - [`app`]: the dashboard as a value; [`keys`]: the one key table.
//! - [`model`]: the replica of what was subscribed, all text made harmless when it is decoded.
//! - [`view`]: one file for one region of the screen.
//! - [`link`]: the connection to an agent; [`terminal`]: the terminal, given back as it was found.
//! - [`run`]: the loop that joins them; [`dashboard`] is what a program calls.
//! - [`growth`]: which sites keep more and more.
//! - [`recording`]: what was recorded, read; [`record`]: a viewer that records.
//! - [`command`]: the report on the command line, for Rust's command and Python's.
//! - [`once`]: a whole report, without a screen; [`svg`]: a screen as a picture.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod app;
pub mod command;
mod dashboard;
mod error;
pub mod growth;
pub mod keys;
pub mod link;
pub mod model;
pub mod once;
pub mod record;
pub mod recording;
pub mod run;
pub mod svg;
pub mod terminal;
pub mod view;

pub use dashboard::{DashboardOptions, dashboard, replay, show};
pub use error::Error;
pub use growth::{Grown, watch_growth};
pub use once::{fetch_explanation, fetch_matching, fetch_node, fetch_report, fetch_view};
pub use run::ExitReason;
