//! Names of functions, each kept once, however many tasks have it.

use std::sync::Arc;

use hashbrown::HashSet;

/// Names that are kept without looking whether anybody uses them.
const KEPT: usize = 256;

/// All names that tasks have.
#[derive(Debug)]
pub struct Names {
    known: HashSet<Arc<str>, foldhash::fast::FixedState>,
    /// At how many it is looked which of them are still in use.
    sweep_at: usize,
}

impl Default for Names {
    fn default() -> Self {
        Self { known: HashSet::default(), sweep_at: KEPT }
    }
}

impl Names {
    /// A name.
    pub fn intern(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.known.get(name) {
            return Arc::clone(known);
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(|name| Arc::strong_count(name) > 1);
            self.sweep_at = KEPT.max(2 * self.known.len());
        }
        let name = Arc::<str>::from(name);
        self.known.insert(Arc::clone(&name));
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_once_and_goes_when_nobody_has_it() {
        let mut names = Names::default();
        let one = names.intern("sorter::merge");
        assert!(Arc::ptr_eq(&one, &names.intern("sorter::merge")));
        for number in 0..10_000 {
            names.intern(&format!("function {number}"));
        }
        assert!(names.known.len() <= 2 * KEPT, "{}", names.known.len());
        assert!(Arc::ptr_eq(&one, &names.intern("sorter::merge")));
    }
}
