use std::collections::VecDeque;
use std::sync::Arc;

use plasmon_protocol::id::ObjectKey;
use proptest::prelude::*;

use super::*;
use crate::segment::Segment;

const HEAD: u64 = 0;
const TAIL: u64 = 0;
const DATA: u64 = 128;

struct Ring {
    producer: Producer,
    consumer: Consumer,
    /// What a faulty peer would write.
    head: Place<AtomicU64>,
    tail: Place<AtomicU64>,
}

fn ring(capacity: usize) -> Ring {
    let make = |bytes| Arc::new(Segment::create("plasmon-test", bytes).unwrap());
    let read_only =
        |segment: &Segment| Arc::new(Segment::open(segment.fd().unwrap().try_clone_to_owned().unwrap(), segment.len(), false).unwrap());
    let (ours, theirs) = (make(DATA + capacity as u64), make(128));
    let (ours_read, theirs_read) = (read_only(&ours), read_only(&theirs));
    let word = |segment, offset| Place::at(segment, offset).unwrap();
    Ring {
        producer: Producer::over(word(&ours, HEAD), word(&theirs_read, TAIL), Bytes::at(&ours, DATA, capacity).unwrap()),
        consumer: Consumer::over(word(&ours_read, HEAD), word(&theirs, TAIL), Bytes::at(&ours_read, DATA, capacity).unwrap()),
        head: word(&ours, HEAD),
        tail: word(&theirs, TAIL),
    }
}

fn messages(consumer: &mut Consumer) -> Result<Vec<Vec<u8>>, RingError> {
    let mut bytes = Vec::new();
    consumer.drain(&mut bytes)?;
    consumer.frames(&bytes).map(|frame| frame.map(<[u8]>::to_vec)).collect()
}

proptest! {
    #[test]
    fn pushes_and_drains_equal_a_queue(steps in proptest::collection::vec(proptest::option::of((0_usize..70, any::<u8>())), 1..400)) {
        let mut ring = ring(256);
        let mut queue = VecDeque::new();
        let mut held = 0;
        for step in steps {
            if let Some((length, byte)) = step {
                let message = vec![byte; length];
                let fits = length <= 64 && held + 4 + length <= 256;
                prop_assert_eq!(ring.producer.free(), (256 - held) as u64);
                prop_assert_eq!(ring.producer.push(&message), fits);
                if fits {
                    held += 4 + length;
                    queue.push_back(message);
                }
            } else {
                prop_assert_eq!(ring.consumer.is_empty(), queue.is_empty());
                prop_assert_eq!(messages(&mut ring.consumer).unwrap(), queue.drain(..).collect::<Vec<_>>());
                prop_assert!(ring.producer.is_drained().unwrap());
                held = 0;
            }
        }
        prop_assert_eq!(ring.producer.pushed(), ring.consumer.drained() + held as u64);
    }

    #[test]
    fn short_messages_are_pushed_as_their_bytes_are(drops in proptest::collection::vec(proptest::option::of((any::<u32>(), 0_u32..32)), 1..400)) {
        let (mut ring, mut other) = (ring(256), ring(256));
        for drop in drops {
            if let Some((slot, shift)) = drop {
                let short = Short::drop_local(ObjectKey { slot: slot >> shift, generation: slot });
                let mut bytes = Vec::new();
                short.write(&mut bytes);
                prop_assert_eq!(ring.producer.push_short(&short), other.producer.push(&bytes));
            } else {
                prop_assert_eq!(messages(&mut ring.consumer).unwrap(), messages(&mut other.consumer).unwrap());
            }
        }
        prop_assert_eq!(messages(&mut ring.consumer).unwrap(), messages(&mut other.consumer).unwrap());
    }

    #[test]
    fn a_hostile_producer_gets_an_error(heads in proptest::collection::vec(prop_oneof![any::<u64>(), 0_u64..600], 1..20), data in proptest::collection::vec(any::<u8>(), 256)) {
        let mut ring = ring(256);
        ring.producer.data.write(0, &data);
        for head in heads {
            let before = ring.consumer.drained();
            ring.head.store(head, Ordering::Release);
            let mut bytes = Vec::new();
            match ring.consumer.drain(&mut bytes) {
                Ok(count) => {
                    prop_assert!(count <= 256 && count == bytes.len() && head == before + count as u64);
                    let mut left = bytes.len();
                    for frame in ring.consumer.frames(&bytes) {
                        let Ok(message) = frame else { break };
                        left -= 4 + message.len();
                    }
                    prop_assert!(left <= bytes.len());
                }
                Err(error) => {
                    prop_assert!(head.wrapping_sub(before) > 256, "{}", error);
                    prop_assert!(bytes.is_empty() && ring.consumer.drained() == before);
                }
            }
        }
    }

    #[test]
    fn a_hostile_consumer_gets_an_error(tail in any::<u64>(), pushes in 0_usize..20) {
        let mut ring = ring(256);
        for _ in 0..pushes {
            ring.producer.push(&[7; 12]);
        }
        let pushed = ring.producer.pushed();
        ring.tail.store(tail, Ordering::Release);
        let possible = pushed.wrapping_sub(tail) <= 256;
        prop_assert_eq!(ring.producer.is_drained().is_ok(), possible);
        prop_assert!(ring.producer.free() <= 256);
        if !possible {
            prop_assert_eq!(ring.producer.free(), 0);
            prop_assert!(!ring.producer.push(b"x"));
        }
    }

    #[test]
    fn frames_are_what_was_framed_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..100), cut in 0_usize..100) {
        let mut framed = Vec::new();
        for chunk in bytes.chunks(7) {
            framed.extend_from_slice(&(chunk.len() as u32).to_le_bytes());
            framed.extend_from_slice(chunk);
        }
        let whole = Frames::new(&framed, 7).collect::<Result<Vec<_>, _>>().unwrap();
        prop_assert_eq!(whole.concat(), bytes.clone());
        let cut = cut.min(framed.len());
        let at_boundary = cut == framed.len() || cut % 11 == 0;
        prop_assert_eq!(Frames::new(&framed[..cut], 7).all(|frame| frame.is_ok()), at_boundary);
        prop_assert_eq!(Frames::new(&bytes, 16).filter(Result::is_err).count() <= 1, true);
    }
}

#[test]
fn errors_name_what_is_wrong() {
    let mut two = ring(64);
    two.head.store(65, Ordering::Release);
    let error = two.consumer.drain(&mut Vec::new()).unwrap_err();
    assert_eq!(error, RingError::Position { ours: 0, theirs: 65, capacity: 64 });
    assert_eq!(error.to_string(), "the ring's other side is at byte 65, this one at 0, and the ring holds 64");
    assert_eq!(Frames::new(&[9, 0, 0, 0], 8).next(), Some(Err(RingError::Oversized { length: 9, limit: 8 })));
    assert_eq!(Frames::new(&[8, 0, 0, 0, 1], 8).next(), Some(Err(RingError::Truncated { wanted: 8, left: 1 })));
    assert_eq!(Frames::new(&[8, 0], 8).next(), Some(Err(RingError::Truncated { wanted: 4, left: 2 })));
}

#[test]
fn a_message_is_at_most_a_quarter() {
    let mut ring = ring(256);
    assert_eq!((ring.producer.max_message(), ring.producer.capacity()), (64, 256));
    assert!(!ring.producer.push(&[0; 65]));
    assert!(ring.producer.push(&[1; 64]));
    assert_eq!(messages(&mut ring.consumer).unwrap(), [[1; 64]]);
}
