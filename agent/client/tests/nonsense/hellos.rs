//! What comes to the agent's socket instead of a hello. Whoever sends it learns why it is not let in, where it can be told.

use std::fs::File;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

use plasmon_memory::channel::{Channel, MAX_PACKET};
use plasmon_protocol::local::{ClientHello, VERSION, encode};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use super::raw::{answer, executable, hello, readable, socket};

/// Every one of them, each over a connection of its own.
pub(crate) fn all() {
    let good = encode(&hello()).unwrap();
    let program = executable();
    let refused = |bytes: &[u8], descriptors: &[BorrowedFd<'_>]| {
        let channel = socket();
        channel.send(bytes, descriptors).unwrap();
        let error = answer(&channel).expect("a word").expect_err("let in");
        assert!(readable(channel.fd()) && channel.recv().unwrap().is_none(), "the connection is open");
        error
    };
    for (bytes, descriptors, code, cause) in [
        (vec![0xff; 100], 1, "protocol", "does not decode"),
        (good[..good.len() - 1].to_vec(), 1, "protocol", "does not decode"),
        ([&good[..], &[0]].concat(), 1, "protocol", "1 bytes follow"),
        (good.repeat(3), 1, "protocol", "bytes follow"),
        (vec![0x80; MAX_PACKET], 1, "protocol", "does not decode"),
        (good.clone(), 0, "protocol", "no descriptor of its executable"),
        (encode(&ClientHello { directory: "x".repeat(5000), ..hello() }).unwrap(), 1, "protocol", "a directory of 5000 bytes"),
        (encode(&ClientHello { arguments: vec!["x".repeat(1 << 10); 33], ..hello() }).unwrap(), 1, "protocol", "arguments of 33792 bytes"),
        (encode(&ClientHello { version: VERSION + 1, ..hello() }).unwrap(), 1, "version", "local protocol"),
        (encode(&ClientHello { version: u32::MAX, release: "x".repeat(60_000), ..hello() }).unwrap(), 0, "version", ""),
    ] {
        let error = refused(&bytes, &vec![program.as_fd(); descriptors]);
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(cause), "{error}");
    }
    // Too large in bytes or in descriptors, or empty, which looks like the end: closed without a word.
    for (bytes, descriptors) in [(vec![1; 3 * MAX_PACKET], 1), (good.clone(), 100), (good, 253), (Vec::new(), 0)] {
        let channel = socket();
        send(&channel, &bytes, &vec![program.as_fd(); descriptors]);
        assert!(answer(&channel).is_none(), "{} bytes and {descriptors} descriptors were taken", bytes.len());
    }
    odd_executables();
}

/// A client that passes something else than its executable is let in, for it may never need a worker.
fn odd_executables() {
    let (pipe, _end) = rustix::pipe::pipe().unwrap();
    let bell = rustix::event::eventfd(0, rustix::event::EventfdFlags::empty()).unwrap();
    let (directory, null) = (File::open("/").unwrap(), File::open("/dev/null").unwrap());
    let other = socket();
    for odd in [pipe.as_fd(), bell.as_fd(), directory.as_fd(), null.as_fd(), other.fd()] {
        let channel = socket();
        channel.send(&encode(&hello()).unwrap(), &[odd; 16]).unwrap();
        let (_, descriptors) = answer(&channel).expect("a welcome").unwrap();
        assert_eq!(descriptors.len(), 7);
    }
}

/// Sends what [`Channel::send`] refuses to send.
fn send(channel: &Channel, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
    }
    rustix::net::sendmsg(channel.fd(), &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).unwrap();
}
