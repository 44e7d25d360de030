//! Remote functions and actors, as they are run.

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use plasmon::binding::{Argument, Call, Connection, Content, Failure, Reach, Runner, SiteKind, Work, become_what_was_started};
use plasmon::{Error, ObjectId};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

use crate::connection::current;
use crate::error::OrRaise;
use crate::exports::{Exports, Loaded};
use crate::inside::Apart;
use crate::value;

/// The whole life of the worker or agent that this process was started as; its exit code, `None` when it is neither. `handler` runs
/// functions; agents need none.
#[pyfunction]
pub(crate) fn run_as(py: Python<'_>, boot: &str, handler: Option<Py<PyAny>>) -> Option<i32> {
    let interpreter = Interpreter { handler, loaded: Mutex::default(), places: Mutex::default() };
    let code = py.detach(|| become_what_was_started(boot, interpreter))?;
    Some(if code == ExitCode::SUCCESS { 0 } else { 2 })
}

/// Names of calls whose places are kept.
const MAX_PLACES: usize = 1024;

/// Ends the actor that this worker is; see `plasmon.actor.exit_actor`. `place` is that of the program which wants it. Returns where the agent
/// does not end this process, because it has ended itself.
#[pyfunction]
pub(crate) fn exit_actor(py: Python<'_>, id: [u8; 16], place: &Bound<'_, PyAny>) -> PyResult<()> {
    let connection = current(py)?;
    let site = told_site(&connection, SiteKind::ActorCall, place)?;
    py.apart(|| connection.exit_actor(ObjectId(id).key(), site)).or_raise(py)
}

/// Runs functions with the handler, an object of `plasmon._worker`.
struct Interpreter {
    handler: Option<Py<PyAny>>,
    loaded: Mutex<Exports>,
    /// Methods of the actor that this worker is.
    places: Mutex<HashMap<String, (u32, u32)>>,
}

/// A call's turn to begin, of an actor that runs several side by side. It passes on when this is gone, too.
#[pyclass(module = "plasmon", frozen)]
struct Turn(Mutex<Option<plasmon::binding::Turn>>);

#[pymethods]
impl Turn {
    /// The method begins at this moment.
    fn pass_on(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// An actor's value.
struct Instance(Py<PyAny>);

impl Drop for Instance {
    /// Its destructor runs now, while there is a connection: without the interpreter's lock it would run whenever somebody has that.
    fn drop(&mut self) {
        Python::attach(|py| drop(std::mem::replace(&mut self.0, py.None())));
    }
}

/// The number of a place as Python tells it: a file, a line, a function.
fn told_site(connection: &Connection, kind: SiteKind, place: &Bound<'_, PyAny>) -> PyResult<u32> {
    let (file, line, function): (Bound<'_, PyString>, u32, Bound<'_, PyString>) = place.extract()?;
    Ok(connection.site(kind, &file.to_string_lossy(), line, &function.to_string_lossy()))
}

impl Runner for Interpreter {
    fn run(&self, work: Work, name: &str, call: &mut Call) -> Result<(), Failure> {
        // A method's turn is waited for without the interpreter's lock.
        let instance = if work == Work::Method { Some(call.actor::<Instance>()?) } else { None };
        Python::attach(|py| {
            let instance = instance.map(|instance| instance.read().unwrap_or_else(PoisonError::into_inner).0.clone_ref(py));
            self.called(py, work, name, instance, call).map_err(|error| self.failure(py, error))
        })
    }
}

impl Interpreter {
    fn called(&self, py: Python<'_>, work: Work, name: &str, instance: Option<Py<PyAny>>, call: &mut Call) -> PyResult<()> {
        let connection = call.connection();
        let handler = self.handler(py)?;
        let kind = if work == Work::Task { SiteKind::DeserializeTaskArg } else { SiteKind::DeserializeActorTaskArg };
        let (function, sites) = if let Some(instance) = instance {
            let sites = self.method_sites(&connection, handler, &instance, name)?;
            (instance, sites)
        } else {
            self.load(py, &connection, handler, call, kind)?
        };
        call.set_site(sites.0);
        let content = |argument| match argument {
            Argument::Object(content) => content,
            Argument::Bytes(bytes) => Content::of_message(&connection, bytes),
        };
        let payload = call.next_raw().map(content).map(|content| value::decode(py, &connection, content, false, || sites)).transpose()?;
        let (payload, _) =
            payload.ok_or_else(|| crate::error::raise(py, &Error::invalid("arguments", name, "a call came without its arguments")))?;
        let objects = PyList::empty(py);
        // Objects that are arguments stay in memory until the call has ended.
        let mut kept = Vec::new();
        while let Some(object) = call.next_raw() {
            let (value, content) = value::decode(py, &connection, content(object), true, || sites)?;
            objects.append(value)?;
            kept.push(content);
        }
        // Methods begin in the order of their calls: who begins one passes the turn on.
        let turn = call.take_turn().map(|turn| Turn(Mutex::new(Some(turn))));
        let results = match work {
            Work::Task => handler.call_method1(pyo3::intern!(py, "run"), (function, payload, objects))?,
            Work::Method => handler.call_method1(pyo3::intern!(py, "call"), (function, payload, objects, turn))?,
            Work::Constructor { .. } => {
                let made = handler.call_method1(pyo3::intern!(py, "create"), (function, payload, objects))?;
                call.become_actor(Instance(made.unbind()));
                return Ok(());
            }
        };
        match results.cast::<PyTuple>() {
            Ok(results) => {
                for result in results.iter() {
                    let (length, contains, fill) = value::encode(&result)?.into_fill();
                    call.give_raw(length, contains, fill);
                }
            }
            Err(_) => Self::yields(py, &results, call)?,
        }
        drop(kept);
        Ok(())
    }

    /// Sends what a generator yields, as far as somebody wants it.
    fn yields(py: Python<'_>, values: &Bound<'_, PyAny>, call: &mut Call) -> PyResult<()> {
        let mut iterator = values.try_iter()?;
        loop {
            let place = call.next_place();
            if !py.apart(|| place.wait()).or_raise(py)? {
                break;
            }
            let Some(value) = iterator.next() else { return Ok(()) };
            let encoded = value::encode(&value?)?;
            let layout = encoded.layout();
            let (length, contains) = (encoded.len(), &encoded.contains);
            // Room may be long in coming, and what it is waited for may need the interpreter.
            py.apart(|| place.send(length, contains, move |room| layout.write(room, &Reach::all()))).or_raise(py)?;
        }
        // Not all that is iterated over ends before its time: a list's iterator does not.
        if let Some(close) = values.getattr_opt(pyo3::intern!(py, "close"))? {
            close.call0()?;
        }
        Ok(())
    }

    fn handler<'a, 'py>(&'a self, py: Python<'py>) -> PyResult<&'a Bound<'py, PyAny>> {
        let error = || crate::error::raise(py, &Error::invalid("this process", "", "it is no worker"));
        self.handler.as_ref().map(|handler| handler.bind(py)).ok_or_else(error)
    }

    /// The function or class that the call's first argument is the export of.
    fn load(
        &self,
        py: Python<'_>,
        connection: &Connection,
        handler: &Bound<'_, PyAny>,
        call: &mut Call,
        kind: SiteKind,
    ) -> PyResult<(Py<PyAny>, (u32, u32))> {
        let Some(Argument::Object(content)) = call.next_raw() else {
            return Err(crate::error::raise(py, &Error::invalid("function", "", "a call came without its function")));
        };
        let id = content.id();
        let lock = || self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = lock().get(id) {
            return Ok((loaded.function.clone_ref(py), loaded.sites));
        }
        let length = content.bytes().len();
        // References inside a function were got where it is defined; that is known when it has been read.
        let (function, _) = value::decode(py, connection, content, false, || (0, 0))?;
        let site = told_site(connection, kind, &handler.call_method1("place_of", (&function,))?)?;
        let loaded = Loaded::new(function.unbind(), (site, site), length);
        let found = (loaded.function.clone_ref(py), loaded.sites);
        // Without the lock: what ends with a function is the program's own code.
        let superfluous = lock().insert(id, loaded);
        drop(superfluous);
        Ok(found)
    }

    fn method_sites(&self, connection: &Connection, handler: &Bound<'_, PyAny>, instance: &Py<PyAny>, name: &str) -> PyResult<(u32, u32)> {
        let lock = || self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sites) = lock().get(name) {
            return Ok(*sites);
        }
        let place = handler.call_method1("place_of_method", (instance, name))?;
        let site = told_site(connection, SiteKind::DeserializeActorTaskArg, &place)?;
        let mut places = lock();
        // A program may name each of its calls.
        if places.len() < MAX_PLACES {
            places.insert(name.to_owned(), (site, site));
        }
        Ok((site, site))
    }

    /// What the driver is told of an exception.
    fn failure(&self, py: Python<'_>, error: PyErr) -> Failure {
        let message = error.to_string();
        let described = self.handler(py).and_then(|handler| {
            let described = handler.call_method1("describe", (error.into_value(py),))?;
            let (message, value, listed): (String, Bound<'_, PyBytes>, bool) = described.extract()?;
            Ok((message, value.as_bytes().to_vec(), listed))
        });
        let (message, value, listed) = described.unwrap_or((message, Vec::new(), true));
        Failure::Value { message, listed, value }
    }
}
