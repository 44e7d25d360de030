//! Who is alive among the sessions of this user, and the removal of those that are not.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use plasmon_protocol::error::Error;
use rustix::fs::OFlags;

use super::base::Base;
use super::rescue::rescue;
use super::{ADDRESS, Address, LOCK, is_name, spill};

/// What a session is renamed to before it is removed starts so.
const DEAD: &str = ".dead-";

/// Attempts to remove a directory that others empty at the same time.
const ATTEMPTS: u32 = 100;

/// A live agent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Its session's directory.
    pub path: PathBuf,
    /// How to reach it.
    pub address: Address,
}

/// The ready, live agents of this user whose sessions are under `temp_dir`, newest first.
///
/// # Errors
/// [`Error::Invalid`] when the directory of this user's sessions is not this user's alone to change, so that nothing in it can be
/// believed; [`Error::System`] when it cannot be read.
pub fn find_live(temp_dir: &Path) -> Result<Vec<Found>, Error> {
    let Some(base) = Base::open(temp_dir)? else { return Ok(Vec::new()) };
    let mut names: Vec<String> = base.names()?.into_iter().filter(|name| is_name(name)).collect();
    names.sort_unstable_by(|one, other| other.cmp(one));
    let mut found = Vec::new();
    for name in names {
        let path = base.path().join(name);
        let Ok(text) = fs::read(path.join(ADDRESS)) else { continue };
        // After the address: a session that ends in between is not reported.
        if !is_alive(&path) {
            continue;
        }
        match serde_json::from_slice(&text) {
            Ok(address) => found.push(Found { path, address }),
            Err(error) => tracing::warn!(session = %path.display(), %error, "an agent's address is not readable by this release"),
        }
    }
    Ok(found)
}

/// Removes the dead sessions of this user under `temp_dir` and returns how many there were. Live ones are not touched, whatever else
/// happens at the same time. What cannot be removed is logged and left to the next start.
///
/// # Errors
/// As [`find_live`].
pub fn sweep(temp_dir: &Path) -> Result<usize, Error> {
    Ok(sweep_and_rescue(temp_dir, None)?.sessions)
}

/// What a sweep did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Swept {
    /// Dead sessions that were removed.
    pub sessions: usize,
    /// Where recordings of such that did not end in order are now.
    pub recordings: Vec<PathBuf>,
}

/// As [`sweep`]; the recordings of sessions that did not end in order are moved to `state` before. One that cannot be moved is logged, and
/// goes with its session.
///
/// # Errors
/// As [`find_live`].
pub fn sweep_and_rescue(temp_dir: &Path, state: Option<&Path>) -> Result<Swept, Error> {
    let Some(base) = Base::open(temp_dir)? else { return Ok(Swept::default()) };
    let mut swept = Swept::default();
    {
        let _guard = base.lock()?;
        for name in base.names()?.into_iter().filter(|name| is_name(name)) {
            if !is_alive(&base.path().join(&name)) {
                match rename_away(&base, &name) {
                    Ok(()) => swept.sessions += 1,
                    Err(error) => tracing::warn!(session = name, %error, "a dead session stays"),
                }
            }
        }
    }
    for name in base.names()?.into_iter().filter(|name| name.starts_with(DEAD)) {
        let (dead, session) = (base.path().join(&name), name.trim_start_matches(DEAD));
        if let Some(state) = state.filter(|_| is_name(session)) {
            match rescue(&dead, session, state) {
                Ok(moved) => swept.recordings.extend(moved),
                Err(error) => tracing::warn!(session, %error, "the recording of a dead session is lost"),
            }
        }
        if let Err(error) = remove_all(&dead, session) {
            tracing::warn!(session = name, %error, "a dead session stays");
        }
    }
    Ok(swept)
}

/// Removes one session of this process, whose lock is still held.
pub(super) fn remove(base: &Base, name: &str) -> Result<(), Error> {
    let guard = base.lock()?;
    let renamed = rename_away(base, name);
    drop(guard);
    renamed.and_then(|()| remove_all(&away(base, name), name)).map_err(|error| {
        let path = base.path().join(name);
        Error::system(format!("remove {}", path.display()), error)
    })
}

fn away(base: &Base, name: &str) -> PathBuf {
    base.path().join(format!("{DEAD}{name}"))
}

fn rename_away(base: &Base, name: &str) -> std::io::Result<()> {
    fs::rename(base.path().join(name), away(base, name))
}

/// Whether somebody holds the session's lock. In doubt, yes. Whoever acts on a `false` holds the base's lock: a session that is just
/// being made has no lock yet.
fn is_alive(session: &Path) -> bool {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let lock: File = match OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(session.join(LOCK)) {
        Ok(lock) => lock,
        Err(error) => return !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
    };
    match lock.try_lock_shared() {
        Ok(()) => false,
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => true,
    }
}

/// Removes what a session has elsewhere, then its directory, which has the list of that.
fn remove_all(dead: &Path, name: &str) -> std::io::Result<()> {
    spill::remove_places(dead, name)?;
    remove_tree(dead)
}

/// Removes a tree that others may be removing too. Links in it are removed, not followed.
pub(super) fn remove_tree(path: &Path) -> std::io::Result<()> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match fs::remove_dir_all(path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => return Ok(()),
            Err(error) if attempt < ATTEMPTS && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {}
            Err(error) if error.kind() == ErrorKind::NotADirectory => return fs::remove_file(path),
            Err(error) => return Err(error),
        }
    }
}
