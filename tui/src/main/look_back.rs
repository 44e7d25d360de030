//! What `plasmon record` and `plasmon replay` do.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use plasmon_protocol::column::Table;
use plasmon_protocol::error::Error;
use plasmon_protocol::size::Bytes;
use plasmon_tui::link::websocket::Door;
use plasmon_tui::record::{Ending, Progress, record};
use plasmon_tui::recording::Recording;

use crate::looks::Looks;
use plasmon_tui::command::{Failure, Memory, Target};

use crate::attach_to;

/// No recording is larger, bytes.
const LARGEST: u64 = 1 << 30;

/// `plasmon record`
#[derive(Args, Debug)]
pub(crate) struct RecordOptions {
    /// The file to write; `plasmon replay` opens it
    file: PathBuf,
    #[command(flatten)]
    target: Target,
    /// Stop after this many seconds [default: on Ctrl-C, or when the agent ends]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    /// Write over a file that exists
    #[arg(long)]
    force: bool,
}

/// `plasmon replay`
#[derive(Args, Debug)]
pub(crate) struct ReplayOptions {
    /// What `plasmon record` has written, or what an agent has left
    file: PathBuf,
    #[command(flatten)]
    looks: Looks,
}

fn refused(action: &str, path: &Path, error: &std::io::Error) -> Failure {
    let exists = error.kind() == std::io::ErrorKind::AlreadyExists;
    let hint = if exists { "give another name, or --force to write over it" } else { "give a file in a place that can be written" };
    Failure { message: Error::system(format!("{action} {}", path.display()), error).to_string(), hint: hint.to_owned() }
}

/// Records until it is told to stop, or the agent ends.
pub(crate) fn run_record(options: &RecordOptions) -> Result<(), Failure> {
    let path = &options.file;
    let found = attach_to(&options.target)?;
    let door = Door { url: found.url, token: found.token };
    let open = || {
        let mut open = OpenOptions::new();
        open.write(true).create(true);
        if options.force {
            open.truncate(true)
        } else {
            open.create_new(true)
        };
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
        open.open(path)
    };
    let file = open().map_err(|error| refused("write", path, &error))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(plasmon_tui::Error::Runtime)?;
    let stderr_is_terminal = std::io::stderr().is_terminal();
    let ended = runtime.block_on(async {
        let mut signals = plasmon_tui::run::Signals::new().map_err(plasmon_tui::Error::Runtime)?;
        let told = async {
            match options.seconds {
                Some(seconds) => tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
                    () = signals.next() => {}
                },
                None => signals.next().await,
            }
        };
        let tell = |progress: Progress| {
            // One line that changes, where somebody looks; else only the last.
            if stderr_is_terminal {
                let _ = write!(std::io::stderr(), "\rrecording: {}\x1b[K", words(progress));
            }
        };
        record(&door, std::io::BufWriter::new(file), told, tell).await
    });
    if stderr_is_terminal {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
    let (progress, ending) = match ended {
        Ok(ended) => ended,
        Err(error) => {
            // A file with nothing in it is of no use, and would be in the way of the next attempt.
            if std::fs::metadata(path).is_ok_and(|facts| facts.is_file() && facts.len() == 0) {
                let _ = std::fs::remove_file(path);
            }
            return Err(error.into());
        }
    };
    let why = match ending {
        Ending::Told => String::new(),
        Ending::Agent(cause) => format!(" ({cause})"),
    };
    if progress.pictures == 0 {
        // There is nothing to replay.
        let _ = std::fs::remove_file(path);
        let message = format!("nothing was recorded into {}{why}: it ended before the first picture", path.display());
        return Err(Failure { message, hint: "record for longer: --seconds, or until Ctrl-C".to_owned() });
    }
    let _ = writeln!(std::io::stderr(), "recorded {}{why}: plasmon replay {}", words(progress), path.display());
    if progress.left_out > 0 {
        let (rows, all) = (progress.left_out, "the largest rows and the totals of all");
        let _ = writeln!(std::io::stderr(), "note: of long tables {all} were recorded; {rows} other rows at most were not");
    }
    Ok(())
}

fn words(progress: Progress) -> String {
    format!("{} pictures over {} s, {}", progress.pictures, progress.span_ms / 1000, Bytes(progress.bytes))
}

/// Opens a recording: in the dashboard on a terminal, else as the report of its last instant.
pub(crate) fn run_replay(options: &ReplayOptions) -> Result<(), Failure> {
    let path = find(&options.file);
    let bytes = read(&path)?;
    let mut recording = Recording::read(bytes).map_err(|damage| Failure {
        message: format!("{} cannot be replayed: {damage}", path.display()),
        hint: damage.hint().to_owned(),
    })?;
    if crate::can_be_drawn_on() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        plasmon_tui::replay(recording, plasmon_tui::recording::harmless(name), options.looks.theme()?)?;
        return Ok(());
    }
    let end_ms = recording.timeline().end_ms;
    recording.seek(end_ms);
    let left_out = recording.left_out(Table::References);
    if left_out > 0 {
        let _ = writeln!(std::io::stderr(), "note: the largest references were recorded, {left_out} others were not");
    }
    plasmon_tui::command::print(&recording.report(end_ms), &Memory::of_everything()).map(drop)
}

/// A session's recording goes elsewhere when the session is swept; whoever was told its first place finds it there.
fn find(path: &Path) -> PathBuf {
    #[cfg(target_os = "linux")]
    if !path.exists()
        && let Some(session) = path.parent().and_then(Path::file_name)
        && let Some(kept) = plasmon_agent::session::kept_recording(session)
    {
        return kept;
    }
    path.to_owned()
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| Failure {
        message: Error::system(format!("read {}", path.display()), error).to_string(),
        hint: "recordings of agents that died are in `plasmon` below XDG_STATE_HOME or ~/.local/state".to_owned(),
    };
    let file = File::open(path).map_err(failed)?;
    let facts = file.metadata().map_err(failed)?;
    if facts.is_dir() || facts.len() > LARGEST {
        let cause = if facts.is_dir() { "it is a directory".to_owned() } else { format!("it has more than {}", Bytes(LARGEST)) };
        return Err(Error::invalid("recording", path.display().to_string(), cause).into());
    }
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
