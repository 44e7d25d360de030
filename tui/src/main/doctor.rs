//! `plasmon doctor`: what this machine allows, and what would make it better.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use plasmon_protocol::doctor::{Check, text};
use plasmon_protocol::error::Error;

use plasmon_tui::command::{Failure, Target};

use crate::attach_to;

/// `plasmon doctor`
#[derive(Args, Clone, Debug)]
pub(crate) struct Doctor {
    /// Ask this agent about its machine instead of looking at this one
    #[arg(long, value_name = "URL", conflicts_with = "spill_dir")]
    address: Option<String>,
    /// The file with the agent's token
    #[arg(long, env = "PLASMON_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A directory that is to be spilled to; may be given several times [default: where an agent would]
    #[arg(long, value_name = "DIR")]
    spill_dir: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(what: &Doctor) -> Result<(), Failure> {
    let checks = match &what.address {
        Some(address) => {
            let found = attach_to(&Target { address: Some(address.clone()), token_file: what.token_file.clone() })?;
            plasmon_tui::fetch_node(&found.url, found.token.as_deref())?.checks
        }
        None => here(what)?,
    };
    let written = print(&checks, what.json);
    match written {
        // Whoever read has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Error::system("write the checks", error).into()),
        Ok(()) => Ok(()),
    }
}

fn print(checks: &[Check], json: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, checks).map_err(std::io::Error::from)?;
        return writeln!(out);
    }
    out.write_all(text(checks).as_bytes())?;
    out.flush()
}

#[cfg(target_os = "linux")]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere there is nothing to look at")]
fn here(what: &Doctor) -> Result<Vec<Check>, Failure> {
    Ok(crate::local::checks(&what.spill_dir))
}

#[cfg(not(target_os = "linux"))]
fn here(_what: &Doctor) -> Result<Vec<Check>, Failure> {
    Err(Error::invalid("--address", "", "agents run on Linux only: name one of another machine").into())
}
