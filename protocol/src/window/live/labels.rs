//! Numbers that sort as the texts do that they stand for, so that an order by texts compares numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// More distinct texts than this are compared as they are.
const MOST: usize = 1 << 16;

/// The numbers of the texts of one column.
#[derive(Default, Debug)]
pub(super) struct Labels {
    of: BTreeMap<Box<str>, u64>,
    /// There are too many texts for numbers.
    pub(super) wide: bool,
}

/// There is no number left between two others, or there are too many texts.
pub(super) struct Exhausted;

/// Collects the texts that there are to be numbers for.
#[derive(Default)]
pub(super) struct Collector {
    texts: BTreeSet<Box<str>>,
    wide: bool,
}

impl Collector {
    pub(super) fn add(&mut self, text: &str) {
        if !self.wide && !self.texts.contains(text) {
            self.texts.insert(text.into());
            self.wide = self.texts.len() > MOST;
        }
    }

    pub(super) fn finish(self) -> Labels {
        if self.wide {
            return Labels { of: BTreeMap::new(), wide: true };
        }
        let step = u64::MAX / (self.texts.len() as u64 + 1);
        Labels { of: self.texts.into_iter().zip(1_u64..).map(|(text, nth)| (text, nth * step)).collect(), wide: false }
    }
}

impl Labels {
    /// A text's number, a new one if it has none; 0 for every text when there are too many.
    pub(super) fn label(&mut self, text: &str) -> Result<u64, Exhausted> {
        if self.wide {
            return Ok(0);
        }
        if let Some(label) = self.of.get(text) {
            return Ok(*label);
        }
        let below = self.of.range::<str, _>((Bound::Unbounded, Bound::Excluded(text))).next_back().map_or(0, |(_, label)| *label);
        let above = self.of.range::<str, _>((Bound::Excluded(text), Bound::Unbounded)).next().map_or(u64::MAX, |(_, label)| *label);
        let label = below + (above - below) / 2;
        if label == below || self.of.len() >= MOST {
            return Err(Exhausted);
        }
        self.of.insert(text.into(), label);
        Ok(label)
    }

    /// The number of a text that has one.
    pub(super) fn known(&self, text: &str) -> u64 {
        self.of.get(text).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_sort_as_texts_do(first in proptest::collection::vec("[a-d]{0,4}", 0..20), then in proptest::collection::vec("[a-d]{0,4}", 0..40)) {
            let mut collector = Collector::default();
            first.iter().for_each(|text| collector.add(text));
            let mut labels = collector.finish();
            for text in &then {
                prop_assume!(labels.label(text).is_ok());
            }
            let numbers: Vec<u64> = labels.of.values().copied().collect();
            prop_assert!(numbers.is_sorted_by(|a, b| a < b) && numbers.iter().all(|label| (1..u64::MAX).contains(label)));
            for text in first.iter().chain(&then) {
                prop_assert_eq!(labels.known(text), *labels.of.get(text.as_str()).unwrap());
            }
        }
    }

    #[test]
    fn what_finds_no_number_says_so() {
        let mut labels = Collector::default().finish();
        // Each between the one before and the first.
        let exhausted = (0..100).find(|n| labels.label(&format!("a{}", "a".repeat(100 - n))).is_err());
        assert!(exhausted.is_some_and(|n| n > 50), "{exhausted:?}");
        let mut many = Collector::default();
        (0..=MOST).for_each(|n| many.add(&n.to_string()));
        let mut wide = many.finish();
        assert!(wide.wide && wide.label("x").is_ok_and(|label| label == 0));
    }
}
