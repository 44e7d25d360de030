//! Shared memory between the agent and its clients on one machine (Linux).
//!
//! | file | what it holds | who writes it |
//! |---|---|---|
//! | [`segment`] | a sealed, mapped memory file | - |
//! | [`map`] | where such a file is mapped, and in which pages | - |
//! | [`pool`] | the objects themselves: one memory file, read-only but for leased ranges | leaseholders, the agent |
//! | [`number`] | numbers seen as bytes and bytes seen as numbers | - |
//! | [`slot`] | where each object lies, and whether the agent sleeps | the agent |
//! | [`pin`] | what each client reads at this moment; the eviction protocol | each client its own |
//! | [`ring`] | byte pipes for messages | head and data the producer, tail the consumer |
//! | [`words`] | control words: who sleeps, what came free, what is wanted | each side its own |
//! | [`link`] | the two segments of one client: rings, pins, words | each side its own |
//! | [`doorbell`] | wakes a sleeper | either |
//! | [`channel`] | packets and descriptors over a unix socket | either |
//! | [`process`] | another process, named without races | - |
//! | [`fork`] | what a forked child must not take for its own | - |
//! | [`biased`] | a lock for what one thread takes nearly always | - |
//! | [`counted`] | counted values whose memory is used anew | - |
//! | [`pages`] | room for the agent's own large tables | - |
//! | [`copy`] | copies of what is longer than caches | - |
//!
//! # Rules that hold everywhere
//! - Every shared word has one writing process. Publication is one release store, so a crash loses only what was not published,
//!   and there is nothing to roll back.
//! - Who must not write a segment has it mapped read-only. Loads from there are relaxed and followed by an acquire fence: the
//!   only form that the language promises to work on read-only memory.
//! - What a client wrote is hostile to the agent: read once into private memory, checked, and then used. Nothing here panics on it.
//! - Maps are not inherited by `fork`, descriptors not by `exec`.
//!
//! # What is trusted
//! All processes run as one user. Read-only maps contain bugs; they don't stop a process that means harm from writing an object
//! inside its own lease after others have begun to read it. [`pool`] says what its safe functions ask of their callers.
//!
//! This crate is the only one with unsafe code outside Python. Under `--cfg loom` only the protocols ([`ring`], [`slot`],
//! [`pin`], [`words`], the seats of [`biased`]) are compiled, over model-checked atomics.

#![cfg_attr(test, allow(clippy::unwrap_used))]
#![cfg_attr(all(loom, not(test)), expect(dead_code, reason = "only the models make these"))]

#[cfg(not(target_os = "linux"))]
compile_error!("plasmon-memory needs Linux: sealed memory files, eventfd and pidfd");

/// A point at which a test lets a client die in the middle of a step: no code at all without the feature `failpoints`.
macro_rules! failpoint {
    ($label:literal) => {
        #[cfg(feature = "failpoints")]
        $crate::failpoint::pass($label)
    };
}

mod barrier;
#[cfg(not(loom))]
pub mod biased;
#[cfg(not(loom))]
pub mod channel;
#[cfg(not(loom))]
pub mod copy;
#[cfg(not(loom))]
pub mod counted;
#[cfg(not(loom))]
pub mod doorbell;
#[cfg(feature = "failpoints")]
pub mod failpoint;
#[cfg(not(loom))]
pub mod fork;
#[cfg(not(loom))]
pub mod link;
#[cfg(not(loom))]
mod map;
#[cfg(all(test, loom))]
mod models;
#[cfg(not(loom))]
pub mod number;
#[cfg(not(loom))]
pub mod pages;
pub mod pin;
#[cfg(loom)]
#[path = "place/modelled.rs"]
mod place;
#[cfg(not(loom))]
mod place;
#[cfg(not(loom))]
pub mod pool;
#[cfg(not(loom))]
pub mod process;
pub mod ring;
mod seat;
#[cfg(not(loom))]
pub mod segment;
pub mod slot;
mod sync;
pub mod words;
