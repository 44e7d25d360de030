//! When the live objects of one site were created: counted by the millisecond, so that the oldest is always known.

use std::collections::VecDeque;

/// So many instants without an object are kept whatever else there is.
const FEW: usize = 16;

/// See the module. The first and the last instant are here, where most objects come and go; those between them elsewhere.
#[derive(Debug, Default)]
pub struct Births {
    /// Milliseconds since the Unix epoch, and how many are left of that instant: 0 when there is none at all.
    first_ms: u64,
    /// The same of the last one, if there are at least two.
    last_ms: u64,
    first: u32,
    last: u32,
    between: Option<Box<Between>>,
}

/// Instants after the first and before the last.
#[derive(Debug, Default)]
struct Between {
    /// In order, milliseconds since the Unix epoch, with how many objects are left of each.
    instants: VecDeque<(u64, u32)>,
    /// Those that have none left.
    empty: usize,
}

impl Births {
    /// One more.
    pub fn add(&mut self, ms: u64) {
        if self.first == 0 {
            (self.first_ms, self.first) = (ms, 1);
        } else if ms == self.first_ms {
            self.first += 1;
        } else if ms < self.first_ms {
            // The clock was set back.
            let first = (self.first_ms, self.first);
            (self.first_ms, self.first) = (ms, 1);
            if self.last == 0 {
                (self.last_ms, self.last) = first;
            } else {
                self.between.get_or_insert_default().instants.push_front(first);
            }
        } else if self.last == 0 {
            (self.last_ms, self.last) = (ms, 1);
        } else if ms == self.last_ms {
            self.last += 1;
        } else if ms > self.last_ms {
            self.between.get_or_insert_default().instants.push_back((self.last_ms, self.last));
            (self.last_ms, self.last) = (ms, 1);
        } else {
            self.between.get_or_insert_default().add(ms);
        }
    }

    /// One that was created then is gone.
    pub fn remove(&mut self, ms: u64) {
        if self.first > 0 && ms == self.first_ms {
            self.first -= 1;
            if self.first == 0 {
                let next = self.between.as_mut().and_then(|between| between.take(VecDeque::pop_front));
                // The last one becomes the first, if there is one.
                (self.first_ms, self.first) = next.unwrap_or_else(|| (self.last_ms, std::mem::take(&mut self.last)));
            }
        } else if self.last > 0 && ms == self.last_ms {
            self.last -= 1;
            if self.last == 0 {
                let before = self.between.as_mut().and_then(|between| between.take(VecDeque::pop_back));
                (self.last_ms, self.last) = before.unwrap_or_default();
            }
        } else if let Some(between) = &mut self.between {
            between.remove(ms);
        }
    }

    /// When the oldest was created, milliseconds since the Unix epoch.
    #[must_use]
    pub fn oldest(&self) -> Option<u64> {
        (self.first > 0).then_some(self.first_ms)
    }
}

impl Between {
    fn add(&mut self, ms: u64) {
        match self.instants.binary_search_by_key(&ms, |(at, _)| *at) {
            Ok(at) => {
                self.empty -= usize::from(self.instants[at].1 == 0);
                self.instants[at].1 += 1;
            }
            Err(at) => self.instants.insert(at, (ms, 1)),
        }
    }

    fn remove(&mut self, ms: u64) {
        let Ok(at) = self.instants.binary_search_by_key(&ms, |(at, _)| *at) else { return };
        let left = &mut self.instants[at].1;
        if *left == 0 {
            return;
        }
        *left -= 1;
        if *left > 0 {
            return;
        }
        self.empty += 1;
        if self.empty > FEW + self.instants.len() / 2 {
            self.instants.retain(|(_, left)| *left > 0);
            self.empty = 0;
        }
    }

    /// Takes the next instant from one end that has an object left.
    fn take(&mut self, pop: impl Fn(&mut VecDeque<(u64, u32)>) -> Option<(u64, u32)>) -> Option<(u64, u32)> {
        loop {
            let instant = pop(&mut self.instants)?;
            if instant.1 > 0 {
                return Some(instant);
            }
            self.empty -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{Births, FEW};

    proptest! {
        #[test]
        fn the_oldest_is_known_whoever_goes(deeds in proptest::collection::vec((0_u64..40, any::<bool>(), any::<prop::sample::Index>()), 0..600)) {
            let (mut births, mut model, mut clock) = (Births::default(), BTreeMap::<u64, u32>::new(), 1_000_000_u64);
            for (step, add, which) in deeds {
                // Now and then it is set back.
                clock = if step == 39 { clock - 30 } else { clock + step % 3 };
                if add || model.is_empty() {
                    births.add(clock);
                    *model.entry(clock).or_default() += 1;
                } else {
                    let at = *model.keys().nth(which.index(model.len())).unwrap();
                    births.remove(at);
                    let left = model.get_mut(&at).unwrap();
                    *left -= 1;
                    if *left == 0 {
                        model.remove(&at);
                    }
                }
                prop_assert_eq!(births.oldest(), model.keys().next().copied());
                let kept = births.between.as_ref().map_or(0, |between| between.instants.len());
                prop_assert!(kept <= 2 * model.len() + 3 * FEW, "{} instants of {}", kept, model.len());
            }
        }
    }
}
