//! Turns: an actor that runs calls side by side lets them at its value in the order in which they were sent.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Whose turn it is: calls are numbered from 0.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    next: Mutex<u64>,
    changed: Condvar,
}

/// One call's turn. Dropped, it passes to the next call, however this one ended.
#[derive(Debug)]
pub struct Turn {
    turns: Arc<Turns>,
    number: u64,
}

impl Turn {
    pub(crate) fn new(turns: &Arc<Turns>, number: u64) -> Self {
        Self { turns: Arc::clone(turns), number }
    }

    /// Waits until all calls that were sent before have had their turns.
    pub(crate) fn wait(&self) {
        let next = self.turns.next.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.turns.changed.wait_while(next, |next| *next < self.number).unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.wait();
        *self.turns.next.lock().unwrap_or_else(PoisonError::into_inner) = self.number + 1;
        self.turns.changed.notify_all();
    }
}
