//! Recordings of sessions that did not end in order are moved to where their user finds them, before the session goes.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use plasmon_protocol::recording::FILE;
use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::{base, is_name};

/// Recordings that are kept, the newest.
const KEPT: usize = 5;
/// More than any recording has, bytes.
const LARGEST: u64 = 256 << 20;
/// How a recording ends.
const ENDING: &str = ".ndjson";

/// Where this user's recordings are kept: `plasmon` in `XDG_STATE_HOME`, else in `.local/state` of the home directory. Nowhere without
/// either.
#[must_use]
pub fn state_dir() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("plasmon"))
}

/// What the recording of a session is called there; names sort by when the session began.
#[must_use]
pub(super) fn kept_name(session: &str) -> String {
    format!("{session}{ENDING}")
}

/// Where the recording of a session is kept, if it is.
#[must_use]
pub fn kept_recording(session: &OsStr) -> Option<PathBuf> {
    let session = session.to_str().filter(|name| is_name(name))?;
    state_dir().map(|state| state.join(kept_name(session))).filter(|path| path.exists())
}

/// Copies the recording in the session's directory `session`, which is that of `name`, to `state`, and removes the oldest there. `None`
/// when there is none, or it is there already. Links are not followed, and nothing is written over.
pub(super) fn rescue(session: &Path, name: &str, state: &Path) -> io::Result<Option<PathBuf>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let source = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(session.join(FILE));
    let source = match source {
        Ok(source) => source,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(error),
    };
    let facts = source.metadata()?;
    if !facts.is_file() || facts.len() == 0 {
        return Ok(None);
    }
    make(state)?;
    let target = state.join(kept_name(name));
    if fs::symlink_metadata(&target).is_ok() {
        return Ok(None);
    }
    let (draft, mut file) = draft(state, name)?;
    let moved = io::copy(&mut source.take(LARGEST), &mut file).and_then(|_| move_new(&draft, &target, rename_new));
    if let Err(error) = moved {
        let _ = fs::remove_file(&draft);
        // Somebody else, who sweeps too, may be faster.
        return if error.kind() == io::ErrorKind::AlreadyExists { Ok(None) } else { Err(error) };
    }
    prune(state);
    Ok(target.exists().then_some(target))
}

/// A new file to copy into. Its name has the process, so that others know when nobody writes it any more, and chance, so that what a
/// process of that number left behind is not in the way.
fn draft(state: &Path, name: &str) -> io::Result<(PathBuf, File)> {
    let mut chance = [0; 8];
    getrandom::fill(&mut chance)?;
    let path = state.join(format!(".{name}-{}-{:016x}", std::process::id(), u64::from_ne_bytes(chance)));
    let nofollow = OFlags::NOFOLLOW.bits().cast_signed();
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(nofollow).open(&path)?;
    Ok((path, file))
}

/// The process that a draft's name names.
fn drafter(name: &str) -> Option<&str> {
    let (session, chance) = name.strip_prefix('.')?.rsplit_once('-')?;
    match session.rsplit_once('-') {
        Some((session, pid)) if is_name(session) && pid.parse::<u32>().is_ok() => Some(pid),
        // As drafts were called before.
        _ => is_name(session).then_some(chance),
    }
}

fn rename_new(draft: &Path, target: &Path) -> io::Result<()> {
    Ok(renameat_with(CWD, draft, CWD, target, RenameFlags::NOREPLACE)?)
}

/// Moves `draft` to `target`, which must not exist. Network and older file systems have no rename that refuses to write over, and some no
/// links either: there the name is taken by an empty file first.
fn move_new(draft: &Path, target: &Path, rename_new: impl Fn(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
    match rename_new(draft, target) {
        Err(error) if lacks(&error) => {}
        done => return done,
    }
    match fs::hard_link(draft, target) {
        Ok(()) => return fs::remove_file(draft),
        Err(error) if lacks(&error) => {}
        Err(error) => return Err(error),
    }
    take_name(draft, target)
}

/// As [`move_new`], where the file system has neither links nor a rename that refuses.
fn take_name(draft: &Path, target: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(target)?;
    fs::rename(draft, target).inspect_err(|_| drop(fs::remove_file(target)))
}

/// Whether the file system does not have what was asked of it.
fn lacks(error: &io::Error) -> bool {
    let codes = [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP, Errno::PERM];
    error.raw_os_error().is_some_and(|code| codes.iter().any(|lack| lack.raw_os_error() == code))
}

/// Makes the directory, whose parents may be others' to see but which is this user's alone.
fn make(state: &Path) -> io::Result<()> {
    if let Some(parent) = state.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(state) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = fs::symlink_metadata(state)?;
    base::own_fault(&found, base::uid()).map_or(Ok(()), |fault| Err(io::Error::other(format!("{}: {fault}", state.display()))))
}

/// Removes all recordings but the newest, and drafts of processes that are gone.
fn prune(state: &Path) {
    let Ok(entries) = fs::read_dir(state) else { return };
    let mut kept = Vec::new();
    for name in entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
        if drafter(&name).is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_file(state.join(&name));
        }
        if name.strip_suffix(ENDING).is_some_and(is_name) {
            kept.push(name);
        }
    }
    kept.sort_unstable_by(|one, other| other.cmp(one));
    for name in kept.iter().skip(KEPT) {
        let path = state.join(OsStr::new(name));
        match fs::remove_file(&path) {
            Ok(()) => tracing::info!(path = %path.display(), "an old recording is removed"),
            Err(error) => tracing::warn!(path = %path.display(), %error, "an old recording stays"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a file system says that has no such rename.
    fn refused(_: &Path, _: &Path) -> io::Result<()> {
        Err(Errno::INVAL.into())
    }

    type Move = fn(&Path, &Path) -> io::Result<()>;

    #[test]
    fn a_recording_is_moved_whatever_the_file_system_lacks() {
        let ways: [Move; 3] = [rename_new_or_other, |draft, target| move_new(draft, target, refused), take_name];
        for (way, moves) in ways.into_iter().enumerate() {
            let place = tempfile::tempdir().unwrap();
            let (draft, target) = (place.path().join("draft"), place.path().join("target"));
            fs::write(&draft, "one").unwrap();
            moves(&draft, &target).unwrap();
            assert_eq!((fs::read_to_string(&target).unwrap().as_str(), draft.exists()), ("one", false), "{way}");

            // What is there already is kept, and so is the draft, which the caller removes.
            fs::write(&draft, "two").unwrap();
            assert_eq!(moves(&draft, &target).unwrap_err().kind(), io::ErrorKind::AlreadyExists, "{way}");
            assert_eq!((fs::read_to_string(&target).unwrap().as_str(), draft.exists()), ("one", true), "{way}");

            // Other errors are told, and leave nothing behind.
            let gone = place.path().join("gone");
            fs::remove_file(&target).unwrap();
            assert_eq!(moves(&gone, &target).unwrap_err().kind(), io::ErrorKind::NotFound, "{way}");
            assert!(!target.exists(), "{way}");
        }
    }

    fn rename_new_or_other(draft: &Path, target: &Path) -> io::Result<()> {
        move_new(draft, target, rename_new)
    }

    #[test]
    fn drafts_have_names_of_their_own_that_tell_the_process() {
        let place = tempfile::tempdir().unwrap();
        let session = super::super::name(7, 1);
        let names: Vec<PathBuf> = (0..3).map(|_| draft(place.path(), &session).unwrap().0).collect();
        assert!(names[0] != names[1] && names[1] != names[2] && names[0] != names[2], "{names:?}");
        for name in names.iter().map(|name| name.file_name().unwrap().to_str().unwrap()) {
            assert_eq!(drafter(name), Some(std::process::id().to_string().as_str()), "{name}");
        }
        assert_eq!(drafter(&format!(".{session}-77")), Some("77"));
        for other in ["notes.ndjson", ".notes", ".a-b-c", &format!("{session}.ndjson")] {
            assert_eq!(drafter(other), None, "{other}");
        }
    }

    #[test]
    fn drafts_of_the_dead_are_removed() {
        let place = tempfile::tempdir().unwrap();
        let session = super::super::name(7, 1);
        let (mine, _) = draft(place.path(), &session).unwrap();
        // Beyond the largest number that a process can have.
        let dead = place.path().join(format!(".{session}-4194305-00000000000000ab"));
        fs::write(&dead, "").unwrap();
        prune(place.path());
        assert_eq!((mine.exists(), dead.exists()), (true, false));
    }
}
