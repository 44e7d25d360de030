//! Writes pictures into a file, and counts them.

use std::io::{self, Write};

use plasmon_protocol::recording::{Encoder, Picture};

use super::Progress;
use crate::error::Error;

/// See the module.
pub(super) struct Writer<W> {
    pub(super) file: W,
    pub(super) encoder: Encoder,
    pub(super) begun_ms: Option<u64>,
    pub(super) progress: Progress,
}

impl<W: Write> Writer<W> {
    pub(super) fn write(&mut self, picture: &Picture) -> Result<(), Error> {
        let lines = self.encoder.write(picture).map_err(|error| Error::Record(io::Error::other(error)))?;
        self.progress.left_out = self.progress.left_out.max(lines.left_out);
        if !lines.text.is_empty() {
            self.file.write_all(lines.text.as_bytes()).and_then(|()| self.file.flush()).map_err(Error::Record)?;
            let begun_ms = *self.begun_ms.get_or_insert(picture.at_ms);
            self.progress.pictures += 1;
            self.progress.bytes += lines.text.len() as u64;
            self.progress.span_ms = picture.at_ms.saturating_sub(begun_ms);
        }
        Ok(())
    }

    pub(super) fn end(mut self) -> Result<Progress, Error> {
        self.file.flush().map_err(Error::Record)?;
        Ok(self.progress)
    }
}
