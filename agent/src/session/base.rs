//! The directory that holds all sessions of one user.

use std::fs::{self, File, Metadata};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use plasmon_protocol::error::Error;
use rustix::fs::OFlags;

/// The directory, known to be this user's alone to change.
#[derive(Debug)]
pub(super) struct Base {
    path: PathBuf,
}

/// Held while sessions come and go.
#[derive(Debug)]
pub(super) struct Guard {
    _directory: File,
}

impl Base {
    /// The directory under `temp_dir`, made where it is missing.
    pub(super) fn make(temp_dir: &Path) -> Result<Self, Error> {
        check_temp(temp_dir)?;
        let path = path(temp_dir);
        if let Err(error) = super::make_private(&path)
            && fs::symlink_metadata(&path).is_err()
        {
            return Err(error);
        }
        Self::open(temp_dir)?.ok_or_else(|| Error::system(format!("open {}", path.display()), "it was removed just after it was made"))
    }

    /// The directory under `temp_dir`; `None` when there is none.
    pub(super) fn open(temp_dir: &Path) -> Result<Option<Self>, Error> {
        let path = path(temp_dir);
        match fs::symlink_metadata(&path) {
            Ok(found) => {
                check_temp(temp_dir)?;
                check_own(&path, &found, uid())?;
                Ok(Some(Self { path }))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::system(format!("open {}", path.display()), error)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until no other process makes or renames a session here. Nobody holds this for long: nothing is removed under it.
    pub(super) fn lock(&self) -> Result<Guard, Error> {
        fs::OpenOptions::new()
            .read(true)
            .custom_flags((OFlags::NOFOLLOW | OFlags::DIRECTORY).bits().cast_signed())
            .open(&self.path)
            .and_then(|directory| {
                directory.lock()?;
                Ok(Guard { _directory: directory })
            })
            .map_err(|error| Error::system(format!("lock {}", self.path.display()), error))
    }

    /// The names in the directory, in no order.
    pub(super) fn names(&self) -> Result<Vec<String>, Error> {
        let entries = fs::read_dir(&self.path).map_err(|error| Error::system(format!("list {}", self.path.display()), error))?;
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
    }
}

/// Where the sessions of this user are under `temp_dir`.
pub(super) fn path(temp_dir: &Path) -> PathBuf {
    temp_dir.join(format!("plasmon-{}", uid()))
}

pub(super) fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn check_temp(temp_dir: &Path) -> Result<(), Error> {
    let found = fs::metadata(temp_dir).map_err(|error| Error::system(format!("open the directory {}", temp_dir.display()), error))?;
    temp_fault(&found, uid()).map_or(Ok(()), |fault| Err(refusal("directory for sessions", temp_dir, &fault)))
}

fn check_own(path: &Path, found: &Metadata, uid: u32) -> Result<(), Error> {
    own_fault(found, uid).map_or(Ok(()), |fault| Err(refusal("session directory", path, &fault)))
}

fn refusal(what: &str, path: &Path, fault: &str) -> Error {
    Error::invalid(what, path.display().to_string(), format!("{fault}; remove it, or give another place with --temp-dir"))
}

/// Why somebody else could replace what this user makes in a directory, if so.
pub(super) fn temp_fault(found: &Metadata, uid: u32) -> Option<String> {
    if !found.is_dir() {
        return Some("it is not a directory".to_owned());
    }
    if found.uid() != uid && found.uid() != 0 {
        return Some(format!("it belongs to user {}, not to user {uid} or the system", found.uid()));
    }
    let mode = found.mode();
    (mode & 0o022 != 0 && mode & 0o1000 == 0).then(|| format!("others may write to it and it is not sticky (mode {:04o})", mode & 0o7777))
}

/// Why a directory is not this user's alone to change, if so.
pub(super) fn own_fault(found: &Metadata, uid: u32) -> Option<String> {
    if !found.is_dir() {
        return Some("it is not a directory".to_owned());
    }
    if found.uid() != uid {
        return Some(format!("it belongs to user {}, not to user {uid}", found.uid()));
    }
    let mode = found.mode();
    (mode & 0o022 != 0).then(|| format!("others may write to it (mode {:04o})", mode & 0o7777))
}
