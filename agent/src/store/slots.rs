//! Which process may name new objects by which slots. A process owns whole blocks; a block is lent anew when its process is
//! gone and its last object too.

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
}

impl Slots {
    /// A table of `slots` slots, none lent.
    #[must_use]
    pub fn new(slots: u32) -> Self {
        Self { blocks: Vec::new(), vacant: Vec::new(), limit: slots / SLOT_BLOCK }
    }

    /// Lends a block: its first slot. `None` when all are lent.
    pub fn lend(&mut self, owner: ProcessId) -> Option<u32> {
        let block = match self.vacant.pop() {
            Some(block) => block,
            None if (self.blocks.len() as u32) < self.limit => {
                self.blocks.push(Block::default());
                self.blocks.len() as u32 - 1
            }
            None => return None,
        };
        self.blocks[block as usize].owner = Some(owner);
        Some(block * SLOT_BLOCK)
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
        for (index, block) in self.blocks.iter_mut().enumerate().filter(|(_, block)| block.owner == Some(process)) {
            block.owner = None;
            if block.live == 0 {
                self.vacant.push(index as u32);
            }
        }
    }
}
