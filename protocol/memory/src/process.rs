//! Another process, held by a descriptor: its number may be used anew, the descriptor never means another one.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::channel::beyond_standard;

/// A process.
#[derive(Debug)]
pub struct Pidfd(OwnedFd);

impl Pidfd {
    /// The process that has this id now. Whoever got the id from elsewhere asks that source again afterwards.
    ///
    /// # Errors
    /// Invalid input for an id that cannot be; not found (`ESRCH`) when there is no such process.
    pub fn open(pid: u32) -> io::Result<Self> {
        let known = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let known = known.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("{pid} is no process id")))?;
        Ok(Self(beyond_standard(rustix::process::pidfd_open(known, PidfdFlags::empty())?)?))
    }

    /// The descriptor: readable once the process has ended. Close-on-exec.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Whether the process has ended: it runs no more and writes no more.
    pub fn has_ended(&self) -> bool {
        let mut polled = [PollFd::new(&self.0, PollFlags::IN)];
        loop {
            match rustix::event::poll(&mut polled, Some(&Timespec::default())) {
                Err(Errno::INTR) => {}
                result => return result.is_ok_and(|ready| ready > 0),
            }
        }
    }

    /// Asks the process to end (`SIGTERM`). Fine when it has ended already.
    ///
    /// # Errors
    /// Permission denied for a process of another user.
    pub fn terminate(&self) -> io::Result<()> {
        self.send(Signal::TERM)
    }

    /// Ends the process without asking (`SIGKILL`). Fine when it has ended already.
    ///
    /// # Errors
    /// Permission denied for a process of another user.
    pub fn kill(&self) -> io::Result<()> {
        self.send(Signal::KILL)
    }

    fn send(&self, signal: Signal) -> io::Result<()> {
        match rustix::process::pidfd_send_signal(&self.0, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_seen_to_end() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let process = Pidfd::open(child.id()).unwrap();
        assert!(!process.has_ended());
        process.kill().unwrap();
        child.wait().unwrap();
        assert!(process.has_ended());
        process.kill().unwrap();
    }

    #[test]
    fn ids_that_cannot_be_are_refused() {
        assert_eq!(Pidfd::open(0).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(Pidfd::open(u32::MAX).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
