//! What a report has still to say, on its way to a viewer who may read slowly: written once, to a file without a name, and read part by part
//! behind the writing. So a report that nobody reads costs no memory, and is of one instant all the same.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use plasmon_protocol::error::Error;
use plasmon_protocol::size::Bytes;
use plasmon_protocol::stream::MAX_FRAME;
use rustix::fs::{MemfdFlags, Mode, OFlags};
use tokio::sync::watch;

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
    bytes: AtomicU64,
    ledger: Ledger,
}

impl Share {
    fn new(ledger: &Ledger) -> Self {
        Self { bytes: AtomicU64::new(0), ledger: ledger.clone() }
    }

    fn grow(&self, bytes: u64) -> Result<(), std::io::Error> {
        let all = self.ledger.kept.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let own = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let (others, most) = (all - own, self.ledger.most);
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
        self.ledger.kept.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}

/// Parts, in order, as far as they are written.
pub(super) struct Spool {
    written: watch::Receiver<Written>,
    at: u64,
}

/// How far the writing is.
#[derive(Clone, Default)]
struct Written {
    /// Where the parts are, and what they take.
    file: Option<(Arc<File>, Arc<Share>)>,
    /// Whole parts and their headers, bytes.
    bytes: u64,
    /// How it ended.
    end: Option<Result<(), Error>>,
}

/// The writing of a spool.
pub(super) struct Writing(watch::Sender<Written>);

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

/// A spool, and what writes it.
pub(super) fn spool() -> (Writing, Spool) {
    let (writing, written) = watch::channel(Written::default());
    (Writing(writing), Spool { written, at: 0 })
}

impl Writing {
    /// Writes what `write` pushes, in `directory`; in memory where that has no room, since a report is wanted most of all when things go
    /// wrong: then `write` is called again and pushes the same. Blocks. The spool ends with what `write` returns, or with
    /// [`Error::System`] when neither takes it, or when other reports take what there is for all.
    pub(super) fn run(self, directory: &Path, ledger: &Ledger, mut write: impl FnMut(&mut Writer<'_>) -> Result<(), Error>) {
        let end = self.write(directory, ledger, &mut write);
        self.0.send_modify(|written| written.end = Some(end));
    }

    fn write(&self, directory: &Path, ledger: &Ledger, write: &mut dyn FnMut(&mut Writer<'_>) -> Result<(), Error>) -> Result<(), Error> {
        let failed = |error: std::io::Error| Error::system("keep a report for its reader", error);
        let mut written = |file: File| -> Result<std::io::Result<()>, Error> {
            let mut writer = Writer::new(&self.0, file, ledger);
            write(&mut writer)?;
            Ok(writer.failed.map_or(Ok(()), Err))
        };
        let kept = match nameless(directory) {
            Ok(file) => written(file)?,
            Err(cause) => Err(cause),
        };
        match kept {
            Ok(()) => return Ok(()),
            // What the system says has nothing within: that is the disk's own quota.
            Err(cause) if cause.kind() == ErrorKind::QuotaExceeded && cause.get_ref().is_some() => return Err(failed(cause)),
            Err(cause) => tracing::warn!(%cause, directory = %directory.display(), "a report is kept in memory for its reader"),
        }
        let file = rustix::fs::memfd_create("plasmon-report", MemfdFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
        written(file.into())?.map_err(failed)
    }
}

impl Spool {
    /// Whether every part was taken, or there will be no more of them.
    fn is_over(&self) -> bool {
        let written = self.written.borrow();
        match &written.end {
            Some(Ok(())) => self.at == written.bytes,
            Some(Err(_)) => true,
            // Nobody writes any more.
            None => self.at >= written.bytes && self.written.has_changed().is_err(),
        }
    }

    /// Whether every part was taken, and all went well.
    pub(super) fn is_sent(&self) -> bool {
        let written = self.written.borrow();
        matches!(written.end, Some(Ok(()))) && self.at == written.bytes
    }

    /// Whether [`Spool::next`] need not wait for the writing.
    pub(super) fn is_ready(&self) -> bool {
        self.at < self.written.borrow().bytes || self.is_over()
    }

    /// Returns when there may be more of it than before.
    pub(super) async fn grown(&mut self) {
        // Without anybody who writes it is over.
        let _ = self.written.changed().await;
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

    /// The next part, once it is written; `None` after the last.
    ///
    /// # Errors
    /// What the writing ended with; [`Error::System`] when it cannot be read back.
    pub(super) async fn next(&mut self) -> Result<Option<String>, Error> {
        let gone = || Error::system("write a report", std::io::Error::other("its thread ended"));
        let file = loop {
            {
                let written = self.written.borrow_and_update();
                match &written.file {
                    Some((file, _)) if self.at < written.bytes => break Arc::clone(file),
                    _ => {}
                }
                if let Some(end) = &written.end {
                    return end.clone().map(|()| None);
                }
            }
            self.written.changed().await.map_err(|_| gone())?;
        };
        let at = self.at;
        let read = tokio::task::spawn_blocking(move || Self::read(&file, at)).await;
        let part = read.map_err(|error| Error::system("read a report", std::io::Error::other(error)))??;
        self.at += HEADER + part.len() as u64;
        Ok(Some(part))
    }
}

/// Takes parts.
pub(super) struct Writer<'w> {
    written: &'w watch::Sender<Written>,
    file: Arc<File>,
    share: Arc<Share>,
    part: Vec<u8>,
    failed: Option<std::io::Error>,
}

impl<'w> Writer<'w> {
    fn new(written: &'w watch::Sender<Written>, file: File, ledger: &Ledger) -> Self {
        let (file, share) = (Arc::new(file), Arc::new(Share::new(ledger)));
        written.send_modify(|written| (written.file, written.bytes) = (Some((Arc::clone(&file), Arc::clone(&share))), 0));
        Self { written, file, share, part: Vec::with_capacity(HEADER as usize + MAX_FRAME), failed: None }
    }

    /// One more part, of at most [`MAX_FRAME`] bytes. After a failure nothing is written.
    pub(super) fn push(&mut self, part: &str) {
        if self.failed.is_some() {
            return;
        }
        let bytes = HEADER + part.len() as u64;
        self.part.clear();
        self.part.extend_from_slice(&(part.len() as u32).to_le_bytes());
        self.part.extend_from_slice(part.as_bytes());
        let written = self.share.grow(bytes).and_then(|()| (&*self.file).write_all(&self.part));
        match written {
            Ok(()) => self.written.send_modify(|written| written.bytes += bytes),
            Err(error) => self.failed = Some(error),
        }
    }

    /// Whether nobody reads what is written.
    pub(super) fn is_unwanted(&self) -> bool {
        self.written.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A spool that is written by now, unless that failed.
    fn written(directory: &Path, ledger: &Ledger, write: impl FnMut(&mut Writer<'_>) -> Result<(), Error>) -> Result<Spool, Error> {
        let (writing, spool) = spool();
        writing.run(directory, ledger, write);
        let end = spool.written.borrow().end.clone();
        end.unwrap().map(|()| spool)
    }

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
        let spool = written(directory.path(), &Ledger::default(), |writer| {
            parts.iter().for_each(|part| writer.push(part));
            Ok(())
        });
        assert_eq!(all(spool.unwrap()).await, parts);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn without_a_directory_it_is_kept_in_memory() {
        let spool = written(Path::new("/nowhere/at/all"), &Ledger::default(), |writer| {
            writer.push("part");
            Ok(())
        });
        assert_eq!(all(spool.unwrap()).await, ["part"]);
    }

    #[test]
    fn what_cannot_be_written_is_an_error() {
        let refused = written(Path::new("/nowhere"), &Ledger::default(), |_| Err(Error::invalid("row", "x", "so")));
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
            written(directory.path(), &ledger, |writer| {
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

    #[tokio::test]
    async fn the_first_part_can_be_read_while_the_second_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let (go_on, waits) = std::sync::mpsc::channel::<()>();
        let (writing, mut spool) = spool();
        let path = directory.path().to_owned();
        let thread = std::thread::spawn(move || {
            writing.run(&path, &Ledger::default(), |writer| {
                writer.push("first");
                waits.recv().unwrap();
                writer.push("second");
                Err(Error::invalid("row", "x", "so"))
            });
        });
        assert_eq!(spool.next().await.unwrap().as_deref(), Some("first"));
        assert!(!spool.is_ready() && !spool.is_over());
        go_on.send(()).unwrap();
        assert_eq!(spool.next().await.unwrap().as_deref(), Some("second"));
        thread.join().unwrap();
        assert!(spool.is_over() && !spool.is_sent(), "it has yet to say how it ended");
        assert_eq!(spool.next().await.unwrap_err().code(), "invalid", "how it ended comes last");
    }

    #[tokio::test]
    async fn a_spool_that_nobody_writes_any_more_is_over() {
        let (writing, mut spool) = spool();
        drop(writing);
        assert!(spool.is_over());
        assert_eq!(spool.next().await.unwrap_err().code(), "system");
    }
}
