//! Which places of a table have changed since somebody last asked. While nobody follows the table, a mark costs one comparison.

/// What one follower of a table has not been told yet: places that were marked, and all from some place on that were never told.
#[derive(Debug, Default)]
pub struct Changes {
    followed: bool,
    /// Places from here on are yet to be told for the first time.
    told: u32,
    /// Marked places below that, each once.
    marked: Vec<u32>,
    /// One bit for each place that is marked.
    bits: Vec<u64>,
    /// When all are told, they are told again.
    again: bool,
}

impl Changes {
    /// From now on somebody follows: he has been told of the places below `told`, if any.
    pub fn follow(&mut self, told: u32) {
        *self = Self { followed: true, told, ..Self::default() };
    }

    /// Nobody follows any more.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// Whether somebody follows.
    #[must_use]
    pub fn is_followed(&self) -> bool {
        self.followed
    }

    /// What is at this place has changed, or may have.
    #[inline]
    pub fn mark(&mut self, place: u32) {
        if self.followed && place < self.told {
            self.enter(place);
        }
    }

    /// Apart, so that a mark costs those who are not followed next to nothing.
    #[cold]
    #[inline(never)]
    fn enter(&mut self, place: u32) {
        let (at, bit) = (place as usize / 64, 1 << (place % 64));
        if self.bits.len() <= at {
            self.bits.resize(at + 1, 0);
        }
        if self.bits[at] & bit == 0 {
            self.bits[at] |= bit;
            self.marked.push(place);
        }
    }

    /// Something has changed that concerns any number of places.
    pub fn mark_all(&mut self) {
        self.again = self.followed;
    }

    /// At most so many places to tell of, of a table with places below `end`: what was marked first.
    pub fn take(&mut self, end: u32, most: usize) -> Vec<u32> {
        if self.again && self.told >= end {
            (self.again, self.told) = (false, 0);
            self.marked.clear();
            self.bits.clear();
        }
        let mut taken = self.marked.split_off(self.marked.len() - most.min(self.marked.len()));
        for place in &taken {
            self.bits[*place as usize / 64] &= !(1 << (place % 64));
        }
        let more = u32::try_from(most - taken.len()).unwrap_or(u32::MAX);
        let next = self.told.saturating_add(more).min(end);
        if next > self.told {
            taken.extend(self.told..next);
            self.told = next;
        }
        taken
    }

    /// Whether there is nothing to tell of a table with places below `end`.
    #[must_use]
    pub fn is_told(&self, end: u32) -> bool {
        self.marked.is_empty() && self.told >= end && !self.again
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::Changes;

    proptest! {
        /// Whoever applies what he is told has the newest of everything as soon as all is told.
        #[test]
        fn nothing_is_left_untold(deeds in proptest::collection::vec((0_u32..100, 0_u8..20, 1_usize..30), 1..300)) {
            let mut changes = Changes::default();
            // As long as it becomes if every deed makes it longer.
            let (mut table, mut replica) = (vec![0_u32; 10], vec![0_u32; 10 + 7 * 300]);
            changes.follow(0);
            for (step, (place, deed, most)) in (1..).zip(deeds) {
                match deed {
                    0 => table.resize(table.len() + 7, step),
                    1 => {
                        table.fill(step);
                        changes.mark_all();
                    }
                    2..8 => {
                        let end = table.len() as u32;
                        let taken = changes.take(end, most);
                        prop_assert!(taken.len() <= most);
                        prop_assert_eq!(taken.iter().collect::<BTreeSet<_>>().len(), taken.len(), "each once");
                        taken.iter().for_each(|place| replica[*place as usize] = table[*place as usize]);
                        if changes.is_told(end) {
                            prop_assert_eq!(&table[..], &replica[..table.len()]);
                        }
                    }
                    _ => {
                        let place = place as usize % table.len();
                        table[place] = step;
                        changes.mark(place as u32);
                    }
                }
            }
            let mut rounds = 0;
            while !changes.is_told(table.len() as u32) {
                let taken = changes.take(table.len() as u32, 50);
                taken.iter().for_each(|place| replica[*place as usize] = table[*place as usize]);
                rounds += 1;
                prop_assert!(rounds < 100);
            }
            prop_assert_eq!(&table[..], &replica[..table.len()]);
        }
    }

    #[test]
    fn nothing_is_written_down_while_nobody_follows() {
        let mut changes = Changes::default();
        changes.mark(3);
        changes.mark_all();
        changes.follow(u32::MAX);
        assert!(changes.is_told(10));
        changes.mark(3);
        assert_eq!(changes.take(10, 10), [3]);
        changes.forget();
        changes.mark(4);
        assert!(!changes.is_followed() && changes.marked.is_empty());
    }
}
