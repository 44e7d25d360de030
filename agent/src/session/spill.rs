//! Where a session's spill files are. The session keeps a list of the places outside its directory, so that whoever removes the session
//! removes these too.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use plasmon_protocol::error::Error;

use super::base::{self, Base};
use super::{Session, open_private};
use crate::disk::places;

/// The list of places: paths and URLs, each closed by a zero.
const PLACES: &str = "spill-places";
/// The directory in a session's own.
const DIRECTORY: &str = "spill";
/// Where spill files go when the session's directory is kept in memory.
pub(crate) const ON_DISK: &str = "/var/tmp";

/// Types of file systems that are kept in memory: tmpfs and ramfs.
const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];

/// Where spill files go when nothing is said.
pub(crate) enum Default {
    /// To this directory.
    Directory(PathBuf),
    /// Nowhere, for there is no disk. Words for people.
    Memory(String),
}

/// What a directory of a session's spill files is called outside the session's own.
pub(crate) fn directory_name(session: &str) -> String {
    format!("plasmon-spill-{session}")
}

/// Where spill files of `session` go when nothing is said.
pub(crate) fn default_directory(session: &Session) -> Result<Default, Error> {
    if !is_in_memory(&session.path()) {
        return Ok(Default::Directory(session.path().join(DIRECTORY)));
    }
    let disk = Path::new(ON_DISK);
    if !disk.is_dir() || is_in_memory(disk) {
        let cause =
            format!("{} and {ON_DISK} are kept in memory (tmpfs): nothing is spilled without --spill-dir", session.path().display());
        return Ok(Default::Memory(cause));
    }
    Ok(Default::Directory(Base::make(disk)?.path().join(directory_name(session.name()))))
}

/// Whether a directory is on a file system that is kept in memory. In doubt, no.
pub(crate) fn is_in_memory(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|found| IN_MEMORY.contains(&found.f_type))
}

/// Why others could replace what is made in `parent`, if so.
pub(crate) fn parent_fault(parent: &Path) -> Option<String> {
    match fs::metadata(parent) {
        Ok(found) => base::temp_fault(&found, base::uid()),
        Err(error) => Some(error.to_string()),
    }
}

impl Session {
    /// Notes where spill files will be, before they are. Each of `paths` that is not in the session's directory is called
    /// [`directory_name`].
    pub(crate) fn record_spill(&self, paths: &[PathBuf], url: Option<&str>) -> Result<(), Error> {
        let mut list = Vec::new();
        let own = self.path();
        let outside = paths.iter().filter(|path| !path.starts_with(&own)).map(|path| path.as_os_str());
        for place in outside.chain(url.map(OsStr::new)) {
            list.extend_from_slice(place.as_bytes());
            list.push(0);
        }
        if list.is_empty() {
            return Ok(());
        }
        let path = own.join(PLACES);
        let draft = own.join("spill-places.new");
        let written = open_private(&draft).and_then(|mut file| file.write_all(&list)).and_then(|()| fs::rename(&draft, &path));
        written.map_err(|error| Error::system(format!("write {}", path.display()), error))
    }
}

/// Removes the places outside the directory `dead`, which is that of the session `name` and belongs to nobody any more.
pub(super) fn remove_places(dead: &Path, name: &str) -> io::Result<()> {
    let list = match fs::read(dead.join(PLACES)) {
        Ok(list) => list,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut result = Ok(());
    for place in list.split(|byte| *byte == 0).filter(|place| !place.is_empty()) {
        let path = Path::new(OsStr::from_bytes(place));
        let removed = match std::str::from_utf8(place) {
            Ok(url) if url.contains("://") && !path.is_absolute() => places::remove_url(url, name),
            _ => remove_directory(path, name),
        };
        if let Err(error) = removed {
            tracing::warn!(place = %path.display(), %error, "the spill files of a dead session stay until the next start");
            result = Err(error);
        }
    }
    result
}

/// Removes a directory that is a session's by name and this user's by owner. Links, to it and in it, are not followed.
fn remove_directory(path: &Path, name: &str) -> io::Result<()> {
    if !places::belongs(path, name) {
        tracing::warn!(path = %path.display(), session = name, "this is no directory for spill files of the session; it is not touched");
        return Ok(());
    }
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() && found.uid() == base::uid() => super::remains::remove_tree(path),
        Ok(_) => {
            tracing::warn!(path = %path.display(), session = name, "this is no directory of this user; it is not touched");
            Ok(())
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(()),
        Err(error) => Err(error),
    }
}
