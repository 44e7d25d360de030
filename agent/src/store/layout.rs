//! Room in one piece: where it can be made for the least, when what is free lies in many pieces.

use std::ops::Range;

use super::lease::LeaseIndex;

/// A stretch of the pool, and what it takes to clear it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stretch {
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// The lease that it is; `None` when it is free.
    pub lease: Option<LeaseIndex>,
    /// Bytes to be moved or dropped; `None` where something must stay.
    pub cost: Option<u64>,
}

impl Stretch {
    fn end(&self) -> u64 {
        self.offset + self.length
    }
}

/// An end of the pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Where small objects are.
    Low,
    /// Where large ones are.
    High,
}

/// A window at the wrong end of the pool is as bad as one at the right end with this part of it more to be cleared.
const REMOTE: u64 = 2;

/// The longest run that nothing which must stay interrupts, bytes. The stretches cover the pool, in their order.
#[must_use]
pub fn longest_run(stretches: &[Stretch]) -> u64 {
    let runs = stretches.split(|stretch| stretch.cost.is_none());
    runs.map(|run| run.iter().map(|stretch| stretch.length).sum()).max().unwrap_or(0)
}

/// Windows that are considered.
pub const TRIES: usize = 8;

/// Where `bytes` could be had in one piece, those that take least and are closest to `near` first: whole stretches, none of which could be
/// left out. The stretches cover the pool, in their order.
#[must_use]
pub fn windows(stretches: &[Stretch], bytes: u64, near: End) -> Vec<Range<u64>> {
    let capacity = stretches.last().map_or(0, Stretch::end);
    let mut found: Vec<(u128, u64, u64)> = Vec::new();
    let (mut first, mut cost) = (0, 0);
    for (last, stretch) in stretches.iter().enumerate() {
        let Some(own) = stretch.cost else {
            (first, cost) = (last + 1, 0);
            continue;
        };
        cost += own;
        let end = stretch.end();
        while first < last && end - stretches[first].end() >= bytes {
            cost -= stretches[first].cost.unwrap_or(0);
            first += 1;
        }
        let begin = stretches[first].offset;
        if end - begin >= bytes {
            let remote = match near {
                End::Low => begin,
                End::High => capacity - end,
            };
            let share = u128::from(cost) * u128::from(capacity) / u128::from(bytes.max(1));
            found.push((share + u128::from(remote / REMOTE), begin, end));
        }
    }
    found.sort_unstable();
    found.into_iter().map(|(_, begin, end)| begin..end).collect()
}

/// The lowest of the [`windows`] for which `will_do` says so.
pub fn lowest_window(stretches: &[Stretch], bytes: u64, will_do: impl FnMut(&Range<u64>) -> bool) -> Option<Range<u64>> {
    let mut found = windows(stretches, bytes, End::Low);
    found.sort_unstable_by_key(|window| window.start);
    found.into_iter().take(TRIES).find(will_do)
}

/// Whether pieces of such lengths find room in ranges of such lengths, each in one: the longest first, as good a packing as is tried.
#[must_use]
pub fn pack(mut pieces: Vec<u64>, mut ranges: Vec<u64>) -> bool {
    pieces.sort_unstable_by(|one, other| other.cmp(one));
    pieces.into_iter().all(|piece| {
        let range = ranges.iter_mut().find(|range| **range >= piece);
        range.map(|range| *range -= piece).is_some()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stretches(parts: &[(u64, Option<u64>)]) -> Vec<Stretch> {
        let mut offset = 0;
        let stretch = |(length, cost): &(u64, Option<u64>)| {
            offset += length;
            Stretch { offset: offset - length, length: *length, lease: None, cost: cost.map(|cost| cost.min(*length)) }
        };
        parts.iter().map(stretch).collect()
    }

    #[test]
    fn the_cheapest_window_wins_unless_another_is_much_closer_to_its_end() {
        let parts =
            [(4, Some(0)), (4, Some(4)), (4, None), (4, Some(0)), (4, Some(1)), (4, Some(0)), (8, None), (4, Some(0)), (4, Some(4))];
        let pool = stretches(&parts);
        assert_eq!(windows(&pool, 8, End::Low), [12..20, 16..24, 0..8, 36..44]);
        assert_eq!(windows(&pool, 8, End::High), [16..24, 12..20, 36..44, 0..8]);
        assert_eq!((windows(&pool, 12, End::Low).len(), windows(&pool, 12, End::High).pop()), (1, Some(12..24)));
        assert_eq!(windows(&pool, 13, End::Low), []);
        assert_eq!((longest_run(&pool), longest_run(&[])), (12, 0));
    }

    #[test]
    fn pieces_are_packed_or_not() {
        assert!(pack(vec![1, 4, 2], vec![3, 4]));
        assert!(!pack(vec![3, 3], vec![2, 4]));
        assert!(pack(Vec::new(), Vec::new()));
    }

    proptest! {
        #[test]
        fn a_window_is_found_where_there_is_one_and_holds_nothing_that_must_stay(
            parts in prop::collection::vec((1_u64..9, prop::option::of(0_u64..9)), 0..40),
            bytes in 1_u64..40,
            high in any::<bool>(),
        ) {
            let pool = stretches(&parts);
            let found = windows(&pool, bytes, if high { End::High } else { End::Low });
            prop_assert_eq!(!found.is_empty(), longest_run(&pool) >= bytes);
            for window in found {
                let inside: Vec<&Stretch> =
                    pool.iter().filter(|stretch| stretch.offset < window.end && stretch.end() > window.start).collect();
                prop_assert!(inside.iter().all(|stretch| stretch.cost.is_some()));
                prop_assert_eq!((inside[0].offset, inside[inside.len() - 1].end()), (window.start, window.end));
                let length = window.end - window.start;
                prop_assert!(length >= bytes);
                prop_assert!(length - inside[0].length < bytes, "the first could be left out");
            }
        }
    }
}
