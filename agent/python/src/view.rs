//! Buffers in shared memory, for numpy, arrow, memoryview and everybody else who speaks the buffer protocol.
#![expect(unsafe_code, reason = "the buffer protocol hands out pointers")]

use std::ffi::c_int;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use plasmon::binding::{Content, FAR, Reach, copy_past_caches};
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

    /// Copies it to the place `at` of `room`, which is long enough, as far as it may reach. A long one with a second processor, where there
    /// is one: one alone does not use all of the memory's bandwidth. Behind the backing alone: that takes the other one.
    pub(crate) fn copy_to(&self, room: &mut [u8], at: usize, reach: &Reach<'_>) {
        let room = &mut room[at..at + self.length];
        if !reach.is_all() {
            for (index, room) in room.chunks_mut(STEP).enumerate() {
                let from = index * STEP;
                if !reach.comes(at + from..at + from + room.len()) {
                    return;
                }
                self.copy_part(from, room);
            }
            return;
        }
        let helpers = if self.length < WORTH_A_THREAD { 0 } else { processors().min(MOST_THREADS) - 1 };
        if helpers == 0 {
            return self.copy_part(0, room);
        }
        // Several for each: one that is late takes fewer.
        let part = self.length.div_ceil(4 * (helpers + 1)).next_multiple_of(PAGE);
        let rooms = Mutex::new(room.chunks_mut(part).enumerate());
        let next = || rooms.lock().unwrap_or_else(PoisonError::into_inner).next();
        let copy = || {
            while let Some((index, room)) = next() {
                self.copy_part(index * part, room);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..helpers {
                // Without it this thread copies more.
                let _ = std::thread::Builder::new().name("plasmon-copy".to_owned()).spawn_scoped(scope, copy);
            }
            copy();
        });
    }

    /// Copies what begins at `from`, as much as `room` has room for.
    fn copy_part(&self, from: usize, room: &mut [u8]) {
        debug_assert!(from + room.len() <= self.length, "beyond the memory");
        if room.is_empty() {
            return;
        }
        let (from, to) = (self.pointer.wrapping_add(from), room.as_mut_ptr());
        // SAFETY: the maker keeps the memory, of which the parts are; `room` is new memory of the store, or a vector's. Another thread of
        // the program's may write what is copied meanwhile, as with every copy of a buffer: then nobody knows which bytes were copied.
        unsafe {
            if self.length < FAR { std::ptr::copy_nonoverlapping(from, to, room.len()) } else { copy_past_caches(from, to, room.len()) }
        };
    }
}

/// Bytes that are copied behind the backing at once.
const STEP: usize = 2 << 20;
/// Bytes for which a thread is begun: copying them takes many times as long as to begin it.
const WORTH_A_THREAD: usize = 4 << 20;
/// More threads than this copy no faster.
const MOST_THREADS: usize = 4;
const PAGE: usize = 4096;

fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}
