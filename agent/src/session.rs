//! The session: one agent's directory, `<temp>/plasmon-<uid>/<session>/`, with its lock, socket, address and logs.
//!
//! The lock decides who is alive: it is held for exactly as long as the agent lives, whatever ends it, so a free lock means a dead
//! session. Three rules keep starters, sweepers and lookers from harming each other:
//! - a session is made and locked, and a dead one is renamed away, only under the lock of the directory that holds all sessions;
//! - whoever only looks takes a session's lock shared, so lookers do not see each other as life;
//! - what was renamed away belongs to nobody, so any number of processes may remove it at once.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use plasmon_protocol::error::Error;
use plasmon_protocol::id::{NodeId, ProcessId};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

mod base;
mod remains;
mod rescue;
pub(crate) mod spill;

use base::Base;
pub use remains::{Found, Swept, find_live, sweep, sweep_and_rescue};
pub use rescue::{kept_recording, state_dir};

const LOCK: &str = "lock";
const SOCKET: &str = "agent.sock";
const ADDRESS: &str = "address";
const TOKEN: &str = "token";
const LOGS: &str = "logs";

/// What the system takes for a socket's path, its closing zero left out. Bytes.
const SOCKET_PATH_MAX: usize = 107;

/// How a live agent is reached. The file appears when the agent is ready, never before.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Address {
    /// The agent's process id.
    pub pid: u32,
    /// Its node.
    pub node: NodeId,
    /// Where it serves the live stream.
    pub listen: SocketAddr,
    /// Where it takes clients.
    pub socket: PathBuf,
    /// The file with the token of the live stream.
    pub token_file: PathBuf,
    /// When the session began, milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// The agent's release.
    pub version: String,
}

/// This process's session. Removed, with all that is in it, when dropped.
#[derive(Debug)]
pub struct Session {
    base: Base,
    name: String,
    started_ms: u64,
    lock: File,
}

impl Session {
    /// Makes and locks a new session under `temp_dir`, which must exist. All directories made have mode 0700, whatever the umask.
    ///
    /// # Errors
    /// [`Error::Invalid`] when `temp_dir` is no safe place (it, or this user's directory in it, belongs to or can be changed by
    /// somebody else) or makes the socket's path too long; [`Error::System`] when the system refuses.
    pub fn create(temp_dir: &Path) -> Result<Self, Error> {
        let started_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let mut random = [0; 4];
        getrandom::fill(&mut random).map_err(|error| Error::system("read random bytes", error))?;
        Self::create_named(temp_dir, started_ms, u32::from_le_bytes(random))
    }

    fn create_named(temp_dir: &Path, started_ms: u64, random: u32) -> Result<Self, Error> {
        let name = name(started_ms, random);
        check_length(&base::path(temp_dir).join(&name).join(SOCKET))?;
        let base = Base::make(temp_dir)?;
        let guard = base.lock()?;
        let dir = base.path().join(&name);
        make_private(&dir)?;
        let path = dir.join(LOCK);
        let lock = open_private(&path).and_then(|lock| {
            // Waits only for lookers, who let go at once.
            lock.lock()?;
            Ok(lock)
        });
        let lock = lock.map_err(|error| Error::system(format!("lock {}", path.display()), error))?;
        drop(guard);
        let session = Self { base, name, started_ms, lock };
        make_private(&session.logs())?;
        Ok(session)
    }

    /// The session's directory.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.base.path().join(&self.name)
    }

    /// The session's name: when it began, and a random part. Names sort by age.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When the session began, milliseconds since the Unix epoch.
    #[must_use]
    pub fn started_ms(&self) -> u64 {
        self.started_ms
    }

    /// Where the agent takes clients. Short enough to bind.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.path().join(SOCKET)
    }

    /// The token's file for an agent that was given none.
    #[must_use]
    pub fn token_file(&self) -> PathBuf {
        self.path().join(TOKEN)
    }

    /// The directory of the logs. It exists.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.path().join(LOGS)
    }

    /// Where a Python worker notes in which order it writes to these.
    #[must_use]
    pub fn worker_order(logs: &Path, worker: ProcessId) -> PathBuf {
        logs.join(format!("worker-{worker}.order"))
    }

    /// Where a worker's standard output and its standard error go, in a directory of logs.
    #[must_use]
    pub fn worker_logs(logs: &Path, worker: ProcessId) -> [PathBuf; 2] {
        ["out", "err"].map(|stream| logs.join(format!("worker-{worker}.{stream}")))
    }

    /// Makes the session one that others find. Readers see the whole address or none.
    ///
    /// # Errors
    /// [`Error::System`] when the file cannot be written.
    pub fn publish(&self, address: &Address) -> Result<(), Error> {
        let path = self.path().join(ADDRESS);
        let refused = |cause: &dyn std::fmt::Display| Error::system(format!("write {}", path.display()), cause);
        let text = serde_json::to_vec(address).map_err(|error| refused(&error))?;
        let draft = self.path().join("address.new");
        let written = open_private(&draft).and_then(|mut file| file.write_all(&text));
        written.and_then(|()| fs::rename(&draft, &path)).map_err(|error| refused(&error))
    }
}

impl Session {
    /// Makes the session one that nobody finds any more.
    pub fn withdraw(&self) {
        // What cannot be removed now goes with the directory.
        let _ = fs::remove_file(self.path().join(ADDRESS));
    }
}

impl Session {
    /// Moves the session's recording to `state` if there is one; where it is then.
    pub(crate) fn rescue_recording(&self, state: &Path) -> std::io::Result<Option<PathBuf>> {
        rescue::rescue(&self.path(), &self.name, state)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Err(error) = remains::remove(&self.base, &self.name) {
            tracing::warn!(session = self.name, %error, "the session's directory stays until the next start");
        }
        // Closing would not do while a child that is being started still has a copy of the descriptor.
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(session = self.name, %error, "the session's lock goes with this process");
        }
    }
}

/// Where sessions are when no flag says otherwise: `PLASMON_TEMP_DIR`, else `TMPDIR`, else `/tmp`.
#[must_use]
pub fn temp_dir() -> PathBuf {
    ["PLASMON_TEMP_DIR", "TMPDIR"]
        .into_iter()
        .find_map(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
        .map_or_else(|| PathBuf::from("/tmp"), PathBuf::from)
}

fn name(started_ms: u64, random: u32) -> String {
    format!("{started_ms:013}-{random:08x}")
}

/// Whether `name` is one that [`name`] makes.
fn is_name(name: &str) -> bool {
    name.split_once('-').is_some_and(|(time, random)| {
        time.len() >= 13 && time.bytes().all(|c| c.is_ascii_digit()) && random.len() == 8 && random.bytes().all(|c| c.is_ascii_hexdigit())
    })
}

fn check_length(socket: &Path) -> Result<(), Error> {
    let length = socket.as_os_str().as_bytes().len();
    if length <= SOCKET_PATH_MAX {
        return Ok(());
    }
    let cause = format!("the path has {length} bytes and the system takes {SOCKET_PATH_MAX}; give a shorter directory with --temp-dir");
    Err(Error::invalid("socket", socket.display().to_string(), cause))
}

/// Makes a directory that only this user can enter.
fn make_private(path: &Path) -> Result<(), Error> {
    // The umask takes bits away from a new directory; these three must be there.
    let made = DirBuilder::new().mode(0o700).create(path).and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o700)));
    made.map_err(|error| Error::system(format!("make the directory {}", path.display()), error))
}

/// Opens an empty file of the session for writing, which only this user can read. A link in its place is refused.
fn open_private(path: &Path) -> std::io::Result<File> {
    let nofollow = OFlags::NOFOLLOW.bits().cast_signed();
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).custom_flags(nofollow).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

#[cfg(test)]
mod tests;
