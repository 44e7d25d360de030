//! The live stream, from the outside: a node that is a table behind a thread, a real listener, and viewers on real sockets.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "stream/client.rs"]
mod client;
#[path = "stream/fake.rs"]
mod fake;
#[path = "stream/handshake.rs"]
mod handshake;
#[path = "stream/replay.rs"]
mod replay;
#[path = "stream/requests.rs"]
mod requests;
#[path = "stream/slow.rs"]
mod slow;
#[path = "stream/views.rs"]
mod views;
