//! The live stream: windows over the node's tables, the door, and the WebSocket server.
//!
//! - [`door`] decides who may come in before anything is upgraded; [`head`] reads what it decides on, [`token`] is the secret.
//! - [`server`] accepts, [`viewer`] talks to one viewer: its requests, its credit, its clocks.
//! - [`desk`] makes what they look at once for all of them, in bounds that [`pace`] sets; [`round`] is what a viewer is subscribed to.
//! - [`tables`] is what may be read of the node; [`plasmon_protocol::window`] turns a table into what a view shows.
//! - [`subscription`] remembers what a viewer has and says what is new; [`frame`] writes what is no window as JSON.
//! - [`report`] is a report on its way, of which [`spool`] keeps what is still to be said out of memory.
//! - [`detail`] adds to a thing in detail what only files know.

mod desk;
pub mod detail;
pub mod door;
pub mod frame;
pub mod head;
mod pace;
mod report;
mod round;
pub mod server;
mod spool;
pub mod subscription;
pub mod tables;
pub mod token;
mod viewer;
mod wire;
