//! Being told that a task is not wanted any more.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Connection;
use crate::cancelled::{self, Interrupt};

/// As long as it lives, somebody is told of the cancellation of the task that made it.
#[must_use = "dropped, it tells nobody"]
pub struct OnCancel {
    _told: Arc<Told>,
}

struct Told {
    /// It is said once.
    said: AtomicBool,
    then: Box<dyn Fn() + Send + Sync>,
}

impl Interrupt for Told {
    fn interrupt(&self) {
        if !self.said.swap(true, Ordering::SeqCst) {
            (self.then)();
        }
    }
}

impl fmt::Debug for OnCancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnCancel")
    }
}

impl Connection {
    /// Calls `then`, once, when the task or call is cancelled that the calling thread works for, and at once when it was before. It may be
    /// called by the thread that reads what the agent sends, which must not wait for anything.
    pub fn when_cancelled(&self, then: impl Fn() + Send + Sync + 'static) -> OnCancel {
        let told = Arc::new(Told { said: AtomicBool::new(false), then: Box::new(then) });
        if cancelled::watch(&self.client, &told).is_err() {
            told.interrupt();
        }
        OnCancel { _told: told }
    }
}
