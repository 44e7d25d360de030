//! Rings.

use loom::thread;

use super::ring;
use crate::ring::Frames;

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
