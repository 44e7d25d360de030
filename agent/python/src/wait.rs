//! wait: one pass over the references where enough are there, and as many as are needed where not.
#![expect(unsafe_code, reason = "a thousand references are looked at without counting each of them twice")]

use plasmon::binding::{Connection, ObjectKey, Reference};
use pyo3::PyTypeInfo as _;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyInt, PyList};

use crate::connection::current;
use crate::error::OrRaise;
use crate::inside::{Apart, Inside};
use crate::objects::{SIGNALS, Seconds, Signals, seconds};
use crate::reference::{ObjectRef, expect, unexpected};

static GENERATOR: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static WAIT_FOR_NEXT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Lists that differ in fewer references than this are made of each other.
const FEW: usize = 16;

/// Waits until some of the objects are there, with a value or an error.
///
/// Args:
///     refs: a list of references, each once. A generator's results are there when the next one is.
///     num_returns: how many.
///     timeout: seconds after which it returns with what there is; ``None`` waits for as long as it takes.
///     fetch_local: there is one node, so this changes nothing.
///
/// Returns:
///     The references whose objects are there, ``num_returns`` at most, and the others; both in the order given.
///
/// Raises:
///     TypeError: ``refs`` is no list of references.
///     ValueError: ``num_returns`` is not between 1 and their number, or a reference is there twice.
#[pyfunction]
#[pyo3(signature = (refs, *, num_returns=None, timeout=None, fetch_local=true))]
#[pyo3(text_signature = "(refs, *, num_returns=1, timeout=None, fetch_local=True)")]
pub(crate) fn wait<'py>(
    py: Python<'py>,
    refs: &Bound<'py, PyAny>,
    num_returns: Option<&Bound<'py, PyAny>>,
    timeout: Option<Seconds>,
    fetch_local: bool,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    // There is one node.
    let _ = fetch_local;
    if refs.is_instance_of::<ObjectRef>() {
        return Err(PyTypeError::new_err("wait takes a list of references, not a single one\nhint: plasmon.wait([ref])"));
    }
    let _inside = Inside::begin();
    let wanted = num_returns.map_or(Ok(1), whole)?;
    let limit = seconds("timeout", timeout)?;
    // The call's own list: other threads may change the program's. Made first, for that brings every reference near at once.
    let items = match refs.cast_exact::<PyList>() {
        Ok(list) => list.get_slice(0, list.len()),
        Err(_) => PyList::new(py, refs.try_iter().map_err(|_| unexpected(refs, "wait"))?.collect::<PyResult<Vec<_>>>()?)?,
    };
    if items.is_empty() {
        return Ok((PyList::empty(py).into_any(), PyList::empty(py).into_any()));
    }
    let Some(wanted) = usize::try_from(wanted).ok().filter(|wanted| (1..=items.len()).contains(wanted)) else {
        let count = items.len();
        // Python prints no number of thousands of digits.
        let given = num_returns.and_then(|given| given.str().ok()).map_or_else(|| wanted.to_string(), |given| given.to_string());
        return Err(PyValueError::new_err(format!("num_returns is 1 to {count}, the number of references, which {given} is not")));
    };
    let connection = current(py)?;
    let Some(mut ready) = look(&connection, &items, wanted)? else {
        return WAIT_FOR_NEXT.import(py, "plasmon._generators", "wait_for_next")?.call1((items, wanted, timeout))?.extract();
    };
    if ready.len() < wanted {
        let references = items.iter().map(|item| expect(&item, "wait").cloned()).collect::<PyResult<Vec<_>>>()?;
        let inner: Vec<&Reference> = references.iter().map(|reference| &reference.get().inner).collect();
        let mut signals = Signals::default();
        let waited = py.apart(|| connection.wait(&inner, wanted, limit, SIGNALS, &mut || signals.arrived())).or_raise(py)?;
        let Some(waited) = waited else { return Err(signals.raised()) };
        // As many as were asked for, as Ray has it.
        let is_there = |index: &usize| waited[*index] || references[*index].get().is_put;
        ready = (0..waited.len()).filter(is_there).take(wanted).collect();
    }
    split(items, &ready)
}

fn whole(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    if value.is_instance_of::<PyBool>() || !value.is_instance_of::<PyInt>() {
        return Err(PyTypeError::new_err(format!("num_returns is a whole number, not {}", value.get_type().name()?)));
    }
    // More than there are, in any case.
    Ok(value.extract().unwrap_or(i64::MAX))
}

/// The places of the first `wanted` of the references whose objects are there: fewer, when there are fewer. `None` where a generator's
/// results are among them.
///
/// # Errors
/// Something else than a reference is among them, or one that is of no use on this connection, or is there twice.
fn look(connection: &Connection, items: &Bound<'_, PyList>, wanted: usize) -> PyResult<Option<Vec<usize>>> {
    let py = items.py();
    let mut ready = Vec::with_capacity(wanted);
    // As a rule references are in the order in which they were made, and then none is there twice.
    let (mut keys, mut in_order) = (Vec::with_capacity(items.len()), true);
    let (mut before, mut first, mut last) = (None, u32::MAX, 0);
    let (serial, class) = (connection.serial(), ObjectRef::type_object_raw(py));
    let key_of = |reference: &ObjectRef| reference.key_on(serial).map_or_else(|| connection.key(&reference.inner).or_raise(py), Ok);
    for index in 0..items.len() {
        // SAFETY: the index is within the list, which is the call's own and keeps its items: it stays as it is, since as long as this one is
        // used no code runs that could find it.
        let item = unsafe { Borrowed::from_ptr(py, ffi::PyList_GetItem(items.as_ptr(), index as ffi::Py_ssize_t)) };
        if item.get_type_ptr() != class {
            let item = item.to_owned();
            return if item.is_instance(GENERATOR.import(py, "plasmon._generators", "ObjectRefGenerator")?)? {
                Ok(None)
            } else {
                Err(unexpected(&item, "wait"))
            };
        }
        // SAFETY: of that very class.
        let reference = unsafe { item.cast_unchecked::<ObjectRef>() };
        // When this fails the reference is not used any more.
        let key = key_of(reference.get())?;
        in_order &= before < Some(number(key));
        (before, first, last) = (Some(number(key)), first.min(key.slot), last.max(key.slot));
        keys.push(key);
        if ready.len() < wanted && (reference.get().is_put || connection.has(key)) {
            ready.push(index);
        }
    }
    if !in_order && repeats(&keys, first, last) {
        return Err(PyValueError::new_err("wait takes each reference once"));
    }
    Ok(Some(ready))
}

fn number(key: ObjectKey) -> u64 {
    u64::from(key.slot) << 32 | u64::from(key.generation)
}

/// Whether one of them comes twice; their slots are `first` to `last`.
fn repeats(keys: &[ObjectKey], first: u32, last: u32) -> bool {
    let range = (last - first) as usize / 64 + 1;
    if range <= keys.len() {
        // Slots lie side by side as a rule: a bit for each. Where no slot comes twice, no object does.
        let mut met = vec![0_u64; range];
        let meets = |slot: u32| {
            let at = slot - first;
            let (word, bit) = (&mut met[(at / 64) as usize], 1 << (at % 64));
            std::mem::replace(word, *word | bit) & bit != 0
        };
        if !keys.iter().map(|key| key.slot).any(meets) {
            return false;
        }
    }
    let mut numbers: Vec<u64> = keys.iter().map(|key| number(*key)).collect();
    numbers.sort_unstable();
    numbers.windows(2).any(|pair| pair[0] == pair[1])
}

/// Those at the places `chosen`, which rise, and the others.
fn split<'py>(items: Bound<'py, PyList>, chosen: &[usize]) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let py = items.py();
    let (there, rest) = if chosen.len() == items.len() {
        (items, PyList::empty(py))
    } else if chosen.len() < FEW {
        let there = chosen.iter().map(|index| items.get_item(*index)).collect::<PyResult<Vec<_>>>()?;
        chosen.iter().rev().try_for_each(|index| items.del_item(*index))?;
        (PyList::new(py, there)?, items)
    } else {
        let (mut there, mut rest) = (Vec::with_capacity(chosen.len()), Vec::with_capacity(items.len() - chosen.len()));
        let mut chosen = chosen.iter().copied().peekable();
        for (index, item) in items.iter().enumerate() {
            if chosen.next_if_eq(&index).is_some() { there.push(item) } else { rest.push(item) }
        }
        (PyList::new(py, there)?, PyList::new(py, rest)?)
    };
    Ok((there.into_any(), rest.into_any()))
}
