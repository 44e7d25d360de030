//! What can be said about an agent on the command line, in the environment and in a file.

use std::error::Error as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::builder::BoolishValueParser;
use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser};
use plasmon_protocol::error::Error;
use plasmon_protocol::resources::Amount;
use plasmon_protocol::size::Bytes;
use serde::{Deserialize, Deserializer};

use super::Custom;

/// The options of an agent, each of them open. A flag's value goes before that of its `PLASMON_` variable, and both before the file's.
/// The keys of the file are the names of the flags.
#[derive(Args, Clone, PartialEq, Debug, Default, Deserialize)]
#[command(next_help_heading = "Agent options")]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct AgentOptions {
    /// Serve the live stream at this address and port
    #[arg(long, env = "PLASMON_LISTEN", value_name = "IP:PORT", value_parser = parse_listen)]
    pub listen: Option<SocketAddr>,
    /// Accept this host name in requests, beside IP addresses and localhost; may be repeated
    #[arg(long, env = "PLASMON_ALLOW_HOST", value_name = "NAME", value_delimiter = ',')]
    pub allow_host: Vec<String>,
    /// Let --listen be an address that other machines reach, although the stream is not encrypted
    #[arg(long, env = "PLASMON_INSECURE_PLAINTEXT", value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub insecure_plaintext: Option<bool>,
    /// Take the stream's token from this file, made if it is missing
    #[arg(long, env = "PLASMON_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Read further options from this TOML file
    #[arg(long, env = "PLASMON_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Keep the session's directory here [default: the system's temporary directory]
    #[arg(long, env = "PLASMON_TEMP_DIR", value_name = "DIR")]
    pub temp_dir: Option<PathBuf>,
    /// Offer this many CPUs to tasks, fractions allowed [default: all that this process may use]
    #[arg(long, env = "PLASMON_NUM_CPUS", value_name = "N", value_parser = parse_amount)]
    pub num_cpus: Option<Amount>,
    /// Offer this many GPUs to tasks [default: all that this process may use]
    #[arg(long, env = "PLASMON_NUM_GPUS", value_name = "N", value_parser = parse_amount)]
    pub num_gpus: Option<Amount>,
    /// Offer so much heap to tasks that ask for some, such as 2GiB [default: what the store leaves of available memory]
    #[arg(long, env = "PLASMON_MEMORY", value_name = "SIZE", value_parser = parse_size)]
    #[serde(deserialize_with = "size")]
    pub memory: Option<Bytes>,
    /// Offer custom resources, such as '{"db": 4}'; CPU, GPU and memory may be named, too
    #[arg(long, env = "PLASMON_RESOURCES", value_name = "JSON", value_parser = parse_resources)]
    #[serde(deserialize_with = "resources")]
    pub resources: Option<Custom>,
    /// Fail tasks that ask for more than the node has, instead of keeping them waiting
    #[arg(long, env = "PLASMON_FAIL_INFEASIBLE", value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub fail_infeasible: Option<bool>,
    /// Keep at most so much of finished tasks, to run them again should their results be lost [default: 64MiB]
    #[arg(long, env = "PLASMON_LINEAGE_LIMIT", value_name = "SIZE", value_parser = parse_size)]
    #[serde(deserialize_with = "size")]
    pub lineage_limit: Option<Bytes>,
    /// Capacity of the object store, such as 512MiB or 2GB [default: 30 % of available memory]
    #[arg(long, env = "PLASMON_OBJECT_STORE_MEMORY", value_name = "SIZE", value_parser = parse_size)]
    #[serde(deserialize_with = "size")]
    pub object_store_memory: Option<Bytes>,
    /// Let running and queued tasks go on for this many seconds after SIGTERM [default: 30]
    #[arg(long, env = "PLASMON_DRAIN_TIMEOUT", value_name = "SECONDS", value_parser = parse_seconds)]
    pub drain_timeout: Option<u32>,
    /// Move objects to external storage when the store fills up, and back when they are asked for [default: on]
    #[arg(long, env = "PLASMON_SPILL", value_name = "on|off", hide_possible_values = true, value_parser = BoolishValueParser::new())]
    pub spill: Option<bool>,
    /// Spill to this directory; may be repeated [default: the session's directory]
    #[arg(long, env = "PLASMON_SPILL_DIR", value_name = "DIR", value_delimiter = ',')]
    pub spill_dir: Vec<PathBuf>,
    /// Spill to object storage, such as s3://bucket/prefix
    #[arg(long, env = "PLASMON_SPILL_URL", value_name = "URL")]
    pub spill_url: Option<String>,
    /// Spill at most so many bytes, such as 100GiB [default: what the disks hold]
    #[arg(long, env = "PLASMON_SPILL_LIMIT", value_name = "SIZE", value_parser = parse_size)]
    #[serde(deserialize_with = "size")]
    pub spill_limit: Option<Bytes>,
    /// Begin to spill when this share of the store is in use [default: 0.8]
    #[arg(long, env = "PLASMON_SPILL_THRESHOLD", value_name = "FRACTION", value_parser = parse_fraction)]
    pub spill_threshold: Option<f64>,
    /// Write with so many threads, and read with as many [default: 4]
    #[arg(long, env = "PLASMON_SPILL_THREADS", value_name = "N", value_parser = parse_threads)]
    pub spill_threads: Option<u32>,
    /// End workers before the kernel does when more than this share of memory is in use; 1 or off for never [default: 0.95]
    #[arg(long, env = "PLASMON_OOM_THRESHOLD", value_name = "FRACTION|off", value_parser = parse_oom_threshold)]
    #[serde(deserialize_with = "oom_threshold")]
    pub oom_threshold: Option<f64>,
    /// End no worker while so much memory is free, such as 2GiB, whatever --oom-threshold says
    #[arg(long, env = "PLASMON_OOM_MIN_FREE", value_name = "SIZE", value_parser = parse_size)]
    #[serde(deserialize_with = "size")]
    pub oom_min_free: Option<Bytes>,
    /// Only tell which worker would be ended
    #[arg(long, env = "PLASMON_OOM_DRY_RUN", value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub oom_dry_run: Option<bool>,
    /// Try a task again so often whose worker was ended for want of memory [default: as often as it takes]
    #[arg(long, env = "PLASMON_OOM_RETRIES", value_name = "N", value_parser = parse_retries)]
    pub oom_retries: Option<u32>,
    /// Print the configuration that all of this amounts to, as TOML, and exit
    #[arg(long)]
    #[serde(skip)]
    pub print_config: bool,
}

impl AgentOptions {
    /// What the environment says.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the variable and its value.
    pub fn from_environment() -> Result<Self, Error> {
        #[derive(Parser)]
        struct Environment {
            #[command(flatten)]
            options: AgentOptions,
        }
        match Environment::try_parse_from(["plasmon"]) {
            Ok(environment) => Ok(environment.options),
            Err(error) => {
                let text = |kind| match error.get(kind) {
                    Some(ContextValue::String(text)) => text.clone(),
                    _ => String::new(),
                };
                let flag = text(ContextKind::InvalidArg);
                let flag = flag.trim_start_matches('-').split([' ', '=', '[']).next().unwrap_or_default();
                let variable = format!("PLASMON_{}", flag.replace('-', "_").to_ascii_uppercase());
                let cause = error.source().map_or_else(|| error.kind().to_string(), ToString::to_string);
                Err(Error::invalid(variable, text(ContextKind::InvalidValue), cause))
            }
        }
    }

    /// What `file` says. Relative paths in it are relative to its own directory.
    ///
    /// # Errors
    /// [`Error::System`] when it cannot be read; [`Error::Invalid`] naming file, key and value.
    pub fn from_file(file: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(file).map_err(|error| Error::system(format!("read {}", file.display()), error))?;
        let mut options = Self::from_toml(&text, &file.display().to_string())?;
        let directory = file.parent().unwrap_or(Path::new(""));
        for path in [&mut options.token_file, &mut options.temp_dir].into_iter().flatten().chain(&mut options.spill_dir) {
            *path = directory.join(&*path);
        }
        Ok(options)
    }

    fn from_toml(text: &str, file: &str) -> Result<Self, Error> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map_or(1, |span| 1 + text.as_bytes().iter().take(span.start).filter(|c| **c == b'\n').count());
            Error::invalid(format!("line {line} of {file}"), text.lines().nth(line - 1).unwrap_or_default(), error.message())
        })?;
        // One key at a time: then each error has its key and value.
        table.into_iter().try_fold(Self::default(), |options, (key, value)| {
            let shown = value.to_string();
            let one = toml::Table::from_iter([(key.clone(), value)]);
            let one: Self = one.try_into().map_err(|error: toml::de::Error| {
                let shown = shown.strip_prefix('"').and_then(|shown| shown.strip_suffix('"')).unwrap_or(&shown);
                Error::invalid(format!("{key} in {file}"), shown, error.message())
            })?;
            Ok(options.over(one))
        })
    }

    /// These options, and those of `below` where these are open.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            listen: self.listen.or(below.listen),
            allow_host: if self.allow_host.is_empty() { below.allow_host } else { self.allow_host },
            insecure_plaintext: self.insecure_plaintext.or(below.insecure_plaintext),
            token_file: self.token_file.or(below.token_file),
            config: self.config.or(below.config),
            temp_dir: self.temp_dir.or(below.temp_dir),
            num_cpus: self.num_cpus.or(below.num_cpus),
            num_gpus: self.num_gpus.or(below.num_gpus),
            memory: self.memory.or(below.memory),
            resources: self.resources.or(below.resources),
            fail_infeasible: self.fail_infeasible.or(below.fail_infeasible),
            lineage_limit: self.lineage_limit.or(below.lineage_limit),
            object_store_memory: self.object_store_memory.or(below.object_store_memory),
            drain_timeout: self.drain_timeout.or(below.drain_timeout),
            spill: self.spill.or(below.spill),
            spill_dir: if self.spill_dir.is_empty() { below.spill_dir } else { self.spill_dir },
            spill_url: self.spill_url.or(below.spill_url),
            spill_limit: self.spill_limit.or(below.spill_limit),
            spill_threshold: self.spill_threshold.or(below.spill_threshold),
            spill_threads: self.spill_threads.or(below.spill_threads),
            oom_threshold: self.oom_threshold.or(below.oom_threshold),
            oom_min_free: self.oom_min_free.or(below.oom_min_free),
            oom_dry_run: self.oom_dry_run.or(below.oom_dry_run),
            oom_retries: self.oom_retries.or(below.oom_retries),
            print_config: self.print_config || below.print_config,
        }
    }
}

fn parse_listen(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "it is not an IP address and port, such as 127.0.0.1:6480")
}

fn parse_amount(text: &str) -> Result<Amount, String> {
    text.parse().map_err(cause)
}

fn parse_resources(text: &str) -> Result<Custom, String> {
    text.parse().map_err(cause)
}

/// Resources are a table, or a text of JSON.
fn resources<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Custom>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "resources are a table of amounts by name, or a text such as '{\"db\": 4}'")]
    enum Written {
        Table(Custom),
        Text(String),
    }
    match Written::deserialize(deserializer)? {
        Written::Table(custom) => Ok(Some(custom)),
        Written::Text(text) => text.parse().map(Some).map_err(|error| serde::de::Error::custom(cause(error))),
    }
}

fn parse_seconds(text: &str) -> Result<u32, &'static str> {
    text.parse().map_err(|_| "it is not a whole number of seconds")
}

fn parse_fraction(text: &str) -> Result<f64, &'static str> {
    text.trim().parse().map_err(|_| "it is not a number, such as 0.8")
}

fn parse_retries(text: &str) -> Result<u32, &'static str> {
    text.parse().map_err(|_| "it is not a whole number of times")
}

fn parse_oom_threshold(text: &str) -> Result<f64, &'static str> {
    if text.trim().eq_ignore_ascii_case("off") { Ok(1.0) } else { parse_fraction(text) }
}

fn parse_threads(text: &str) -> Result<u32, &'static str> {
    text.parse().map_err(|_| "it is not a whole number of threads")
}

fn parse_size(text: &str) -> Result<Bytes, String> {
    text.parse().map_err(cause)
}

/// What is wrong, without the value: the caller names that.
fn cause(error: Error) -> String {
    match error {
        Error::Invalid { cause, .. } => cause,
        other => other.to_string(),
    }
}

/// A size is a number of bytes or a text with a unit.
fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bytes>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a size is a number of bytes, or a text such as \"512MiB\"")]
    enum Size {
        Number(u64),
        Text(String),
    }
    match Size::deserialize(deserializer)? {
        Size::Number(bytes) => parse_size(&bytes.to_string()),
        Size::Text(text) => parse_size(&text),
    }
    .map(Some)
    .map_err(serde::de::Error::custom)
}

/// A share is a number, or `off`.
fn oom_threshold<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a share is a number such as 0.95, or \"off\"")]
    enum Share {
        Number(f64),
        Text(String),
    }
    match Share::deserialize(deserializer)? {
        Share::Number(share) => Ok(share),
        Share::Text(text) => parse_oom_threshold(&text),
    }
    .map(Some)
    .map_err(serde::de::Error::custom)
}
