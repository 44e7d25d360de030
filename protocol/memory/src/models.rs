//! Every interleaving of the protocols, judged by loom. Run with `RUSTFLAGS="--cfg loom" cargo test -p plasmon-memory --release`.

use loom::thread;
use plasmon_protocol::id::ObjectKey;

use crate::pin::{PinOutcome, PinScanner, PinTable, begin_evict, begin_evict_all};
use crate::place::{Bytes, Place};
use crate::ring::{Consumer, Frames, Producer};
use crate::slot::{AgentState, SlotState, SlotTable};
use crate::sync::{AtomicU32, AtomicU64, Ordering, fence};

fn word() -> Place<AtomicU64> {
    Place::new(AtomicU64::new(0))
}

fn ring(capacity: usize) -> (Producer, Consumer) {
    let (head, tail, data) = (word(), word(), Bytes::new(capacity));
    (Producer::over(head.clone(), tail.clone(), data.clone()), Consumer::over(head, tail, data))
}

fn pins(count: usize) -> (PinTable, PinScanner) {
    let pins: Place<[AtomicU64]> = Place::many((0..count).map(|_| AtomicU64::new(0)));
    (PinTable::over(pins.clone()), PinScanner::over(pins))
}

/// What arrives is a prefix of what was pushed, through a ring that wraps, and no byte is read while it is written.
#[test]
fn a_ring_delivers_in_order() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring(32);
        let pushing = thread::spawn(move || {
            // Six bytes each: room for five, then the consumer has to have given some back. The last ones wrap.
            (0..7).take_while(|&number| producer.push(&[number, number ^ 0xff])).count()
        });
        let mut bytes = Vec::new();
        consumer.drain(&mut bytes).unwrap();
        consumer.drain(&mut bytes).unwrap();
        let pushed = pushing.join().unwrap();
        assert!(pushed >= 5);
        consumer.drain(&mut bytes).unwrap();
        assert!(consumer.is_empty());
        let numbers = Frames::new(&bytes, 8).map(|frame| frame.unwrap().to_vec()).collect::<Vec<_>>();
        let expected = (0..7).take(pushed).map(|number| vec![number, number ^ 0xff]).collect::<Vec<_>>();
        assert_eq!(numbers, expected);
    });
}

/// Either the sleeper's second look finds the message, or the producer finds it asleep.
#[test]
fn no_wake_is_lost() {
    loom::model(|| {
        let (mut producer, consumer) = ring(16);
        let slots: Place<SlotTable> = Place::new(SlotTable::modelled(0));
        let state = slots.clone();
        let client = thread::spawn(move || {
            assert!(producer.push(b"m"));
            state.agent_rest_after_push().state() != AgentState::Awake
        });
        assert!(slots.set_agent_state(AgentState::Sleeping));
        let seen = !consumer.is_empty();
        let rung = client.join().unwrap();
        assert!(seen || rung, "a message, and nobody awake");
    });
}

/// A client that rings once for each rest of the agent's is heard: what the agent's last look missed was rung for.
#[test]
fn one_ring_a_rest_is_enough() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring(16);
        let slots: Place<SlotTable> = Place::new(SlotTable::modelled(0));
        let state = slots.clone();
        let client = thread::spawn(move || {
            let mut rung = None;
            for message in [b"a", b"b"] {
                assert!(producer.push(message));
                let rest = state.agent_rest_after_push();
                if rest.state() != AgentState::Awake && rung != Some(rest) {
                    rung = Some(rest);
                }
            }
            rung
        });
        let mut drained = Vec::new();
        assert!(slots.set_agent_state(AgentState::Sleeping));
        assert!(slots.set_agent_state(AgentState::Awake));
        consumer.drain(&mut drained).unwrap();
        assert!(slots.set_agent_state(AgentState::Sleeping));
        let last = slots.agent_rest_after_push();
        let missed = consumer.is_empty() && consumer.frames(&drained).count() < 2;
        let rung = client.join().unwrap();
        assert!(!missed || rung == Some(last), "a message, and nobody awake");
    });
}

const KEY: ObjectKey = ObjectKey { slot: 0, generation: 1 };

fn a_pinned_reader_keeps_its_bytes(evict: fn(&SlotTable, &PinScanner) -> bool) {
    loom::model(move || {
        let slots: Place<SlotTable> = Place::new(SlotTable::modelled(1));
        let memory = Bytes::new(2);
        memory.write(0, b"a");
        slots.publish(0, 1, SlotState::InMemory, 0, 1);
        let (pins, scanner) = pins(1);
        let (table, bytes) = (slots.clone(), memory.clone());
        let reader = thread::spawn(move || {
            // Twice, so that the same place in the pin table is used anew.
            for _ in 0..2 {
                match pins.pin_and_read(&table, KEY) {
                    PinOutcome::Pinned { pin, offset, length } => {
                        let mut read = Vec::new();
                        bytes.read(usize::try_from(offset).unwrap(), usize::try_from(length).unwrap(), &mut read);
                        assert_eq!(read, b"a");
                        pins.unpin(pin);
                    }
                    PinOutcome::NotInMemory(entry) => assert!(entry.state != SlotState::InMemory || entry.generation != 1),
                    PinOutcome::TableFull => panic!("the one pin is taken"),
                }
            }
        });
        if evict(&slots, &scanner) {
            // Elsewhere, then free, and used by somebody else.
            memory.write(1, b"a");
            slots.publish(0, 1, SlotState::InMemory, 1, 1);
            memory.write(0, b"!");
        }
        reader.join().unwrap();
        assert!(!scanner.contains(KEY));
        assert_eq!(slots.read(0).unwrap().state, SlotState::InMemory);
    });
}

/// The agent moves an object and reuses its place; readers see the one or the other place, always with the object's bytes.
#[test]
fn eviction_and_pins() {
    a_pinned_reader_keeps_its_bytes(|slots, scanner| begin_evict(slots, KEY, [scanner]));
}

#[test]
fn eviction_of_many_and_pins() {
    a_pinned_reader_keeps_its_bytes(|slots, scanner| {
        let mut keys = vec![KEY];
        begin_evict_all(slots, &mut keys, [scanner]);
        !keys.is_empty()
    });
}

/// A pin that took the place of another one still tells the agent that the reader before it is done.
#[test]
fn a_place_in_the_pin_table_is_used_anew() {
    loom::model(|| {
        let slots: Place<SlotTable> = Place::new(SlotTable::modelled(1));
        let memory = Bytes::new(1);
        slots.publish(0, 1, SlotState::InMemory, 0, 1);
        let (pins, scanner) = pins(1);
        let (table, bytes) = (slots.clone(), memory.clone());
        let reader = thread::spawn(move || {
            if let PinOutcome::Pinned { pin, .. } = pins.pin_and_read(&table, KEY) {
                bytes.read(0, 1, &mut Vec::new());
                pins.unpin(pin);
            }
            pins.pin(ObjectKey { slot: 7, generation: 7 }).unwrap()
        });
        if begin_evict(&slots, KEY, [&scanner]) {
            memory.write(0, b"!");
        }
        let _pinned = reader.join().unwrap();
    });
}

/// A slot that is used anew never shows a reader of the old object the new one's bytes.
#[test]
fn a_new_generation_is_another_object() {
    loom::model(|| {
        let slots: Place<SlotTable> = Place::new(SlotTable::modelled(1));
        let memory = Bytes::new(1);
        memory.write(0, b"a");
        slots.publish(0, 1, SlotState::InMemory, 0, 1);
        let (pins, scanner) = pins(2);
        let (table, bytes) = (slots.clone(), memory.clone());
        let reader = thread::spawn(move || {
            if let PinOutcome::Pinned { pin, offset, .. } = pins.pin_and_read(&table, KEY) {
                let mut read = Vec::new();
                bytes.read(usize::try_from(offset).unwrap(), 1, &mut read);
                assert_eq!(read, b"a");
                pins.unpin(pin);
            }
        });
        if begin_evict(&slots, KEY, [&scanner]) {
            memory.write(0, b"b");
            slots.publish(0, 2, SlotState::InMemory, 0, 1);
        }
        reader.join().unwrap();
    });
}

/// Two threads of one client never get the same pin.
#[test]
fn threads_share_a_pin_table() {
    loom::model(|| {
        let slots: Place<SlotTable> = Place::new(SlotTable::modelled(1));
        slots.publish(0, 1, SlotState::InMemory, 0, 1);
        let (pins, scanner) = pins(2);
        let pins: Place<PinTable> = Place::new(pins);
        let other = pins.clone();
        let thread = thread::spawn(move || other.pin(KEY).unwrap());
        let mine = pins.pin(KEY).unwrap();
        let theirs = thread.join().unwrap();
        assert_ne!(mine, theirs);
        pins.unpin(mine);
        assert!(scanner.contains(KEY));
        pins.unpin(theirs);
        assert!(!scanner.contains(KEY));
    });
}

/// A control word and a sleeping flag, as in `link`: a coalesced word wakes as surely as a message.
#[test]
fn a_control_word_wakes_too() {
    loom::model(|| {
        let recall: Place<AtomicU32> = Place::new(AtomicU32::new(0));
        let sleeping: Place<AtomicU32> = Place::new(AtomicU32::new(0));
        let (their_recall, their_sleeping) = (recall.clone(), sleeping.clone());
        let agent = thread::spawn(move || {
            their_recall.store(1, Ordering::Release);
            fence(Ordering::SeqCst);
            their_sleeping.load(Ordering::Relaxed) == 1
        });
        sleeping.store(1, Ordering::Release);
        fence(Ordering::SeqCst);
        let seen = recall.load(Ordering::Relaxed) == 1;
        assert!(agent.join().unwrap() || seen);
    });
}
