//! The live stream: windows over the node's tables, the door, and the WebSocket server.
//!
//! - [`door`] decides who may come in before anything is upgraded; [`head`] reads what it decides on, [`token`] is the secret.
//! - [`server`] accepts, [`viewer`] talks to one viewer: its requests, its credit, its clocks.
//! - [`window`] turns a table into what a view shows, [`group`] folds it, [`record`] is what both must know of a row.
//! - [`subscription`] remembers what a viewer has and says what is new; [`frame`] writes that as JSON.
//! - [`detail`] adds to a thing in detail what only files know.

pub mod detail;
pub mod door;
pub mod frame;
mod group;
pub mod head;
pub mod record;
mod report;
mod round;
pub mod server;
pub mod subscription;
pub mod tables;
pub mod token;
mod viewer;
pub mod window;
mod wire;
