//! This process's map of a memory file, which begins where huge pages can.

#![expect(unsafe_code, reason = "maps memory, and advises the kernel about it")]

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::AsFd;
use std::ptr::NonNull;

use plasmon_protocol::local::PAGE;
use rustix::mm::{Advice, MapFlags, ProtFlags};

/// Bytes of a huge page, which begins at a multiple of them, in the file and in the map.
pub(crate) const HUGE: u64 = 2 << 20;

/// `MADV_COLLAPSE` of madvise(2), since Linux 6.1.
const COLLAPSE: c_int = 25;

unsafe extern "C" {
    /// Of the C library: the crate for system calls knows no advice but its own.
    fn madvise(at: *mut c_void, length: usize, advice: c_int) -> c_int;
}

/// A shared map; undone when dropped. Whoever has it hands out its addresses, and sees to who writes there.
#[derive(Debug)]
pub(crate) struct Map {
    at: NonNull<u8>,
    len: usize,
}

// SAFETY: a range of addresses, which any thread may know.
unsafe impl Send for Map {}
// SAFETY: as above; nothing of it ever changes.
unsafe impl Sync for Map {}

impl Map {
    /// Maps `len` bytes of a file from its begin on, not 0. A long map begins at a multiple of [`HUGE`], unless another thread takes the
    /// place meanwhile: all that is lost then are huge pages.
    pub(crate) fn new(fd: impl AsFd, len: usize, writable: bool) -> io::Result<Self> {
        let protection = if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        let wish = if len as u64 >= HUGE { place_for(len) } else { std::ptr::null_mut() };
        // SAFETY: new memory, wherever the kernel finds room: the place is a wish, which never replaces another map.
        let at = unsafe { rustix::mm::mmap(wish, len, protection, MapFlags::SHARED, fd, 0)? };
        NonNull::new(at.cast()).map(|at| Self { at, len }).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }

    /// Bytes.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The address of `count` bytes at `offset`, which lie inside the map; `None` when they don't.
    #[inline]
    pub(crate) fn address(&self, offset: u64, count: u64) -> Option<NonNull<u8>> {
        let end = offset.checked_add(count)?;
        if end > self.len as u64 {
            return None;
        }
        // SAFETY: `offset` is at most the map's length, checked above, and that fits an `isize`: the kernel maps no more.
        Some(unsafe { self.at.add(offset as usize) })
    }

    /// Advises the kernel about `count` bytes at `offset`. `advice` may not take away what they hold.
    ///
    /// # Errors
    /// Invalid input when they lie outside the map; else what the system says.
    pub(crate) fn advise(&self, offset: u64, count: u64, advice: Advice) -> io::Result<()> {
        let at = self.address(offset, count).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: inside the map; no advice that is given here changes what the memory holds.
        unsafe { rustix::mm::madvise(at.as_ptr().cast(), count as usize, advice)? };
        Ok(())
    }

    /// Has the kernel put huge pages behind `count` bytes at `offset`, both multiples of [`HUGE`], now, and even where it gives none to
    /// memory files by itself. What they hold stays; where nothing was ever written there are zeros. Nobody else may use the range.
    ///
    /// # Errors
    /// There are no huge pages at this moment; or, invalid input, never: the kernel knows none for memory files, or was told to deny them.
    pub(crate) fn collapse(&self, offset: u64, count: u64) -> io::Result<()> {
        let at = self.address(offset, count).filter(|_| offset.is_multiple_of(HUGE) && count.is_multiple_of(HUGE));
        let at = at.ok_or(io::ErrorKind::InvalidInput)?.as_ptr();
        for page in (0..count).step_by(HUGE as usize) {
            // The kernel leaves alone where there is nothing at all: one page is brought, which where there is no memory is an error, and
            // not the signal that reading it would be.
            self.advise(offset + page, PAGE, Advice::LinuxPopulateRead)?;
        }
        // SAFETY: inside the map; what the memory holds stays.
        if unsafe { madvise(at.cast(), count as usize, COLLAPSE) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // Out of this process's page table: the memory is whose who use it. A shared map's bytes are the file's, which keeps them.
        self.advise(offset, count, Advice::LinuxDontNeed)
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the whole map, of which nobody has an address any more: whoever hands them out keeps it.
        let _ = unsafe { rustix::mm::munmap(self.at.as_ptr().cast(), self.len) };
    }
}

/// Where a map of `len` bytes could begin at a multiple of [`HUGE`]; null, which is anywhere, where no more than it would find room.
fn place_for(len: usize) -> *mut c_void {
    let Some(room) = len.checked_add(HUGE as usize) else { return std::ptr::null_mut() };
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: new memory, wherever the kernel finds room, which nobody may use.
    let Ok(free) = (unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), room, ProtFlags::empty(), flags) }) else {
        return std::ptr::null_mut();
    };
    // SAFETY: what was just mapped. Should it stay there, the wish is in vain.
    let _ = unsafe { rustix::mm::munmap(free, room) };
    free.map_addr(|begin| begin.next_multiple_of(HUGE as usize))
}

#[cfg(test)]
mod tests {
    use rustix::fs::MemfdFlags;

    use super::*;

    #[test]
    fn a_long_map_begins_where_huge_pages_can() {
        let fd = rustix::fs::memfd_create("plasmon-test", MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&fd, 3 * HUGE).unwrap();
        // Another thread may take the place once, not each time.
        let is_aligned = |map: &Map| map.address(0, 3 * HUGE).unwrap().as_ptr().addr().is_multiple_of(HUGE as usize);
        assert!((0..100).any(|_| is_aligned(&Map::new(&fd, 3 * HUGE as usize, true).unwrap())));
        let (short, whole) = (Map::new(&fd, 4096, true).unwrap(), Map::new(&fd, 3 * HUGE as usize, false).unwrap());
        assert!(short.address(0, 4097).is_none() && short.address(4096, 0).is_some() && short.address(u64::MAX, 1).is_none());
        // SAFETY: inside both maps, and nobody else uses the file.
        unsafe { short.address(9, 1).unwrap().write_volatile(7) };
        // SAFETY: as above.
        assert_eq!(unsafe { whole.address(9, 1).unwrap().read_volatile() }, 7);
    }

    #[test]
    fn what_a_range_holds_stays_when_it_gets_huge_pages() {
        let fd = rustix::fs::memfd_create("plasmon-test", MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&fd, 2 * HUGE).unwrap();
        let map = Map::new(&fd, 2 * HUGE as usize, true).unwrap();
        rustix::io::pwrite(&fd, b"kept", HUGE - 4).unwrap();
        // Whether there are any is the machine's to say.
        let _ = map.collapse(0, 2 * HUGE);
        let mut all = vec![1; 2 * HUGE as usize];
        rustix::io::pread(&fd, &mut all, 0).unwrap();
        assert_eq!(&all[HUGE as usize - 4..HUGE as usize], b"kept");
        assert!(all[..HUGE as usize - 4].iter().chain(&all[HUGE as usize..]).all(|byte| *byte == 0), "not zero where nothing was written");
        for (offset, count) in [(4096, HUGE), (0, 4096), (HUGE, 2 * HUGE)] {
            assert_eq!(map.collapse(offset, count).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{count} at {offset}");
        }
    }
}
