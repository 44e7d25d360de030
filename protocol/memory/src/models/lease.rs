//! Memory that comes free, is written anew, goes back, and is lent again.

use loom::sync::Arc;
use loom::thread;

use super::{Bell, KEY, PLACE, an_object, byte, ring, with_preemptions, words};
use crate::pin::{PinOutcome, pinned};
use crate::place::Bytes;
use crate::slot::SlotState;
use crate::words::Sleeper;

/// A reader lets go, the agent says so, the leaseholder writes the next object there, and a reader of that one sees it: nobody touches
/// a byte that somebody else still reads or writes.
#[test]
fn memory_that_came_free_is_written_anew() {
    with_preemptions(4, || {
        let memory = Bytes::new(2);
        let slots = an_object(&memory);
        let (reader_words, scanner, reader) = words();
        let (agent, _, writer) = words();
        drop(reader_words);
        let (mut drops, mut dropped) = ring(16);
        let (mut puts, mut put) = ring(16);
        let (table, bytes) = (slots.clone(), memory.clone());
        let reading = thread::spawn(move || {
            // Its count keeps the object; the pin is its view.
            let PinOutcome::Pinned { pin, offset, .. } = reader.pins().pin_and_read(&table, KEY) else { panic!("a held object is gone") };
            assert_eq!(byte(&bytes, offset), b'a');
            reader.pins().unpin(pin);
            assert!(drops.push(b"d"));
            let next = plasmon_protocol::id::ObjectKey { generation: 2, ..KEY };
            if let PinOutcome::Pinned { pin, offset, .. } = reader.pins().pin_and_read(&table, next) {
                assert_eq!(byte(&bytes, offset), b'b');
                reader.pins().unpin(pin);
            }
        });
        let bytes = memory.clone();
        let writing = thread::spawn(move || {
            if writer.freed(0) == Some(1) {
                bytes.write(PLACE, b"b");
                assert!(puts.push(b"p"));
            }
        });
        if dropped.drain(&mut Vec::new()).unwrap() > 0 {
            slots.publish(0, 1, SlotState::Free, 0, 0);
            assert!(!pinned([&scanner]).contains(&KEY), "a view that nobody counts");
            agent.add_freed(0);
        }
        if put.drain(&mut Vec::new()).unwrap() > 0 {
            slots.publish(0, 2, SlotState::InMemory, PLACE as u64, 1);
        }
        reading.join().unwrap();
        writing.join().unwrap();
    });
}

/// Counts may be wrong: the leaseholder gets memory back only when no pin names what was there, and a reader that comes later sees that
/// it is gone.
#[test]
fn memory_that_is_pinned_is_not_written_anew() {
    with_preemptions(4, || {
        let memory = Bytes::new(2);
        let slots = an_object(&memory);
        let (agent, scanner, client) = words();
        // Two threads of one client, which reads its own object.
        let client = Arc::new(client);
        let writer = Arc::clone(&client);
        let (table, bytes) = (slots.clone(), memory.clone());
        let reading = thread::spawn(move || match client.pins().pin_and_read(&table, KEY) {
            PinOutcome::Pinned { pin, offset, .. } => {
                assert_eq!(byte(&bytes, offset), b'a');
                client.pins().unpin(pin);
            }
            PinOutcome::NotInMemory(entry) => assert_ne!(entry.state, SlotState::InMemory),
            PinOutcome::TableFull => panic!("the one pin is taken"),
        });
        let bytes = memory.clone();
        let writing = thread::spawn(move || {
            if writer.freed(0) == Some(1) {
                bytes.write(PLACE, b"b");
            }
        });
        slots.publish(0, 1, SlotState::Free, 0, 0);
        if !pinned([&scanner]).contains(&KEY) {
            agent.add_freed(0);
        }
        reading.join().unwrap();
        writing.join().unwrap();
    });
}

/// A range that one client returns is another's only after the first is done with it.
#[test]
fn a_returned_range_is_lent_to_another() {
    loom::model(|| {
        let memory = Bytes::new(1);
        let (mut returns, mut returned) = ring(16);
        let (mut leases, mut leased) = ring(16);
        let (agent, _, second) = words();
        agent.set_freed(0, 7);
        let bytes = memory.clone();
        let first = thread::spawn(move || {
            bytes.write(0, b"a");
            assert_eq!(byte(&bytes, 0), b'a');
            assert!(returns.push(b"r"));
        });
        let bytes = memory.clone();
        let second = thread::spawn(move || {
            if leased.drain(&mut Vec::new()).unwrap() > 0 {
                assert_eq!(second.freed(0), Some(0), "a count of an earlier lease");
                bytes.write(0, b"b");
            }
        });
        if returned.drain(&mut Vec::new()).unwrap() > 0 {
            agent.set_freed(0, 0);
            assert!(leases.push(b"l"));
        }
        first.join().unwrap();
        second.join().unwrap();
    });
}

/// A client that gets a lease with the number of one it returned never takes the old lease's count for the new one's.
#[test]
fn a_lease_number_is_used_anew() {
    loom::model(|| {
        let (mut returns, mut returned) = ring(16);
        let (mut leases, mut leased) = ring(16);
        let (agent, _, client) = words();
        // One object was published in the old lease, and came free.
        agent.add_freed(0);
        let client = thread::spawn(move || {
            assert_eq!(client.freed(0), Some(1));
            assert!(returns.push(b"r"));
            if leased.drain(&mut Vec::new()).unwrap() > 0 {
                assert_eq!(client.freed(0), Some(0), "an object in the new lease would be taken for one that is free");
            }
        });
        if returned.drain(&mut Vec::new()).unwrap() > 0 {
            agent.set_freed(0, 0);
            assert!(leases.push(b"l"));
        }
        client.join().unwrap();
    });
}

/// A recall finds what came free before it, and is heard by a client that sleeps, falls asleep or wakes up: the lease goes back.
#[test]
fn a_recall_brings_an_idle_lease_back() {
    loom::model(|| {
        let memory = Bytes::new(1);
        let (mut returns, mut returned) = ring(16);
        let (agent, _, client) = words();
        let bell = Arc::new(Bell::default());
        let (their_bell, bytes) = (Arc::clone(&bell), memory.clone());
        let client = thread::spawn(move || {
            let mut recalls = 0;
            loop {
                let recall = client.recall();
                if recall != recalls {
                    recalls = recall;
                    // One object was published in it.
                    if client.freed(0) == Some(1) {
                        bytes.write(0, b"a");
                        assert!(returns.push(b"r"));
                        break;
                    }
                }
                client.set_sleeper(Sleeper::Service);
                if client.recall() == recalls {
                    their_bell.wait();
                    their_bell.clear();
                }
                client.set_sleeper(Sleeper::Nobody);
            }
        });
        agent.add_freed(0);
        agent.raise_recall();
        if agent.sleeper() == Sleeper::Service {
            bell.ring();
        }
        client.join().unwrap();
        assert!(returned.drain(&mut Vec::new()).unwrap() > 0);
        memory.write(0, b"b");
    });
}
