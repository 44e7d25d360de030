//! The part of the command line that Rust's command and Python's share: which agent, how a failure is told, and the report.
//!
//! - [`memory`]: `plasmon memory`; [`fail_on`]: the conditions that make its exit code 1.

mod fail_on;
mod memory;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
pub use memory::{Memory, memory_report, print, report, run_memory};
use plasmon_protocol::error::Error;
use plasmon_protocol::filter::FilterError;

/// Which agent.
#[derive(Args, Clone, Debug, Default)]
pub struct Target {
    /// The agent's stream, such as ws://127.0.0.1:6480 [default: this user's newest live agent]
    #[arg(long, value_name = "URL")]
    pub address: Option<String>,
    /// The file with the agent's token
    #[arg(long, env = "PLASMON_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// What went wrong, in words, and what to do.
#[derive(Debug)]
pub struct Failure {
    /// What failed, with which value.
    pub message: String,
    /// What to do; may be empty.
    pub hint: String,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { message: error.to_string(), hint: error.hint().to_owned() }
    }
}

impl From<crate::Error> for Failure {
    fn from(error: crate::Error) -> Self {
        Self { message: error.to_string(), hint: error.hint() }
    }
}

impl From<FilterError> for Failure {
    fn from(error: FilterError) -> Self {
        Self { message: error.to_string(), hint: error.hint }
    }
}

/// An agent that can be asked.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its stream.
    pub url: String,
    /// What lets one in.
    pub token: Option<String>,
}

impl Failure {
    /// Tells it on standard error; the exit code.
    #[must_use]
    pub fn told(&self) -> ExitCode {
        let mut stderr = std::io::stderr();
        // Nobody to tell: the exit code says it.
        let _ = writeln!(stderr, "error: {}", self.message);
        if !self.hint.is_empty() {
            let _ = writeln!(stderr, "hint: {}", self.hint);
        }
        ExitCode::from(2)
    }
}

impl Target {
    /// The agent that is named; `newest` finds the one that is meant where none is, with the token in this file if one is named.
    ///
    /// # Errors
    /// The token cannot be read; whatever `newest` says.
    pub fn find(&self, newest: impl FnOnce(Option<&Path>) -> Result<Found, Failure>) -> Result<Found, Failure> {
        match &self.address {
            Some(address) => Ok(Found { url: stream_url(address), token: self.token_file.as_deref().map(read_token).transpose()? }),
            None => newest(self.token_file.as_deref()),
        }
    }
}

/// Help and version, which are no errors, go to stdout; what is wrong with the command line ends with a hint as every error does.
#[must_use]
pub fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // A closed pipe is the reader's choice.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.render().to_string().replace("For more information, try '--help'.", "hint: see --help for what is accepted");
    // Nobody to tell: the exit code says it.
    let _ = std::io::stderr().write_all(text.as_bytes());
    ExitCode::from(2)
}

/// `host:port` is as good as `ws://host:port`.
#[must_use]
pub fn stream_url(address: &str) -> String {
    if address.contains("://") { address.to_owned() } else { format!("ws://{address}") }
}

/// The token in a file. A client never makes one.
///
/// # Errors
/// It cannot be read, or is empty.
pub fn read_token(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::system(format!("read the token file {}", path.display()), error))?;
    let token = text.trim();
    if token.is_empty() {
        return Err(Error::invalid("token file", path.display().to_string(), "it is empty").into());
    }
    Ok(token.to_owned())
}
