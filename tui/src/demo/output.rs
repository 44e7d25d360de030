//! Where the sorted lines go: a draft beside the file, which takes the file's place when the lines were verified.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use plasmon::Error;

use super::file_error;

/// Lines on their way into a file.
pub(super) struct Output {
    /// As it was named, for errors.
    path: PathBuf,
    file: File,
    /// What is written to, and the file whose place it takes; none for a device or a pipe, which is written to as it is.
    draft: Option<(PathBuf, PathBuf)>,
}

impl Output {
    /// Opens it without touching what is there: it may be the input.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let refused = |error| file_error("create", path, &error);
        let writable = || OpenOptions::new().write(true).open(path);
        let (target, permissions) = match fs::metadata(path) {
            Ok(facts) if !facts.is_file() => return Ok(Self { path: path.to_owned(), file: writable().map_err(refused)?, draft: None }),
            Ok(facts) => {
                // A file that must not be written must not be replaced either.
                writable().map_err(refused)?;
                (fs::canonicalize(path).map_err(refused)?, Some(facts.permissions()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => (path.to_owned(), None),
            Err(error) => return Err(refused(error)),
        };
        let name = target.file_name().ok_or_else(|| refused(ErrorKind::IsADirectory.into()))?;
        let draft = target.with_file_name(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).open(&draft).map_err(refused)?;
        let output = Self { path: path.to_owned(), file, draft: Some((draft, target)) };
        if let Some(permissions) = permissions {
            output.file.set_permissions(permissions).map_err(refused)?;
        }
        Ok(output)
    }

    pub(super) fn write(&mut self, lines: &[u8]) -> Result<(), Error> {
        self.file.write_all(lines).map_err(|error| file_error("write", &self.path, &error))
    }

    /// Puts what was written in the file's place.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        if let Some((draft, target)) = &self.draft {
            fs::rename(draft, target).map_err(|error| file_error("write", &self.path, &error))?;
        }
        self.draft = None;
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some((draft, _)) = &self.draft {
            // What failed before is what is told.
            let _ = fs::remove_file(draft);
        }
    }
}
