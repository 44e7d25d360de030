//! Interleavings of the protocols, judged by loom. Run with `RUSTFLAGS="--cfg loom" cargo test -p plasmon-memory --release --lib`.
//!
//! Where a protocol's other half is code of the agent or of the client library, the model repeats its steps over the words of this crate.

mod lease;
mod pin;
mod ring;
mod seat;
mod wake;

use loom::sync::{Condvar, Mutex};
use plasmon_protocol::id::ObjectKey;

use crate::pin::{PinScanner, PinTable};
use crate::place::{Bytes, Place};
use crate::ring::{Consumer, Producer};
use crate::slot::{SlotState, SlotTable};
use crate::sync::{AtomicU32, AtomicU64};
use crate::words::{AgentWords, ClientWords, Word, Words};

/// The object that most models are about.
const KEY: ObjectKey = ObjectKey { slot: 0, generation: 1 };
/// Where it lies: not where an entry without a place points to.
const PLACE: usize = 1;

fn ring(capacity: usize) -> (Producer, Consumer) {
    let word = || Place::new(AtomicU64::new(0));
    let (head, tail, data) = (word(), word(), Bytes::new(capacity));
    (Producer::over(head.clone(), tail.clone(), data.clone()), Consumer::over(head, tail, data))
}

fn pins(count: usize) -> (PinTable, PinScanner) {
    let pins: Place<[AtomicU64]> = Place::many((0..count).map(|_| AtomicU64::new(0)));
    (PinTable::over(pins.clone()), PinScanner::over(pins))
}

/// The words of a client with one lease and one pin.
fn words() -> (AgentWords, PinScanner, ClientWords) {
    let word = || Word(Place::new(AtomicU32::new(0)));
    let freed = Place::many([AtomicU32::new(0)]);
    let words =
        Words { sleeper: word(), recall: word(), wants_space: word(), sites: word(), withdrawn: Place::new(AtomicU64::new(0)), freed };
    let (table, scanner) = pins(1);
    (AgentWords(words.clone()), scanner, ClientWords { pins: table, words })
}

/// A table whose one slot says that [`KEY`] is the second byte of `memory`, an `a`.
fn an_object(memory: &Bytes) -> Place<SlotTable> {
    memory.write(PLACE, b"a");
    let slots = Place::new(SlotTable::modelled(1));
    slots.publish(0, 1, SlotState::InMemory, PLACE as u64, 1);
    slots
}

fn byte(memory: &Bytes, at: u64) -> u8 {
    let mut read = Vec::new();
    memory.read(usize::try_from(at).unwrap(), 1, &mut read);
    read[0]
}

/// A doorbell. A sleeper that nobody wakes is a deadlock, which loom reports.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.rung.lock().unwrap() = true;
        self.changed.notify_one();
    }

    fn wait(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.changed.wait(rung).unwrap();
        }
    }

    fn clear(&self) {
        *self.rung.lock().unwrap() = false;
    }
}

/// Explores what can happen with at most so many switches away from a thread that could have gone on.
fn with_preemptions(most: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(most);
    builder.check(model);
}
