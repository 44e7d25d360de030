//! Flags between the processes of a test: files in its scratch directory, which workers know too.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::alone::directory;

/// A flag that one process raises, with a word, and any process waits for.
#[derive(Clone, Debug)]
pub(crate) struct Flag(PathBuf);

impl Flag {
    /// The flag of that name; lowered at first.
    pub(crate) fn named(name: &str) -> Self {
        Self(directory().join(format!("flag-{name}")))
    }

    /// Raises it.
    pub(crate) fn raise(&self) {
        self.say("");
    }

    /// Raises it with a word. Readers see the whole word or none.
    pub(crate) fn say(&self, word: &str) {
        let draft = self.0.with_extension(format!("{}-{:?}", std::process::id(), std::thread::current().id()));
        std::fs::write(&draft, word).expect("the scratch directory is writable");
        std::fs::rename(&draft, &self.0).expect("the scratch directory is writable");
    }

    /// Whether it is raised.
    pub(crate) fn is_raised(&self) -> bool {
        self.0.exists()
    }

    /// Lowers it; false when it was not raised.
    pub(crate) fn lower(&self) -> bool {
        std::fs::remove_file(&self.0).is_ok()
    }

    /// Waits until it is raised: its word.
    #[track_caller]
    pub(crate) fn wait(&self) -> String {
        let deadline = Instant::now() + 2 * super::PATIENCE;
        loop {
            if let Ok(word) = std::fs::read_to_string(&self.0) {
                return word;
            }
            assert!(Instant::now() < deadline, "{} was never raised", self.0.display());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
