//! Children by `fork` alone: the same program goes on, with all that its parent had in memory.
#![expect(unsafe_code, reason = "the standard library has no fork")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::process::{Pid, WaitOptions, WaitStatus};

unsafe extern "C" {
    fn fork() -> i32;
    fn _exit(code: i32) -> !;
}

/// A forked child, waited for by its parent.
#[derive(Debug)]
pub(crate) struct Forked(Pid);

impl Forked {
    /// Two processes from here on; `None` in the child.
    pub(crate) fn split() -> Option<Self> {
        // SAFETY: the C library readies its own locks; of this program's, the child waits for none: that is what is tested.
        let pid = unsafe { fork() };
        assert!(pid >= 0, "the system has no process left");
        Pid::from_raw(pid).map(Self)
    }

    /// Runs `body` in a child, which then ends at once: code 0, or 101 after a panic.
    pub(crate) fn start(body: impl FnOnce()) -> Self {
        match Self::split() {
            Some(child) => child,
            None => {
                let done = catch_unwind(AssertUnwindSafe(body));
                leave(if done.is_ok() { 0 } else { 101 })
            }
        }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.0.as_raw_pid().cast_unsigned()
    }

    /// Waits for its end; kills it when that does not come.
    pub(crate) fn wait(self) -> WaitStatus {
        let deadline = std::time::Instant::now() + super::PATIENCE;
        loop {
            let waited = rustix::process::waitpid(Some(self.0), WaitOptions::NOHANG).expect("a child can be waited for");
            if let Some((_, status)) = waited {
                return status;
            }
            if std::time::Instant::now() >= deadline {
                // Its end is then the signal.
                let _ = super::try_kill(self.pid());
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    /// Waits for an end without an error.
    #[track_caller]
    pub(crate) fn succeed(self) {
        let status = self.wait();
        assert_eq!(status.exit_status(), Some(0), "{status:?}");
    }
}

/// Closes the standard streams of this process, as careless daemons do: the next files get their numbers.
pub(crate) fn close_standard() {
    for stream in 0..3 {
        // SAFETY: nothing of this program owns them; what is printed from here on goes nowhere, if the library keeps its promise.
        unsafe { rustix::io::close(stream) };
    }
}

/// Ends this process with nothing run at its end.
pub(crate) fn leave(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { _exit(code) }
}
