//! One validated configuration, from flags, environment, a file and defaults, in this order of precedence.
//!
//! [`AgentOptions`] is what somebody asked for; [`Config`] is what holds.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use plasmon_protocol::error::Error;
use plasmon_protocol::resources::Amount;
use plasmon_protocol::size::Bytes;
use serde::{Deserialize, Serialize};

use crate::machine::Machine;

mod custom;
mod offer;
mod options;

pub use custom::Custom;
pub use options::AgentOptions;

/// Where the standalone daemon serves the live stream when nothing else is said.
const STANDALONE_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6480);
/// Where an agent that a program started for itself does: any free port.
const EMBEDDED_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The store when nothing is said, in percent of the memory available at the start.
const STORE_PERCENT: u64 = 30;
/// The smallest store.
const STORE_MIN: Bytes = Bytes(1 << 20);
/// How long tasks may go on after SIGTERM when nothing is said, seconds.
const DRAIN_SECONDS: u32 = 30;
/// The share of the store from which on objects are spilled when nothing is said.
const SPILL_THRESHOLD: f64 = 0.8;
/// What an agent keeps of finished tasks unasked.
const LINEAGE_LIMIT: Bytes = Bytes(64 << 20);
/// Threads for each direction of spilling when nothing is said, and the most.
const SPILL_THREADS: u32 = 4;
const SPILL_THREADS_MAX: u32 = 64;
/// The share of the memory from which on somebody has to go when nothing is said.
const OOM_THRESHOLD: f64 = 0.95;
/// A store is a whole number of these.
const STORE_UNIT: u64 = 4096;

/// Which agent a configuration is for; only defaults depend on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The daemon.
    Standalone,
    /// Started by a program for itself.
    Embedded,
}

/// The configuration of one agent. Every value holds for the machine that it was resolved on.
///
/// Its TOML form is a file that `--config` reads; its JSON form is what a starter hands to the agent it starts.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// Where to serve the live stream.
    pub listen: SocketAddr,
    /// Names, in lower case, that a request may give in `Host`, beside IP literals and `localhost`.
    pub allow_host: Vec<String>,
    /// Whether `listen` may be an address that other machines reach.
    pub insecure_plaintext: bool,
    /// The file with the stream's token; `None` for one in the session. Absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Where the session's directory is made. Absolute.
    pub temp_dir: PathBuf,
    /// CPUs that the node offers to tasks.
    pub num_cpus: Amount,
    /// GPUs that the node offers to tasks.
    pub num_gpus: Amount,
    /// Heap that the node offers to tasks that ask for some, bytes.
    pub memory: Bytes,
    /// Whether a task that asks for more than the node has fails at once.
    pub fail_infeasible: bool,
    /// Bytes of the agent's heap that may be kept of finished tasks, to run them again should their results be lost.
    pub lineage_limit: Bytes,
    /// Capacity of the object store, bytes; a multiple of 4096.
    pub object_store_memory: Bytes,
    /// How long running and queued tasks may go on after the agent was told to end, seconds.
    pub drain_timeout: u32,
    /// Whether objects go to external storage when the store fills up.
    pub spill: bool,
    /// The directories where spill files go; with none, and no `spill_url`, they go to the session's own. Absolute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spill_dir: Vec<PathBuf>,
    /// The object storage where spill files go, beside the directories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spill_url: Option<String>,
    /// The most that may be spilled at once, bytes; `None` for what the disks hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spill_limit: Option<Bytes>,
    /// The share of the store, more than 0 and at most 1, from which on objects are spilled.
    pub spill_threshold: f64,
    /// Threads that write spill files, and as many that read them; at least 1.
    pub spill_threads: u32,
    /// The share of the memory, more than 0 and at most 1, from which on workers are ended; with 1, none ever is.
    pub oom_threshold: f64,
    /// While so much memory is free, no worker is ended, whatever the share says. Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_min_free: Option<Bytes>,
    /// Whether it is only told who would be ended.
    pub oom_dry_run: bool,
    /// How often a task is tried again whose worker was ended so; `None` for as often as it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_retries: Option<u32>,
    /// Custom resources that the node offers to tasks, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<Arc<str>, Amount>,
}

impl Config {
    /// What `options`, their configuration file and the defaults amount to on `machine`.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the flag, or the file and key, with the value and what is wrong with it; [`Error::System`] when the
    /// file cannot be read.
    pub fn resolve(options: AgentOptions, kind: Kind, machine: &Machine) -> Result<Self, Error> {
        let options = match &options.config {
            Some(file) => {
                let below = AgentOptions::from_file(file)?;
                options.over(below)
            }
            None => options,
        };
        let listen = options.listen.unwrap_or(match kind {
            Kind::Standalone => STANDALONE_LISTEN,
            Kind::Embedded => EMBEDDED_LISTEN,
        });
        let store = match options.object_store_memory {
            Some(asked) => Bytes(asked.0.next_multiple_of(STORE_UNIT)),
            None => default_store(machine),
        };
        let custom = options.resources.unwrap_or_default();
        let num_cpus = offer::one("--num-cpus", options.num_cpus, custom.cpus)?;
        let num_gpus = offer::one("--num-gpus", options.num_gpus, custom.gpus)?;
        let memory = offer::one("--memory", options.memory, custom.memory)?;
        let config = Self {
            listen,
            allow_host: options.allow_host.iter().map(|name| name.to_ascii_lowercase()).collect(),
            insecure_plaintext: options.insecure_plaintext.unwrap_or(false),
            token_file: options.token_file.as_deref().map(|path| absolute("--token-file", path)).transpose()?,
            temp_dir: absolute("--temp-dir", &options.temp_dir.unwrap_or_else(crate::session::temp_dir))?,
            num_cpus: num_cpus.unwrap_or_else(|| Amount::near(machine.cpus)),
            num_gpus: num_gpus.unwrap_or_else(offer::default_gpus),
            memory: memory.unwrap_or_else(|| offer::default_memory(machine, store)),
            fail_infeasible: options.fail_infeasible.unwrap_or(false),
            lineage_limit: options.lineage_limit.unwrap_or(LINEAGE_LIMIT),
            object_store_memory: store,
            drain_timeout: options.drain_timeout.unwrap_or(DRAIN_SECONDS),
            spill: options.spill.unwrap_or(true),
            spill_dir: options.spill_dir.iter().map(|path| absolute("--spill-dir", path)).collect::<Result<_, _>>()?,
            spill_url: options.spill_url,
            spill_limit: options.spill_limit,
            spill_threshold: options.spill_threshold.unwrap_or(SPILL_THRESHOLD),
            spill_threads: options.spill_threads.unwrap_or(SPILL_THREADS),
            oom_threshold: options.oom_threshold.unwrap_or(OOM_THRESHOLD),
            oom_min_free: options.oom_min_free,
            oom_dry_run: options.oom_dry_run.unwrap_or(false),
            oom_retries: options.oom_retries,
            resources: custom.others,
        };
        config.validate(machine)?;
        Ok(config)
    }

    /// How long running and queued tasks may go on after the agent was told to end.
    #[must_use]
    pub fn drain_timeout(&self) -> Duration {
        Duration::from_secs(self.drain_timeout.into())
    }

    /// The configuration that [`Self::to_json`] wrote, checked again for `machine`.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming what is wrong.
    pub fn from_json(text: &str, machine: &Machine) -> Result<Self, Error> {
        let config: Self = serde_json::from_str(text).map_err(|error| Error::invalid("configuration", text, error.to_string()))?;
        config.validate(machine)?;
        Ok(config)
    }

    /// One line of JSON.
    ///
    /// # Errors
    /// [`Error::System`] when a path is not text.
    pub fn to_json(&self) -> Result<String, Error> {
        serde_json::to_string(self).map_err(|error| Error::system("write the configuration as JSON", error))
    }

    /// A file that `--config` reads, and that says the same when it does.
    ///
    /// # Errors
    /// [`Error::System`] when a path is not text.
    pub fn to_toml(&self) -> Result<String, Error> {
        toml::to_string(self).map_err(|error| Error::system("write the configuration as TOML", error))
    }

    fn validate(&self, machine: &Machine) -> Result<(), Error> {
        if !self.listen.ip().to_canonical().is_loopback() && !self.insecure_plaintext {
            let cause = "other machines reach this address and the stream is not encrypted; listen on 127.0.0.1 and tunnel over ssh, \
                or add --insecure-plaintext";
            return Err(Error::invalid("--listen", self.listen.to_string(), cause));
        }
        if let Some(name) = self.allow_host.iter().find(|name| !is_host_name(name)) {
            return Err(Error::invalid("--allow-host", name, "it is not a plain host name, without scheme and port"));
        }
        self.validate_spill()?;
        if !(self.oom_threshold > 0.0 && self.oom_threshold <= 1.0) {
            let cause = "it is not a share of the memory, more than 0 and at most 1; 1 and off switch the monitor off";
            return Err(Error::invalid("--oom-threshold", self.oom_threshold.to_string(), cause));
        }
        let store = self.object_store_memory;
        let refused = |cause: String| Err(Error::invalid("--object-store-memory", store.to_string(), cause));
        if store < STORE_MIN {
            return refused(format!("it is less than {STORE_MIN}"));
        }
        if !store.0.is_multiple_of(STORE_UNIT) {
            return refused(format!("{} bytes are not a multiple of {STORE_UNIT}", store.0));
        }
        if store.0 > machine.total_bytes {
            let over = Bytes(store.0 - machine.total_bytes);
            let default = default_store(machine);
            return refused(format!("it is {over} more than there is: {machine}, of which {STORE_PERCENT} % ({default}) is the default"));
        }
        self.validate_offer(machine)
    }

    fn validate_spill(&self) -> Result<(), Error> {
        if !(self.spill_threshold > 0.0 && self.spill_threshold <= 1.0) {
            let cause = "it is not a share of the store, more than 0 and at most 1";
            return Err(Error::invalid("--spill-threshold", self.spill_threshold.to_string(), cause));
        }
        if self.spill_threads == 0 || self.spill_threads > SPILL_THREADS_MAX {
            let cause = format!("it is not between 1 and {SPILL_THREADS_MAX}");
            return Err(Error::invalid("--spill-threads", self.spill_threads.to_string(), cause));
        }
        if self.spill_limit == Some(Bytes(0)) {
            return Err(Error::invalid("--spill-limit", "0", "nothing could be spilled; say --spill off"));
        }
        for (index, path) in self.spill_dir.iter().enumerate() {
            if self.spill_dir.iter().take(index).any(|other| other == path) {
                return Err(Error::invalid("--spill-dir", path.display().to_string(), "it is given twice"));
            }
        }
        self.spill_url.as_deref().map_or(Ok(()), crate::disk::places::check_url)
    }
}

/// The store that an agent gets unasked.
fn default_store(machine: &Machine) -> Bytes {
    let share = machine.available_bytes / 100 * STORE_PERCENT;
    Bytes((share / STORE_UNIT * STORE_UNIT).max(STORE_MIN.0))
}

fn absolute(flag: &str, path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(|error| Error::invalid(flag, path.display().to_string(), error.to_string()))
}

fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

#[cfg(test)]
mod tests;
