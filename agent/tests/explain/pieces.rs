//! Room that is there, but not in one piece: what is in the way moves, as far as nobody reads it; and what is read does not lie all over the
//! store.

use plasmon_protocol::id::ObjectKey;
use plasmon_protocol::record::EventKind;

use crate::node::{Client, MIB, Node, demand};

/// A store of 64 objects that was full, of which every `nth` is left, pinned or not.
fn full_of_gaps(node: &mut Node, driver: &mut Client, nth: usize, pinned: bool) -> Vec<ObjectKey> {
    let objects: Vec<ObjectKey> = (0..64).map(|_| node.puts(driver, MIB)).collect();
    let mut left = Vec::new();
    for (index, key) in objects.into_iter().enumerate() {
        if index % nth == nth - 1 {
            if pinned {
                node.pins(driver, key);
            }
            left.push(key);
        } else {
            node.drops(driver, key);
        }
    }
    left
}

#[test]
fn what_nobody_reads_makes_way() {
    for mut node in [Node::new(), Node::spilling()] {
        let mut driver = node.driver(100);
        let left = full_of_gaps(&mut node, &mut driver, 2, false);
        assert!(node.longest_free() < 24 * MIB);
        let written = node.written();
        assert!(node.wants_room(&mut driver, 24 * MIB), "32 MiB are free, and nothing must stay where it is");
        node.check();
        assert_eq!(node.written(), written, "nothing had to be written for that");
        left.into_iter().for_each(|key| node.drops(&driver, key));
        node.check();
    }
}

#[test]
fn what_is_read_stays_and_the_error_says_what_that_leaves() {
    let mut node = Node::new();
    let mut driver = node.driver(100);
    let left = full_of_gaps(&mut node, &mut driver, 4, true);
    assert!(node.wants_room(&mut driver, 3 * MIB));
    assert!(!node.wants_room(&mut driver, 4 * MIB));
    node.lives_for(2100);
    let told = node.events(EventKind::StoreFull).pop().unwrap().message;
    assert!(told.contains("4 MiB asked") && told.contains("45 MiB of 64 MiB free in pieces of at most 3 MiB"), "{told}");
    // What was the only obstacle goes.
    node.drops_pin(&driver, left[5]);
    assert!(node.wants_room(&mut driver, 6 * MIB));
    node.check();
}

#[test]
fn room_comes_as_soon_as_an_obstacle_is_not_read_any_more() {
    let mut node = Node::spilling();
    let mut driver = node.driver(100);
    let left = full_of_gaps(&mut node, &mut driver, 4, true);
    assert!(!node.wants_room(&mut driver, 7 * MIB));
    node.lives_for(1000);
    let granted = node.granted();
    node.drops_pin(&driver, left[5]);
    assert_eq!(node.granted(), granted + 1);
    node.check();
}

/// Objects that come back one after the other, and are read from then on, beside others that nobody reads for long.
#[test]
fn what_comes_back_to_be_read_leaves_room_for_what_is_large() {
    const PIECE: u64 = 192 << 10;
    let mut node = Node::spilling();
    let mut driver = node.driver(100);
    // Twice as much as there is room for: half of it is on disk, and the disk has the other half too.
    let pieces: Vec<ObjectKey> = (0..700).map(|_| node.puts(&mut driver, PIECE)).collect();
    let mut readers = [node.driver(101), node.driver(102)];
    for (index, key) in pieces.iter().take(330).enumerate() {
        match index % 10 {
            0 => node.gets(&mut readers[0], *key),
            7 => node.gets(&mut readers[1], *key),
            _ => {
                node.gets(&mut driver, *key);
                node.drops_pin(&driver, *key);
            }
        }
        node.lives_for(1);
    }
    node.check();
    // 12 MiB are read in 66 pieces.
    for reader in &mut readers {
        assert!(node.wants_room(reader, 16 * MIB), "{} of {} are free in one piece", node.longest_free(), node.free());
    }
    node.check();
}

/// The arguments of tasks lie together when these begin, wherever they were before.
#[test]
fn arguments_are_brought_together() {
    const PIECE: u64 = 192 << 10;
    let mut node = Node::spilling();
    let mut driver = node.driver(100);
    let pieces: Vec<ObjectKey> = (0..700).map(|_| node.puts(&mut driver, PIECE)).collect();
    let mut begun = Vec::new();
    for first in 0..2 {
        let needs: Vec<ObjectKey> = pieces.iter().copied().skip(first).step_by(11).take(30).collect();
        let (task, _) = node.submit(&mut driver, "merge", demand(1, 0), &needs);
        node.connect(200 + first as u32 * 10);
        node.lives_for(100);
        assert_eq!(node.sent(), Some(task));
        let worker = node.begins(task);
        needs.iter().for_each(|key| node.pins(&worker, *key));
        begun.push((worker, task));
    }
    for (worker, _) in &mut begun {
        assert!(node.wants_room(worker, 16 * MIB), "{} of {} are free in one piece", node.longest_free(), node.free());
    }
    node.check();
}
