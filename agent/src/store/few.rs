//! A set that has no member as a rule, or one, and then takes no memory but its own.

use std::collections::BTreeSet;

/// A set of things in their order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Few<T> {
    /// Nothing.
    #[default]
    Empty,
    /// One.
    One(T),
    /// Any number.
    Many(Box<BTreeSet<T>>),
}

impl<T: Ord> Few<T> {
    /// Adds one, if it is not there.
    pub fn insert(&mut self, new: T) {
        *self = match std::mem::take(self) {
            Self::Empty => Self::One(new),
            Self::One(one) if one == new => Self::One(one),
            Self::One(one) => Self::Many(Box::new([one, new].into())),
            Self::Many(mut many) => {
                many.insert(new);
                Self::Many(many)
            }
        };
    }

    /// Takes one out, if it is there.
    pub fn remove(&mut self, old: &T) {
        match self {
            Self::One(one) if one == old => *self = Self::Empty,
            Self::Empty | Self::One(_) => {}
            Self::Many(many) => drop(many.remove(old)),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::One(_) => false,
            Self::Many(many) => many.is_empty(),
        }
    }

    /// All, in their order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        let (one, many) = match self {
            Self::Empty => (None, None),
            Self::One(one) => (Some(one), None),
            Self::Many(many) => (None, Some(many)),
        };
        one.into_iter().chain(many.into_iter().flat_map(|many| many.iter()))
    }

    /// All, in their order; none is left.
    pub fn take(&mut self) -> Vec<T> {
        match std::mem::take(self) {
            Self::Empty => Vec::new(),
            Self::One(one) => vec![one],
            Self::Many(many) => many.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(deeds in proptest::collection::vec((any::<bool>(), 0_u8..4), 0..20)) {
            let (mut few, mut set) = (Few::default(), BTreeSet::new());
            for (adds, number) in deeds {
                if adds {
                    few.insert(number);
                    set.insert(number);
                } else {
                    few.remove(&number);
                    set.remove(&number);
                }
                prop_assert_eq!(few.is_empty(), set.is_empty());
                prop_assert!(few.iter().eq(&set) && few.iter().rev().eq(set.iter().rev()));
            }
            prop_assert_eq!(few.take(), set.into_iter().collect::<Vec<_>>());
            prop_assert!(few.is_empty());
        }
    }
}
