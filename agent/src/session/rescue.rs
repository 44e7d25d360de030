//! Recordings of sessions that did not end in order are moved to where their user finds them, before the session goes.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use plasmon_protocol::recording::FILE;
use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};

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
    let draft = state.join(format!(".{name}-{}", std::process::id()));
    let nofollow = OFlags::NOFOLLOW.bits().cast_signed();
    // Somebody else, who sweeps too, may be faster at either step.
    let faster = |error: io::Error| if error.kind() == io::ErrorKind::AlreadyExists { Ok(None) } else { Err(error) };
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(nofollow).open(&draft);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) => return faster(error),
    };
    let copied =
        io::copy(&mut source.take(LARGEST), &mut file).and_then(|_| Ok(renameat_with(CWD, &draft, CWD, &target, RenameFlags::NOREPLACE)?));
    if let Err(error) = copied {
        let _ = fs::remove_file(&draft);
        return faster(error);
    }
    prune(state);
    Ok(target.exists().then_some(target))
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
        let draft = name.strip_prefix('.').and_then(|name| name.rsplit_once('-')).filter(|(session, _)| is_name(session));
        if draft.is_some_and(|(_, pid)| !Path::new("/proc").join(pid).exists()) {
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
