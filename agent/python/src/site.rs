//! The place of the program that calls: its stack, the innermost frame first that is neither this package's nor of a file that the program
//! hides. A stack is known by the code and the instruction of each of its frames, so one that was met before costs a walk along it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use plasmon::binding::{Connection, Frame as Told, MAX_STACK, SiteKind};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::frame::Frame;

/// Stacks that one thread remembers. More are told anew.
const KNOWN: usize = 1 << 14;

/// Begins of the names of files that are not the program's: this package's own first, then what the program hides.
static HIDDEN: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// How often that has changed.
static VERSION: AtomicU64 = AtomicU64::new(0);
static WANTED: AtomicBool = AtomicBool::new(true);

/// A stack: a hash of 128 bits over its frames, and how references come to be there.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    frames: (u64, u64),
    kind: SiteKind,
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // As good as random.
        state.write_u64(self.frames.0 ^ self.kind as u64);
    }
}

/// Hashes what is a hash already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(self.0.rotate_left(8) ^ u64::from(*byte)));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[derive(Default)]
struct Known {
    /// The connection's serial number, and the version of the hidden files.
    of: (u64, u64),
    /// The codes are kept: their addresses stand for them.
    sites: HashMap<Key, (u32, Vec<Py<PyAny>>), BuildHasherDefault<AsItIs>>,
}

thread_local! {
    static KNOWN_HERE: RefCell<Known> = RefCell::default();
}

/// Hides files from call sites: those whose names begin with one of these. The first one is the package's own directory.
#[pyfunction]
pub(crate) fn set_hidden_files(prefixes: Vec<Bound<'_, PyString>>) {
    let prefixes = prefixes.iter().map(|prefix| prefix.to_string_lossy().into_owned()).collect();
    let mut hidden = HIDDEN.lock().unwrap_or_else(PoisonError::into_inner);
    *hidden = prefixes;
    VERSION.fetch_add(1, Ordering::SeqCst);
}

/// Says whether this process tells call sites at all.
#[pyfunction]
pub(crate) fn want_call_sites(wanted: bool) {
    WANTED.store(wanted, Ordering::Relaxed);
}

/// The number of the caller's place; 0 where it cannot be told.
pub(crate) fn here(py: Python<'_>, connection: &Connection, kind: SiteKind) -> u32 {
    if !WANTED.load(Ordering::Relaxed) || !connection.wants_sites() {
        return 0;
    }
    find(py, connection, kind).unwrap_or(0)
}

fn find(py: Python<'_>, connection: &Connection, kind: SiteKind) -> PyResult<u32> {
    let Some(innermost) = Frame::innermost(py) else { return Ok(0) };
    let key = key_of(&innermost, kind)?;
    let of = (connection.serial(), VERSION.load(Ordering::SeqCst));
    // Taken out while Python's code runs: a collection of garbage may come by, and run what asks for a place of its own.
    let mut known = KNOWN_HERE.take();
    if known.of != of {
        known = Known { of, ..Known::default() };
    }
    let number = match known.sites.get(&key) {
        Some((number, _)) => Ok(*number),
        None => tell(innermost, connection, key, &mut known),
    };
    // What was remembered meanwhile ends here, when it is no longer borrowed.
    drop(KNOWN_HERE.replace(known));
    number
}

fn key_of(innermost: &Frame<'_>, kind: SiteKind) -> PyResult<Key> {
    let mix = |state: u64, value: u64, factor: u64| {
        let product = u128::from(state ^ value).wrapping_mul(u128::from(factor));
        (product as u64) ^ ((product >> 64) as u64)
    };
    let (mut one, mut other): (u64, u64) = (0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344);
    let mut frame = Some(innermost.clone());
    for _ in 0..MAX_STACK {
        let Some(this) = frame else { break };
        let (code, at) = (this.code()?.as_ptr() as u64, this.instruction() as u64);
        // Odd constants, whose bits are as good as random: those of pi.
        one = mix(one, code ^ at.rotate_left(40), 0xa409_3822_299f_31d1);
        other = mix(other.rotate_left(17) ^ at, code, 0x082e_fa98_ec4e_6c89);
        frame = this.back();
    }
    Ok(Key { frames: (one, other), kind })
}

/// Tells the agent of a stack that this thread has not met yet.
fn tell(innermost: Frame<'_>, connection: &Connection, key: Key, known: &mut Known) -> PyResult<u32> {
    let hidden = HIDDEN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let own = hidden.first().map(|directory| format!("{directory}_worker.py"));
    let mut codes = Vec::new();
    let mut frames: Vec<(String, u32, String)> = Vec::new();
    let mut next = Some(innermost.clone());
    let mut walked = 0;
    // Beyond what the key stands for only until there is something to tell.
    while let Some(frame) = next.filter(|_| walked < MAX_STACK || frames.is_empty()) {
        walked += 1;
        let code = frame.code()?;
        let file = file_of(&code)?;
        codes.push(code.clone().unbind());
        if own.as_ref() == Some(&file) {
            // What a worker is started with.
            break;
        }
        if !hidden.iter().any(|prefix| file.starts_with(prefix.as_str())) {
            frames.push((file, frame.line(), name_of(&code)?));
        }
        next = frame.back();
    }
    if frames.is_empty() {
        // Nothing but hidden files: the innermost is better than none.
        let code = innermost.code()?;
        let file = file_of(&code)?;
        frames.push((file, innermost.line(), name_of(&code)?));
    }
    let told: Vec<Told<'_>> = frames.iter().map(|(file, line, function)| Told { file, line: *line, function }).collect();
    let number = connection.site_of_stack(key.kind, &told);
    if known.sites.len() < KNOWN && walked <= MAX_STACK {
        known.sites.insert(key, (number, codes));
    }
    Ok(number)
}

/// The function that a code is of: its qualified name where the interpreter has it, from 3.11 on.
fn name_of(code: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = code.py();
    let name = code.getattr(pyo3::intern!(py, "co_qualname")).or_else(|_| code.getattr(pyo3::intern!(py, "co_name")))?;
    lossy(&name)
}

/// The file that a code is of.
fn file_of(code: &Bound<'_, PyAny>) -> PyResult<String> {
    lossy(&code.getattr(pyo3::intern!(code.py(), "co_filename"))?)
}

/// A text as it can be shown: a file's name need not be UTF-8, and what is not is replaced.
fn lossy(text: &Bound<'_, PyAny>) -> PyResult<String> {
    Ok(text.cast::<PyString>()?.to_string_lossy().into_owned())
}
