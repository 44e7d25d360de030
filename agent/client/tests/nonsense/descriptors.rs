//! What a client may do with the descriptors that it was given: read them, write its own, and change nothing about them.

use std::fs::OpenOptions;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{SealFlags, fcntl_add_seals, fcntl_get_seals, ftruncate};

use super::raw::Raw;

/// Tries everything on everything. The pool is written through one descriptor by all, so it alone can be opened for writing.
pub(crate) fn are_safe(raw: &mut Raw) {
    let given = [("pool", &raw.pool), ("slot table", &raw.slots), ("client segment", &raw.client), ("agent segment", &raw.agent)];
    for (name, fd) in given {
        let size = rustix::fs::fstat(fd).unwrap().st_size as u64;
        for other in [0, size - 4096, size + 4096] {
            assert!(ftruncate(fd, other).is_err(), "the {name} got another size");
        }
        for seal in [SealFlags::WRITE, SealFlags::FUTURE_WRITE, SealFlags::GROW] {
            let before = fcntl_get_seals(fd).unwrap();
            assert!(fcntl_add_seals(fd, seal).is_err(), "the {name} was sealed");
            assert_eq!(fcntl_get_seals(fd).unwrap(), before);
        }
    }
    for (name, fd) in [("slot table", &raw.slots), ("agent segment", &raw.agent)] {
        assert!(rustix::io::pwrite(fd, b"evil", 64).is_err(), "the {name} was written");
        let again = OpenOptions::new().read(true).write(true).open(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        if let Ok(again) = again {
            assert!(again.write_at(b"evil", 64).is_err(), "the {name} was written through a second opening");
        }
        assert!(punch(std::os::fd::AsFd::as_fd(fd)).is_err(), "a hole was made in the {name}");
    }
}

fn punch(fd: BorrowedFd<'_>) -> rustix::io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    fallocate(fd, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, 4096)
}
