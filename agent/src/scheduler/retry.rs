//! How often a lost attempt is made good, and how long that waits.

use plasmon_protocol::local::{ENDLESS, RetryExceptions};

use super::task::{Role, Task};

/// What an attempt was lost to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// Its worker died.
    Crash,
    /// An error value or a panic.
    Exception {
        /// Whether the function lists it as worth a retry.
        listed: bool,
    },
    /// Its worker was ended for the memory that it used.
    OutOfMemory,
    /// Its worker was told to go.
    Interrupted,
}

/// A wait that doubles with each retry.
struct Backoff {
    /// Before the second, milliseconds; the first one does not wait, unless `first` says so.
    step_ms: u64,
    most_ms: u64,
    first: bool,
}

const CRASHES: Backoff = Backoff { step_ms: 50, most_ms: 5000, first: false };
const MEMORY: Backoff = Backoff { step_ms: 1000, most_ms: 60_000, first: true };

impl Backoff {
    /// How long the retry waits that follows `done` others, milliseconds.
    fn delay_ms(&self, done: u32) -> u64 {
        let doubled = if self.first { done } else { done.saturating_sub(1) };
        if done == 0 && !self.first { 0 } else { self.step_ms.saturating_mul(1 << doubled.min(16)).min(self.most_ms) }
    }
}

impl Task {
    /// An attempt was lost: counts the retry, and tells how long it has to wait, milliseconds. `None` when there is none.
    ///
    /// Memory is nobody's fault: a task that may be retried at all is then, up to `oom_retries` times where that is said, and waits longer. An actor is made anew as
    /// often as after crashes.
    pub fn spend_retry(&mut self, cause: Cause, oom_retries: Option<u32>) -> Option<u64> {
        match cause {
            Cause::Interrupted => return None,
            Cause::Exception { listed } if !self.retries_exception(listed) => return None,
            Cause::OutOfMemory if self.role == Role::Function => {
                if !self.may_retry_after_oom(oom_retries) {
                    return None;
                }
                let delay_ms = MEMORY.delay_ms(self.oom_retried);
                self.oom_retried = self.oom_retried.saturating_add(1);
                return Some(delay_ms);
            }
            Cause::OutOfMemory | Cause::Crash | Cause::Exception { .. } => {}
        }
        self.count_retry()?;
        let delay_ms = CRASHES.delay_ms(self.retried);
        self.retried = self.retried.saturating_add(1);
        Some(delay_ms)
    }

    /// Whether it may be tried again when its worker is ended because memory ran out.
    #[must_use]
    pub fn may_retry_after_oom(&self, oom_retries: Option<u32>) -> bool {
        self.max_retries > 0 && oom_retries.is_none_or(|most| self.oom_retried < most)
    }

    fn retries_exception(&self, listed: bool) -> bool {
        match self.retry_exceptions {
            RetryExceptions::Never => false,
            RetryExceptions::Listed => listed,
            RetryExceptions::Always => true,
        }
    }

    /// Counts a retry; `None` when none is left.
    pub fn count_retry(&mut self) -> Option<()> {
        if self.retries_left != ENDLESS {
            self.retries_left = self.retries_left.checked_sub(1)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use plasmon_protocol::id::TaskKey;

    use super::*;
    use crate::scheduler::task::sample;

    #[test]
    fn waits_double_up_to_a_limit() {
        let waits = |backoff: &Backoff, count: u32| -> Vec<u64> { (0..count).map(|done| backoff.delay_ms(done)).collect() };
        assert_eq!(waits(&CRASHES, 10), [0, 50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(waits(&MEMORY, 8), [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!((CRASHES.delay_ms(u32::MAX), MEMORY.delay_ms(u32::MAX)), (5000, 60_000));
    }

    #[test]
    fn retries_are_counted_by_what_they_are_for() {
        let mut task = Task { max_retries: 1, retries_left: 1, ..sample(TaskKey::default()) };
        assert_eq!(task.spend_retry(Cause::Interrupted, None), None);
        assert_eq!(task.spend_retry(Cause::Exception { listed: true }, None), None);
        assert_eq!((0..3).map(|_| task.spend_retry(Cause::OutOfMemory, None)).collect::<Vec<_>>(), [Some(1000), Some(2000), Some(4000)]);
        assert_eq!((task.spend_retry(Cause::Crash, None), task.spend_retry(Cause::Crash, None)), (Some(0), None));
        assert_eq!((task.retries_left, task.retried, task.oom_retried), (0, 1, 3));
        let mut endless =
            Task { max_retries: ENDLESS, retries_left: ENDLESS, retry_exceptions: RetryExceptions::Always, ..sample(TaskKey::default()) };
        assert!((0..100).all(|_| endless.spend_retry(Cause::Exception { listed: false }, None).is_some()));
        assert_eq!((endless.retries_left, endless.retried), (ENDLESS, 100));
        endless.retry_exceptions = RetryExceptions::Listed;
        let again = |listed| endless.clone().spend_retry(Cause::Exception { listed }, None).is_some();
        assert_eq!((again(true), again(false)), (true, false));
        let mut never = Task { max_retries: 0, retries_left: 0, ..sample(TaskKey::default()) };
        assert_eq!((never.spend_retry(Cause::OutOfMemory, None), never.oom_retried), (None, 0));
        let mut actor = Task { role: Role::Constructor(Default::default()), max_retries: 1, retries_left: 1, ..sample(TaskKey::default()) };
        assert_eq!((actor.spend_retry(Cause::OutOfMemory, None), actor.spend_retry(Cause::OutOfMemory, None)), (Some(0), None));
    }
}
