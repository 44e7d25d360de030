//! Rings of waits: named where nobody in them can go on, and only there.

use plasmon_protocol::explain::Subject;
use plasmon_protocol::id::TaskKey;

use crate::node::{Client, MIB, NODE, Node, demand};

/// A task that holds most of the memory and gets the result of another that needs it.
fn nested(node: &mut Node, memory: u64) -> (TaskKey, TaskKey, Client) {
    let mut driver = node.driver(100);
    let (parent, _) = node.submit(&mut driver, "app::parent", demand(1, 600 * MIB), &[]);
    node.connect(200);
    let mut worker = node.begins(parent);
    let (child, result) = node.submit(&mut worker, "app::child", demand(1, memory), &[]);
    node.gets(&mut worker, result);
    node.blocks(&worker);
    (parent, child, worker)
}

#[test]
fn a_task_that_holds_what_its_child_needs_is_a_deadlock_from_wherever_it_is_looked_at() {
    let mut node = Node::new();
    let (parent, child, _) = nested(&mut node, 500 * MIB);
    for task in [parent, child] {
        let cycles = node.cycles(task);
        assert_eq!(cycles.len(), 1, "{cycles:?}");
        for part in ["deadlock: ", "memory, held by process 200 (parent), which gets object", "made by", "task child"] {
            assert!(cycles[0].contains(part), "{part:?} is not in {}", cycles[0]);
        }
        assert!(node.task(task).contains("it will not go on by itself"), "{}", node.task(task));
    }
    assert_eq!(node.explain(Subject::Everything).unwrap().cycles.len(), 1);
}

#[test]
fn a_child_that_fits_and_one_whose_memory_another_gives_back_are_none() {
    let mut node = Node::new();
    let (parent, child, _) = nested(&mut node, 300 * MIB);
    assert_eq!((node.cycles(parent), node.cycles(child)), (vec![], vec![]));

    // 600 of the parent and 300 of somebody who runs: the child needs 400, and will have them.
    let mut node = Node::new();
    let mut driver = node.driver(100);
    let (parent, _) = node.submit(&mut driver, "parent", demand(1, 600 * MIB), &[]);
    let (other, _) = node.submit(&mut driver, "other", demand(1, 300 * MIB), &[]);
    node.connect(200);
    let (mut worker, running) = (node.begins(parent), node.begins(other));
    let (child, result) = node.submit(&mut worker, "child", demand(0, 400 * MIB), &[]);
    node.gets(&mut worker, result);
    node.blocks(&worker);
    assert!(node.task(child).contains("lacks 276 MiB"), "{}", node.task(child));
    assert_eq!(node.cycles(child), Vec::<String>::new());
    // With the other one blocked on the child as well, nobody is left.
    let mut running = running;
    node.gets(&mut running, result);
    node.blocks(&running);
    assert_eq!(node.cycles(child).len(), 2, "{:?}", node.cycles(child));
}

#[test]
fn two_actors_that_call_each_other_are_one_ring() {
    let mut node = Node::new();
    let mut driver = node.driver(100);
    let (a, b) = (node.actor(&mut driver, "A", "a", demand(0, 0)), node.actor(&mut driver, "B", "b", demand(0, 0)));
    node.connect(200);
    let (mut one, mut two) =
        (node.lives(TaskKey { process: driver.process, number: 1 }), node.lives(TaskKey { process: driver.process, number: 2 }));
    let (ping, _) = node.call(&mut driver, a, "A::ping");
    let (pong, _) = node.call(&mut driver, b, "B::pong");
    node.begins(ping);
    node.begins(pong);
    let (to_b, from_b) = node.call(&mut two, a, "A::ping");
    let (_, from_a) = node.call(&mut one, b, "B::pong");
    node.gets(&mut two, from_b);
    node.blocks(&two);
    assert_eq!(node.cycles(to_b), Vec::<String>::new(), "A runs and will take the call");
    node.gets(&mut one, from_a);
    node.blocks(&one);
    let cycles = node.cycles(to_b);
    assert_eq!(cycles.len(), 1, "{cycles:?}");
    for part in ["call A::ping", "call B::pong", "comes after", "actor A 'a'", "actor B 'b'"] {
        assert!(cycles[0].contains(part), "{part:?} is not in {}", cycles[0]);
    }
}

#[test]
fn an_actor_that_calls_itself_is_a_ring() {
    let mut node = Node::new();
    let mut driver = node.driver(100);
    let actor = node.actor(&mut driver, "Own", "", demand(0, 0));
    node.connect(200);
    let mut own = node.lives(TaskKey { process: driver.process, number: 1 });
    let (outer, _) = node.call(&mut driver, actor, "Own::outer");
    node.begins(outer);
    let (inner, result) = node.call(&mut own, actor, "Own::inner");
    node.gets(&mut own, result);
    node.blocks(&own);
    assert_eq!(node.cycles(inner).len(), 1, "{}", node.task(inner));
}

#[test]
fn a_get_that_waits_for_a_create_that_waits_for_its_own_pins_is_a_ring() {
    let mut node = Node::new();
    let mut driver = node.driver(100);
    let (maker, result) = node.submit(&mut driver, "make", demand(1, 0), &[]);
    node.connect(200);
    let mut worker = node.begins(maker);
    node.puts_and_pins(&mut driver, 50 * MIB);
    assert!(!node.wants_room(&mut worker, 40 * MIB));
    assert_eq!(node.cycles(maker), Vec::<String>::new(), "the driver runs, and may drop its view");
    node.gets(&mut driver, result);
    let cycles = node.cycles(maker);
    assert_eq!(cycles.len(), 1, "{cycles:?}");
    for part in
        ["needs room for 40 MiB", "50 MiB pinned by process 100 (driver)", "gets object", "made by", "unless another thread of process 100"]
    {
        assert!(cycles[0].contains(part), "{part:?} is not in {}", cycles[0]);
    }
}

#[test]
fn a_wait_for_any_of_several_goes_on_with_one() {
    let mut node = Node::new();
    let mut driver = node.driver(100);
    let (parent, _) = node.submit(&mut driver, "parent", demand(1, 600 * MIB), &[]);
    let (free, other) = node.submit(&mut driver, "free", demand(1, 0), &[]);
    node.connect(200);
    let mut worker = node.begins(parent);
    let running = node.begins(free);
    let (child, result) = node.submit(&mut worker, "child", demand(1, 500 * MIB), &[]);
    node.hears_of(&mut worker, result);
    node.hears_of(&mut worker, other);
    node.blocks(&worker);
    assert_eq!(node.cycles(child), Vec::<String>::new());
    node.ends(&running, free);
    assert!(node.task(child).contains("memory"), "{}", node.task(child));
}

#[test]
fn a_ring_is_told_of_once_while_it_stands_and_again_when_it_comes_back() {
    let mut node = Node::new();
    let (_, _, worker) = nested(&mut node, 500 * MIB);
    node.samples();
    assert_eq!(node.deadlocks(), [], "it may be in passing");
    for _ in 0..5 {
        node.passes(500);
        node.samples();
    }
    let told = node.deadlocks();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].message.contains("held by process 200 (parent)"), "{told:?}");
    assert_eq!(node.explain(Subject::Process(worker.process)).unwrap().cycles[0].sentence, told[0].message);
    let mut node = Node::new();
    let (_, child, _) = nested(&mut node, 300 * MIB);
    for _ in 0..5 {
        node.samples();
    }
    assert_eq!(node.deadlocks(), [], "{}", child.on(NODE));
}
