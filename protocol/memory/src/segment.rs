//! A memory file whose size is sealed, and this process's one map of it.

#![expect(unsafe_code, reason = "changes the protection of the map's pages")]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;

use plasmon_protocol::local::PAGE;
use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};
use rustix::mm::{Advice, MprotectFlags};

use crate::channel::beyond_standard;
use crate::map::Map;

/// No one can change the size under a map, so no access inside it can fault.
const SIZE_SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// A memory file of fixed size, mapped once in this process and shared by passing its descriptor. A forked child does not have the map.
#[derive(Debug)]
pub struct Segment {
    map: Map,
    writable: bool,
    /// Its maker's. Others close it once they have the map: in a forked child it would hold the memory for as long as that lives.
    fd: Option<OwnedFd>,
}

impl Segment {
    /// Makes a memory file of `len` bytes, all zero, that everybody who gets its descriptor may map writable. `name` shows in `/proc/PID/maps`.
    ///
    /// # Errors
    /// What the system says; invalid input when `len` is 0 or too large to be mapped.
    pub fn create(name: &str, len: u64) -> io::Result<Self> {
        Self::make(name, len, SealFlags::empty())
    }

    /// Like [`Segment::create`], but only the map made here can ever write it.
    ///
    /// # Errors
    /// As for [`Segment::create`].
    pub fn create_exclusive(name: &str, len: u64) -> io::Result<Self> {
        Self::make(name, len, SealFlags::FUTURE_WRITE)
    }

    fn make(name: &str, len: u64, seals: SealFlags) -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = match rustix::fs::memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
            // A kernel before 6.3 does not know the flag.
            Err(rustix::io::Errno::INVAL) => rustix::fs::memfd_create(name, flags)?,
            other => other?,
        };
        let fd = beyond_standard(fd)?;
        rustix::fs::ftruncate(&fd, len)?;
        let segment = Self::map(&fd, len, true)?;
        rustix::fs::fcntl_add_seals(&fd, SIZE_SEALS | seals)?;
        Ok(Self { fd: Some(fd), ..segment })
    }

    /// Maps a segment that another process made.
    ///
    /// # Errors
    /// Invalid data when the descriptor is no memory file of exactly `len` bytes with a sealed size; else what the system says.
    pub fn open(fd: OwnedFd, len: u64, writable: bool) -> io::Result<Self> {
        let seals = rustix::fs::fcntl_get_seals(&fd).map_err(|_| invalid("the descriptor is no memory file".into()))?;
        if !seals.contains(SealFlags::SHRINK | SealFlags::GROW) {
            return Err(invalid("the memory file's size is not sealed".into()));
        }
        let size = rustix::fs::fstat(&fd)?.st_size;
        if u64::try_from(size) != Ok(len) {
            return Err(invalid(format!("the memory file has {size} bytes instead of {len}")));
        }
        Self::map(&fd, len, writable)
    }

    fn map(fd: &OwnedFd, len: u64, writable: bool) -> io::Result<Self> {
        let length = usize::try_from(len).ok().filter(|&length| length > 0 && isize::try_from(length).is_ok());
        let length =
            length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("a segment of {len} bytes cannot be mapped")))?;
        let map = Map::new(fd, length, writable)?;
        map.advise(0, len, Advice::LinuxDontFork)?;
        Ok(Self { map, writable, fd: None })
    }

    /// The descriptor, for passing on.
    ///
    /// # Errors
    /// Unsupported in a process that did not make it.
    pub fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd).ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, "only its maker passes a segment on"))
    }

    /// Bytes; never 0.
    #[expect(clippy::len_without_is_empty, reason = "a segment is never empty")]
    pub fn len(&self) -> u64 {
        self.map.len() as u64
    }

    /// Whether all of it is mapped writable here.
    pub(crate) fn writable(&self) -> bool {
        self.writable
    }

    /// The address of `count` bytes at `offset`, which lie inside the map; `None` when they don't.
    #[inline]
    pub(crate) fn address(&self, offset: u64, count: u64) -> Option<NonNull<u8>> {
        self.map.address(offset, count)
    }

    /// Like [`Segment::address`], and aligned.
    pub(crate) fn checked(&self, offset: u64, count: u64, align: usize) -> io::Result<NonNull<u8>> {
        match self.address(offset, count) {
            Some(at) if at.as_ptr().addr().is_multiple_of(align) => Ok(at),
            _ => Err(invalid(format!("{count} bytes at {offset} don't lie in a segment of {} bytes, aligned to {align}", self.len()))),
        }
    }

    /// Changes what this process may do with the pages of `count` bytes at `offset`. Both are multiples of the page size.
    pub(crate) fn protect(&self, offset: u64, count: u64, writable: bool) -> io::Result<()> {
        let at = self.checked(offset, count, PAGE as usize)?;
        let flags = if writable { MprotectFlags::READ | MprotectFlags::WRITE } else { MprotectFlags::READ };
        // SAFETY: the pages belong to this map, as `checked` found. Callers take write access away only from ranges that nobody
        // writes any more, and reading stays possible throughout.
        unsafe { rustix::mm::mprotect(at.as_ptr().cast(), count as usize, flags)? };
        Ok(())
    }

    /// Asks for huge pages, which few systems allow for memory files; a refusal does no harm.
    pub(crate) fn prefer_huge_pages(&self) {
        let _ = self.map.advise(0, self.len(), Advice::LinuxHugepage);
    }

    /// Backs `count` bytes at `offset` with memory where nothing was ever written, by writing zeros: half the price of a fault for each
    /// page. Only its maker can; small pages come of it even where the map prefers huge ones.
    pub(crate) fn zero(&self, offset: u64, count: u64) -> io::Result<()> {
        static ZEROS: [u8; 1 << 20] = [0; 1 << 20];
        self.checked(offset, count, 1)?;
        let (mut at, end) = (offset, offset + count);
        while at < end {
            let part = ZEROS.get(..(end - at) as usize).unwrap_or(&ZEROS);
            match rustix::io::pwrite(self.fd()?, part, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => at += written as u64,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Like [`Segment::zero`], in huge pages: a quarter of the price, where there are any.
    ///
    /// # Errors
    /// As for [`Map::collapse`].
    pub(crate) fn back_huge(&self, offset: u64, count: u64) -> io::Result<()> {
        self.map.collapse(offset, count)
    }

    /// Enters pages that have memory behind them into this process's page table, many at a time instead of by a fault each. Only a wish:
    /// what is not entered is faulted in.
    pub(crate) fn map_ahead(&self, offset: u64, count: u64) {
        let _ = self.map.advise(offset, count, Advice::LinuxPopulateRead);
    }

    /// Backs `count` bytes at `offset` with memory, keeping what they hold. All of the segment must be writable here.
    pub(crate) fn populate(&self, offset: u64, count: u64) -> io::Result<()> {
        self.checked(offset, count, 1)?;
        match self.map.advise(offset, count, Advice::LinuxPopulateWrite) {
            // A kernel before 5.14 does not know the advice.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {
                Ok(rustix::fs::fallocate(self.fd()?, FallocateFlags::empty(), offset, count)?)
            }
            other => other,
        }
    }
}

pub(crate) fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_sealed_and_checked() {
        let segment = Segment::create("plasmon-test", 8192).unwrap();
        assert_eq!(segment.len(), 8192);
        assert!(rustix::fs::ftruncate(segment.fd().unwrap(), 4096).is_err(), "it can shrink");
        assert!(rustix::fs::ftruncate(segment.fd().unwrap(), 16384).is_err(), "it can grow");
        let fd = segment.fd().unwrap().try_clone_to_owned().unwrap();
        assert_eq!(Segment::open(fd, 4096, false).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let unsealed = rustix::fs::memfd_create("plasmon-test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&unsealed, 4096).unwrap();
        assert_eq!(Segment::open(unsealed, 4096, false).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let (pipe, _end) = rustix::pipe::pipe().unwrap();
        assert_eq!(Segment::open(pipe, 4096, false).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(Segment::create("plasmon-test", 0).is_err());
    }

    #[test]
    fn an_exclusive_segment_has_one_writer() {
        let segment = Segment::create_exclusive("plasmon-test", 4096).unwrap();
        let clone = || segment.fd().unwrap().try_clone_to_owned().unwrap();
        assert!(Segment::open(clone(), 4096, true).is_err(), "a second writer");
        let reader = Segment::open(clone(), 4096, false).unwrap();
        assert!(reader.protect(0, 4096, true).is_err(), "a reader turned writer");
        assert!(rustix::io::pwrite(segment.fd().unwrap(), b"x", 0).is_err(), "written through the descriptor");
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&segment.fd().unwrap()));
        if let Ok(again) = std::fs::OpenOptions::new().read(true).write(true).open(path) {
            assert!(Segment::open(again.into(), 4096, true).is_err(), "written through a second opening");
        }
    }

    #[test]
    fn ranges_are_checked() {
        let segment = Segment::create("plasmon-test", 8192).unwrap();
        assert!(segment.address(0, 8192).is_some());
        assert!(segment.address(8192, 0).is_some());
        for (offset, count) in [(0, 8193), (8192, 1), (u64::MAX, 1), (1, u64::MAX), (u64::MAX, u64::MAX)] {
            assert!(segment.address(offset, count).is_none(), "{offset} {count}");
            assert!(segment.populate(offset, count).is_err(), "{offset} {count}");
        }
        assert!(segment.checked(4, 8, 8).is_err());
        segment.populate(0, 8192).unwrap();
    }

    #[test]
    fn a_forked_child_has_no_map() {
        for writable in [true, false] {
            let name = format!("plasmon-fork-{writable}");
            let made = Segment::create(&name, 4096).unwrap();
            let segment = Segment::open(made.fd().unwrap().try_clone_to_owned().unwrap(), 4096, writable).unwrap();
            let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
            let head = format!("memfd:{name} ");
            let flags = smaps.split(&head).skip(1).map(|map| map.split_once("VmFlags:").unwrap().1.lines().next().unwrap());
            let kept = flags.map(|flags| !flags.split(' ').any(|flag| flag == "dc")).collect::<Vec<_>>();
            assert_eq!(kept, [false, false], "{smaps}");
            drop(segment);
        }
    }
}
