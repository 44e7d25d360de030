//! The slots that a process has for its objects.

use std::collections::VecDeque;

use plasmon_memory::slot::SlotState;
use plasmon_protocol::id::ObjectKey;
use plasmon_protocol::local::SLOT_BLOCK;

use crate::client::Client;

/// Used slots that are looked at before a new block is asked for.
const LOOKS: usize = 4;
/// New slots that are taken after a look at the oldest used one was in vain: a program that keeps what it puts need not look each time.
const PATIENCE: u32 = 64;

#[derive(Default)]
pub(super) struct Slots {
    /// Those of a new block that were never used here: the next one and the end.
    fresh: (u32, u32),
    /// Those in use, oldest first, with the generation of their objects.
    used: VecDeque<ObjectKey>,
    /// New ones that are taken before a used one is looked at again.
    patience: u32,
    /// Used ones that were found free when all were looked through.
    spare: Vec<ObjectKey>,
    /// How many there were to use since then: those, and new ones.
    supply: usize,
}

impl Slots {
    /// Takes a free slot, with its next generation, where one is at hand.
    #[inline(always)]
    pub(super) fn at_hand(&mut self, client: &Client) -> Option<ObjectKey> {
        if let Some(key) = self.spare.pop() {
            return Some(next(key));
        }
        // As in a loop that keeps what it puts.
        if self.patience > 0 {
            let (slot, end) = self.fresh;
            let (generation, _) = client.slots.state(slot).filter(|_| slot != end)?;
            self.patience -= 1;
            self.fresh.0 += 1;
            return Some(next(ObjectKey { slot, generation }));
        }
        // As in one that drops it: the oldest is free again.
        let key = self.used.front().copied().filter(|key| is_free(client, *key))?;
        self.used.pop_front();
        Some(next(key))
    }

    /// Takes a free slot, with its next generation. `None` when the agent is to be asked for more.
    pub(super) fn free(&mut self, client: &Client) -> Option<ObjectKey> {
        self.at_hand(client).or_else(|| self.find(client))
    }

    fn find(&mut self, client: &Client) -> Option<ObjectKey> {
        let (slot, end) = self.fresh;
        if self.patience == 0 || slot == end {
            for _ in 0..LOOKS.min(self.used.len()) {
                let key = self.used.pop_front()?;
                if is_free(client, key) {
                    return Some(next(key));
                }
                self.used.push_back(key);
            }
            self.patience = PATIENCE;
        }
        if slot == end { self.find_among_all(client) } else { self.at_hand(client) }
    }

    /// One of the free among all used slots, which are found where the oldest live long. They are looked through only after half as many
    /// objects were made, so that each pays for two looks at most; and there are never more than a few times as many slots as objects.
    #[cold]
    fn find_among_all(&mut self, client: &Client) -> Option<ObjectKey> {
        if self.supply >= self.used.len() / 2 {
            let Self { used, spare, .. } = self;
            used.retain(|key| {
                let free = is_free(client, *key);
                if free {
                    spare.push(*key);
                }
                !free
            });
            self.supply = self.spare.len();
        }
        self.spare.pop().map(next)
    }

    /// One that was taken waits behind the others: for its object's end, or to be taken again when it got no object.
    #[inline]
    pub(super) fn settle(&mut self, key: ObjectKey, used: bool) {
        let generation = if used { key.generation } else { key.generation.wrapping_sub(1) };
        self.used.push_back(ObjectKey { generation, ..key });
    }

    /// Takes over a new block.
    pub(super) fn add(&mut self, client: &Client, first: u32) {
        self.supply += SLOT_BLOCK as usize;
        let (slot, end) = self.fresh;
        // What is left of the block before is not lost: it waits behind the used ones.
        self.used.extend((slot..end).filter_map(|slot| Some(ObjectKey { slot, generation: client.slots.read(slot)?.generation })));
        self.fresh = (first, first + SLOT_BLOCK);
    }
}

/// Whether the agent has let go of the slot's last object.
#[inline]
fn is_free(client: &Client, key: ObjectKey) -> bool {
    client.slots.state(key.slot) == Some((key.generation, SlotState::Free))
}

#[inline]
fn next(key: ObjectKey) -> ObjectKey {
    ObjectKey { slot: key.slot, generation: key.generation.wrapping_add(1).max(1) }
}
