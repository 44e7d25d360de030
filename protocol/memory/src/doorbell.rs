//! Wakes a sleeper in another process: an event counter that polls as readable.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::EventfdFlags;
use rustix::io::Errno;

use crate::channel::beyond_standard;

/// A doorbell; all descriptors of it are the same bell.
#[derive(Debug)]
pub struct Doorbell(OwnedFd);

impl Doorbell {
    /// Makes one that has not been rung.
    ///
    /// # Errors
    /// What the system says.
    pub fn create() -> io::Result<Self> {
        Ok(Self(beyond_standard(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)?))
    }

    /// One that another process made with [`Doorbell::create`].
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// The descriptor: readable while rung and not cleared.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Rings. Never blocks; a bell that is rung already stays so.
    pub fn ring(&self) {
        // The one way for it to fail on a bell is the counter at its limit, and then it is rung.
        while let Err(Errno::INTR) = rustix::io::write(&self.0, &1_u64.to_ne_bytes()) {}
    }

    /// Silences it; true when it had been rung. Look at what it stands for after this call, not before.
    pub fn clear(&self) -> bool {
        let mut count = [0; 8];
        loop {
            match rustix::io::read(&self.0, &mut count) {
                Err(Errno::INTR) => {}
                result => return result.is_ok(),
            }
        }
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_are_remembered_and_cleared() {
        let bell = Doorbell::create().unwrap();
        let other = Doorbell::from_fd(bell.fd().try_clone_to_owned().unwrap());
        assert!(!bell.clear());
        other.ring();
        other.ring();
        assert!(bell.clear());
        assert!(!bell.clear());
    }
}
