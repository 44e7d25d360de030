//! What somebody may have meant.

use super::fold;

/// The word that `typed` is a slip away from, whatever its case: one letter missing, too many, wrong or in its neighbour's place, two of
/// them in words of six letters or more.
pub(super) fn nearest<'a>(typed: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let typed: Vec<char> = fold(typed).chars().take(MAX).collect();
    let allowed = if typed.len() < 6 { 1 } else { 2 };
    words
        .map(|word| {
            let whole: Vec<char> = fold(word).chars().take(MAX).collect();
            // A word with several parts may be meant by one of them.
            let parts = whole.split(|char| *char == '_').map(|part| slips(&typed, part));
            (parts.chain([slips(&typed, &whole)]).min().unwrap_or(usize::MAX), word)
        })
        .filter(|(slips, _)| *slips <= allowed && *slips < typed.len())
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, word)| word)
}

/// No word is compared further, in characters.
const MAX: usize = 64;

/// How many slips lead from one word to the other (optimal string alignment).
fn slips(one: &[char], other: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.iter().enumerate() {
        let mut line = vec![row + 1];
        for (column, wanted) in other.iter().enumerate() {
            let at = |line: &[usize], place: usize| line.get(place).copied().unwrap_or(usize::MAX - 1);
            let mut best = at(&last, column) + usize::from(letter != wanted);
            best = best.min(at(&last, column + 1) + 1).min(at(&line, column) + 1);
            let swapped = row > 0 && column > 0 && one.get(row - 1) == Some(wanted) && other.get(column - 1) == Some(letter);
            if swapped {
                best = best.min(at(&before, column - 1) + 1);
            }
            line.push(best);
        }
        before = std::mem::replace(&mut last, line);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted() {
        for (one, other, expected) in [
            ("", "", 0),
            ("", "ab", 2),
            ("size", "size", 0),
            ("sise", "size", 1),
            ("szie", "size", 1),
            ("siz", "size", 1),
            ("kitten", "sitting", 3),
        ] {
            let [one, other] = [one, other].map(|word| word.chars().collect::<Vec<_>>());
            assert_eq!((slips(&one, &other), slips(&other, &one)), (expected, expected), "{one:?} {other:?}");
        }
    }

    #[test]
    fn the_nearest_word_is_found_and_nothing_far_off() {
        let words = ["size", "state", "status", "site", "PINNED_IN_MEMORY"];
        for (typed, expected) in [
            ("sise", Some("size")),
            ("Stat", Some("state")),
            ("stauts", Some("status")),
            ("pined", Some("PINNED_IN_MEMORY")),
            ("pinnde-in-memroy", Some("PINNED_IN_MEMORY")),
            ("banana", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(nearest(typed, words.into_iter()), expected, "{typed}");
        }
    }
}
