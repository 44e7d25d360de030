//! Why things wait, as the reactor tells it: each kind of wait, each kind of ring, and what it never does.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "explain/node.rs"]
mod node;
#[path = "explain/patience.rs"]
mod patience;
#[path = "explain/programs.rs"]
mod programs;
#[path = "explain/rings.rs"]
mod rings;
#[path = "explain/waits.rs"]
mod waits;
