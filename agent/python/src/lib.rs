//! The native half of the Python package `plasmon`; the other half is in `plasmon/`, and decides what the package looks like.
//!
//! - [`connection`]: init, shutdown, facts about the node.
//! - [`reference`]: `ObjectRef`; [`value`]: how Python's values are objects; [`view`]: buffers in shared memory.
//! - [`objects`]: put and get; [`wait`]; [`task`]: remote functions and actors, as they are called; [`worker`]: as they are run;
//!   [`generator`]: what they yield.
//! - [`site`]: the place of the program that calls, [`frame`] by frame; [`report`]: who holds what; [`command`]: `python -m plasmon`; [`error`]: exceptions.
//!
//! What waits or copies much does so without the interpreter's lock; [`inside`] counts who does.

mod command;
mod connection;
mod error;
mod exports;
mod frame;
mod generator;
mod inside;
mod objects;
mod reference;
mod report;
mod site;
mod task;
mod value;
mod view;
mod wait;
mod worker;

/// The native half of the package `plasmon`.
#[pyo3::pymodule]
mod _plasmon {
    use plasmon_protocol::report::{GroupBy, SortBy, Units};
    use pyo3::prelude::*;
    use pyo3::types::PyTuple;

    #[pymodule_export]
    use crate::command::run_command;
    #[pymodule_export]
    use crate::connection::{connect, current_task, disconnect, facts, is_connected};
    #[pymodule_export]
    use crate::generator::Results;
    #[pymodule_export]
    use crate::inside::{await_threads, forget_threads};
    #[pymodule_export]
    use crate::objects::{CancelWatch, cancel, get, is_cancelled, kill, put, when_cancelled, when_ready};
    #[pymodule_export]
    use crate::reference::{ObjectRef, load_reference};
    #[pymodule_export]
    use crate::report::Snapshot;
    #[pymodule_export]
    use crate::site::{set_hidden_files, want_call_sites};
    #[pymodule_export]
    use crate::task::{Creation, Exported, Method, Task, find_actor};
    #[pymodule_export]
    use crate::value::{name_main, write_anew};
    #[pymodule_export]
    use crate::view::SharedBuffer;
    #[pymodule_export]
    use crate::wait::wait;
    #[pymodule_export]
    use crate::worker::{exit_actor, run_as};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let report = [("GROUPS", GroupBy::WORDS), ("ORDERS", SortBy::WORDS), ("UNITS", Units::WORDS)];
        for (name, words) in report {
            module.add(name, PyTuple::new(module.py(), words)?)?;
        }
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
