//! What a worker keeps of functions and classes that were exported to it.

use std::collections::HashMap;

use plasmon::ObjectId;
use pyo3::prelude::*;

/// How many are kept.
const MOST: usize = 256;
/// How long their exports may be together, bytes: a function holds the arrays that it refers to, and so what they lie in.
const MOST_BYTES: usize = 64 << 20;

/// A function or class that was read.
pub(crate) struct Loaded {
    pub(crate) function: Py<PyAny>,
    pub(crate) sites: (u32, u32),
    /// Bytes of its export.
    length: usize,
    used: u64,
}

impl Loaded {
    pub(crate) fn new(function: Py<PyAny>, sites: (u32, u32), length: usize) -> Self {
        Self { function, sites, length, used: 0 }
    }
}

/// Those that were used last, by object: those are never made anew under the same id. The newest is kept, however long it is.
#[derive(Default)]
pub(crate) struct Exports {
    loaded: HashMap<ObjectId, Loaded>,
    length: usize,
    uses: u64,
}

impl Exports {
    pub(crate) fn get(&mut self, id: ObjectId) -> Option<&Loaded> {
        let loaded = self.loaded.get_mut(&id)?;
        self.uses += 1;
        loaded.used = self.uses;
        Some(loaded)
    }

    /// Keeps one; those that are not kept any more are the caller's to drop.
    #[must_use]
    pub(crate) fn insert(&mut self, id: ObjectId, mut loaded: Loaded) -> Vec<Loaded> {
        self.uses += 1;
        loaded.used = self.uses;
        self.length += loaded.length;
        let mut gone: Vec<Loaded> = self.loaded.insert(id, loaded).into_iter().collect();
        self.length -= gone.iter().map(|loaded| loaded.length).sum::<usize>();
        while self.loaded.len() > 1 && (self.loaded.len() > MOST || self.length > MOST_BYTES) {
            let Some(oldest) = self.loaded.iter().min_by_key(|(_, loaded)| loaded.used).map(|(id, _)| *id) else { break };
            let Some(loaded) = self.loaded.remove(&oldest) else { break };
            self.length -= loaded.length;
            gone.push(loaded);
        }
        gone
    }
}
