//! Control words between the agent and one client: who sleeps, what came free, what is wanted. Each says the latest and nothing else,
//! so that the agent never has to wait for a client that does not look.

use crate::pin::PinTable;
use crate::place::Place;
use crate::sync::{AtomicU32, AtomicU64, Ordering, acquire, fence};

/// Which of a client's threads is to be woken for what it was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u32)]
pub enum Sleeper {
    /// None: one of them is looking.
    #[default]
    Nobody = 0,
    /// The service thread.
    Service = 1,
    /// A thread that waits for an answer or a task, and reads the ring itself.
    Reader = 2,
}

impl Sleeper {
    /// An unknown number means: the one who always looks when it is woken.
    fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Nobody,
            2 => Self::Reader,
            _ => Self::Service,
        }
    }
}

/// What clients tell of the places that they are called from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u32)]
pub enum CallSites {
    /// Nothing.
    Off = 0,
    /// The line; interpreters, whose stacks cost little to walk, tell what it was called from too.
    #[default]
    Lines = 1,
    /// The whole stack, whatever that costs.
    Stacks = 2,
}

impl CallSites {
    /// An unknown number means: on.
    fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Off,
            2 => Self::Stacks,
            _ => Self::Lines,
        }
    }
}

/// The words of one client. `sleeper` is the client's to write, the others are the agent's.
#[derive(Debug)]
#[cfg_attr(loom, derive(Clone))]
pub(crate) struct Words {
    pub(crate) sleeper: Word,
    pub(crate) recall: Word,
    pub(crate) wants_space: Word,
    pub(crate) sites: Word,
    pub(crate) withdrawn: Place<AtomicU64>,
    /// For each lease.
    pub(crate) freed: Place<[AtomicU32]>,
}

/// The agent's side.
#[derive(Debug)]
pub struct AgentWords(pub(crate) Words);

impl AgentWords {
    /// Tells the client that one more object in `lease` is free. False when there is no such lease.
    pub fn add_freed(&self, lease: u32) -> bool {
        let Some(word) = self.0.freed.get(lease as usize) else { return false };
        word.store(word.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
        true
    }

    /// Sets how many objects in `lease` are free: 0 before it is granted again. False when there is no such lease.
    pub fn set_freed(&self, lease: u32, count: u32) -> bool {
        let Some(word) = self.0.freed.get(lease as usize) else { return false };
        word.store(count, Ordering::Release);
        true
    }

    /// Asks the client to return the leases that it does not use. Every call is one demand, and finds the leases that are free by then:
    /// [`AgentWords::add_freed`] comes first.
    pub fn raise_recall(&self) {
        self.0.recall.set(self.0.recall.get().wrapping_add(1));
    }

    /// Says whether memory is short, so that the client gives it back early.
    pub fn set_wants_space(&self, wanted: bool) {
        self.0.wants_space.set(wanted.into());
    }

    /// Switches the recording of call sites. Lines are recorded at first.
    pub fn set_sites(&self, sites: CallSites) {
        self.0.sites.set(sites as u32);
    }

    /// Takes back the tasks that a worker was sent up to its `run`th, counting from 1, unless they have begun: whoever drains the worker's
    /// ring after this call and finds no word of a begin knows that there will be none. Never called with less than before.
    pub fn withdraw(&self, run: u64) {
        self.0.withdrawn.store(run, Ordering::Release);
        // Pairs with the fence in `ClientWords::is_withdrawn`: either that side sees this word, or this one that the task has begun.
        fence(Ordering::SeqCst);
    }

    /// Who sleeps, as far as the client says: a hint, good for statistics.
    pub fn last_sleeper(&self) -> Sleeper {
        Sleeper::from_number(self.0.sleeper.get())
    }

    /// Whose doorbell has to be rung for the client to see what this thread wrote or pushed before the call. No wake is ever lost by
    /// trusting it.
    pub fn sleeper(&self) -> Sleeper {
        // Pairs with the fence in `ClientWords::set_sleeper`: either that side sees the message, or this one that it sleeps.
        fence(Ordering::SeqCst);
        self.last_sleeper()
    }
}

/// The client's side, which all of its threads use. Only the one that has the ring from the agent says who sleeps.
#[derive(Debug)]
pub struct ClientWords {
    pub(crate) pins: PinTable,
    pub(crate) words: Words,
}

impl ClientWords {
    /// This client's pins.
    pub fn pins(&self) -> &PinTable {
        &self.pins
    }

    /// How many objects in `lease` the agent has declared free since it was granted; the lease's memory may be written anew when that is all
    /// that were published in it. `None` when there is no such lease.
    #[inline]
    pub fn freed(&self, lease: u32) -> Option<u32> {
        let count = self.words.freed.get(lease as usize)?.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        Some(count)
    }

    /// How often the agent has asked for unused leases; another number than last time is a demand.
    pub fn recall(&self) -> u32 {
        self.words.recall.get()
    }

    /// Whether memory is short.
    pub fn wants_space(&self) -> bool {
        self.words.wants_space.get() != 0
    }

    /// What of call sites is to be recorded.
    #[inline]
    pub fn sites(&self) -> CallSites {
        CallSites::from_number(self.words.sites.get())
    }

    /// Whether the agent has taken back the task that this worker was sent as its `run`th. Asked after the word that it begins was pushed,
    /// and before it does; the answer yes needs another word.
    pub fn is_withdrawn(&self, run: u64) -> bool {
        // Pairs with the fence in `AgentWords::withdraw`.
        fence(Ordering::SeqCst);
        run <= acquire(&self.words.withdrawn)
    }

    /// Says who sleeps. Before that thread really does it must look once more, after this call, at
    /// [`Consumer::is_empty`](crate::ring::Consumer::is_empty) and the words here that it acts on. Called by one thread at a time: the
    /// one that has the ring.
    pub fn set_sleeper(&self, sleeper: Sleeper) {
        self.words.sleeper.set(sleeper as u32);
        // Pairs with the fence in `AgentWords::sleeper`.
        fence(Ordering::SeqCst);
    }
}

#[derive(Debug)]
#[cfg_attr(loom, derive(Clone))]
pub(crate) struct Word(pub(crate) Place<AtomicU32>);

impl Word {
    #[inline]
    fn get(&self) -> u32 {
        let value = self.0.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        value
    }

    fn set(&self, value: u32) {
        self.0.store(value, Ordering::Release);
    }
}
