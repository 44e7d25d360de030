//! Filters that were taken before, for the session.

/// No more are kept.
const KEPT: usize = 100;

/// Filters that were taken, and the one of them that the prompt shows.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The oldest first, each once.
    taken: Vec<String>,
    /// The one shown, and what was typed before it was.
    shown: Option<(usize, String)>,
}

impl History {
    /// Remembers a filter as the latest.
    pub fn take(&mut self, text: &str) {
        self.shown = None;
        if text.is_empty() {
            return;
        }
        self.taken.retain(|taken| taken != text);
        if self.taken.len() >= KEPT {
            self.taken.remove(0);
        }
        self.taken.push(text.to_owned());
    }

    /// The prompt is opened anew: what is shown is none of them.
    pub fn rewind(&mut self) {
        self.shown = None;
    }

    /// The one before that which is shown, `typed`, which is kept; `None` when there is none.
    pub fn older(&mut self, typed: &str) -> Option<&str> {
        let (place, typed) = match self.shown.take() {
            Some((place, typed)) => (place, typed),
            // What the prompt opened with is the latest itself, as a rule.
            None => (self.taken.len() - usize::from(self.taken.last().is_some_and(|last| last == typed)), typed.to_owned()),
        };
        let older = place.checked_sub(1);
        self.shown = older.or((place < self.taken.len()).then_some(place)).map(|at| (at, typed));
        older.and_then(|at| self.taken.get(at)).map(String::as_str)
    }

    /// The one after that which is shown, at last what was typed; `None` when none is shown.
    pub fn newer(&mut self) -> Option<String> {
        let (place, typed) = self.shown.take()?;
        match self.taken.get(place + 1) {
            Some(newer) => {
                self.shown = Some((place + 1, typed));
                Some(newer.clone())
            }
            None => Some(typed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_ones_are_found_and_what_was_typed_comes_back() {
        let mut history = History::default();
        assert_eq!(history.older("typed"), None);
        assert_eq!(history.newer(), None);
        ["a", "b", "", "a", "c"].into_iter().for_each(|text| history.take(text));
        assert_eq!(history.older("typed"), Some("c"));
        assert_eq!(history.older("c"), Some("a"));
        assert_eq!(history.older("a"), Some("b"));
        assert_eq!(history.older("b"), None);
        assert_eq!(history.newer().as_deref(), Some("a"));
        assert_eq!(history.newer().as_deref(), Some("c"));
        assert_eq!(history.newer().as_deref(), Some("typed"));
        assert_eq!(history.newer(), None);
        // The prompt opens with the filter that is in force.
        assert_eq!(history.older("c"), Some("a"));
        history.rewind();
        assert_eq!(history.older(""), Some("c"));
    }

    #[test]
    fn only_the_latest_are_kept() {
        let mut history = History::default();
        (0..=KEPT).for_each(|number| history.take(&number.to_string()));
        assert_eq!((history.taken.len(), history.taken.first().map(String::as_str)), (KEPT, Some("1")));
    }
}
