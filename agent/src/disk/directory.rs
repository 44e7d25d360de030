//! Spill files in a directory of this session: direct I/O where the file system takes it, else through the page cache, which is told to
//! forget them.
//!
//! Nothing is kept open between operations, so a directory that vanishes and comes back (a disk that is mounted again) works again. New
//! directory entries are not synced: after a crash of the machine nobody looks for them.

use std::fs::DirBuilder;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use plasmon_protocol::id::SpillFileId;
use rustix::fs::{Advice, AtFlags, FallocateFlags, Mode, OFlags, StatVfs};
use rustix::io::Errno;

use super::target::{NewFile, OldFile, SpillTarget, refused};
use crate::spill::format::BLOCK;
use crate::spill::job::{DiskRoom, Failure};

/// A directory that is this user's alone. Files in it are named by their numbers.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// The directory `path`, made with mode 0700 where it is missing; its parent must exist.
    ///
    /// # Errors
    /// [`Failure::Io`] when it is not a directory of this user's alone to change, or the system refuses.
    pub fn make(path: &Path) -> Result<Self, Failure> {
        let directory = Self { path: path.to_owned() };
        directory.enter(true)?;
        Ok(directory)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn enter(&self, make: bool) -> Result<OwnedFd, Failure> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        let mut opened = rustix::fs::open(&self.path, flags, Mode::empty());
        if make && matches!(opened, Err(Errno::NOENT)) {
            match DirBuilder::new().mode(0o700).create(&self.path) {
                // Somebody else made it in between: looked at below like any other.
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Failure::Io(format!("make the directory {}: {error}", self.path.display())));
                }
                _ => opened = rustix::fs::open(&self.path, flags, Mode::empty()),
            }
        }
        let directory = opened.map_err(|error| refused("open the directory", &self.path.display(), error))?;
        let found = rustix::fs::fstat(&directory).map_err(|error| refused("look at", &self.path.display(), error))?;
        let uid = rustix::process::geteuid().as_raw();
        if found.st_uid != uid {
            let cause = format!("{} belongs to user {}, not to user {uid}", self.path.display(), found.st_uid);
            return Err(Failure::Io(cause));
        }
        if found.st_mode & 0o022 != 0 {
            return Err(Failure::Io(format!("others may write to {} (mode {:04o})", self.path.display(), found.st_mode & 0o7777)));
        }
        Ok(directory)
    }

    /// Opens a file with direct I/O where the file system takes it.
    fn file(&self, directory: &OwnedFd, file: SpillFileId, flags: OFlags) -> Result<Blocks, Errno> {
        let name = file.0.to_string();
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let (fd, direct) = match rustix::fs::openat(directory, &name, flags | OFlags::DIRECT, mode) {
            // Some file systems have made the file by then.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => (rustix::fs::openat(directory, &name, flags - OFlags::EXCL, mode)?, false),
            other => (other?, true),
        };
        Ok(Blocks { fd, direct: AtomicBool::new(direct), name: self.name(file) })
    }
}

impl SpillTarget for Directory {
    fn create(&self, file: SpillFileId, bytes: u64) -> Result<Box<dyn NewFile>, Failure> {
        let directory = self.enter(true)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let made = match self.file(&directory, file, flags) {
            // A rest of an attempt whose removal was refused.
            Err(Errno::EXIST) => self.delete(file).map(|()| self.file(&directory, file, flags))?,
            made => made,
        };
        let blocks = made.map_err(|error| refused("make", &self.name(file), error))?;
        let draft = Draft { directory, file, blocks, kept: false };
        match rustix::fs::fallocate(&draft.blocks.fd, FallocateFlags::empty(), 0, bytes) {
            // Not every file system reserves room; then the writes say what there is.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR | Errno::INVAL) => Ok(Box::new(draft)),
            Err(error) => Err(refused("reserve room for", &draft.blocks.name, error)),
        }
    }

    fn open(&self, file: SpillFileId) -> Result<Box<dyn OldFile>, Failure> {
        let directory = self.enter(false)?;
        match self.file(&directory, file, OFlags::RDONLY) {
            Ok(blocks) => Ok(Box::new(blocks)),
            Err(Errno::NOENT) => Err(Failure::Corrupt(format!("{} is missing", self.name(file)))),
            Err(error) => Err(refused("open", &self.name(file), error)),
        }
    }

    fn delete(&self, file: SpillFileId) -> Result<(), Failure> {
        if matches!(rustix::fs::lstat(&self.path), Err(Errno::NOENT)) {
            return Ok(());
        }
        let directory = self.enter(false)?;
        match rustix::fs::unlinkat(&directory, file.0.to_string(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(refused("remove", &self.name(file), error)),
        }
    }

    fn room(&self) -> Result<Option<DiskRoom>, Failure> {
        let found = match (rustix::fs::statvfs(&self.path), self.path.parent()) {
            // It is made again when there is something to write.
            (Err(Errno::NOENT), Some(parent)) => rustix::fs::statvfs(parent),
            (found, _) => found,
        };
        let found = found.map_err(|error| refused("read the free space of", &self.path.display(), error))?;
        Ok(Some(room_of(&found)))
    }

    fn name(&self, file: SpillFileId) -> String {
        self.path.join(file.0.to_string()).display().to_string()
    }
}

/// What a file system has room for. What is kept back for the system counts as neither free nor taken, as in `df`.
#[must_use]
pub fn room_of(found: &StatVfs) -> DiskRoom {
    let used = found.f_blocks.saturating_sub(found.f_bfree);
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    DiskRoom { file_system: found.f_fsid, free: bytes(found.f_bavail), total: bytes(used.saturating_add(found.f_bavail)) }
}

/// An open file.
#[derive(Debug)]
struct Blocks {
    fd: OwnedFd,
    /// Whether it bypasses the page cache.
    direct: AtomicBool,
    name: String,
}

impl Blocks {
    /// Goes on through the page cache: some file systems open a file for direct I/O and then refuse it.
    fn give_up_direct(&self) -> Result<(), Errno> {
        let flags = rustix::fs::fcntl_getfl(&self.fd)?;
        rustix::fs::fcntl_setfl(&self.fd, flags.difference(OFlags::DIRECT))?;
        self.direct.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Moves `length` bytes in as many steps as it takes, and returns how many until the end. `step` moves those from a position on.
    fn all(&self, length: usize, mut step: impl FnMut(usize) -> Result<usize, Errno>) -> Result<usize, Errno> {
        let mut done = 0;
        while done < length {
            // Another thread may give it up meanwhile.
            let direct = self.direct.load(Ordering::Relaxed);
            match step(done) {
                Ok(0) => break,
                Ok(count) => {
                    done += count;
                    if done < length && !done.is_multiple_of(BLOCK as usize) && direct {
                        self.give_up_direct()?;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::INVAL) if direct => self.give_up_direct()?,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn forget(&self, at: u64, length: usize) {
        if !self.direct.load(Ordering::Relaxed)
            && let Some(length) = NonZeroU64::new(length as u64)
        {
            // Advice only.
            let _ = rustix::fs::fadvise(&self.fd, at, Some(length), Advice::DontNeed);
        }
    }
}

impl OldFile for Blocks {
    fn read(&self, at: u64, into: &mut [u8]) -> Result<usize, Failure> {
        let length = into.len();
        let read = self.all(length, |from| match into.get_mut(from..) {
            Some(rest) => rustix::io::pread(&self.fd, rest, at + from as u64),
            None => Ok(0),
        });
        self.forget(at, length);
        read.map_err(|error| refused("read", &self.name, error))
    }
}

/// A file being written.
#[derive(Debug)]
struct Draft {
    directory: OwnedFd,
    file: SpillFileId,
    blocks: Blocks,
    kept: bool,
}

impl NewFile for Draft {
    fn write(&self, at: u64, bytes: &[u8]) -> Result<(), Failure> {
        let written = self.blocks.all(bytes.len(), |from| {
            let rest = bytes.get(from..).unwrap_or_default();
            rustix::io::pwrite(&self.blocks.fd, rest, at + from as u64)
        });
        match written {
            Ok(count) if count == bytes.len() => Ok(()),
            Ok(count) => Err(Failure::Io(format!("write {}: {count} of {} bytes went out", self.blocks.name, bytes.len()))),
            Err(error) => Err(refused("write", &self.blocks.name, error)),
        }
    }

    fn finish(mut self: Box<Self>) -> Result<(), Failure> {
        rustix::fs::fdatasync(self.blocks.fd.as_fd()).map_err(|error| refused("sync", &self.blocks.name, error))?;
        if !self.blocks.direct.load(Ordering::Relaxed) {
            // Advice only.
            let _ = rustix::fs::fadvise(&self.blocks.fd, 0, None, Advice::DontNeed);
        }
        self.kept = true;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = rustix::fs::unlinkat(&self.directory, self.file.0.to_string(), AtFlags::empty())
        {
            tracing::warn!(file = self.blocks.name, %error, "an unfinished spill file stays until its session ends");
        }
    }
}
