//! What a report has still to say, on its way to a viewer who may read slowly: written once, to a file without a name, and read part by part.
//! So a report that nobody reads costs no memory, and is of one instant all the same.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use plasmon_protocol::error::Error;
use plasmon_protocol::stream::MAX_FRAME;
use rustix::fs::{MemfdFlags, Mode, OFlags};

/// The length before each part, bytes.
const HEADER: u64 = 4;

/// Parts, in order.
pub(super) struct Spool {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Spool {
    /// What `write` pushes, in `directory`; in memory where that has no room, since a report is wanted most of all when things go wrong.
    ///
    /// # Errors
    /// What `write` returns; [`Error::System`] when neither takes it.
    pub(super) fn write(directory: &Path, mut write: impl FnMut(&mut Writer) -> Result<(), Error>) -> Result<Self, Error> {
        let failed = |error: std::io::Error| Error::system("keep a report for its reader", error);
        let nameless = rustix::fs::open(directory, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR);
        if let Ok(file) = nameless {
            let mut writer = Writer::new(file.into());
            write(&mut writer)?;
            match writer.finish() {
                Ok(spool) => return Ok(spool),
                Err(cause) => tracing::warn!(%cause, "a report is kept in memory for its reader"),
            }
        }
        let file = rustix::fs::memfd_create("plasmon-report", MemfdFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
        let mut writer = Writer::new(file.into());
        write(&mut writer)?;
        writer.finish().map_err(failed)
    }

    /// Whether every part was taken.
    pub(super) fn is_empty(&self) -> bool {
        self.at == self.end
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
    end: u64,
    failed: Option<std::io::Error>,
}

impl Writer {
    fn new(file: File) -> Self {
        Self { file: BufWriter::with_capacity(MAX_FRAME, file), end: 0, failed: None }
    }

    /// One more part, of at most [`MAX_FRAME`] bytes. After a failure nothing is written.
    pub(super) fn push(&mut self, part: &str) {
        if self.failed.is_none() {
            let written = self.file.write_all(&(part.len() as u32).to_le_bytes()).and_then(|()| self.file.write_all(part.as_bytes()));
            self.failed = written.err();
            self.end += HEADER + part.len() as u64;
        }
    }

    fn finish(self) -> std::io::Result<Spool> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let file = self.file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        Ok(Spool { file: Arc::new(file), at: 0, end: self.end })
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
        let spool = Spool::write(directory.path(), |writer| {
            parts.iter().for_each(|part| writer.push(part));
            Ok(())
        });
        assert_eq!(all(spool.unwrap()).await, parts);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn without_a_directory_it_is_kept_in_memory() {
        let spool = Spool::write(Path::new("/nowhere/at/all"), |writer| {
            writer.push("part");
            Ok(())
        });
        assert_eq!(all(spool.unwrap()).await, ["part"]);
    }

    #[test]
    fn what_cannot_be_written_is_an_error() {
        let refused = Spool::write(Path::new("/nowhere"), |_| Err(Error::invalid("row", "x", "so")));
        assert!(refused.is_err());
    }
}
