//! Who holds what, and from which line of code: the rows behind every table, and the call sites. Pure.

pub mod births;
pub mod sites;
pub mod table;
pub mod vacant;
