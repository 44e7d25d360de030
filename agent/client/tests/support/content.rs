//! Contents that say themselves whether they are right: a seed, and what follows from it.

/// A small generator of numbers that look random.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// `length` numbers that follow from `seed`, which is the first of them.
pub(crate) fn content(seed: u64, length: usize) -> Vec<u64> {
    let mut random = Random(seed);
    (0..length).map(|index| if index == 0 { seed } else { random.next() }).collect()
}

/// Whether these are the numbers that [`content`] makes; the place of the first that is not.
pub(crate) fn check(numbers: &[u64]) -> Result<(), String> {
    let Some(seed) = numbers.first() else { return Ok(()) };
    let mut random = Random(*seed);
    match numbers.iter().skip(1).position(|number| *number != random.next()) {
        None => Ok(()),
        Some(at) => Err(format!("number {} of {} is {:#x} (seed {seed:#x})", at + 1, numbers.len(), numbers[at + 1])),
    }
}
