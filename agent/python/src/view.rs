//! Buffers in shared memory, for numpy, arrow, memoryview and everybody else who speaks the buffer protocol.
#![expect(unsafe_code, reason = "the buffer protocol hands out pointers")]

use std::ffi::c_int;
use std::ops::Range;
use std::sync::Arc;

use plasmon::binding::Content;
use pyo3::exceptions::{PyBufferError, PyRuntimeError};
use pyo3::ffi;
use pyo3::prelude::*;

/// A read-only view of a part of an object. The object stays in memory, where it is, until the last view of it is gone.
#[pyclass(module = "plasmon", frozen, weakref)]
pub(crate) struct SharedBuffer {
    content: Arc<Content>,
    range: Range<usize>,
}

impl SharedBuffer {
    /// A view of `range`, which lies within the content.
    pub(crate) fn new(content: &Arc<Content>, range: Range<usize>) -> Self {
        Self { content: Arc::clone(content), range }
    }
}

#[pymethods]
impl SharedBuffer {
    fn __len__(&self) -> usize {
        self.range.len()
    }

    fn __repr__(&self) -> String {
        format!("<plasmon.SharedBuffer of {} bytes in object {}>", self.range.len(), self.content.id())
    }

    // SAFETY: called by the interpreter with a view to fill, as the buffer protocol has it.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("no view to fill"));
        }
        let this = slf.get();
        if !this.content.is_here() {
            return Err(PyRuntimeError::new_err(
                "a view into shared memory was used in a forked child, which does not have that memory\nhint: get the object again after \
                 plasmon.init() in the child, or start the child with spawn",
            ));
        }
        let bytes = this.content.bytes().get(this.range.clone()).unwrap_or_default();
        let length = bytes.len() as ffi::Py_ssize_t;
        // SAFETY: the bytes stay where they are for as long as the exporter lives, which the view keeps alive; they are read-only, and so
        // says the view: a request for a writable one is refused.
        let filled = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), bytes.as_ptr().cast_mut().cast(), length, 1, flags) };
        if filled == -1 { Err(PyErr::fetch(slf.py())) } else { Ok(()) }
    }
}

/// A range of memory that somebody else keeps, on its way to be copied without the interpreter's lock.
pub(crate) struct Borrowed {
    pointer: *const u8,
    length: usize,
}

// SAFETY: only read, while whoever made it keeps the memory.
unsafe impl Send for Borrowed {}
// SAFETY: as above.
unsafe impl Sync for Borrowed {}

impl Borrowed {
    /// # Safety
    /// The memory is there, and nobody frees it, for as long as this is used.
    pub(crate) unsafe fn new(pointer: *const u8, length: usize) -> Self {
        Self { pointer, length }
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn as_ptr(&self) -> *const u8 {
        self.pointer
    }

    /// Copies it to the begin of `room`, which is long enough.
    pub(crate) fn copy_to(&self, room: &mut [u8]) {
        let room = &mut room[..self.length];
        if self.length > 0 {
            // SAFETY: the maker keeps the memory; `room` is as long, and is new memory of the store, or a vector's. Another thread of the
            // program's may write what is copied meanwhile, as with every copy of a buffer: then nobody knows which bytes were copied.
            unsafe { std::ptr::copy_nonoverlapping(self.pointer, room.as_mut_ptr(), self.length) };
        }
    }
}
