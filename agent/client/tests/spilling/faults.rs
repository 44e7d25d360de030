//! Faults of external storage: what a program is told, and that work goes on.
