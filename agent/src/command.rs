//! The command `plasmon-agent`, which is `plasmon agent` too: an agent of its own, until it is told to stop.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use plasmon_protocol::error::Error;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{AgentOptions, Config, Kind};
use crate::log;
use crate::machine::Machine;
use crate::node::shell::Stop;
use crate::running::Agent;

/// Run the agent of this node: object store, scheduler and live stream, without a dashboard
#[derive(Parser, Debug)]
#[command(name = "plasmon-agent", version)]
struct Command {
    #[command(flatten)]
    options: AgentOptions,
}

/// Runs the command with these arguments, the program's name first.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let command = match Command::try_parse_from(arguments) {
        Ok(command) => command,
        Err(error) => {
            // Help and version are no errors, nor is a closed pipe.
            if !error.use_stderr() {
                let _ = error.print();
                return ExitCode::SUCCESS;
            }
            let text = error.render().to_string().replace("For more information, try '--help'.", "hint: see --help for what is accepted");
            let _ = std::io::stderr().write_all(text.as_bytes());
            return ExitCode::from(2);
        }
    };
    match run(command.options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}\nhint: {}", error.hint());
            ExitCode::from(2)
        }
    }
}

/// Runs an agent until SIGTERM, SIGINT or SIGHUP; then until its running tasks have ended, for at most the drain time. A second signal
/// ends it at once.
///
/// # Errors
/// Whatever keeps it from starting.
pub fn run(options: AgentOptions) -> Result<(), Error> {
    let print = options.print_config;
    let config = Config::resolve(options, Kind::Standalone, &Machine::read()?)?;
    if print {
        let text = config.to_toml()?;
        // A closed pipe is the reader's choice.
        let _ = std::io::stdout().write_all(text.as_bytes());
        return Ok(());
    }
    log::start(log::Target::Stderr)?;
    let refused = |error: std::io::Error| Error::system("wait for signals", error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(refused)?;
    runtime.block_on(async {
        // Before the agent starts: a signal that comes early must not end it half made.
        let mut terminate = signal(SignalKind::terminate()).map_err(refused)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(refused)?;
        let mut hangup = signal(SignalKind::hangup()).map_err(refused)?;
        let mut told = async || {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM".to_owned(),
                _ = interrupt.recv() => "SIGINT".to_owned(),
                _ = hangup.recv() => "SIGHUP".to_owned(),
            }
        };
        let mut agent = Agent::start(&config, "itself")?;
        agent.stop(Stop::Drain { cause: told().await, limit: config.drain_timeout() });
        let mut again = None;
        tokio::select! {
            () = agent.ended() => {}
            cause = told() => again = Some(cause),
        }
        if let Some(cause) = again {
            agent.stop(Stop::Now { cause: format!("a second signal, {cause}") });
            agent.ended().await;
        }
        // The stream ends and the session's directory goes with it.
        drop(agent);
        Ok(())
    })
}
