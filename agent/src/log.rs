//! Logs: one line for each event, to stderr or to a file of the session, never to stdout.
//!
//! `PLASMON_LOG` filters, in the usual language of directives (`debug`, `plasmon_agent::session=trace,warn`); `info` when not set.

use std::fmt;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use plasmon_protocol::error::Error;
use tracing::Subscriber;
use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriter};

/// The variable with the filter.
const FILTER: &str = "PLASMON_LOG";

/// Where the lines go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// The standalone agent's.
    Stderr,
    /// An embedded agent's: appended to, made with mode 0600.
    File(PathBuf),
}

/// Starts logging, for the rest of this process.
///
/// # Errors
/// [`Error::Invalid`] when the filter is malformed; [`Error::System`] when the file cannot be opened, or this process logs already.
pub fn start(target: Target) -> Result<(), Error> {
    let filter = match std::env::var(FILTER) {
        Ok(directives) => parse_filter(&directives)?,
        Err(std::env::VarError::NotPresent) => parse_filter("")?,
        Err(std::env::VarError::NotUnicode(value)) => {
            return Err(Error::invalid(FILTER, value.to_string_lossy(), "it is not text"));
        }
    };
    let writer = match target {
        Target::Stderr => BoxMakeWriter::new(std::io::stderr),
        Target::File(path) => {
            let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
            BoxMakeWriter::new(Arc::new(file.map_err(|error| Error::system(format!("open the log {}", path.display()), error))?))
        }
    };
    tracing::subscriber::set_global_default(subscriber(filter, writer)).map_err(|error| Error::system("start logging", error))
}

fn parse_filter(directives: &str) -> Result<EnvFilter, Error> {
    let directives = directives.trim();
    let directives = if directives.is_empty() { "info" } else { directives };
    EnvFilter::builder().parse(directives).map_err(|error| Error::invalid(FILTER, directives, error.to_string()))
}

fn subscriber<W>(filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(false)
        // A full disk or a closed stderr costs the line, not the agent.
        .log_internal_errors(false)
        .fmt_fields(debug_fn(write_field).delimited(" "))
        .finish()
}

/// A field's text as one line without control characters, so that no value can look like a line of its own or reach a terminal's
/// escape sequences.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let mut escaped = Escaped(writer);
    use fmt::Write as _;
    match field.name() {
        "message" => write!(escaped, "{value:?}"),
        name => write!(escaped, "{name}={value:?}"),
    }
}

struct Escaped<'a, 'w>(&'a mut Writer<'w>);

impl fmt::Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for plain in text.split_inclusive(unprintable) {
            match plain.char_indices().next_back() {
                Some((at, last)) if unprintable(last) => {
                    self.0.write_str(&plain[..at])?;
                    write!(self.0, "{}", last.escape_default())?;
                }
                _ => self.0.write_str(plain)?,
            }
        }
        Ok(())
    }
}

/// Controls, the two separators that some readers take for the end of a line, and what reorders text.
fn unprintable(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(filter: &str, log: impl FnOnce()) -> String {
        let memory = Memory::default();
        let make = memory.clone();
        tracing::subscriber::with_default(subscriber(parse_filter(filter).unwrap(), move || make.clone()), log);
        String::from_utf8(memory.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn no_value_makes_a_line_of_its_own() {
        let evil = "x\n2026-01-01 ERROR forged\r\u{1b}[31m\u{9b}0m\u{2028}\u{202e}";
        let text = logged("", || {
            let span = tracing::info_span!("span", inside = evil, shown = %evil);
            let _entered = span.enter();
            tracing::warn!(quoted = evil, shown = %evil, debug = ?Some(evil), count = 3, "hello {evil}");
            tracing::error!(cause = &io::Error::other(evil) as &dyn std::error::Error, "failed");
        });
        assert_eq!(text.lines().count(), 2, "{text}");
        assert_eq!(text.chars().filter(|c| unprintable(*c)).collect::<String>(), "\n\n");
        for part in [" WARN ", "hello x\\n2026", "\\u{1b}[31m", "count=3", "shown=x\\n", "quoted=\"x\\n", "\\u{202e}", "cause=x\\n"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn the_filter_decides() {
        let log = || {
            tracing::debug!("low");
            tracing::info!("middle");
            tracing::error!("high");
        };
        for (filter, seen) in [("", 2), (" ", 2), ("DEBUG", 3), ("warn", 1), ("off", 0), ("off,no::such=trace", 0)] {
            assert_eq!(logged(filter, log).lines().count(), seen, "{filter}");
        }
        let error = parse_filter("plasmon=loud").unwrap_err().to_string();
        assert!(error.starts_with("PLASMON_LOG 'plasmon=loud' is not valid: "), "{error}");
    }

    #[test]
    fn a_log_file_is_private_and_appended_to() {
        if let Some(path) = std::env::var_os("LOG_FILE") {
            start(Target::File(path.into())).unwrap();
            tracing::info!("begun");
            assert_eq!(start(Target::Stderr).unwrap_err().code(), "system");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.log");
        for lines in 1..=2 {
            let mut child = std::process::Command::new(std::env::current_exe().unwrap());
            child.args(["--exact", "log::tests::a_log_file_is_private_and_appended_to"]).env("LOG_FILE", &path).env_remove(FILTER);
            assert!(child.output().unwrap().status.success());
            assert_eq!(std::fs::read_to_string(&path).unwrap().matches("begun").count(), lines);
        }
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
        assert_eq!(mode & 0o077, 0);
        let missing = Target::File(directory.path().join("no/agent.log"));
        let error = start(missing).unwrap_err();
        assert!(error.code() == "system" && error.to_string().contains("no/agent.log"), "{error}");
    }
}
