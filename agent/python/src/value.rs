//! How Python's values are objects. Pickled with protocol 5; what can be viewed instead of copied lies beside the pickle, each part at a
//! multiple of 64 bytes, where the object itself begins.
//!
//! ```text
//! 0   b"PLPY"                        what it is
//! 4   kind                           1: a pickle   2: bytes   3: the bytes of a memoryview   4: a list of references, without a pickle
//!                                    5: a long text, in UTF-8   6: a bytearray
//! 8   parts u32                      how many buffers lie beside the pickle
//! 12  references u32                 how many are in it
//! 16  length of the pickle u64
//! 24  parts times: offset u64, length u64
//! ..  references times: id [u8; 16]  in the order of the pickle, so that the agent is told of all in one go
//! ..  the pickle, then the buffers
//! ```
//! Numbers are little-endian. Bytes, bytearrays and texts begin at 16, a memoryview's at 64. A memoryview is flattened: of whatever shape and format it is, it
//! comes back as one of single bytes, in the order in which they lie in memory; those of one with gaps are gathered in its own order.
#![expect(unsafe_code, reason = "buffers are copied without the interpreter's lock")]

use std::ops::Range;
use std::sync::Arc;

use plasmon::binding::{self, Connection, Content, Fill, ObjectId, Reach, Reference};
use plasmon_protocol::error::Error;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyUnicodeEncodeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PyMemoryView, PyString};

use crate::error::{OrRaise, raise};
use crate::reference::{New, ObjectRef, borrow_all, lost, reading};
use crate::view::{Borrowed, SharedBuffer};

const MAGIC: &[u8; 4] = b"PLPY";
const PICKLE: u32 = 1;
const BYTES: u32 = 2;
const VIEW: u32 = 3;
const REFERENCES: u32 = 4;
const TEXT: u32 = 5;
const ARRAY: u32 = 6;
/// Before the list of parts.
const HEAD: usize = 24;
const BYTES_AT: usize = 16;
/// Characters from which on a text is written without a pickle, which would copy it once more.
const LONG_TEXT: usize = 64 << 10;
/// Bytes of an object's id.
const ID: usize = 16;
/// The pickle of `None`: protocol 5, it, the end.
const NONE: &[u8] = b"\x80\x05N.";
const ALIGNMENT: usize = 64;

static ENCODE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static PICKLE_BUFFER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// A value that is about to be written.
pub(crate) struct Encoded {
    kind: u32,
    /// What the body is of: kept.
    _body: Py<PyAny>,
    /// The pickle, or the bytes.
    body_at: Borrowed,
    /// The pickle goes on in these: long bytes lie where the program has them, and are copied from there.
    pieces: Vec<PyBuffer<u8>>,
    parts: Vec<PyBuffer<u8>>,
    offsets: Vec<usize>,
    length: usize,
    /// Ids of the references inside, one after the other.
    ids: Vec<u8>,
    /// The references inside, each once.
    pub(crate) contains: Vec<Reference>,
}

/// What is copied of it: without the interpreter.
pub(crate) struct Layout {
    kind: u32,
    ids: Borrowed,
    body: Borrowed,
    pieces: Vec<Borrowed>,
    parts: Vec<(usize, Borrowed)>,
}

impl Encoded {
    /// Nothing but a body.
    fn bare(kind: u32, body: Py<PyAny>, body_at: Borrowed, length: usize) -> Self {
        let (pieces, parts, offsets, ids, contains) = Default::default();
        Self { kind, _body: body, body_at, pieces, parts, offsets, length, ids, contains }
    }

    /// Bytes that it takes.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// What there is to copy. Valid as long as `self` lives.
    pub(crate) fn layout(&self) -> Layout {
        // SAFETY: buffers are kept by `self`, which lives longer, as its callers see to.
        let borrow = |buffer: &PyBuffer<u8>| unsafe { Borrowed::new(buffer.buf_ptr().cast(), buffer.len_bytes()) };
        // SAFETY: as above.
        let body = unsafe { Borrowed::new(self.body_at.as_ptr(), self.body_at.len()) };
        // SAFETY: as above; the vector is never changed.
        let ids = unsafe { Borrowed::new(self.ids.as_ptr(), self.ids.len()) };
        let pieces = self.pieces.iter().map(borrow).collect();
        Layout { kind: self.kind, ids, body, pieces, parts: self.offsets.iter().copied().zip(self.parts.iter().map(borrow)).collect() }
    }

    /// What writes it, and keeps what it consists of.
    pub(crate) fn into_fill(self) -> (usize, Vec<Reference>, Fill) {
        let Self { length, .. } = self;
        let layout = self.layout();
        let mut this = self;
        let contains = std::mem::take(&mut this.contains);
        let fill = move |room: &mut [u8]| {
            let _kept = &this;
            layout.write(room, &Reach::all());
        };
        (length, contains, Box::new(fill))
    }
}

impl Layout {
    /// Writes the whole object, as far as it may reach.
    pub(crate) fn write(&self, room: &mut [u8], reach: &Reach<'_>) {
        let body_at = match self.kind {
            BYTES | TEXT | ARRAY => BYTES_AT,
            VIEW => ALIGNMENT,
            _ => HEAD + 16 * self.parts.len() + self.ids.len(),
        };
        if !reach.comes(0..body_at) {
            return;
        }
        room[..4].copy_from_slice(MAGIC);
        room[4..8].copy_from_slice(&self.kind.to_le_bytes());
        room[8..12].copy_from_slice(&(self.parts.len() as u32).to_le_bytes());
        room[12..16].copy_from_slice(&((self.ids.len() / ID) as u32).to_le_bytes());
        let pickled = || self.body.len() + self.pieces.iter().map(Borrowed::len).sum::<usize>();
        match self.kind {
            BYTES | TEXT | ARRAY => {}
            VIEW => room[BYTES_AT..ALIGNMENT].fill(0),
            _ => {
                room[16..24].copy_from_slice(&(pickled() as u64).to_le_bytes());
                for (index, (at, part)) in self.parts.iter().enumerate() {
                    let entry = &mut room[HEAD + 16 * index..][..16];
                    entry[..8].copy_from_slice(&(*at as u64).to_le_bytes());
                    entry[8..].copy_from_slice(&(part.len() as u64).to_le_bytes());
                }
                self.ids.copy_to(room, HEAD + 16 * self.parts.len(), &Reach::all());
            }
        }
        let mut end = body_at;
        for piece in std::iter::once(&self.body).chain(&self.pieces) {
            piece.copy_to(room, end, reach);
            end += piece.len();
        }
        for (at, part) in &self.parts {
            if !reach.comes(end..*at) {
                return;
            }
            // What was here before is nobody's business.
            room[end..*at].fill(0);
            part.copy_to(room, *at, reach);
            end = at + part.len();
        }
    }
}

/// Encodes a value.
///
/// # Errors
/// `TypeError` that names what cannot be pickled; whatever the value's own code raises.
pub(crate) fn encode(value: &Bound<'_, PyAny>) -> PyResult<Encoded> {
    let py = value.py();
    if value.is_none() {
        // What most calls return, without a way through the pickler.
        // SAFETY: constant.
        let body_at = unsafe { Borrowed::new(NONE.as_ptr(), NONE.len()) };
        return Ok(Encoded::bare(PICKLE, value.clone().unbind(), body_at, HEAD + NONE.len()));
    }
    if let Ok(bytes) = value.cast_exact::<PyBytes>() {
        let body = bytes.as_bytes();
        // SAFETY: bytes never change, and are kept.
        let body_at = unsafe { Borrowed::new(body.as_ptr(), body.len()) };
        let length = BYTES_AT + body.len();
        return Ok(Encoded::bare(BYTES, value.clone().unbind(), body_at, length));
    }
    if let Ok(text) = value.cast_exact::<PyString>()
        && text.len()? >= LONG_TEXT
        && let Some(body) = utf8(text)?
    {
        // SAFETY: neither texts nor bytes ever change, and they are kept.
        let borrowed = |body: &[u8]| unsafe { Borrowed::new(body.as_ptr(), body.len()) };
        let body_at = match body.cast::<PyBytes>() {
            Ok(bytes) => borrowed(bytes.as_bytes()),
            Err(_) => borrowed(text.to_str()?.as_bytes()),
        };
        let length = BYTES_AT + body_at.len();
        return Ok(Encoded::bare(TEXT, body.unbind(), body_at, length));
    }
    if let Ok(array) = value.cast_exact::<PyByteArray>() {
        // It keeps its size as long as this is kept: who would resize it meanwhile gets a BufferError.
        let buffer = PyBuffer::<u8>::get(array)?;
        // SAFETY: the buffer is kept below.
        let body_at = unsafe { Borrowed::new(buffer.buf_ptr().cast(), buffer.len_bytes()) };
        let length = BYTES_AT + buffer.len_bytes();
        // Not a part: it is kept here, and has no offset.
        return Ok(Encoded { parts: vec![buffer], ..Encoded::bare(ARRAY, value.clone().unbind(), body_at, length) });
    }
    if value.is_exact_instance_of::<PyMemoryView>() {
        let plain: bool = value.getattr("contiguous")?.extract()?;
        // `cast` takes neither Fortran's order nor a shape with a 0 in it.
        let view = if plain {
            PICKLE_BUFFER.import(py, "pickle", "PickleBuffer")?.call1((value,))?.call_method0("raw")?
        } else {
            value.call_method0("tobytes")?
        };
        let buffer = PyBuffer::<u8>::get(&view)?;
        // SAFETY: the buffer is kept below.
        let body_at = unsafe { Borrowed::new(buffer.buf_ptr().cast(), buffer.len_bytes()) };
        let length = ALIGNMENT + buffer.len_bytes();
        // Not a part: it is kept here, and has no offset.
        return Ok(Encoded { parts: vec![buffer], ..Encoded::bare(VIEW, view.unbind(), body_at, length) });
    }
    if let Ok(list) = value.cast_exact::<PyList>()
        && let Some(encoded) = list_of_references(list)
    {
        return Ok(encoded);
    }
    let (encoded, mut contains) =
        binding::writing(|| ENCODE.import(py, "plasmon._pickling", "encode").and_then(|encode| encode.call1((value,))));
    let (pickle, pieces, buffers): (Bound<'_, PyBytes>, Bound<'_, PyList>, Bound<'_, PyList>) = encoded?.extract()?;
    let ids = ids_of(&contains);
    sort(&mut contains);
    let all = |buffers: Bound<'_, PyList>| buffers.iter().map(|buffer| PyBuffer::<u8>::get(&buffer)).collect::<PyResult<Vec<_>>>();
    let (pieces, parts) = (all(pieces)?, all(buffers)?);
    let body = pickle.as_bytes();
    let mut length = HEAD + 16 * parts.len() + ids.len() + body.len() + pieces.iter().map(|piece| piece.len_bytes()).sum::<usize>();
    let mut offsets = Vec::with_capacity(parts.len());
    for part in &parts {
        length = length.next_multiple_of(ALIGNMENT);
        offsets.push(length);
        length += part.len_bytes();
    }
    // SAFETY: bytes never change, and are kept.
    let body_at = unsafe { Borrowed::new(body.as_ptr(), body.len()) };
    Ok(Encoded { kind: PICKLE, _body: pickle.into_any().unbind(), body_at, pieces, parts, offsets, length, ids, contains })
}

/// What has a text in UTF-8: of ASCII the text itself, of another one bytes, for the text would keep a second copy of itself. `None` for what
/// UTF-8 does not have: half of a surrogate pair.
fn utf8<'py>(text: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = text.py();
    if text.call_method0(pyo3::intern!(py, "isascii"))?.is_truthy()? {
        return Ok(Some(text.clone().into_any()));
    }
    match text.call_method0(pyo3::intern!(py, "encode")) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_instance_of::<PyUnicodeEncodeError>(py) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A list of nothing but references, each to another object; what pickle would make of it takes several times as long.
fn list_of_references(list: &Bound<'_, PyList>) -> Option<Encoded> {
    let reference = |item: Bound<'_, PyAny>| item.cast::<ObjectRef>().ok().map(|reference| reference.get().inner.clone());
    let mut contains = list.iter().map(reference).collect::<Option<Vec<Reference>>>().filter(|contains| !contains.is_empty())?;
    let ids = ids_of(&contains);
    sort(&mut contains);
    // SAFETY: constant.
    let body_at = unsafe { Borrowed::new(NONE.as_ptr(), 0) };
    // Pickle tells whether one comes twice because the same Python object does.
    (contains.len() * ID == ids.len()).then(|| {
        let bare = Encoded::bare(REFERENCES, list.clone().into_any().unbind(), body_at, HEAD + ids.len());
        Encoded { ids, contains, ..bare }
    })
}

fn ids_of(references: &[Reference]) -> Vec<u8> {
    references.iter().flat_map(|reference| reference.id().0).collect()
}

/// Each once.
fn sort(references: &mut Vec<Reference>) {
    references.sort_unstable_by_key(|reference| reference.id().0);
    references.dedup();
}

/// The pickler begins again with a value: references that it has written so far do not count.
#[pyfunction]
pub(crate) fn write_anew() {
    binding::write_anew();
}

/// Whether one of these pieces of a pickle has the name of the program's main module in it: many times as fast as the interpreter's search,
/// which took longer than all else of a put of some ten thousand bytes in a list.
#[pyfunction]
pub(crate) fn name_main(pieces: &Bound<'_, PyList>) -> bool {
    let has = |piece: &Bound<'_, PyBytes>| memchr::memmem::find(piece.as_bytes(), b"__main__").is_some();
    pieces.iter().any(|piece| piece.cast::<PyBytes>().is_ok_and(has))
}

/// Decodes an object. References inside it and views into it belong to the place that `site` tells the numbers of: first that of
/// references, then that of views.
///
/// Beside the value: the object, pinned for as long as it is kept. With `argument` the agent is told of that even where there are no
/// views.
///
/// # Errors
/// It was not written by this package, or does not unpickle.
pub(crate) fn decode<'py>(
    py: Python<'py>,
    connection: &Connection,
    mut content: Content,
    argument: bool,
    site: impl Fn() -> (u32, u32),
) -> PyResult<(Bound<'py, PyAny>, Arc<Content>)> {
    let Some(Parsed { kind, ids, body, parts }) = parse(content.bytes()) else {
        return Err(foreign(py, &content));
    };
    if argument || kind == VIEW || !parts.is_empty() {
        content.count(site().1);
    }
    let content = Arc::new(content);
    match kind {
        BYTES => {
            let bytes = PyBytes::new(py, &content.bytes()[body]).into_any();
            return Ok((bytes, content));
        }
        ARRAY => {
            let array = PyByteArray::new(py, &content.bytes()[body]).into_any();
            return Ok((array, content));
        }
        TEXT => {
            let text = std::str::from_utf8(&content.bytes()[body]).map_err(|_| foreign(py, &content))?;
            return Ok((PyString::new(py, text).into_any(), content));
        }
        VIEW => {
            let buffer = Bound::new(py, SharedBuffer::new(&content, body))?;
            return Ok((PyMemoryView::from(buffer.as_any())?.into_any(), content));
        }
        REFERENCES => {
            let references = connection.borrow_all(ids_in(&content, ids.clone()), site().0).or_raise(py)?;
            if let Some(at) = references.iter().position(Option::is_none) {
                return Err(lost(py, ids_in(&content, ids).nth(at).unwrap_or_default()));
            }
            let references = references.into_iter().map(|reference| reference.map(New::of));
            return Ok((PyList::new(py, references)?.into_any(), content));
        }
        _ => {}
    }
    let loads = LOADS.import(py, "pickle", "loads")?;
    let pickle = Bound::new(py, SharedBuffer::new(&content, body))?;
    let options = if parts.is_empty() {
        None
    } else {
        let buffers = parts.into_iter().map(|part| Bound::new(py, SharedBuffer::new(&content, part))).collect::<PyResult<Vec<_>>>()?;
        let options = PyDict::new(py);
        options.set_item(pyo3::intern!(py, "buffers"), PyList::new(py, buffers)?)?;
        Some(options)
    };
    let load = || loads.call((pickle,), options.as_ref());
    let value = if ids.is_empty() {
        load()?
    } else {
        let site = site().0;
        let references = borrow_all(py, connection, site, ids_in(&content, ids))?;
        reading(connection, site, references, load)?
    };
    Ok((value, content))
}

/// What is raised for an object of somebody else's.
fn foreign(py: Python<'_>, content: &Content) -> PyErr {
    let cause = "it was not written by the Python package".to_owned();
    raise(py, &Error::Decode { object: content.id(), wanted: "a Python value".to_owned(), cause })
}

fn ids_in(content: &Content, ids: Range<usize>) -> impl ExactSizeIterator<Item = ObjectId> + Clone {
    content.bytes()[ids].as_chunks::<ID>().0.iter().map(|id| ObjectId(*id))
}

/// What an object consists of.
struct Parsed {
    kind: u32,
    ids: Range<usize>,
    body: Range<usize>,
    parts: Vec<Range<usize>>,
}

/// `None` for bytes that this package did not write.
fn parse(bytes: &[u8]) -> Option<Parsed> {
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| usize::try_from(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?)).ok();
    if bytes.get(..4)? != MAGIC {
        return None;
    }
    let kind = word(4)?;
    match kind {
        BYTES | TEXT | ARRAY => {
            let parsed = || Parsed { kind, ids: 0..0, body: BYTES_AT..bytes.len(), parts: Vec::new() };
            return (bytes.len() >= BYTES_AT).then(parsed);
        }
        VIEW => {
            let parsed = || Parsed { kind, ids: 0..0, body: ALIGNMENT..bytes.len(), parts: Vec::new() };
            return (bytes.len() >= ALIGNMENT).then(parsed);
        }
        PICKLE | REFERENCES => {}
        _ => return None,
    }
    let count = word(8)? as usize;
    let ids_at = HEAD + 16 * count;
    let ids = ids_at..ids_at + ID * word(12)? as usize;
    let body = ids.end..ids.end.checked_add(long(16)?)?;
    let within = |range: &Range<usize>| range.start <= range.end && range.end <= bytes.len();
    if !within(&body) {
        return None;
    }
    let part = |index: usize| {
        let at = long(HEAD + 16 * index)?;
        let range = at..at.checked_add(long(HEAD + 16 * index + 8)?)?;
        within(&range).then_some(range)
    };
    let parts = (0..count).map(part).collect::<Option<Vec<_>>>()?;
    Some(Parsed { kind, ids, body, parts })
}
