//! What a report has still to say, on its way to a viewer who may read slowly: written once, to a file without a name, and read part by part.
//! So a report that nobody reads costs no memory, and is of one instant all the same.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use plasmon_protocol::error::Error;
use plasmon_protocol::size::Bytes;
use plasmon_protocol::stream::MAX_FRAME;
use rustix::fs::{MemfdFlags, Mode, OFlags};

/// The length before each part, bytes.
const HEADER: u64 = 4;

/// What all reports that wait to be read may take together, bytes; one alone may take more.
pub(super) const MAX_KEPT: u64 = 1 << 30;

/// What reports take that wait to be read.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    kept: Arc<AtomicU64>,
    most: u64,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { kept: Arc::default(), most: MAX_KEPT }
    }
}

/// What one of them takes; it is given back when this goes.
struct Share {
    bytes: u64,
    ledger: Ledger,
}

impl Share {
    fn new(ledger: &Ledger) -> Self {
        Self { bytes: 0, ledger: ledger.clone() }
    }

    fn grow(&mut self, bytes: u64) -> Result<(), std::io::Error> {
        let all = self.ledger.kept.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.bytes += bytes;
        let (others, most) = (all - self.bytes, self.ledger.most);
        if all > most && others > 0 {
            let (others, most) = (Bytes(others), Bytes(most));
            let cause =
                format!("other reports that their viewers have yet to read take {others} of {most}, and there is no room for this one");
            return Err(std::io::Error::new(ErrorKind::QuotaExceeded, cause));
        }
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.ledger.kept.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Parts, in order.
pub(super) struct Spool {
    file: Arc<File>,
    at: u64,
    /// All of it.
    share: Share,
}

/// A file without a name in `directory`: one that never had one, or, where that cannot be had, one that loses it at once.
fn nameless(directory: &Path) -> std::io::Result<File> {
    let mode = Mode::RUSR | Mode::WUSR;
    match rustix::fs::open(directory, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, mode) {
        Ok(file) => Ok(file.into()),
        Err(cause) => {
            tracing::warn!(%cause, directory = %directory.display(), "its file system has no files without names: a report's has one for a moment");
            short_named(directory)
        }
    }
}

/// A file whose name is gone again.
fn short_named(directory: &Path) -> std::io::Result<File> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let name = format!("report-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let path = directory.join(name);
    let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

impl Spool {
    /// What `write` pushes, in `directory`; in memory where that has no room, since a report is wanted most of all when things go wrong.
    ///
    /// # Errors
    /// What `write` returns; [`Error::System`] when neither takes it, or when other reports take what there is for all.
    pub(super) fn write(directory: &Path, ledger: &Ledger, mut write: impl FnMut(&mut Writer) -> Result<(), Error>) -> Result<Self, Error> {
        let failed = |error: std::io::Error| Error::system("keep a report for its reader", error);
        let mut written = |file: File| -> Result<std::io::Result<Self>, Error> {
            let mut writer = Writer::new(file, ledger);
            write(&mut writer)?;
            Ok(writer.finish())
        };
        let kept = match nameless(directory) {
            Ok(file) => written(file)?,
            Err(cause) => Err(cause),
        };
        match kept {
            Ok(spool) => return Ok(spool),
            // What the system says has nothing within: that is the disk's own quota.
            Err(cause) if cause.kind() == ErrorKind::QuotaExceeded && cause.get_ref().is_some() => return Err(failed(cause)),
            Err(cause) => tracing::warn!(%cause, directory = %directory.display(), "a report is kept in memory for its reader"),
        }
        let file = rustix::fs::memfd_create("plasmon-report", MemfdFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
        written(file.into())?.map_err(failed)
    }

    /// Whether every part was taken.
    pub(super) fn is_empty(&self) -> bool {
        self.at == self.share.bytes
    }

    /// The next part. Blocks while the disk is read.
    ///
    /// # Errors
    /// [`Error::System`].
    fn read(file: &File, at: u64) -> Result<String, Error> {
        let failed = |error: std::io::Error| Error::system("read a report that was kept for its reader", error);
        let mut header = [0; HEADER as usize];
        file.read_exact_at(&mut header, at).map_err(failed)?;
        let length = (u32::from_le_bytes(header) as usize).min(MAX_FRAME);
        let mut part = vec![0; length];
        file.read_exact_at(&mut part, at + HEADER).map_err(failed)?;
        String::from_utf8(part).map_err(|error| failed(std::io::Error::other(error)))
    }

    /// The next part; `None` after the last.
    ///
    /// # Errors
    /// [`Error::System`].
    pub(super) async fn next(&mut self) -> Result<Option<String>, Error> {
        if self.is_empty() {
            return Ok(None);
        }
        let (file, at) = (Arc::clone(&self.file), self.at);
        let read = tokio::task::spawn_blocking(move || Self::read(&file, at)).await;
        let part = read.map_err(|error| Error::system("read a report", std::io::Error::other(error)))??;
        self.at += HEADER + part.len() as u64;
        Ok(Some(part))
    }
}

/// Takes parts.
pub(super) struct Writer {
    file: BufWriter<File>,
    share: Share,
    failed: Option<std::io::Error>,
}

impl Writer {
    fn new(file: File, ledger: &Ledger) -> Self {
        Self { file: BufWriter::with_capacity(MAX_FRAME, file), share: Share::new(ledger), failed: None }
    }

    /// One more part, of at most [`MAX_FRAME`] bytes. After a failure nothing is written.
    pub(super) fn push(&mut self, part: &str) {
        if self.failed.is_none() {
            let fits = self.share.grow(HEADER + part.len() as u64);
            let header = (part.len() as u32).to_le_bytes();
            let written = fits.and_then(|()| self.file.write_all(&header)).and_then(|()| self.file.write_all(part.as_bytes()));
            self.failed = written.err();
        }
    }

    fn finish(self) -> std::io::Result<Spool> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let file = self.file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        Ok(Spool { file: Arc::new(file), at: 0, share: self.share })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(mut spool: Spool) -> Vec<String> {
        let mut parts = Vec::new();
        while let Some(part) = spool.next().await.unwrap() {
            parts.push(part);
        }
        parts
    }

    #[tokio::test]
    async fn parts_come_back_in_order_and_no_file_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let parts: Vec<String> = (0..300).map(|n| "é".repeat(n * 7 % 1000)).collect();
        let spool = Spool::write(directory.path(), &Ledger::default(), |writer| {
            parts.iter().for_each(|part| writer.push(part));
            Ok(())
        });
        assert_eq!(all(spool.unwrap()).await, parts);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn without_a_directory_it_is_kept_in_memory() {
        let spool = Spool::write(Path::new("/nowhere/at/all"), &Ledger::default(), |writer| {
            writer.push("part");
            Ok(())
        });
        assert_eq!(all(spool.unwrap()).await, ["part"]);
    }

    #[test]
    fn what_cannot_be_written_is_an_error() {
        let refused = Spool::write(Path::new("/nowhere"), &Ledger::default(), |_| Err(Error::invalid("row", "x", "so")));
        assert!(refused.is_err());
    }

    #[test]
    fn where_every_file_has_a_name_it_loses_it_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = short_named(directory.path()).unwrap();
        file.write_all(b"part").unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        let mut read = [0; 4];
        file.read_exact_at(&mut read, 0).unwrap();
        assert_eq!(&read, b"part");
    }

    #[test]
    fn reports_that_nobody_reads_are_bounded_together() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger { most: 1_000, ..Ledger::default() };
        let spool = |part: usize| {
            Spool::write(directory.path(), &ledger, |writer| {
                writer.push(&"x".repeat(part));
                Ok(())
            })
        };
        let first = spool(600).unwrap();
        let small = spool(300).unwrap();
        let refused = spool(300).err().unwrap();
        assert_eq!(refused.code(), "system");
        assert!(refused.to_string().contains("908 B of 1000 B"), "{refused}");
        drop(first);
        let third = spool(600).unwrap();
        drop((small, third));
        assert_eq!(ledger.kept.load(Ordering::Relaxed), 0, "nothing of the refused one is left");
        drop(spool(5_000).unwrap());
    }
}
