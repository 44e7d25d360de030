//! Feeds decoders with nonsense: for tests, which call it with a corpus and what to try on each input.
//!
//! A corpus is a directory of small files. [`Corpus::holds`] keeps it in step with the vocabulary: examples are written by the
//! encoders. [`Corpus::run`] tries every file, then inputs that [`mutate`] makes of them; an input that the decoder takes becomes a
//! parent of others. Everything follows from the seed.
//!
//! | variable | meaning |
//! |---|---|
//! | `FUZZ_INPUTS=1000000` | inputs for each target; 2,000 without it |
//! | `FUZZ_SEED=7` | another run; 1 without it |
//! | `FUZZ_BLESS=1` | writes the examples into the corpus instead of comparing them |
//! | `FUZZ_KEEP=1` | keeps each input in a file before it is tried, for what ends the whole process |
//!
//! What must hold: no panic, no input that takes longer than [`PATIENCE`], never more memory than [`MEMORY`]. An input that breaks
//! this is written to a file, which the message names; it belongs into the corpus as `found-NAME`.

pub mod mutate;
pub mod random;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use mutate::Mutator;
use random::Random;

/// How long one input may take; longer is a hang.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// What the process may allocate while it decodes nonsense, bytes. An allocation that asks for more aborts the test.
pub const MEMORY: u64 = 2 << 30;
/// Inputs for each target when nothing else is said.
const INPUTS: u64 = 2000;
/// No input is longer, in bytes.
pub const MAX_INPUT: usize = 8 << 10;
/// Inputs that may become parents of others.
const MAX_PARENTS: usize = 512;
/// What files of inputs that once broke something begin with.
const FOUND: &str = "found-";

/// A corpus beside the tests of a crate: `tests/corpus/NAME`.
#[derive(Clone, Copy, Debug)]
pub struct Corpus {
    /// Its directory's name.
    pub name: &'static str,
    /// Its directory.
    pub directory: &'static str,
    /// Where inputs that break something are written.
    pub scratch: &'static str,
    /// Words that mean something to the decoder.
    pub words: &'static [&'static str],
}

/// The corpus of that name of the calling crate.
#[macro_export]
macro_rules! corpus {
    ($name:literal) => {
        $crate::Corpus {
            name: $name,
            directory: concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/", $name),
            scratch: env!("CARGO_TARGET_TMPDIR"),
            words: &[],
        }
    };
}

impl Corpus {
    /// With words that mean something to the decoder.
    #[must_use]
    pub fn words(self, words: &'static [&'static str]) -> Self {
        Self { words, ..self }
    }

    /// Checks that the corpus consists of exactly these examples, beside the inputs that once broke something. With `FUZZ_BLESS` it
    /// does from here on.
    ///
    /// # Panics
    /// When it does not: that is what a test is for.
    pub fn holds(&self, examples: &[(String, Vec<u8>)]) {
        let expected: BTreeMap<String, Vec<u8>> = examples.iter().cloned().collect();
        assert_eq!(expected.len(), examples.len(), "two examples of {} have one name", self.name);
        if std::env::var_os("FUZZ_BLESS").is_some() {
            self.bless(&expected);
        }
        let mut there = self.files();
        there.retain(|name, _| !name.starts_with(FOUND));
        let differs: Vec<&String> = expected.keys().chain(there.keys()).filter(|name| expected.get(*name) != there.get(*name)).collect();
        assert!(differs.is_empty(), "{} is not in step with the vocabulary: {differs:?}; FUZZ_BLESS=1 writes it anew", self.directory);
    }

    fn bless(&self, expected: &BTreeMap<String, Vec<u8>>) {
        let write = || {
            std::fs::create_dir_all(self.directory)?;
            for name in self.files().keys().filter(|name| !name.starts_with(FOUND) && !expected.contains_key(*name)) {
                std::fs::remove_file(PathBuf::from(self.directory).join(name))?;
            }
            expected.iter().try_for_each(|(name, bytes)| std::fs::write(PathBuf::from(self.directory).join(name), bytes))
        };
        if let Err(error) = write() {
            panic!("cannot write {}: {error}", self.directory);
        }
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let Ok(entries) = std::fs::read_dir(self.directory) else { return BTreeMap::new() };
        entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                Some((entry.file_name().into_string().ok()?, std::fs::read(entry.path()).ok()?))
            })
            .collect()
    }

    /// Tries every file of the corpus and what the mutator makes of them. `target` says whether it took the input.
    ///
    /// # Panics
    /// When `target` does, with the input's file; the process is aborted when an input takes longer than [`PATIENCE`].
    pub fn run(&self, target: impl Fn(&[u8]) -> bool) {
        limit_memory();
        let files = self.files();
        assert!(!files.is_empty(), "no corpus in {}", self.directory);
        let (inputs, seed) = (number("FUZZ_INPUTS").unwrap_or(INPUTS), number("FUZZ_SEED").unwrap_or(1));
        let keeps = std::env::var_os("FUZZ_KEEP").is_some();
        let now: Mutex<(Instant, Vec<u8>)> = Mutex::new((Instant::now(), Vec::new()));
        let mut taken = 0_u64;
        std::thread::scope(|scope| {
            let (ended, watched) = channel::<()>();
            scope.spawn(|| self.watch(&now, watched));
            let mut attempt = |what: &str, input: &[u8]| {
                *now.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), input.to_vec());
                if keeps {
                    self.keep("kept", input);
                }
                match catch_unwind(AssertUnwindSafe(|| target(input))) {
                    Ok(took) => {
                        taken += u64::from(took);
                        took
                    }
                    Err(_) => {
                        let path = self.keep("broke", input);
                        panic!("{what} of {} (seed {seed}) is in {}; it belongs into {}", self.name, path.display(), self.directory)
                    }
                }
            };
            let mut parents: Vec<Vec<u8>> = Vec::new();
            for (name, input) in files {
                attempt(&format!("file {name}"), &input);
                parents.push(input);
            }
            let mut mutator = Mutator::new(Random::new(seed), self.words);
            for index in 0..inputs {
                let input = mutator.make(&parents);
                if attempt(&format!("input {index}"), &input) && !parents.contains(&input) {
                    mutator.adopt(&mut parents, input, MAX_PARENTS);
                }
            }
            drop(ended);
        });
        eprintln!("{}: {inputs} inputs of seed {seed}, {taken} taken", self.name);
    }

    /// Ends the process when one input takes too long.
    fn watch(&self, now: &Mutex<(Instant, Vec<u8>)>, ended: std::sync::mpsc::Receiver<()>) {
        while ended.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
            let (since, input) = &*now.lock().unwrap_or_else(PoisonError::into_inner);
            if since.elapsed() > PATIENCE {
                eprintln!("an input of {} hangs; it is in {}", self.name, self.keep("hung", input).display());
                std::process::abort();
            }
        }
    }

    fn keep(&self, what: &str, input: &[u8]) -> PathBuf {
        let path = PathBuf::from(self.scratch).join(format!("{}-{what}", self.name));
        if let Err(error) = std::fs::write(&path, input) {
            eprintln!("{}: {error}\n{input:?}", path.display());
        }
        path
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

/// A decoder that believes a length asks for more than this and is found out, whether or not it touches what it gets.
fn limit_memory() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let maximum = getrlimit(Resource::Data).maximum;
        if let Err(error) = setrlimit(Resource::Data, Rlimit { current: Some(MEMORY), maximum }) {
            eprintln!("memory is not limited: {error}");
        }
    });
}
