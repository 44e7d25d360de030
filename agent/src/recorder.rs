//! The flight recorder: a thread that keeps the last minutes of the node's tables in a file of the session, for whoever wants to know
//! afterwards what led to a crash or a kill.
//!
//! It costs the node's thread one comparison in each of its rounds, and at most a hundredth of its time for the copies of the tables; while
//! nothing changes it sleeps without a timer. A file that cannot be written ends the recording, never the agent.

mod file;
mod pace;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use plasmon_protocol::column::Table;
use plasmon_protocol::error::Error;
use plasmon_protocol::recording::{Encoder, FILE, MAX_FILE, Picture, most_rows};
use plasmon_protocol::window::TABLES;

use crate::node::shell::{Command, Remote};
use crate::telemetry::detail::Details;
use crate::telemetry::tables::Tables;
use file::File;
use pace::Pace;

/// What the recorder is told.
enum Word {
    /// Something has changed since the last picture.
    Changed,
    /// Take a picture now, and keep the recording.
    Keep,
    /// The agent ends.
    End,
}

/// The node's side: tells the recorder when there is something to record.
#[derive(Debug)]
pub struct Notifier {
    sender: Sender<Word>,
    /// Whether the recorder knows that something has changed.
    told: bool,
    /// What the tables' version was when they were last taken.
    version: Option<u64>,
}

impl Notifier {
    /// The tables have this version now.
    pub fn notice(&mut self, version: u64) {
        if !self.told && self.version != Some(version) {
            self.told = true;
            // One that has stopped recording does not listen.
            let _ = self.sender.send(Word::Changed);
        }
    }

    /// The tables were taken with this version.
    pub fn taken(&mut self, version: u64) {
        (self.told, self.version) = (false, Some(version));
    }

    /// What is true now is to be recorded at once, and the recording kept.
    pub fn keep(&mut self) {
        let _ = self.sender.send(Word::Keep);
    }
}

/// The recorder of a running agent.
#[derive(Debug)]
pub struct Recorder {
    sender: Sender<Word>,
    thread: Option<JoinHandle<bool>>,
    path: PathBuf,
}

/// The recorder's ends before its thread runs.
pub struct Draft {
    sender: Sender<Word>,
    words: Receiver<Word>,
    path: PathBuf,
}

impl Draft {
    /// For the session in this directory.
    #[must_use]
    pub fn of(session: &Path) -> Self {
        let (sender, words) = mpsc::channel();
        Self { sender, words, path: session.join(FILE) }
    }

    /// The file that it will be.
    #[must_use]
    pub fn path(&self) -> Arc<str> {
        self.path.display().to_string().into()
    }

    /// The node's side.
    #[must_use]
    pub fn notifier(&self) -> Notifier {
        Notifier { sender: self.sender.clone(), told: false, version: None }
    }

    /// Starts the thread, which asks the node through `remote`, and the files through `details`.
    ///
    /// # Errors
    /// [`Error::System`] when there are no more threads.
    pub fn start(self, remote: Remote, details: Details) -> Result<Recorder, Error> {
        let Self { sender, words, path } = self;
        let encoder = Encoder::new()?;
        let place = path.clone();
        let body = move || {
            let mut recording = Recording { words, remote, encoder, details, kept: false };
            if let Err(error) = recording.run(&place) {
                let said = format!("the last minutes are not recorded any more: {}: {error}", place.display());
                tracing::warn!("{said}");
                recording.remote.tell(Command::Warning(said));
                recording.rest();
            }
            recording.kept
        };
        let thread = std::thread::Builder::new().name("recorder".to_owned()).spawn(body);
        Ok(Recorder { sender, thread: Some(thread.map_err(|error| Error::system("start the thread recorder", error))?), path })
    }
}

impl Recorder {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Ends it; the node must have ended. Whether the recording is to be kept; else its file is removed: there is nothing to look back
    /// for.
    pub fn end(&mut self) -> bool {
        // One that panicked has ended as well.
        let _ = self.sender.send(Word::End);
        let kept = self.thread.take().is_some_and(|thread| thread.join().unwrap_or(false));
        if !kept {
            // What cannot be removed goes with the session.
            let _ = std::fs::remove_file(&self.path);
        }
        kept
    }
}

struct Recording {
    words: Receiver<Word>,
    remote: Remote,
    encoder: Encoder,
    details: Details,
    kept: bool,
}

impl Recording {
    /// Records until the agent ends.
    fn run(&mut self, path: &Path) -> std::io::Result<()> {
        let mut file = File::create(path, MAX_FILE)?;
        let mut next = Instant::now();
        let mut pace = Pace::new(next);
        while self.wait(next) {
            let segment = (MAX_FILE / 4) as usize;
            if self.encoder.segment_bytes() > segment {
                self.encoder.cut();
            }
            let Some((mut picture, took)) = self.picture(pace.rows()) else { continue };
            let at_ms = picture.at_ms;
            let now = Instant::now();
            picture.details.iter_mut().for_each(|detail| self.details.complete(detail, now));
            let lines = self.encoder.write(&picture).map_err(std::io::Error::other)?;
            drop(picture);
            file.append(&lines, at_ms)?;
            next = pace.next(lines.text.len() as u64, took, Instant::now());
        }
        Ok(())
    }

    /// Waits for something to record, and then until it is time, unless that is wanted at once. `false` when the agent ends.
    fn wait(&mut self, next: Instant) -> bool {
        let mut word = self.words.recv().map_err(|_| RecvTimeoutError::Disconnected);
        loop {
            match word {
                Ok(Word::Changed) => {}
                Ok(Word::Keep) => {
                    self.kept = true;
                    return true;
                }
                Err(RecvTimeoutError::Timeout) => return true,
                Ok(Word::End) | Err(RecvTimeoutError::Disconnected) => return false,
            }
            word = self.words.recv_timeout(next.saturating_duration_since(Instant::now()));
        }
    }

    /// Listens without recording.
    fn rest(&mut self) {
        while let Ok(word) = self.words.recv() {
            match word {
                Word::Changed => {}
                Word::Keep => self.kept = true,
                Word::End => return,
            }
        }
    }

    /// The tables now, and what that took of the node's time; nothing when the node ends.
    fn picture(&mut self, rows: usize) -> Option<(Picture, Duration)> {
        let (sender, answer) = mpsc::sync_channel(1);
        self.remote.tell(Command::Record(Box::new(move |tables: &mut dyn Tables| {
            let began = Instant::now();
            let tables_now: Vec<_> = TABLES.into_iter().map(|table: Table| tables.take(table, rows.min(most_rows(table)))).collect();
            let details = tables.recorded(&tables_now);
            let picture = Picture { at_ms: tables.now_ms(), node: tables.node(), tables: tables_now, details };
            // The recorder waits.
            let _ = sender.send((picture, began.elapsed()));
        })));
        answer.recv().ok()
    }
}

#[cfg(test)]
mod tests;
