//! Which places of a table are free: one bit each, and one for each 64 of those, so that any or a certain one is found at once.

/// Places of one word.
const WORD: usize = u64::BITS as usize;

/// See the module.
#[derive(Debug, Default)]
pub struct Vacant {
    places: Vec<u64>,
    /// A bit for each word of `places` that has one.
    words: Vec<u64>,
    /// No word of `words` before this one has a bit.
    from: usize,
}

impl Vacant {
    /// Nothing is at this place any more.
    pub fn enter(&mut self, place: u32) {
        let (word, bit) = split(place as usize);
        let (group, word_bit) = split(word);
        if self.places.len() <= word {
            self.places.resize(word + 1, 0);
            self.words.resize(group + 1, 0);
        }
        self.places[word] |= bit;
        self.words[group] |= word_bit;
        self.from = self.from.min(group);
    }

    /// Takes a certain place; false when it is not free.
    #[inline]
    pub fn take(&mut self, place: u32) -> bool {
        let (word, bit) = split(place as usize);
        let Some(places) = self.places.get_mut(word).filter(|places| **places & bit != 0) else { return false };
        *places &= !bit;
        if *places == 0 {
            let (group, word_bit) = split(word);
            self.words[group] &= !word_bit;
        }
        true
    }

    /// Takes the first place of all.
    pub fn take_any(&mut self) -> Option<u32> {
        let group = self.words.get(self.from..)?.iter().position(|words| *words != 0);
        self.from = group.map_or(self.words.len(), |group| self.from + group);
        let word = self.from * WORD + self.words.get(self.from)?.trailing_zeros() as usize;
        let place = (word * WORD + self.places[word].trailing_zeros() as usize) as u32;
        self.take(place).then_some(place)
    }
}

/// In which word, and which bit of it.
fn split(place: usize) -> (usize, u64) {
    (place / WORD, 1 << (place % WORD))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::Vacant;

    proptest! {
        #[test]
        fn it_is_a_set(deeds in proptest::collection::vec((0_u8..4, 0_u32..20_000), 1..400)) {
            let (mut vacant, mut model) = (Vacant::default(), BTreeSet::new());
            for (deed, place) in deeds {
                match deed {
                    0 | 1 => {
                        vacant.enter(place);
                        model.insert(place);
                    }
                    2 => prop_assert_eq!(vacant.take(place), model.remove(&place)),
                    _ => prop_assert_eq!(vacant.take_any(), model.pop_first()),
                }
            }
            while let Some(place) = model.pop_first() {
                prop_assert_eq!(vacant.take_any(), Some(place));
            }
            prop_assert_eq!(vacant.take_any(), None);
        }
    }
}
