//! Deaths while objects are spilled.
