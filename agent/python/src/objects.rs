//! put and get.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use plasmon::binding::{Connection, OnCancel, PerProcess, Raw, Reference, SiteKind};
use plasmon::{Error, Get};
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyList, PyTuple};

use crate::connection::current;
use crate::error::{OrRaise, raise};
use crate::inside::{Apart, Inside};
use crate::reference::{New, ObjectRef, expect};
use crate::site;
use crate::value;

/// How soon a waiting main thread notices a signal. Every thread that waits looks: the interpreter knows which is the main one.
pub(crate) const SIGNALS: Duration = Duration::from_millis(50);
/// Objects that are asked for at once. Each stays in memory until its turn.
const TOGETHER: usize = 256;

/// Stores a value as an object, and returns the first reference to it.
///
/// Arrays, tables, other buffers, and bytes of 64 KiB and more are copied once, into shared memory; so are bytes and a bytearray that are
/// the whole value, and a text of ASCII from 64 KiB on. Everything else is pickled or encoded, which copies it once more:
/// 0.7 us of the 3.6 that a list with 60 KiB of bytes in it takes. To pickle it twice instead, first for its size and then in place,
/// would take 1 us more. A bare memoryview comes back as one of single bytes, as they lie in memory. References inside the value are
/// counted as long as the object lives.
///
/// Raises:
///     ObjectStoreFullError: there is no room, and none comes free within two seconds; a ``MemoryError``.
///     EncodeError: something in the value does not pickle; a ``TypeError``.
///     TypeError: ``value`` is a reference itself.
#[pyfunction]
#[pyo3(signature = (value, /))]
pub(crate) fn put(py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<New> {
    if value.is_instance_of::<ObjectRef>() {
        return Err(PyTypeError::new_err(
            "put takes a value, not an ObjectRef\nhint: the object is stored already; to store the reference itself, put it in a list",
        ));
    }
    let _inside = Inside::begin();
    let connection = current(py)?;
    let site = site::here(py, &connection, SiteKind::PutObject);
    let encoded = value::encode(value)?;
    let layout = encoded.layout();
    let (length, contains) = (encoded.len(), &encoded.contains);
    let reference = py.apart(|| connection.put(length, site, contains, false, |room, reach| layout.write(room, reach))).or_raise(py)?;
    Ok(New::of_put(reference))
}

/// The value of an object, or a list of those of several; waits until they are there.
///
/// Arrays, tables and memoryviews are read-only views of shared memory, without a copy: the object stays in memory as long as any view.
///
/// Args:
///     refs: a reference, or a list of them.
///     timeout: seconds after which it gives up; ``None`` waits for as long as it takes.
///
/// Raises:
///     GetTimeoutError: the time is over; a ``TimeoutError``.
///     TaskError: the task that should have made the object raised an exception. It is of that exception's class, too.
///     WorkerCrashedError, ActorDiedError, TaskCancelledError, OutOfMemoryError: what became of the task instead.
///     ObjectLostError: there is no such object any more.
///     TypeError: ``refs`` are no references.
#[pyfunction]
#[pyo3(signature = (refs, /, *, timeout=None))]
pub(crate) fn get<'py>(py: Python<'py>, refs: &Bound<'py, PyAny>, timeout: Option<Seconds>) -> PyResult<Bound<'py, PyAny>> {
    let _inside = Inside::begin();
    let limit = seconds("timeout", timeout)?;
    let connection = current(py)?;
    if let Ok(reference) = refs.cast::<ObjectRef>() {
        return get_one(py, &connection, reference.get(), limit);
    }
    if !refs.is_instance_of::<PyList>() && !refs.is_instance_of::<PyTuple>() {
        return Err(expect(refs, "get").err().unwrap_or_else(|| PyTypeError::new_err("get takes references")));
    }
    let items = refs.try_iter()?.collect::<PyResult<Vec<_>>>()?;
    let references = items.iter().map(|item| expect(item, "get")).collect::<PyResult<Vec<_>>>()?;
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    let values = PyList::empty(py);
    for references in references.chunks(TOGETHER) {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let inner: Vec<&Reference> = references.iter().map(|reference| &reference.get().inner).collect();
        let site = site::here(py, &connection, SiteKind::GetObject);
        let mut signals = Signals::default();
        let got = py.apart(|| connection.get_all(&inner, site, left, SIGNALS, &mut || signals.arrived())).or_raise(py)?;
        let Some(contents) = got else { return Err(signals.raised()) };
        for content in contents {
            let place = || (site::here(py, &connection, SiteKind::DeserializeObject), site);
            values.append(value::decode(py, &connection, content, false, place)?.0)?;
        }
    }
    Ok(values.into_any())
}

fn get_one<'py>(py: Python<'py>, connection: &Connection, reference: &ObjectRef, limit: Option<Duration>) -> PyResult<Bound<'py, PyAny>> {
    let content = match connection.try_get(&reference.inner).or_raise(py)? {
        Some(content) => content,
        None => {
            let site = site::here(py, connection, SiteKind::GetObject);
            let mut signals = Signals::default();
            let got = py.apart(|| connection.get(&reference.inner, site, limit, SIGNALS, &mut || signals.arrived()));
            match got.or_raise(py)? {
                Some(content) => content,
                None => return Err(signals.raised()),
            }
        }
    };
    let place = || (site::here(py, connection, SiteKind::DeserializeObject), site::here(py, connection, SiteKind::GetObject));
    Ok(value::decode(py, connection, content, false, place)?.0)
}

/// Cancels what makes an object; see `plasmon.cancel`.
#[pyfunction]
pub(crate) fn cancel(py: Python<'_>, reference: &Bound<'_, ObjectRef>, force: bool) -> PyResult<()> {
    let connection = current(py)?;
    let site = site::here(py, &connection, SiteKind::TaskCall);
    connection.cancel(&reference.get().inner, force, site).or_raise(py)
}

/// Whether the task that this thread runs was cancelled.
#[pyfunction]
pub(crate) fn is_cancelled() -> bool {
    plasmon::is_cancelled()
}

/// As long as it is kept, somebody is told of the cancellation of a task.
#[pyclass(module = "plasmon", frozen)]
pub(crate) struct CancelWatch {
    _watch: OnCancel,
}

/// Calls `callback` from a thread of the package's own when the task or call is cancelled that this thread works for; until what is
/// returned is gone.
#[pyfunction]
pub(crate) fn when_cancelled(py: Python<'_>, callback: Py<PyAny>) -> PyResult<CancelWatch> {
    let callback = Arc::new(callback);
    let told = move || {
        let callback = Arc::clone(&callback);
        soon(Box::new(move || {
            Python::attach(|py| {
                if let Err(error) = callback.call0(py) {
                    error.write_unraisable(py, None);
                }
                drop(callback);
            });
        }));
    };
    Ok(CancelWatch { _watch: current(py)?.when_cancelled(told) })
}

/// Ends an actor; see `plasmon.kill`.
#[pyfunction]
pub(crate) fn kill(py: Python<'_>, actor: &Bound<'_, ObjectRef>, no_restart: bool) -> PyResult<()> {
    let connection = current(py)?;
    let site = site::here(py, &connection, SiteKind::ActorCall);
    connection.kill(&actor.get().inner, no_restart, site).or_raise(py)
}

/// Seconds, as a program tells them.
#[derive(Clone, Copy)]
pub(crate) struct Seconds(f64);

impl<'py> FromPyObject<'_, 'py> for Seconds {
    type Error = PyErr;

    /// An integer that no float holds is endless.
    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        match value.extract::<f64>() {
            Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => {
                Ok(Self(if value.lt(0)? { f64::NEG_INFINITY } else { f64::INFINITY }))
            }
            seconds => seconds.map(Self),
        }
    }
}

impl<'py> IntoPyObject<'py> for Seconds {
    type Target = PyFloat;
    type Output = Bound<'py, PyFloat>;
    type Error = std::convert::Infallible;

    fn into_pyobject(self, py: Python<'py>) -> Result<Self::Output, Self::Error> {
        self.0.into_pyobject(py)
    }
}

/// A time limit; `None` for what nobody lives to see, too.
///
/// # Errors
/// `ValueError` for one that is negative or no number. `None` is none.
pub(crate) fn seconds(what: &str, value: Option<Seconds>) -> PyResult<Option<Duration>> {
    let Some(Seconds(value)) = value else { return Ok(None) };
    if value >= 1e18 {
        return Ok(None);
    }
    Duration::try_from_secs_f64(value)
        .map(Some)
        .map_err(|_| PyValueError::new_err(format!("{what} is a number of seconds from 0 on, or None, not {value}")))
}

/// Signals, as a thread that waits without the interpreter's lock looks for them.
#[derive(Default)]
pub(crate) struct Signals(Option<PyErr>);

impl Signals {
    /// Runs handlers; whether one raised an exception.
    pub(crate) fn arrived(&mut self) -> bool {
        self.0 = Python::attach(|py| py.check_signals()).err();
        self.0.is_some()
    }

    pub(crate) fn has_arrived(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn raised(self) -> PyErr {
        self.0.unwrap_or_else(|| pyo3::exceptions::PyKeyboardInterrupt::new_err(()))
    }
}

/// Calls `callback` from a thread of the package's own as soon as the object is there, or there will be none: with the reference, and
/// nothing or an exception.
#[pyfunction]
pub(crate) fn when_ready(py: Python<'_>, reference: &Bound<'_, ObjectRef>, callback: Py<PyAny>) -> PyResult<()> {
    current(py)?;
    let waiting = Arc::new(Waiting {
        get: Mutex::new(Some(Box::pin((&reference.get().inner).into_future()))),
        told: Mutex::new(Some((reference.clone().unbind(), callback))),
    });
    py.apart(|| waiting.look());
    Ok(())
}

struct Waiting {
    get: Mutex<Option<Pin<Box<Get<Raw>>>>>,
    told: Mutex<Option<(Py<ObjectRef>, Py<PyAny>)>>,
}

impl Waiting {
    fn look(self: &Arc<Self>) {
        let mut get = self.get.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(future) = get.as_mut() else { return };
        let waker = Waker::from(Arc::clone(self));
        let result = match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => return,
            // The value is read by whoever gets it; it stays in memory until then.
            Poll::Ready(Ok(content)) => Ok(content),
            Poll::Ready(Err(error)) => Err(error),
        };
        *get = None;
        drop(get);
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((reference, callback)) = told else { return };
        Python::attach(|py| {
            let exception = match result {
                Ok(content) => {
                    drop(content);
                    py.None()
                }
                Err(error) => exception(py, &error),
            };
            if let Err(error) = callback.call1(py, (&reference, exception)) {
                error.write_unraisable(py, None);
            }
            drop((reference, callback));
        });
    }
}

fn exception(py: Python<'_>, error: &Error) -> Py<PyAny> {
    raise(py, error).into_value(py).into_any()
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        soon(Box::new(move || self.look()));
    }
}

/// What a thread does that may wait for the interpreter's lock.
type Errand = Box<dyn FnOnce() + Send>;

/// Has it done by a thread of the package's own. For the thread that reads the agent's answers, which must not wait for that lock.
fn soon(errand: Errand) {
    // The thread stays with the parent of a forked child.
    static TELLER: PerProcess<Sender<Errand>> = PerProcess::new(|_| teller());
    // Without memory for it, futures never end; little else does.
    if let Ok(teller) = TELLER.get() {
        let _ = teller.send(errand);
    }
}

fn teller() -> Sender<Errand> {
    let (sender, receiver) = channel::<Errand>();
    let run = move || receiver.into_iter().for_each(|errand| errand());
    // Without the thread, futures never end; without memory for a thread, little else does.
    drop(std::thread::Builder::new().name("plasmon-futures".to_owned()).spawn(run));
    sender
}
