//! The interpreter's frames, one after the other outwards. Through functions that the interpreter has had for long and that its stable
//! interface lacks: they are looked for at run time, and frames' attributes say the same, more slowly.
#![expect(unsafe_code, reason = "the stable interface has no functions for frames")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::LazyLock;

use pyo3::ffi::{self, PyFrameObject};
use pyo3::prelude::*;

type GetBack = unsafe extern "C" fn(*mut PyFrameObject) -> *mut PyFrameObject;
type GetLasti = unsafe extern "C" fn(*mut PyFrameObject) -> c_int;

unsafe extern "C" {
    /// Of the C library, which every interpreter is linked with.
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// What was found; from CPython 3.9 and 3.11 on there is something.
static GET_BACK: LazyLock<Option<GetBack>> = LazyLock::new(|| {
    let found = look_for(c"PyFrame_GetBack")?;
    // SAFETY: this is the function's signature in every version that has it.
    Some(unsafe { std::mem::transmute::<*mut c_void, GetBack>(found) })
});
static GET_LASTI: LazyLock<Option<GetLasti>> = LazyLock::new(|| {
    let found = look_for(c"PyFrame_GetLasti")?;
    // SAFETY: as above.
    Some(unsafe { std::mem::transmute::<*mut c_void, GetLasti>(found) })
});

fn look_for(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: the name ends with a 0; a null handle means the whole program.
    let found = unsafe { dlsym(std::ptr::null_mut(), name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

/// One frame.
#[derive(Clone)]
pub(crate) struct Frame<'py>(Bound<'py, PyAny>);

impl<'py> Frame<'py> {
    /// The innermost one of this thread; `None` where no Python code runs.
    pub(crate) fn innermost(py: Python<'py>) -> Option<Self> {
        // SAFETY: the interpreter's lock is held; the reference is borrowed, or null.
        unsafe { Bound::from_borrowed_ptr_or_opt(py, ffi::PyEval_GetFrame().cast()) }.map(Self)
    }

    fn as_ptr(&self) -> *mut PyFrameObject {
        self.0.as_ptr().cast()
    }

    /// The one that it was called from.
    pub(crate) fn back(&self) -> Option<Self> {
        let py = self.0.py();
        match *GET_BACK {
            // SAFETY: it is a frame; a new reference comes back, or null.
            Some(get) => unsafe { Bound::from_owned_ptr_or_opt(py, get(self.as_ptr()).cast()) }.map(Self),
            None => self.0.getattr(pyo3::intern!(py, "f_back")).ok().filter(|back| !back.is_none()).map(Self),
        }
    }

    /// The code that it runs.
    pub(crate) fn code(&self) -> PyResult<Bound<'py, PyAny>> {
        // SAFETY: it is a frame; a new reference comes back, never null.
        unsafe { Bound::from_owned_ptr_or_err(self.0.py(), ffi::PyFrame_GetCode(self.as_ptr()).cast()) }
    }

    /// How far it has come in its code.
    pub(crate) fn instruction(&self) -> i32 {
        match *GET_LASTI {
            // SAFETY: it is a frame.
            Some(get) => unsafe { get(self.as_ptr()) },
            None => self.0.getattr(pyo3::intern!(self.0.py(), "f_lasti")).and_then(|at| at.extract()).unwrap_or(-1),
        }
    }

    /// The line that it is at.
    pub(crate) fn line(&self) -> u32 {
        // SAFETY: it is a frame.
        u32::try_from(unsafe { ffi::PyFrame_GetLineNumber(self.as_ptr()) }).unwrap_or(0)
    }
}
