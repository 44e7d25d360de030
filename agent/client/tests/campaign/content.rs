//! Objects that say themselves whether they are right: everything in them follows from a seed that their holder knows.

use std::collections::BTreeSet;

use plasmon::{ObjectId, ObjectRef};
use serde::{Deserialize, Serialize};

use crate::support::{Random, check, content};
use crate::trouble::Trouble;

/// A slice object.
pub(crate) type Numbers = ObjectRef<[u64]>;
/// Objects that somebody holds.
pub(crate) type Ids = BTreeSet<ObjectId>;

/// A seed and how many numbers follow from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Series {
    pub(crate) seed: u64,
    pub(crate) length: u32,
}

impl Series {
    /// Mostly short, sometimes as long as a chunk takes, seldom in a lease of its own.
    pub(crate) fn any(random: &mut Random) -> Self {
        let length = match random.below(20) {
            0..14 => 1 + random.below(200),
            14..18 => 1000 + random.below(7000),
            _ => 9000 + random.below(20_000),
        };
        Self { seed: random.next(), length: length as u32 }
    }

    /// Short.
    pub(crate) fn short(random: &mut Random) -> Self {
        Self { seed: random.next(), length: 1 + random.below(300) as u32 }
    }

    pub(crate) fn numbers(self) -> Vec<u64> {
        content(self.seed, self.length as usize)
    }

    /// Whether these are exactly its numbers.
    pub(crate) fn check(self, numbers: &[u64]) -> Result<(), Trouble> {
        if numbers.len() != self.length as usize {
            return Err(Trouble::Wrong(format!("wrong bytes: {} numbers instead of {self:?}", numbers.len())));
        }
        if numbers.first() != Some(&self.seed) {
            return Err(Trouble::Wrong(format!("wrong bytes: they begin with {:x?} instead of {self:x?}", numbers.first())));
        }
        check(numbers).map_err(|what| Trouble::Wrong(format!("wrong bytes: {what}")))
    }

    /// Gets an object that must be this.
    pub(crate) fn get(self, reference: &Numbers, ids: &mut Ids) -> Result<(), Trouble> {
        ids.insert(reference.id());
        let view = plasmon::get(reference)?;
        self.check(&view)
    }
}

/// An object with objects inside, all of which follow from one seed.
#[derive(Serialize, Deserialize)]
pub(crate) struct Tree {
    seed: u64,
    leaves: Vec<Numbers>,
    below: Vec<ObjectRef<Tree>>,
}

/// What stands in a tree of that seed.
fn parts(seed: u64, depth: u32) -> (Vec<Series>, Vec<u64>) {
    let mut random = Random(seed);
    let leaves = (0..1 + random.below(3)).map(|_| Series::short(&mut random)).collect();
    let below = if depth == 0 { 0 } else { random.below(3) };
    (leaves, (0..below).map(|_| random.next()).collect())
}

impl Tree {
    /// Puts a tree, its leaves first.
    pub(crate) fn plant(seed: u64, depth: u32) -> Result<ObjectRef<Self>, Trouble> {
        let (leaves, below) = parts(seed, depth);
        let leaves = leaves.into_iter().map(|leaf| plasmon::put(&leaf.numbers()[..])).collect::<Result<_, _>>()?;
        let below = below.into_iter().map(|seed| Self::plant(seed, depth - 1)).collect::<Result<_, _>>()?;
        Ok(plasmon::put(&Self { seed, leaves, below })?)
    }

    /// Gets a tree and everything in it.
    pub(crate) fn get(reference: &ObjectRef<Self>, seed: u64, depth: u32, ids: &mut Ids) -> Result<(), Trouble> {
        ids.insert(reference.id());
        let tree = plasmon::get(reference)?;
        let (leaves, below) = parts(seed, depth);
        if (tree.seed, tree.leaves.len(), tree.below.len()) != (seed, leaves.len(), below.len()) {
            return Err(Trouble::Wrong(format!("wrong bytes: a tree of seed {:x} instead of {seed:x}", tree.seed)));
        }
        for (leaf, series) in tree.leaves.iter().zip(leaves) {
            series.get(leaf, ids)?;
        }
        for (inner, seed) in tree.below.iter().zip(below) {
            Self::get(inner, seed, depth - 1, ids)?;
        }
        Ok(())
    }
}
