//! Remote functions and actors, as they are called.

use std::sync::{Mutex, OnceLock, PoisonError};

use plasmon::binding::{
    ActorSettings, CallRetries, Connection, Demand, Encoded as Argument, Raw, Reach, Reference, Results, RetryExceptions, SiteKind,
    TaskSettings,
};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyFrozenSet, PyList, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use crate::connection::current;
use crate::error::OrRaise;
use crate::inside::{Apart, Inside};
use crate::reference::{New, ObjectRef};
use crate::site;
use crate::value;

/// What a task or an actor reserves.
struct Reserve {
    cpus: Option<f64>,
    gpus: Option<f64>,
    memory: Option<u64>,
    custom: Vec<(String, f64)>,
}

impl Reserve {
    fn with<T>(&self, use_it: impl FnOnce(Demand<'_>) -> T) -> T {
        let custom: Vec<(&str, f64)> = self.custom.iter().map(|(name, amount)| (name.as_str(), *amount)).collect();
        use_it(Demand { cpus: self.cpus, gpus: self.gpus, memory: self.memory, custom: Some(&custom) })
    }
}

/// A function or class that is exported once for each connection: the pickle is an object of the package's own.
struct Export {
    /// Called without arguments, returns what to export.
    make: Py<PyAny>,
    made: Mutex<Option<(u64, Reference)>>,
}

impl Export {
    fn new(make: Py<PyAny>) -> Self {
        Self { make, made: Mutex::new(None) }
    }

    fn on(&self, py: Python<'_>, connection: &Connection, kind: SiteKind) -> PyResult<Reference> {
        let lock = || self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((serial, reference)) = &*lock()
            && *serial == connection.serial()
        {
            return Ok(reference.clone());
        }
        // Without the lock: pickling runs the program's own code.
        let exported = self.make.call0(py)?;
        let encoded = value::encode(exported.bind(py))?;
        let layout = encoded.layout();
        let site = site::here(py, connection, kind);
        let (length, contains) = (encoded.len(), &encoded.contains);
        let reference = py.apart(|| connection.put(length, site, contains, true, |room, reach| layout.write(room, reach))).or_raise(py)?;
        Ok(lock().insert((connection.serial(), reference)).1.clone())
    }
}

/// What a function says that it takes, see `plasmon/_signature.py`.
#[derive(FromPyObject)]
struct Takes(usize, usize, Option<Py<PyFrozenSet>>, Py<PyAny>);

impl Takes {
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(names) = &self.2 {
            visit.call(names)?;
        }
        visit.call(&self.3)
    }

    /// Whether a call fits, as far as the driver can tell: where that is doubtful, Python's own rules decide.
    ///
    /// # Errors
    /// `TypeError` that names the argument.
    fn check(takes: Option<&Self>, args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
        let Some(Self(least, most, names, refuse)) = takes else { return Ok(()) };
        let named = kwargs.map_or(0, PyDictMethods::len);
        let mut fits = args.len() <= *most && args.len() + named >= *least;
        if let (Some(kwargs), Some(names)) = (kwargs, names) {
            for name in kwargs.keys() {
                fits &= names.bind(args.py()).contains(name)?;
            }
        }
        if !fits {
            refuse.bind(args.py()).call(args, kwargs)?;
        }
        Ok(())
    }
}

/// The arguments of a call: first how many results, the arguments with `None` in place of references, which arguments those are, and
/// the method; then the references' objects.
fn arguments(
    connection: &Connection,
    site: u32,
    returns: &Bound<'_, PyAny>,
    method: Option<&str>,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
    bare: Option<&OnceLock<Box<[u8]>>>,
) -> PyResult<Vec<Argument>> {
    let py = args.py();
    let bare = bare.filter(|_| args.is_empty() && kwargs.is_none());
    if let Some(bytes) = bare.and_then(OnceLock::get) {
        return Ok(vec![connection.argument(bytes.len(), site, Vec::new(), |room, _| room.copy_from_slice(bytes)).or_raise(py)?]);
    }
    let mut objects = Vec::new();
    let places = PyList::empty(py);
    let mut given: Option<Bound<'_, PyList>> = None;
    for (index, argument) in args.iter().enumerate() {
        if let Ok(reference) = argument.cast::<ObjectRef>() {
            objects.push(connection.object_argument(&reference.get().inner));
            places.append(index)?;
            given.get_or_insert_with(|| args.to_list()).set_item(index, py.None())?;
        }
    }
    let mut named: Option<Bound<'_, PyDict>> = None;
    if let Some(kwargs) = kwargs {
        for (name, argument) in kwargs.iter() {
            if let Ok(reference) = argument.cast::<ObjectRef>() {
                objects.push(connection.object_argument(&reference.get().inner));
                places.append(&name)?;
                if named.is_none() {
                    named = Some(kwargs.copy()?);
                }
                if let Some(named) = &named {
                    named.set_item(name, py.None())?;
                }
            }
        }
    }
    let given = given.map_or_else(|| args.clone().into_any(), Bound::into_any);
    let named = named.as_ref().or(kwargs);
    let payload = (returns, given, named, places, method).into_pyobject(py)?;
    let encoded = value::encode(payload.as_any())?;
    let layout = encoded.layout();
    let length = encoded.len();
    let contains = encoded.contains.clone();
    if let Some(bare) = bare
        && contains.is_empty()
        && length <= MAX_BARE
    {
        let mut bytes = vec![0; length];
        layout.write(&mut bytes, &Reach::all());
        // Whoever was faster kept the same bytes.
        let _ = bare.set(bytes.into());
    }
    let write = |room: &mut [u8], reach: &Reach<'_>| layout.write(room, reach);
    let payload = py.apart(|| connection.argument(length, site, contains, write));
    let mut arguments = Vec::with_capacity(1 + objects.len());
    arguments.push(payload.or_raise(py)?);
    arguments.extend(objects);
    Ok(arguments)
}

/// What is kept of a call without arguments, bytes: it fits a message.
const MAX_BARE: usize = 512;

/// What a call returns at once.
enum Outcome {
    References(Vec<Reference>),
    Generator(Results<Raw>),
}

static GENERATOR: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// What a call returns: a reference, none, a list of them, or a generator's.
fn handed(py: Python<'_>, outcome: Outcome) -> PyResult<Bound<'_, PyAny>> {
    let references = match outcome {
        Outcome::References(references) => references,
        Outcome::Generator(results) => {
            let results = crate::generator::Results(results);
            return GENERATOR.import(py, "plasmon._generators", "ObjectRefGenerator")?.call1((results,));
        }
    };
    let mut references = references.into_iter().map(New::of);
    match references.len() {
        0 => Ok(py.None().into_bound(py)),
        1 => match references.next() {
            Some(reference) => Ok(reference.into_pyobject(py)?.into_any()),
            None => Ok(py.None().into_bound(py)),
        },
        _ => Ok(PyList::new(py, references)?.into_any()),
    }
}

/// How often; -1 is as often as it takes.
fn times(count: i64) -> u32 {
    u32::try_from(count).unwrap_or(plasmon::ENDLESS)
}

/// A remote function with its options, checked by the package.
#[pyclass(module = "plasmon", frozen)]
pub(crate) struct Task {
    name: String,
    export: Py<Exported>,
    reserve: Reserve,
    max_retries: u32,
    retry_exceptions: RetryExceptions,
    timeout_ms: u64,
    /// `None` for what a generator yields.
    results: Option<usize>,
    /// What the worker is told of results.
    returns: Py<PyAny>,
    takes: Option<Takes>,
    /// What a call without arguments sends.
    bare: OnceLock<Box<[u8]>>,
}

/// What several sets of options share.
#[pyclass(module = "plasmon", frozen)]
pub(crate) struct Exported(Export);

#[pymethods]
impl Exported {
    #[new]
    fn new(make: Py<PyAny>) -> Self {
        Self(Export::new(make))
    }

    /// What it holds is the collector's to know: a function may refer to its own remote function. Whatever such a cycle goes through
    /// besides, Python's own objects, ends it.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0.make)
    }
}

#[pymethods]
impl Task {
    #[new]
    #[expect(clippy::too_many_arguments, reason = "called by the package alone")]
    fn new(
        name: String,
        export: Py<Exported>,
        num_cpus: Option<f64>,
        num_gpus: Option<f64>,
        memory: Option<u64>,
        resources: Vec<(String, f64)>,
        max_retries: i64,
        retry_exceptions: &str,
        timeout_ms: u64,
        results: Option<usize>,
        returns: Py<PyAny>,
        takes: Option<Takes>,
    ) -> Self {
        Self {
            name,
            export,
            reserve: Reserve { cpus: num_cpus, gpus: num_gpus, memory, custom: resources },
            max_retries: times(max_retries),
            retry_exceptions: retried(retry_exceptions),
            timeout_ms,
            results,
            returns,
            takes,
            bare: OnceLock::new(),
        }
    }

    /// What it holds is the collector's to know: a function may refer to its own remote function. Whatever such a cycle goes through
    /// besides, Python's own objects, ends it.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.export)?;
        visit.call(&self.returns)?;
        match &self.takes {
            Some(takes) => takes.traverse(&visit),
            None => Ok(()),
        }
    }

    /// Submits the task.
    #[pyo3(signature = (*args, **kwargs))]
    fn submit<'py>(&self, py: Python<'py>, args: &Bound<'py, PyTuple>, kwargs: Option<&Bound<'py, PyDict>>) -> PyResult<Bound<'py, PyAny>> {
        let _inside = Inside::begin();
        Takes::check(self.takes.as_ref(), args, kwargs)?;
        let connection = current(py)?;
        let site = site::here(py, &connection, SiteKind::TaskCall);
        let export = self.export.get().0.on(py, &connection, SiteKind::TaskCall)?;
        let mut all = vec![connection.hidden_argument(&export)];
        all.append(&mut arguments(&connection, site, self.returns.bind(py), None, args, kwargs, Some(&self.bare))?);
        let submitted = py.apart(|| {
            self.reserve.with(|demand| {
                let settings = TaskSettings {
                    demand,
                    max_retries: self.max_retries,
                    retry_exceptions: self.retry_exceptions,
                    timeout_ms: self.timeout_ms,
                };
                match self.results {
                    Some(results) => connection.submit(&self.name, &settings, &all, results, site).map(Outcome::References),
                    None => connection.submit_generator(&self.name, &settings, &all, site).map(Outcome::Generator),
                }
            })
        });
        handed(py, submitted.or_raise(py)?)
    }
}

/// How actors of a class are made, with the options checked by the package.
#[pyclass(module = "plasmon", frozen)]
pub(crate) struct Creation {
    class: String,
    export: Py<Exported>,
    reserve: Reserve,
    name: String,
    detached: bool,
    max_concurrency: u32,
    max_restarts: u32,
    max_task_retries: u32,
    /// What it reserves, as it is told.
    assigned: Py<PyAny>,
    takes: Option<Takes>,
}

#[pymethods]
impl Creation {
    #[new]
    #[expect(clippy::too_many_arguments, reason = "called by the package alone")]
    fn new(
        class: String,
        export: Py<Exported>,
        num_cpus: Option<f64>,
        num_gpus: Option<f64>,
        memory: Option<u64>,
        resources: Vec<(String, f64)>,
        name: String,
        detached: bool,
        max_concurrency: u32,
        max_restarts: i64,
        max_task_retries: i64,
        assigned: Py<PyAny>,
        takes: Option<Takes>,
    ) -> Self {
        Self {
            class,
            export,
            reserve: Reserve { cpus: num_cpus, gpus: num_gpus, memory, custom: resources },
            name,
            detached,
            max_concurrency,
            max_restarts: times(max_restarts),
            max_task_retries: times(max_task_retries),
            assigned,
            takes,
        }
    }

    /// What it holds is the collector's to know: a function may refer to its own remote function. Whatever such a cycle goes through
    /// besides, Python's own objects, ends it.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.export)?;
        visit.call(&self.assigned)?;
        match &self.takes {
            Some(takes) => takes.traverse(&visit),
            None => Ok(()),
        }
    }

    /// Makes an actor; the object that its handles refer to. The constructor's worker is told of its id, its name and what it reserves.
    fn create<'py>(&self, py: Python<'py>, args: &Bound<'py, PyTuple>, kwargs: Option<&Bound<'py, PyDict>>) -> PyResult<New> {
        let _inside = Inside::begin();
        Takes::check(self.takes.as_ref(), args, kwargs)?;
        let connection = current(py)?;
        let site = site::here(py, &connection, SiteKind::ActorCall);
        let export = self.export.get().0.on(py, &connection, SiteKind::ActorCall)?;
        let mut all = vec![connection.hidden_argument(&export)];
        let place = connection.actor_place().or_raise(py)?;
        let told = (place.id().hex(), &self.name, &self.assigned).into_pyobject(py)?;
        all.append(&mut arguments(&connection, site, told.as_any(), None, args, kwargs, None)?);
        let created = py.apart(|| {
            self.reserve.with(|demand| {
                let settings = ActorSettings {
                    demand,
                    name: &self.name,
                    detached: self.detached,
                    max_concurrency: self.max_concurrency,
                    max_restarts: self.max_restarts,
                    max_task_retries: self.max_task_retries,
                };
                connection.create_actor(place, &self.class, &settings, &all, site)
            })
        });
        created.or_raise(py).map(New::of)
    }
}

/// What the package calls it.
fn retried(exceptions: &str) -> RetryExceptions {
    match exceptions {
        "always" => RetryExceptions::Always,
        "listed" => RetryExceptions::Listed,
        _ => RetryExceptions::Never,
    }
}

/// A method of an actor.
#[pyclass(module = "plasmon", frozen)]
pub(crate) struct Method {
    actor: Py<ObjectRef>,
    name: String,
    method: String,
    results: Option<usize>,
    returns: Py<PyAny>,
    retries: CallRetries,
    takes: Option<Takes>,
    bare: OnceLock<Box<[u8]>>,
}

#[pymethods]
impl Method {
    #[new]
    #[expect(clippy::too_many_arguments, reason = "called by the package alone")]
    fn new(
        actor: Py<ObjectRef>,
        name: String,
        method: String,
        results: Option<usize>,
        returns: Py<PyAny>,
        max_task_retries: Option<i64>,
        retry_exceptions: &str,
        takes: Option<Takes>,
    ) -> Self {
        let retries = CallRetries { max_task_retries: max_task_retries.map(times), retry_exceptions: retried(retry_exceptions) };
        Self { actor, name, method, results, returns, retries, takes, bare: OnceLock::new() }
    }

    /// What it holds is the collector's to know: a function may refer to its own remote function. Whatever such a cycle goes through
    /// besides, Python's own objects, ends it.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.actor)?;
        visit.call(&self.returns)?;
        match &self.takes {
            Some(takes) => takes.traverse(&visit),
            None => Ok(()),
        }
    }

    /// Calls the method.
    #[pyo3(signature = (*args, **kwargs))]
    fn submit<'py>(&self, py: Python<'py>, args: &Bound<'py, PyTuple>, kwargs: Option<&Bound<'py, PyDict>>) -> PyResult<Bound<'py, PyAny>> {
        let _inside = Inside::begin();
        Takes::check(self.takes.as_ref(), args, kwargs)?;
        let connection = current(py)?;
        let site = site::here(py, &connection, SiteKind::ActorCall);
        let all = arguments(&connection, site, self.returns.bind(py), Some(&self.method), args, kwargs, Some(&self.bare))?;
        let actor = &self.actor.get().inner;
        let called = py.apart(|| match self.results {
            Some(results) => connection.call(actor, &self.name, self.retries, &all, results, site).map(Outcome::References),
            None => connection.call_generator(actor, &self.name, self.retries, &all, site).map(Outcome::Generator),
        });
        handed(py, called.or_raise(py)?)
    }
}

/// The object that the handles of the live actor of that name refer to, and the actor's class.
#[pyfunction]
pub(crate) fn find_actor(py: Python<'_>, name: &str) -> PyResult<(New, String)> {
    let connection = current(py)?;
    let site = site::here(py, &connection, SiteKind::ActorCall);
    let (reference, class) = py.apart(|| connection.find_actor(name, site)).or_raise(py)?;
    Ok((New::of(reference), class))
}
