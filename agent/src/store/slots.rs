//! Which process may name new objects by which slots. A process owns whole blocks; a block is lent anew when its process is
//! gone and its last object too.

use std::collections::BTreeMap;

use plasmon_protocol::id::ProcessId;
use plasmon_protocol::local::SLOT_BLOCK;

#[derive(Clone, Copy, Debug, Default)]
struct Block {
    owner: Option<ProcessId>,
    live: u32,
}

/// The slot table's blocks.
#[derive(Debug)]
pub struct Slots {
    blocks: Vec<Block>,
    vacant: Vec<u32>,
    limit: u32,
    /// How many blocks each process has that has any.
    owned: BTreeMap<ProcessId, u32>,
}

impl Slots {
    /// A table of `slots` slots, none lent.
    #[must_use]
    pub fn new(slots: u32) -> Self {
        Self { blocks: Vec::new(), vacant: Vec::new(), limit: slots / SLOT_BLOCK, owned: BTreeMap::new() }
    }

    /// Lends a block: its first slot. A process may have as many blocks as it leaves to others, so that one alone takes at most half of
    /// them, and two at most two thirds.
    ///
    /// # Errors
    /// How many slots the process has already, where it may have no more.
    pub fn lend(&mut self, owner: ProcessId) -> Result<u32, u32> {
        let own = self.owned.get(&owner).copied().unwrap_or(0);
        let free = self.vacant.len() as u32 + self.limit - self.blocks.len() as u32;
        if free <= own {
            return Err(own * SLOT_BLOCK);
        }
        let block = self.vacant.pop().unwrap_or_else(|| {
            self.blocks.push(Block::default());
            self.blocks.len() as u32 - 1
        });
        self.blocks[block as usize].owner = Some(owner);
        self.owned.insert(owner, own + 1);
        Ok(block * SLOT_BLOCK)
    }

    /// Whether `process` may put into `slot`.
    #[must_use]
    pub fn is_lent_to(&self, slot: u32, process: ProcessId) -> bool {
        self.blocks.get((slot / SLOT_BLOCK) as usize).is_some_and(|block| block.owner == Some(process))
    }

    /// An object is in `slot` now.
    pub fn enter(&mut self, slot: u32) {
        if let Some(block) = self.blocks.get_mut((slot / SLOT_BLOCK) as usize) {
            block.live += 1;
        }
    }

    /// The object in `slot` is gone.
    pub fn leave(&mut self, slot: u32) {
        let index = slot / SLOT_BLOCK;
        if let Some(block) = self.blocks.get_mut(index as usize) {
            block.live -= 1;
            if block.owner.is_none() && block.live == 0 {
                self.vacant.push(index);
            }
        }
    }

    /// All blocks of a process that is gone.
    pub fn orphan(&mut self, process: ProcessId) {
        self.owned.remove(&process);
        for (index, block) in self.blocks.iter_mut().enumerate().filter(|(_, block)| block.owner == Some(process)) {
            block.owner = None;
            if block.live == 0 {
                self.vacant.push(index as u32);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes blocks until there are no more for this process: how many.
    fn take_all(slots: &mut Slots, process: u32) -> u32 {
        (0..).take_while(|_| slots.lend(ProcessId(process)).is_ok()).count() as u32
    }

    #[test]
    fn nobody_takes_more_than_is_left_to_others() {
        let mut slots = Slots::new(120 * SLOT_BLOCK);
        assert_eq!(take_all(&mut slots, 1), 60);
        assert_eq!(slots.lend(ProcessId(1)), Err(60 * SLOT_BLOCK));
        assert_eq!(take_all(&mut slots, 2), 30);
        assert_eq!(take_all(&mut slots, 3), 15);
        // What a process has left behind is everybody's.
        slots.orphan(ProcessId(1));
        assert_eq!(take_all(&mut slots, 3), 30);
        assert_eq!(take_all(&mut slots, 2), 8);
    }

    #[test]
    fn a_block_with_a_live_object_is_not_lent_again() {
        let mut slots = Slots::new(2 * SLOT_BLOCK);
        let first = slots.lend(ProcessId(1)).unwrap();
        slots.enter(first);
        slots.orphan(ProcessId(1));
        assert_eq!(slots.lend(ProcessId(2)), Ok(SLOT_BLOCK));
        assert!(slots.lend(ProcessId(3)).is_err());
        slots.leave(first);
        assert_eq!(slots.lend(ProcessId(3)), Ok(first));
    }
}
