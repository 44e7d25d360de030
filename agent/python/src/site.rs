//! The line of the program that calls: the innermost frame that is neither this package's nor of a file that the program hides. Known by
//! its code and instruction, so a call that was made before costs a look-up.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use plasmon::binding::{Connection, SiteKind};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// Places that one thread remembers. More are looked up anew.
const KNOWN: usize = 1 << 14;

static GET_FRAME: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
/// Begins of the names of files that are not the program's: this package first.
static HIDDEN: Mutex<(u64, Vec<String>)> = Mutex::new((0, Vec::new()));

#[derive(Default)]
struct Known {
    /// The connection's serial number, and the version of the hidden files.
    of: (u64, u64),
    /// By code, instruction and kind. The code is kept: its address names it.
    sites: HashMap<(usize, i32, SiteKind), (u32, Py<PyAny>)>,
    hidden: HashMap<usize, (bool, Py<PyAny>)>,
}

thread_local! {
    static KNOWN_HERE: RefCell<Known> = RefCell::default();
}

/// Hides files from call sites: those whose names begin with one of these.
#[pyfunction]
pub(crate) fn set_hidden_files(prefixes: Vec<String>) {
    let mut hidden = HIDDEN.lock().unwrap_or_else(PoisonError::into_inner);
    *hidden = (hidden.0 + 1, prefixes);
}

fn version() -> u64 {
    HIDDEN.lock().unwrap_or_else(PoisonError::into_inner).0
}

fn is_hidden(file: &str) -> bool {
    HIDDEN.lock().unwrap_or_else(PoisonError::into_inner).1.iter().any(|prefix| file.starts_with(prefix.as_str()))
}

/// The number of the caller's place; 0 where it cannot be told.
pub(crate) fn here(py: Python<'_>, connection: &Connection, kind: SiteKind) -> u32 {
    if !connection.wants_sites() {
        return 0;
    }
    find(py, connection, kind).unwrap_or(0)
}

fn find(py: Python<'_>, connection: &Connection, kind: SiteKind) -> PyResult<u32> {
    let innermost = GET_FRAME.import(py, "sys", "_getframe")?.call0()?;
    let of = (connection.serial(), version());
    // Taken out while Python's code runs: a collection of garbage may come by, and run what asks for a place of its own.
    let mut known = KNOWN_HERE.take();
    if known.of != of {
        known = Known { of, ..Known::default() };
    }
    let number = look_up(innermost, connection, kind, &mut known);
    // What was remembered meanwhile ends here, when it is no longer borrowed.
    drop(KNOWN_HERE.replace(known));
    number
}

fn look_up(innermost: Bound<'_, PyAny>, connection: &Connection, kind: SiteKind, known: &mut Known) -> PyResult<u32> {
    let py = innermost.py();
    let mut frame = innermost.clone();
    loop {
        let code = frame.getattr(pyo3::intern!(py, "f_code"))?;
        let address = code.as_ptr() as usize;
        let hidden = match known.hidden.get(&address) {
            Some((hidden, _)) => *hidden,
            None => {
                let file: String = code.getattr(pyo3::intern!(py, "co_filename"))?.extract()?;
                let hidden = is_hidden(&file);
                if known.hidden.len() < KNOWN {
                    known.hidden.insert(address, (hidden, code.clone().unbind()));
                }
                hidden
            }
        };
        if hidden {
            let outer = frame.getattr(pyo3::intern!(py, "f_back"))?;
            if !outer.is_none() {
                frame = outer;
                continue;
            }
            // Nothing but hidden files: the innermost is better than none.
            frame = innermost.clone();
        }
        let code = frame.getattr(pyo3::intern!(py, "f_code"))?;
        let address = code.as_ptr() as usize;
        let instruction: i32 = frame.getattr(pyo3::intern!(py, "f_lasti"))?.extract()?;
        let place = (address, instruction, kind);
        if let Some((number, _)) = known.sites.get(&place) {
            return Ok(*number);
        }
        let file: String = code.getattr(pyo3::intern!(py, "co_filename"))?.extract()?;
        let line: u32 = frame.getattr(pyo3::intern!(py, "f_lineno"))?.extract().unwrap_or(0);
        let number = connection.site(kind, &file, line, &name_of(&code)?);
        if known.sites.len() < KNOWN {
            known.sites.insert(place, (number, code.unbind()));
        }
        return Ok(number);
    }
}

/// The function that a code is of: its qualified name where the interpreter has it, from 3.11 on.
pub(crate) fn name_of(code: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = code.py();
    let name = code.getattr(pyo3::intern!(py, "co_qualname")).or_else(|_| code.getattr(pyo3::intern!(py, "co_name")))?;
    name.extract()
}
