//! Makes inputs that are nearly right, which is where decoders err.

use crate::MAX_INPUT;
use crate::random::Random;

/// Numbers at the edges of what decoders compare with, as postcard writes them and as the machine does.
const EDGES: [u64; 16] =
    [0, 1, 2, 63, 64, 127, 128, 255, 1 << 10, 4096, (64 << 10) + 1, i32::MAX as u64, u32::MAX as u64, 1 << 60, i64::MAX as u64, u64::MAX];

/// Makes inputs out of others.
#[derive(Clone, Debug)]
pub struct Mutator {
    random: Random,
    words: &'static [&'static str],
}

impl Mutator {
    /// All that it makes follows from `random`.
    #[must_use]
    pub fn new(random: Random, words: &'static [&'static str]) -> Self {
        Self { random, words }
    }

    /// One of the parents, changed in a few places.
    pub fn make(&mut self, parents: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = self.random.pick(parents).cloned().unwrap_or_default();
        for _ in 0..=self.random.small(8) {
            self.change(&mut bytes, parents);
        }
        bytes.truncate(MAX_INPUT);
        bytes
    }

    /// Makes a good input a parent of others, in another's place when there are `most` already.
    pub fn adopt(&mut self, parents: &mut Vec<Vec<u8>>, input: Vec<u8>, most: usize) {
        if parents.len() < most {
            parents.push(input);
        } else {
            let place = self.random.below(parents.len());
            parents[place] = input;
        }
    }

    fn change(&mut self, bytes: &mut Vec<u8>, parents: &[Vec<u8>]) {
        let at = self.random.below(bytes.len());
        let end = (at + 1 + self.random.small(bytes.len() - at)).min(bytes.len());
        match self.random.below(12) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << self.random.below(8);
                }
            }
            1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = self.random.number() as u8;
                }
            }
            2 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = byte.wrapping_add(1 + self.random.below(254) as u8);
                }
            }
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(at..end)),
            5 => {
                let part = bytes[at..end].to_vec();
                let times = 1 + self.random.small(200);
                self.insert(bytes, &part.repeat(times.min(MAX_INPUT / part.len().max(1))));
            }
            6 => {
                let other = self.random.pick(parents).cloned().unwrap_or_default();
                let from = self.random.below(other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            7 => {
                let other = self.random.pick(parents).cloned().unwrap_or_default();
                let from = self.random.below(other.len());
                let count = self.random.small(other.len() - from + 1);
                self.insert(bytes, &other[from..from + count]);
            }
            8 => {
                let count = self.random.small(64);
                let noise = self.random.bytes(count);
                self.insert(bytes, &noise);
            }
            9 => {
                let number = self.number();
                let replaced = self.random.small(10).min(bytes.len() - at);
                bytes.splice(at..at + replaced, number);
            }
            10 => {
                let number = self.number();
                self.insert(bytes, &number);
            }
            _ => {
                let word = self.random.pick(self.words).copied().unwrap_or("0");
                let times = if self.random.below(8) == 0 { self.random.small(300) } else { 1 };
                self.insert(bytes, word.repeat(times.min(MAX_INPUT / word.len().max(1))).as_bytes());
            }
        }
    }

    fn insert(&mut self, bytes: &mut Vec<u8>, part: &[u8]) {
        let at = self.random.below(bytes.len() + 1);
        bytes.splice(at..at, part.iter().copied());
    }

    /// A number at an edge, or beside one, in one of the ways in which it may be written.
    fn number(&mut self) -> Vec<u8> {
        let edge = self.random.pick(&EDGES).copied().unwrap_or_default();
        let number = edge.wrapping_add(self.random.below(3) as u64).wrapping_sub(1);
        match self.random.below(5) {
            0 => number.to_string().into_bytes(),
            1 => (number as u32).to_le_bytes().to_vec(),
            2 => number.to_le_bytes().to_vec(),
            3 => [number.to_string().as_bytes(), b".5"].concat(),
            _ => varint(number),
        }
    }
}

/// As postcard writes a number.
#[must_use]
pub fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_follow_from_the_seed_and_differ() {
        let parents = [b"one parent".to_vec(), b"{\"another\":[1,2,3]}".to_vec()];
        let inputs = |seed| {
            let mut mutator = Mutator::new(Random::new(seed), &["word"]);
            (0..500).map(|_| mutator.make(&parents)).collect::<Vec<_>>()
        };
        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
        let distinct: std::collections::BTreeSet<_> = inputs(1).into_iter().collect();
        assert!(distinct.len() > 400, "{}", distinct.len());
        assert!(distinct.iter().all(|input| input.len() <= MAX_INPUT));
    }

    #[test]
    fn nothing_at_all_can_be_changed() {
        let mut mutator = Mutator::new(Random::new(3), &[]);
        for _ in 0..2000 {
            mutator.make(&[Vec::new()]);
        }
    }
}
