//! `ObjectRef`.
#![expect(unsafe_code, reason = "tells the collector of cycles what has none")]

use std::cell::RefCell;
use std::hash::{Hash, Hasher};

use plasmon::binding::{self, Connection, ObjectId, ObjectKey, Reference};
use plasmon_protocol::error::Error;
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyTuple};

use crate::error::{OrRaise, raise};

/// A reference to an object, which may not exist yet. The object lives as long as any reference to it, in any process and in any object.
///
/// ``plasmon.get(ref)`` waits for its value; ``await ref`` does so in a coroutine. A reference can be part of a value that is put, of an
/// argument and of a result; each is counted.
#[pyclass(module = "plasmon", frozen, weakref, generic)]
pub(crate) struct ObjectRef {
    pub(crate) inner: Reference,
    /// Its connection's serial number and its number there, for whoever looks at many and has no time to follow each.
    serial: u64,
    key: ObjectKey,
    /// This process has put the object, so it is there, whether the agent has come to it or not.
    pub(crate) is_put: bool,
}

impl ObjectRef {
    pub(crate) fn new(inner: Reference) -> Self {
        let (serial, key) = binding::place_of(&inner);
        Self { inner, serial, key, is_put: false }
    }

    /// Its number on the connection with this serial number, if it is of that one.
    pub(crate) fn key_on(&self, serial: u64) -> Option<ObjectKey> {
        (self.serial == serial).then_some(self.key)
    }
}

/// A reference that was just got, as it is handed to Python.
pub(crate) struct New(ObjectRef);

impl New {
    pub(crate) fn of(inner: Reference) -> Self {
        Self(ObjectRef::new(inner))
    }

    /// The first one to an object that was just put.
    pub(crate) fn of_put(inner: Reference) -> Self {
        Self(ObjectRef { is_put: true, ..ObjectRef::new(inner) })
    }
}

impl<'py> IntoPyObject<'py> for New {
    type Target = ObjectRef;
    type Output = Bound<'py, ObjectRef>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Bound<'py, ObjectRef>> {
        let reference = Bound::new(py, self.0)?;
        // Every class has its objects followed by the collector, and a program may have 100,000 of these: that is a quarter of what it takes
        // to get them.
        // SAFETY: an object of a class that the collector follows, which nothing else knows yet. It leads to nothing but its class, and has no
        // subclasses, so there is no cycle to find; it may end as well as one that is followed.
        unsafe { ffi::PyObject_GC_UnTrack(reference.as_ptr().cast()) };
        Ok(reference)
    }
}

static LOAD: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static FUTURE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static AWAIT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static HTML: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

#[pymethods]
impl ObjectRef {
    /// The id in hexadecimal, as the report and the dashboard print it.
    fn hex(&self) -> String {
        self.inner.hex()
    }

    /// The id's 16 bytes.
    fn binary<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.id().0)
    }

    /// Whether it refers to nothing; never so.
    fn is_nil(&self) -> bool {
        false
    }

    /// A ``concurrent.futures.Future`` of the object's value.
    fn future<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        FUTURE.import(slf.py(), "plasmon._futures", "future_of")?.call1((slf,))
    }

    fn __await__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        AWAIT.import(slf.py(), "plasmon._futures", "await_on")?.call1((slf,))
    }

    fn __repr__(&self) -> String {
        format!("ObjectRef({})", self.inner.hex())
    }

    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        HTML.import(slf.py(), "plasmon._html", "of_reference")?.call1((slf,))
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = std::hash::DefaultHasher::new();
        self.inner.id().hash(&mut hasher);
        hasher.finish()
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| other.get().inner == self.inner)
    }

    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __deepcopy__(slf: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
        slf
    }

    /// What pickle calls: within a value that is put, an argument or a result, where the reference is counted; nowhere else.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        binding::wrote(&self.inner).or_raise(py)?;
        let load = LOAD.import(py, "plasmon._plasmon", "load_reference")?;
        let id = (PyBytes::new(py, &self.inner.id().0),).into_pyobject(py)?;
        (load, id).into_pyobject(py)
    }
}

thread_local! {
    /// What the value that is being read has of references.
    static READ: RefCell<Option<Read>> = const { RefCell::new(None) };
}

/// References of a value, in the order in which they were written.
struct Read {
    connection: Connection,
    site: u32,
    references: Vec<(ObjectId, Option<Reference>)>,
    /// As a rule this one is read next.
    next: usize,
}

impl Read {
    /// The reference to that object; `None` where the value has none, and then where there is no such object.
    fn take(&mut self, id: ObjectId) -> Option<Result<Option<Reference>, Error>> {
        let is_it = |(known, _): &(ObjectId, _)| *known == id;
        let ahead = self.references.iter().skip(self.next).position(is_it).map(|at| self.next + at);
        let at = ahead.or_else(|| self.references.iter().position(is_it))?;
        self.next = at + 1;
        match self.references[at].1.take() {
            Some(reference) => Some(Ok(Some(reference))),
            // Read once more than it was written: as long as the value is there, so is what it holds.
            None => Some(self.connection.borrow_all([id].into_iter(), self.site).map(|mut again| again.pop().flatten())),
        }
    }
}

/// References with these ids, which were read from a value; the agent is told of all in one go.
pub(crate) fn borrow_all(
    py: Python<'_>,
    connection: &Connection,
    site: u32,
    ids: impl ExactSizeIterator<Item = ObjectId> + Clone,
) -> PyResult<Vec<(ObjectId, Option<Reference>)>> {
    let references = connection.borrow_all(ids.clone(), site).or_raise(py)?;
    Ok(ids.zip(references).collect())
}

/// What is raised for a reference to an object that is not there.
pub(crate) fn lost(py: Python<'_>, object: ObjectId) -> PyErr {
    raise(py, &Error::ObjectLost { object, cause: "nothing that holds it was found with it".to_owned() })
}

/// Runs `read`, which finds these references in what it reads.
pub(crate) fn reading<T>(
    connection: &Connection,
    site: u32,
    references: Vec<(ObjectId, Option<Reference>)>,
    read: impl FnOnce() -> T,
) -> T {
    /// What is read around it goes on, whatever the value's own code does.
    struct Restore(Option<Read>);
    impl Drop for Restore {
        fn drop(&mut self) {
            drop(READ.replace(self.0.take()));
        }
    }
    let _restore = Restore(READ.replace(Some(Read { connection: connection.clone(), site, references, next: 0 })));
    read()
}

/// What pickle calls to read a reference from a value.
#[pyfunction]
pub(crate) fn load_reference(py: Python<'_>, id: &[u8]) -> PyResult<New> {
    let id = id.try_into().map_err(|_| PyValueError::new_err(format!("an object's id has 16 bytes, not {}", id.len())))?;
    let object = ObjectId(id);
    match READ.with_borrow_mut(|read| read.as_mut()?.take(object)) {
        Some(found) => found.or_raise(py)?.map(New::of).ok_or_else(|| lost(py, object)),
        None => Err(raise(py, &Error::OutOfBand { object })),
    }
}

/// The reference that `value` is.
///
/// # Errors
/// `TypeError` that names what it is instead.
pub(crate) fn expect<'a, 'py>(value: &'a Bound<'py, PyAny>, what: &str) -> PyResult<&'a Bound<'py, ObjectRef>> {
    value.cast::<ObjectRef>().map_err(|_| unexpected(value, what))
}

/// What is raised for a value that is no reference.
pub(crate) fn unexpected(value: &Bound<'_, PyAny>, what: &str) -> PyErr {
    let kind = value.get_type().name().map_or_else(|_| "object".to_owned(), |name| name.to_string());
    let hint = match kind.as_str() {
        "ObjectRefGenerator" => "iterate over it: what it yields are references",
        "ActorHandle" => "the methods of an actor return references: handle.method.remote(..)",
        _ => ".remote(..) and plasmon.put(..) return references",
    };
    pyo3::exceptions::PyTypeError::new_err(format!("{what} takes an ObjectRef or a list of them, not {kind}\nhint: {hint}"))
}
