//! The real programs: a place of their own for each test, and a terminal emulator.
#![allow(dead_code, reason = "every test file uses a part of it")]

pub(crate) mod place;
pub(crate) mod screen;
