use std::os::fd::IntoRawFd;

use super::*;
use crate::doorbell::Doorbell;

#[test]
fn packets_carry_descriptors() {
    let (one, other) = Channel::pair().unwrap();
    let bell = Doorbell::create().unwrap();
    one.send(b"first", &[bell.fd(), bell.fd()]).unwrap();
    one.send(&[9; MAX_PACKET], &[]).unwrap();
    let (bytes, descriptors) = other.recv().unwrap().unwrap();
    assert_eq!((&bytes[..], descriptors.len()), (&b"first"[..], 2));
    for fd in descriptors {
        assert!(rustix::io::fcntl_getfd(&fd).unwrap().contains(FdFlags::CLOEXEC));
        Doorbell::from_fd(fd).ring();
    }
    assert!(bell.clear(), "another bell arrived");
    assert_eq!(other.recv().unwrap().unwrap().0, [9; MAX_PACKET]);
    drop(one);
    assert!(other.recv().unwrap().is_none());
    assert_eq!(other.send(b"x", &[]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn what_cannot_be_sent_is_refused() {
    let (one, other) = Channel::pair().unwrap();
    let fd = one.fd();
    for (bytes, count) in [(0, 0), (MAX_PACKET + 1, 0), (1, MAX_DESCRIPTORS + 1)] {
        assert_eq!(one.send(&vec![0; bytes], &vec![fd; count]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
    one.send(b"all", &[fd; MAX_DESCRIPTORS]).unwrap();
    assert_eq!(other.recv().unwrap().unwrap().1.len(), MAX_DESCRIPTORS);
}

#[test]
fn truncated_packets_are_errors() {
    let (one, other) = Channel::pair().unwrap();
    rustix::net::send(one.fd(), &vec![0; MAX_PACKET + 1], SendFlags::NOSIGNAL).unwrap();
    assert_eq!(other.recv().unwrap_err().kind(), io::ErrorKind::InvalidData);

    let many = vec![one.fd(); MAX_DESCRIPTORS + 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS + 4))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&many)));
    rustix::net::sendmsg(one.fd(), &[IoSlice::new(b"many")], &mut control, SendFlags::NOSIGNAL).unwrap();
    assert_eq!(other.recv().unwrap_err().kind(), io::ErrorKind::InvalidData);

    one.send(b"next", &[]).unwrap();
    assert_eq!(other.recv().unwrap().unwrap().0, b"next", "the connection does not go on");
}

#[test]
fn listeners_accept_and_know_the_peer() {
    let directory = std::env::temp_dir().join(format!("plasmon-memory-test-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("socket");
    assert_eq!(Channel::connect(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    let listener = Listener::bind(&path).unwrap();
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let client = Channel::connect(&path).unwrap();
    let server = listener.accept().unwrap();
    assert_eq!(server.peer_pid().unwrap(), std::process::id());
    assert_eq!(server.peer_uid().unwrap(), rustix::process::getuid().as_raw());
    client.set_nonblocking(true).unwrap();
    assert_eq!(client.recv().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    server.send(b"hello", &[]).unwrap();
    assert_eq!(client.recv().unwrap().unwrap().0, b"hello");
    assert_eq!(Listener::bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    drop(listener);
    assert_eq!(Channel::connect(&path).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    assert!(Listener::bind(&directory.join("x".repeat(120))).is_err());
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn only_what_a_parent_left_is_inherited() {
    for fd in [-1, 0, 2, 1_000_000] {
        assert_eq!(inherit(fd).unwrap_err().kind(), io::ErrorKind::InvalidData, "{fd}");
    }
    let (one, other) = Channel::pair().unwrap();
    rustix::io::fcntl_setfd(&one.0, FdFlags::empty()).unwrap();
    let number = one.into_fd().into_raw_fd();
    let inherited = Channel::from_fd(inherit(number).unwrap());
    assert_eq!(inherit(number).unwrap_err().kind(), io::ErrorKind::InvalidData, "inherited twice");
    inherited.send(b"here", &[]).unwrap();
    assert_eq!(other.recv().unwrap().unwrap().0, b"here");
}
