//! Slots, pins and the moving of objects.

use loom::thread;
use plasmon_protocol::id::ObjectKey;

use super::{KEY, PLACE, an_object, byte, pins, with_preemptions};
use crate::pin::{PinOutcome, PinScanner, PinTable, begin_evict, begin_evict_all};
use crate::place::{Bytes, Place};
use crate::slot::{SlotState, SlotTable};

fn a_pinned_reader_keeps_its_bytes(evict: fn(&SlotTable, &PinScanner) -> bool) {
    with_preemptions(4, move || {
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
        let memory = Bytes::new(2);
        let slots = an_object(&memory);
        let (pins, scanner) = pins(2);
        let (table, bytes) = (slots.clone(), memory.clone());
        let reader = thread::spawn(move || {
            if let PinOutcome::Pinned { pin, offset, .. } = pins.pin_and_read(&table, KEY) {
                assert_eq!(byte(&bytes, offset), b'a');
                pins.unpin(pin);
            }
        });
        if begin_evict(&slots, KEY, [&scanner]) {
            memory.write(PLACE, b"b");
            slots.publish(0, 2, SlotState::InMemory, PLACE as u64, 1);
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

/// Two words of one entry are never of two objects, pinned or not.
#[test]
fn an_entry_is_read_whole() {
    loom::model(|| {
        let slots: Place<SlotTable> = Place::new(SlotTable::modelled(1));
        slots.publish(0, 1, SlotState::InMemory, 1, 1);
        let table = slots.clone();
        let reader = thread::spawn(move || table.read(0).unwrap());
        slots.publish(0, 2, SlotState::InMemory, 2, 2);
        let entry = reader.join().unwrap();
        let number = u64::from(entry.generation);
        assert!(entry.state == SlotState::Pending || (entry.offset, entry.length) == (number, number), "{entry:?}");
    });
}

/// A value in an entry is one object's, from its first byte to its last.
#[test]
fn a_value_in_an_entry_is_read_whole() {
    loom::model(|| {
        let slots: Place<SlotTable> = Place::new(SlotTable::modelled(1));
        slots.publish_value(0, 1, &[1; 15]);
        let table = slots.clone();
        let reader = thread::spawn(move || table.read(0).unwrap());
        slots.publish_value(0, 2, &[2; 16]);
        let entry = reader.join().unwrap();
        if let Some((bytes, length)) = entry.value() {
            let number = u8::try_from(entry.generation).unwrap();
            assert!(bytes[..length].iter().all(|byte| *byte == number) && length == 14 + usize::from(number), "{entry:?}");
        }
    });
}

/// An attempt to move what somebody reads leaves the object where it is, for everybody.
#[test]
fn an_eviction_in_vain_harms_nobody() {
    loom::model(|| {
        let memory = Bytes::new(2);
        let slots = an_object(&memory);
        let (pins, scanner) = pins(1);
        let held = pins.pin(KEY).unwrap();
        let (other, their_scanner) = super::pins(1);
        let (table, bytes) = (slots.clone(), memory.clone());
        let reader = thread::spawn(move || match other.pin_and_read(&table, KEY) {
            PinOutcome::Pinned { pin, offset, .. } => {
                assert_eq!(byte(&bytes, offset), b'a');
                other.unpin(pin);
            }
            PinOutcome::NotInMemory(entry) => assert_ne!(entry.state, SlotState::InMemory),
            PinOutcome::TableFull => panic!("the one pin is taken"),
        });
        assert!(!begin_evict(&slots, KEY, [&scanner, &their_scanner]));
        pins.unpin(held);
        if begin_evict(&slots, KEY, [&scanner, &their_scanner]) {
            memory.write(PLACE, b"!");
        }
        reader.join().unwrap();
    });
}
