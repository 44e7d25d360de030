//! When the live objects of one site were created: counted by the millisecond, so that the oldest is always known.

use std::collections::VecDeque;

/// So many instants without an object are kept whatever else there is.
const FEW: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub struct Births {
    /// Instants in order, milliseconds since the Unix epoch, with how many objects are left of each; none at either end is without.
    instants: VecDeque<(u64, u32)>,
    /// Instants in between that have none left.
    empty: usize,
}

impl Births {
    /// One more.
    pub fn add(&mut self, ms: u64) {
        match self.instants.back_mut() {
            Some(last) if last.0 == ms => last.1 += 1,
            Some(last) if last.0 > ms => match self.instants.binary_search_by_key(&ms, |(at, _)| *at) {
                // The clock was set back.
                Ok(at) => {
                    self.empty -= usize::from(self.instants[at].1 == 0);
                    self.instants[at].1 += 1;
                }
                Err(at) => self.instants.insert(at, (ms, 1)),
            },
            _ => self.instants.push_back((ms, 1)),
        }
    }

    /// One that was created then is gone.
    pub fn remove(&mut self, ms: u64) {
        let at = match (self.instants.front(), self.instants.back()) {
            (Some(first), _) if first.0 == ms => 0,
            (_, Some(last)) if last.0 == ms => self.instants.len() - 1,
            _ => {
                let Ok(at) = self.instants.binary_search_by_key(&ms, |(at, _)| *at) else { return };
                at
            }
        };
        let left = &mut self.instants[at].1;
        *left = left.saturating_sub(1);
        if *left > 0 {
            return;
        }
        self.empty += 1;
        while self.instants.front().is_some_and(|(_, left)| *left == 0) {
            self.instants.pop_front();
            self.empty -= 1;
        }
        while self.instants.back().is_some_and(|(_, left)| *left == 0) {
            self.instants.pop_back();
            self.empty -= 1;
        }
        if self.empty > FEW + self.instants.len() / 2 {
            self.instants.retain(|(_, left)| *left > 0);
            self.empty = 0;
        }
    }

    /// When the oldest was created, milliseconds since the Unix epoch.
    #[must_use]
    pub fn oldest(&self) -> Option<u64> {
        self.instants.front().map(|(at, _)| *at)
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
                prop_assert!(births.instants.len() <= 2 * model.len() + 3 * FEW, "{} instants of {}", births.instants.len(), model.len());
            }
        }
    }
}
