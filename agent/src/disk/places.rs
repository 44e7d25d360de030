//! Which places for spill files an agent has.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use plasmon_protocol::error::Error;

use super::directory::Directory;
use super::failing;
use super::failing::{Failing, Faults};
use super::target::SpillTarget;
use crate::config::Config;
use crate::session::Session;
use crate::session::spill::{self, Default};

/// What a URL may begin with.
const SCHEMES: [&str; 8] = ["s3", "s3a", "gs", "az", "abfs", "abfss", "file", "memory"];

/// The places for spill files of one agent.
pub struct Places {
    /// In the order in which jobs count them. With none there is no spilling.
    pub targets: Vec<Arc<dyn SpillTarget>>,
    /// What people call them: a directory or a URL each.
    pub names: Vec<Arc<str>>,
    /// What the user should know about them.
    pub warnings: Vec<String>,
}

/// Makes the places that `config` names for `session`, which knows them from now on and removes them when it ends. The directories come
/// first, in the given order. None when spilling is off.
///
/// # Errors
/// [`Error::Invalid`] when a directory is none, or is not safe from others; [`Error::System`] when the system refuses.
pub fn places(config: &Config, session: &Session) -> Result<Places, Error> {
    let mut places = Places { targets: Vec::new(), names: Vec::new(), warnings: Vec::new() };
    if !config.spill {
        return Ok(places);
    }
    let mut paths = Vec::new();
    if config.spill_dir.is_empty() && config.spill_url.is_none() {
        match spill::default_directory(session)? {
            Default::Directory(path) => paths.push(path),
            Default::Memory(cause) => places.warnings.push(cause),
        }
    }
    for parent in &config.spill_dir {
        let invalid = |cause: String| Error::invalid("--spill-dir", parent.display().to_string(), cause);
        DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(|error| invalid(error.to_string()))?;
        spill::parent_fault(parent).map_or(Ok(()), |fault| Err(invalid(fault)))?;
        if spill::is_in_memory(parent) {
            let warning = format!("--spill-dir {} is kept in memory (tmpfs): spilling there frees none", parent.display());
            places.warnings.push(warning);
        }
        paths.push(parent.join(spill::directory_name(session.name())));
    }
    session.record_spill(&paths, config.spill_url.as_deref())?;
    for path in &paths {
        let directory = Directory::make(path).map_err(|failure| Error::system("use a directory for spill files", failure))?;
        places.targets.push(Arc::new(directory));
        places.names.push(path.display().to_string().into());
    }
    if let Some(url) = &config.spill_url {
        places.targets.push(open_url(url, session.name())?);
        places.names.push(url.as_str().into());
    }
    if let Some(faults) = Faults::from_environment()? {
        let wrap = |target| Arc::new(Failing::new(target, faults.clone())) as Arc<dyn SpillTarget>;
        places.targets = places.targets.into_iter().map(wrap).collect();
        tracing::warn!(variable = failing::VARIABLE, "external storage fails when told to");
    }
    for warning in &places.warnings {
        tracing::warn!("{warning}");
    }
    tracing::debug!(places = ?paths, url = config.spill_url, "spill files go here");
    Ok(places)
}

/// Whether `url` can be spilled to, as far as its looks tell.
///
/// # Errors
/// [`Error::Invalid`] naming what is wrong with it. Passwords in it are not repeated.
pub fn check_url(url: &str) -> Result<(), Error> {
    let refused = |shown: &str, cause: &str| Err(Error::invalid("--spill-url", shown, cause));
    let Some((scheme, rest)) = url.split_once("://") else {
        return refused(url, "it is not a URL, such as s3://bucket/prefix");
    };
    let authority = rest.split('/').next().unwrap_or_default();
    if let Some((user, _)) = authority.rsplit_once('@')
        && user.contains(':')
    {
        return refused(&format!("{scheme}://..."), "it has a password in it; give that in the environment, as AWS_SECRET_ACCESS_KEY does");
    }
    if !SCHEMES.contains(&scheme) {
        return refused(url, "the storage is none of s3, gs, az, file and memory");
    }
    if rest.contains(['?', '#', '\0', '\n']) || rest.split('/').any(|part| matches!(part, "." | "..")) {
        return refused(url, "a prefix has no query, no fragment and no dots as a part");
    }
    if cfg!(feature = "object-storage") {
        return Ok(());
    }
    refused(url, "this agent was built without object storage; build it with the feature object-storage")
}

#[cfg(not(feature = "object-storage"))]
fn open_url(url: &str, _session: &str) -> Result<Arc<dyn SpillTarget>, Error> {
    check_url(url)?;
    Err(Error::invalid("--spill-url", url, "this agent was built without object storage"))
}

#[cfg(feature = "object-storage")]
fn open_url(url: &str, session: &str) -> Result<Arc<dyn SpillTarget>, Error> {
    Ok(Arc::new(super::object_storage::ObjectStorage::open(url, session)?))
}

/// Removes the files of `session` at `url`.
#[cfg(feature = "object-storage")]
pub(crate) fn remove_url(url: &str, session: &str) -> std::io::Result<()> {
    let swept = super::object_storage::ObjectStorage::sweep(url, session);
    swept.map(|_| ()).map_err(|failure| std::io::Error::other(failure.to_string()))
}

#[cfg(not(feature = "object-storage"))]
pub(crate) fn remove_url(url: &str, _session: &str) -> std::io::Result<()> {
    tracing::warn!(url, "spill files of a dead session stay: this agent was built without object storage");
    Ok(())
}

/// Whether a path of a place is one that belongs to `session`.
pub(crate) fn belongs(path: &Path, session: &str) -> bool {
    path.is_absolute() && path.file_name().is_some_and(|name| name.to_str() == Some(&spill::directory_name(session)))
}
