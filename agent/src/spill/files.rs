//! The spill files, which objects live in them, and their ledger.
