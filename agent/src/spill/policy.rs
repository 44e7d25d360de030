//! When to spill, how much, and where a batch is cut.
