//! Packets with descriptors over unix sockets. Packets keep their boundaries, arrive whole or not at all, and are at most 64 KiB.

#![expect(unsafe_code, reason = "takes over a descriptor that a parent process left open")]

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, FdFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    Shutdown, SocketAddrUnix, SocketFlags, SocketType, sockopt,
};

use crate::segment::invalid;

/// The longest packet, bytes.
pub const MAX_PACKET: usize = 64 << 10;
/// The most descriptors in one packet.
pub const MAX_DESCRIPTORS: usize = 16;

/// A packet: its bytes, and the descriptors that came with it.
pub type Packet = (Vec<u8>, Vec<OwnedFd>);

/// One end of a connection.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl Channel {
    /// Two connected ends.
    ///
    /// # Errors
    /// What the system says.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self(beyond_standard(one)?), Self(beyond_standard(other)?)))
    }

    /// Connects to a [`Listener`].
    ///
    /// # Errors
    /// Not found or connection refused when nobody listens there; else what the system says.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let socket = socket()?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
        Ok(Self(socket))
    }

    /// Like [`Channel::connect`], with [`Channel::set_patience`] from the begin: a listener that does not accept is waited for no longer.
    ///
    /// # Errors
    /// As for [`Channel::connect`]; would block when the listener's queue stays full.
    pub fn connect_within(path: &Path, limit: Duration) -> io::Result<Self> {
        let channel = Self(socket()?);
        channel.set_patience(limit)?;
        rustix::net::connect(&channel.0, &SocketAddrUnix::new(path)?)?;
        Ok(channel)
    }

    /// How long [`Channel::send`] and [`Channel::recv`] wait before they fail with "would block"; for ever at first.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_patience(&self, limit: Duration) -> io::Result<()> {
        sockopt::set_socket_timeout(&self.0, sockopt::Timeout::Send, Some(limit))?;
        Ok(sockopt::set_socket_timeout(&self.0, sockopt::Timeout::Recv, Some(limit))?)
    }

    /// Ends the connection for everybody who has a copy of either end, as a forked child may have for long: nothing is sent or received any
    /// more, but for what was sent before.
    pub fn hang_up(&self) {
        // The other end may be gone, which is the same.
        let _ = rustix::net::shutdown(&self.0, Shutdown::Both);
    }

    /// An end that came from elsewhere, as from [`inherit`].
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// The descriptor: readable when there is a packet, or the other end is gone.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// The descriptor, for handing on.
    pub fn into_fd(self) -> OwnedFd {
        self.0
    }

    /// Whether [`Channel::send`] and [`Channel::recv`] fail with "would block" instead of waiting.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        Ok(rustix::io::ioctl_fionbio(&self.0, on)?)
    }

    /// Sends one packet. A packet is not empty: an empty one would look like the end.
    ///
    /// # Errors
    /// Invalid input for a packet that is empty or too large; broken pipe when the other end is gone.
    pub fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        if bytes.is_empty() || bytes.len() > MAX_PACKET || descriptors.len() > MAX_DESCRIPTORS {
            let message = format!("a packet of {} bytes and {} descriptors cannot be sent", bytes.len(), descriptors.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let sent = retry(|| {
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
                return Err(Errno::NOSPC);
            }
            rustix::net::sendmsg(&self.0, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
        })?;
        if sent == bytes.len() { Ok(()) } else { Err(invalid(format!("{sent} bytes of a packet of {} were sent", bytes.len()))) }
    }

    /// Receives one packet; `None` when the other end is gone and everything was received. Descriptors are close-on-exec.
    ///
    /// # Errors
    /// Invalid data for a packet that is too large in bytes or descriptors, or whose descriptors this process may not open (it is
    /// dropped, descriptors and all).
    pub fn recv(&self) -> io::Result<Option<Packet>> {
        let mut bytes = vec![0; MAX_PACKET];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = retry(|| rustix::net::recvmsg(&self.0, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC));
        let received = match received {
            Err(Errno::CONNRESET) => return Ok(None),
            other => other?,
        };
        let mut descriptors = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                for right in rights {
                    descriptors.push(beyond_standard(right)?);
                }
            }
        }
        if received.flags.contains(ReturnFlags::TRUNC) {
            return Err(invalid(format!("a packet of more than {MAX_PACKET} bytes arrived")));
        }
        if received.flags.contains(ReturnFlags::CTRUNC) {
            let arrived = descriptors.len();
            return Err(invalid(format!(
                "only {arrived} descriptors of a packet arrived: it has more than {MAX_DESCRIPTORS}, or this process may not open more files"
            )));
        }
        if received.bytes == 0 {
            return Ok(None);
        }
        bytes.truncate(received.bytes);
        Ok(Some((bytes, descriptors)))
    }

    /// The user id of the process that made the other end.
    ///
    /// # Errors
    /// When the descriptor is no unix socket.
    pub fn peer_uid(&self) -> io::Result<u32> {
        Ok(rustix::net::sockopt::socket_peercred(&self.0)?.uid.as_raw())
    }

    /// The process id of the process that made the other end: for a pair, of whoever made the pair.
    ///
    /// # Errors
    /// When the descriptor is no unix socket.
    pub fn peer_pid(&self) -> io::Result<u32> {
        let pid = rustix::net::sockopt::socket_peercred(&self.0)?.pid.as_raw_nonzero().get();
        u32::try_from(pid).map_err(|_| invalid(format!("the other end's process id is {pid}")))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd()
    }
}

/// Waits for connections at a path.
#[derive(Debug)]
pub struct Listener(OwnedFd);

impl Listener {
    /// Makes the socket file and listens. Dropping the listener leaves the file.
    ///
    /// # Errors
    /// Address in use when the path exists; name too long when it has more than 107 bytes; else what the system says.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let socket = socket()?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
        rustix::net::listen(&socket, 128)?;
        Ok(Self(socket))
    }

    /// The next connection.
    ///
    /// # Errors
    /// Would block when there is none and the listener does not wait; else what the system says.
    pub fn accept(&self) -> io::Result<Channel> {
        Ok(Channel(beyond_standard(retry(|| rustix::net::accept_with(&self.0, SocketFlags::CLOEXEC))?)?))
    }

    /// Whether [`Listener::accept`] fails with "would block" instead of waiting. Connections always begin as waiting ones.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        Ok(rustix::io::ioctl_fionbio(&self.0, on)?)
    }

    /// The descriptor: readable when there is a connection.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd()
    }
}

/// Takes over a descriptor that the parent process left open for this one, and makes it close-on-exec. Call it while nothing else in the program
/// can use that number.
///
/// # Errors
/// Invalid data when the number is no open descriptor, is one of the standard streams, or is close-on-exec: that one is this program's
/// own and did not come from a parent.
pub fn inherit(fd: RawFd) -> io::Result<OwnedFd> {
    if fd <= 2 {
        return Err(invalid(format!("descriptor {fd} cannot be inherited")));
    }
    // SAFETY: the number is not -1; it is only asked about, and the system checks whether it is open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let flags = rustix::io::fcntl_getfd(borrowed).map_err(|error| invalid(format!("descriptor {fd} is not open: {error}")))?;
    if flags.contains(FdFlags::CLOEXEC) {
        return Err(invalid(format!("descriptor {fd} was not inherited")));
    }
    rustix::io::fcntl_setfd(borrowed, flags | FdFlags::CLOEXEC)?;
    // SAFETY: open, and inherited: everything that Rust's library opens is close-on-exec, so nothing in this program owns it. From here on it
    // is close-on-exec too, so that it cannot be taken over twice.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The same file under a number above those of the standard streams. A program that was started without one of them, or closed it, gets
/// its number for the next file, and writes its output there.
///
/// # Errors
/// What the system says.
pub fn beyond_standard(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() > 2 { Ok(fd) } else { Ok(rustix::io::fcntl_dupfd_cloexec(&fd, 3)?) }
}

/// Opens the standard streams that are closed, on `/dev/null`, so that no other file gets their numbers. For a program that has just
/// begun.
///
/// # Errors
/// What the system says.
pub fn open_standard() -> io::Result<()> {
    loop {
        let null = rustix::fs::open("/dev/null", OFlags::RDWR, Mode::empty())?;
        if null.as_raw_fd() > 2 {
            return Ok(());
        }
        // Stays open, and is inherited as such streams are.
        let _ = null.into_raw_fd();
    }
}

fn socket() -> io::Result<OwnedFd> {
    beyond_standard(rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests;
