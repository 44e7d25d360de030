//! The shell around the reactor: sockets, rings, clocks and threads. It owns the core and runs its effects.

pub mod handle;
